#!/usr/bin/env python3
"""Plans of several ranks through the daemon: the result is one rank's, with slices to the bit, and as PyTorch's DDP has it.

The cases whose names begin with torch_ need PyTorch (./dev test --torch); the others nothing but Python.
"""
import contextlib
import csv
import gzip
import json
import os
import signal
import struct
import subprocess
import sys

from common import FASHION, Skipped, alive, check, equal, identity, run, wait_for

MLP = "[flatten, {linear: {out_features: 32}}, relu, {dropout: {p: 0.2}}, {linear: {out_features: 10}}]"
CNN = ("[{conv2d: {out_channels: 8, kernel_size: 3, padding: 1}}, batch_norm, relu, {max_pool2d: {kernel_size: 4}}, flatten, "
       "{linear: {out_features: 10}}]")
STEPS = 20


def plan(layers, batch="global_batch_size: 64", trainer="", model="", shuffle="true", optimizer="{sgd: {lr: 0.05, momentum: 0.9}}"):
    return f"""name: ranks
seed: 5
model: {{layers: {layers}{model}}}
data:
  source: {{idx: {{dir: {FASHION}}}}}
  train: {{split: train, range: [0, 1270], shuffle: {shuffle}}}
  val: {{split: train, range: [59000, 59100]}}
  {batch}
  transforms: [scale]
step: {{loss: cross_entropy, metrics: [accuracy]}}
optimizer: {optimizer}
trainer: {{max_steps: {STEPS}, max_epochs: 5, log_every_n_steps: 1, {trainer}}}
loggers: [csv]
job: {{resources: {{oversubscribe: true}}}}
"""


def tensors(path):
    """name: list of floats, of the float32 tensors of a safetensors file."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = struct.unpack(f"<{(b - a) // 4}f", data[8 + n + a:8 + n + b])
    return out


def train(w, text, *sets):
    """Folder of the run, when it is over."""
    args = [a for s in sets for a in ("--set", s)]
    job = w.submit(w.file("plan.yaml", text), *args)
    w.wait_done(job, code=0)
    return w.status(job)["run_dir"]


def last(folder):
    with open(os.path.join(folder, "last")) as f:
        return os.path.join(folder, f.read().strip())


def weights(folder):
    return tensors(os.path.join(last(folder), "model.safetensors"))


def losses(folder):
    with open(os.path.join(folder, "metrics.csv")) as f:
        return [float(r["train_loss"]) for r in csv.DictReader(f) if r.get("train_loss")]


def near(a, b, tolerance, what):
    equal(sorted(a), sorted(b), what)
    for name in a:
        for x, y in zip(a[name], b[name]):
            check(abs(x - y) <= tolerance * (1 + abs(y)), what, name, x, y)


def two_ranks_train_as_one(w):
    w.ltd()
    for layers in (MLP, CNN):
        one = train(w, plan(layers, trainer="sync_batchnorm: true"))
        two = train(w, plan(layers, trainer="sync_batchnorm: true"), "trainer.devices=2")
        equal(len(losses(two)), STEPS)
        near(weights(two), weights(one), 1e-4, "two ranks")
        near({"loss": losses(two)}, {"loss": losses(one)}, 1e-4, "two ranks")


def slices_give_the_same_bits(w):
    w.ltd()
    trainer = "sync_batchnorm: true, reproducible: elastic, logical_shards: 4"
    files = []
    for devices in (1, 2, 4):
        folder = train(w, plan(CNN, trainer=trainer), f"trainer.devices={devices}")
        with open(os.path.join(last(folder), "model.safetensors"), "rb") as f, open(os.path.join(folder, "metrics.csv")) as m:
            files.append((f.read(), m.read()))
    check(files[0] == files[1] == files[2], "bits differ")


def what_does_not_fit_is_refused(w):
    w.ltd()
    path = w.file("bad.yaml", plan(MLP, batch="global_batch_size: 63"))
    said = w.ctl("plan", "check", path, "--set", "trainer.devices=2", code=None)
    check(said.returncode != 0 and "63 samples can't be shared out evenly over 2 ranks" in said.stdout + said.stderr, said)
    path = w.file("bn.yaml", plan(CNN, trainer="reproducible: elastic, logical_shards: 4"))
    said = w.ctl("plan", "check", path, code=None)
    check(said.returncode != 0 and "needs trainer.sync_batchnorm: true" in said.stdout + said.stderr, said)


# ---- evaluations

def evaluated(w, job, devices, *args):
    """What test, validate and predict say on so many ranks (None: as many as the plan has); the bytes of the predictions."""
    args += ("--set", f"trainer.devices={devices}") if devices else ()
    values = {mode: w.json(mode, job, *args) for mode in ("test", "validate")}
    return values, predicted(w, job, devices or 2, *args)


def predicted(w, job, ranks, *args):
    path = os.path.join(w.dir, "rows")
    w.ctl("predict", job, path, *args)
    last = max(w.json("ps", "--all")["jobs"], key=lambda j: j["submitted"])
    equal(len(last["ranks"]), ranks, "ranks of an evaluation")
    check(not [f for f in os.listdir(last["run_dir"]) if f.endswith(".part")], "half a file is left")
    with open(path, "rb") as f:
        return f.read()


def trained(w, batch="global_batch_size: 48", trainer="", extra=""):
    """On two ranks, held at first: an evaluation has its parent's ranks and processors, and isn't held."""
    text = plan(MLP, batch=batch + "\n  test: {split: test, range: [0, 1001]}" + extra, trainer=trainer).replace(
        "range: [0, 1270]", "range: [0, 960]") # 20 batches of 48: it ends with a validation
    job = w.submit(w.file("eval.yaml", text), "--hold", "--set", "trainer.devices=2")
    w.ctl("release", job)
    w.wait_done(job, code=0)
    return job


def every_sample_is_evaluated_once(w):
    w.ltd()
    job = trained(w) # 1001 samples: neither 2 nor 3 ranks share the last batch evenly
    want, rows = evaluated(w, job, 1)
    equal(len(rows), 1001 * 10 * 4)
    for devices in (None, 2, 3):
        got, same = evaluated(w, job, devices)
        check(same == rows, "predictions on", devices, "ranks")
        for mode in want:
            equal(sorted(got[mode]), sorted(want[mode]))
            for name, value in want[mode].items():
                check(abs(got[mode][name] - value) < 1e-9, mode, name, value, got[mode][name])
    with open(os.path.join(w.status(job)["run_dir"], "metrics.csv")) as f:
        during = [float(r["val_loss"]) for r in csv.DictReader(f) if r.get("val_loss")][-1]
    equal(w.json("validate", job, "--checkpoint", "last")["val_loss"], during, "what training's own validation said, to the bit")
    said = w.ctl("test", job, "--set", "trainer.devices=5", code=3)
    check("48 samples can't be shared out evenly over 5 ranks" in said.stderr, said)
    said = w.ctl("test", job, "--set", "model.layers[0]={linear: {out_features: 3}}", code=None)
    check(said.returncode != 0, "another model than the checkpoint's", said)


def slices_are_evaluated_to_the_same_bits(w):
    w.ltd()
    job = trained(w, trainer="reproducible: elastic, logical_shards: 6")
    want = evaluated(w, job, 1)
    for devices in (2, 3):
        equal(evaluated(w, job, devices), want)


def a_rank_of_an_evaluation_is_killed(w):
    """Amid its batches; what the first attempt wrote is gone, and the second's is whole."""
    w.ltd()
    job = trained(w, batch="batch_size: 1", extra="\n  predict: {split: train}")
    want = predicted(w, job, 1, "--set", "trainer.devices=1")
    equal(len(want), 60000 * 10 * 4)
    path = w.file("predict.yaml", f"kind: evaluation\nparent: {job}\nmode: predict\n")
    for _ in range(100):
        job = w.submit(path)
        folder = wait_for(lambda: w.status(job)["run_dir"], "its folder", pause=0)
        if stopped_amid(w, job, os.path.join(folder, ".predictions.f32.part")):
            break
    else:
        check(False, "it was never caught amid its batches")
    check(not os.path.exists(os.path.join(folder, "predictions.f32")), "a file that isn't whole has its name")
    os.kill(identity(os.path.join(w.attempt_dir(job, 1, 1), "worker"))[0], signal.SIGKILL)
    w.wait_done(job, code=0)
    equal(w.status(job)["attempt"], 2)
    with open(os.path.join(folder, "predictions.f32"), "rb") as f:
        check(f.read() == want, "predictions of the second attempt")
    check(not os.path.exists(os.path.join(folder, ".predictions.f32.part")), "half a file is left")


def stopped_amid(w, job, part):
    """Rank 1 stands still, and some rows are there. False: it was over before."""
    def there():
        return (os.path.exists(part) and os.stat(part).st_size > 0) or w.status(job)["state"] == "done"
    wait_for(there, "the first rows", pause=0)
    worker = identity(os.path.join(w.attempt_dir(job, 1, 1), "worker"))
    if not worker or not alive(worker):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker[0], signal.SIGSTOP)
        if os.path.exists(part):
            return True
        os.kill(worker[0], signal.SIGCONT)
    return False


# ---- beside PyTorch: this file again, as a rank of torch's

def opened(name):
    path = os.path.join(FASHION, name)
    return open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz")


def images():
    import numpy
    with opened("train-images-idx3-ubyte") as f:
        x = numpy.frombuffer(f.read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)[:1280]
    with opened("train-labels-idx1-ubyte") as f:
        y = numpy.frombuffer(f.read(), numpy.uint8, offset=8)[:1280]
    return x.astype(numpy.float32) / 255, y.astype(numpy.int64)


def net(kind):
    import torch
    nn = torch.nn
    torch.manual_seed(1)
    if kind.startswith("mlp"):
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(392, 10))


def ddp_rank(rank, folder):
    import torch
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for kind in DDP:
        ddp_train(kind, rank, os.path.join(folder, kind + ".json"))
    torch.distributed.destroy_process_group()


def ddp_train(kind, rank, out):
    import torch
    x, y = (torch.from_numpy(a.copy()) for a in images())
    model = torch.nn.parallel.DistributedDataParallel(net(kind))
    adamw = kind.endswith("adamw") # with windows of two batches, and clipping
    optimizer = (torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3) if adamw else
                 torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    window = 2 if adamw else 1
    seen = []
    for step in range(STEPS):
        optimizer.zero_grad()
        mean = torch.zeros(())
        for batch in range(step * window, (step + 1) * window):
            at = batch % 20 * 64 # 20 batches an epoch
            mine = slice(at + rank, at + 64, 2)
            with contextlib.nullcontext() if batch % window == window - 1 else model.no_sync():
                loss = torch.nn.functional.cross_entropy(model(x[mine]), y[mine]) / window
                loss.backward()
            mean += loss.detach()
        if adamw:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        torch.distributed.all_reduce(mean)
        seen.append(mean.item() / 2)
    if rank == 0:
        with open(out, "w") as f:
            json.dump({"loss": seen, "weights": {k: v.flatten().tolist() for k, v in model.module.state_dict().items()
                                                 if v.dtype == torch.float32}}, f)


def save(state, path):
    header, data = {}, b""
    for name, t in state.items():
        raw = t.numpy().tobytes()
        header[name] = {"dtype": "F32" if t.dtype.is_floating_point else "I64", "shape": list(t.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


MLP_PLAIN = "[flatten, {linear: {out_features: 32}}, relu, {linear: {out_features: 10}}]"
ADAMW = {"optimizer": "{adamw: {lr: 1.0e-3, eps: 1.0e-3}}", "trainer": "accumulate_grad_batches: 2, gradient_clip_val: 0.5"}
DDP = {"mlp": (MLP_PLAIN, {}), "cnn": (CNN, {}), "mlp-adamw": (MLP_PLAIN, ADAMW), "cnn-adamw": (CNN, ADAMW)}


def torch_ddp(w):
    try:
        import torch # noqa: F401
    except ImportError:
        raise Skipped("PyTorch isn't installed")
    w.ltd()
    ranks = [subprocess.Popen([sys.executable, __file__, "--ddp", str(r), w.dir]) for r in range(2)]
    equal([p.wait(240) for p in ranks], [0, 0], "torch's ranks")
    for kind, (layers, more) in DDP.items():
        start = os.path.join(w.dir, kind + ".safetensors")
        save(net(kind).state_dict(), start)
        with open(os.path.join(w.dir, kind + ".json")) as f:
            want = json.load(f)
        folder = train(w, plan(layers, batch="batch_size: 32", model=f", weights: {start}", shuffle="false", **more).replace(
            "[0, 1270]", "[0, 1280]"), "trainer.devices=2")
        equal(len(losses(folder)), STEPS)
        near({"loss": losses(folder)}, {"loss": want["loss"]}, 2e-5, kind)
        near(weights(folder), want["weights"], 2e-5, kind)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ddp"]:
        ddp_rank(int(sys.argv[2]), sys.argv[3])
        sys.exit(0)
    run([two_ranks_train_as_one, slices_give_the_same_bits, what_does_not_fit_is_refused, every_sample_is_evaluated_once,
         slices_are_evaluated_to_the_same_bits, a_rank_of_an_evaluation_is_killed] + [torch_ddp] * ("torch_ddp" in sys.argv))
