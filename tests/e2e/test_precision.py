"""bf16-mixed and 64-true end to end: as accurate as float32, the same bits after a kill, checkpoints that change precision."""
import json
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import SOURCE, alive, check, equal, make, plan, read, recovered, result, run, run_dir, same_result, wait_for, wait_recovery

MLP, CNN = (os.path.join(SOURCE, "examples", f"fashion-{kind}.yaml") for kind in ("mlp", "cnn"))


def accuracy(w, example, precision, *sets):
    """Test accuracy of an example's plan, trained shortly."""
    args = [a for s in (f"trainer.precision={precision}", "loggers=[csv]", *sets) for a in ("--set", s)]
    job = w.out("submit", example, *args).split()[-1]
    equal(w.wait_done(job).returncode, 0)
    value = w.json("test", job)["test_acc"]
    print(f"# {os.path.basename(example)} {precision}: test accuracy {value}", flush=True)
    return value


def mlp_is_as_accurate(w):
    w.ltd()
    sets = ("trainer.max_epochs=2", "lr_scheduler.cosine_annealing.T_max=2", "data.train.range=[0, 24000]")
    full, mixed, double = (accuracy(w, MLP, p, *sets) for p in ("32-true", "bf16-mixed", "64-true"))
    check(full > 0.8, full)
    check(abs(full - mixed) < 0.02, full, mixed)
    check(abs(full - double) < 0.02, full, double)


def cnn_is_as_accurate(w):
    w.ltd()
    sets = ("trainer.max_epochs=1", "lr_scheduler.cosine_annealing.T_max=1", "data.train.range=[0, 16000]")
    full, mixed = (accuracy(w, CNN, p, *sets) for p in ("32-true", "bf16-mixed"))
    check(full > 0.8, full)
    check(abs(full - mixed) < 0.02, full, mixed)


def the_same_bits_after_a_kill(w, precision):
    w.ltd()
    text = plan(w, name=precision, samples=24000, epochs=2, **{"trainer: {": "trainer: {precision: " + precision + ", "})
    job = w.submit(text)
    equal(w.wait_done(job).returncode, 0)
    expected = result(w, job)
    job = w.submit(text)
    worker = w.worker(job)
    wait_recovery(w, job, hold=True)
    os.kill(worker[0], signal.SIGKILL)
    wait_for(lambda: not alive(worker), "the worker to be gone")
    recovered(w, job)
    equal(w.wait_done(job).returncode, 0)
    same_result(result(w, job), expected)


def mixed_has_the_same_bits_after_a_kill(w):
    the_same_bits_after_a_kill(w, "bf16-mixed")


def double_has_the_same_bits_after_a_kill(w):
    the_same_bits_after_a_kill(w, "64-true")


def two_ranks_have_the_same_bits_every_time(w):
    w.ltd()
    for precision in ("bf16-mixed", "64-true"):
        text = plan(w, name=precision, samples=2048, epochs=1, batch=16,
                    **{"trainer: {": "trainer: {devices: 2, precision: " + precision + ", "})
        jobs = [w.submit(text) for _ in range(2)]
        for job in jobs:
            equal(w.wait_done(job).returncode, 0)
        same_result(*(result(w, job) for job in jobs))


def dtypes(w, job, file="model.safetensors"):
    folder = run_dir(w, job)
    data = read(folder, read(folder, "last").decode().strip(), file)
    n, = struct.unpack_from("<Q", data)
    return {t["dtype"] for name, t in json.loads(data[8:8 + n]).items() if name != "__metadata__"}


def short(w, name, precision):
    """One epoch of 64 steps."""
    job = w.submit(plan(w, name=name, samples=1024, epochs=1, batch=16, **{"trainer: {": "trainer: {precision: " + precision + ", "}))
    equal(w.wait_done(job).returncode, 0)
    return job


def resumed(w, job, precision):
    """A job that goes on from another one, in another precision."""
    new = w.out("resume", "-q", job, "--set", "trainer.max_epochs=2", "--set", "trainer.precision=" + precision)
    equal(w.wait_done(new).returncode, 0)
    return new, "tensors converted from" in w.out("logs", new)


def checkpoints_change_precision(w):
    w.ltd()
    full, mixed, double = (short(w, n, p) for n, p in (("full", "32-true"), ("mixed", "bf16"), ("double", "64")))
    equal((dtypes(w, full), dtypes(w, mixed), dtypes(w, double)), ({"F32"}, {"F32"}, {"F64"}))
    equal((dtypes(w, mixed, "optimizer.safetensors"), dtypes(w, double, "optimizer.safetensors")), ({"F32"}, {"F64"}))
    for old, precision, kind, said in ((full, "64-true", "F64", True), (double, "bf16-mixed", "F32", True),
                                       (full, "bf16-mixed", "F32", False)):  # mixed's own weights are float32
        new, converted = resumed(w, old, precision)
        equal((dtypes(w, new), converted), ({kind}, said), precision)


def resolved(w, job):
    return [e["value"] for e in w.events(job, "resolved") if e["field"] == "trainer.precision"]


def emulation_is_said(w):
    w.env["LT_MAX_ISA"] = "avx512_core"  # and no bfloat16; on a machine without AVX-512 that is as it is anyway
    w.ltd()
    text = plan(w, name="emulated", samples=1024, epochs=1, **{"trainer: {": "trainer: {precision: bf16-mixed, "})
    p = w.ctl("plan", "check", text)
    check("bfloat16 is emulated on this machine, slower than 32-true" in p.stdout + p.stderr, p.stdout, p.stderr)
    job = w.submit(text)
    equal(w.wait_done(job).returncode, 0)
    equal(resolved(w, job), ["bfloat16 is emulated"])
    check("bfloat16 is emulated" in w.out("logs", job))


run([mlp_is_as_accurate, cnn_is_as_accurate, mixed_has_the_same_bits_after_a_kill, double_has_the_same_bits_after_a_kill,
     two_ranks_have_the_same_bits_every_time, checkpoints_change_precision, emulation_is_said], make)
