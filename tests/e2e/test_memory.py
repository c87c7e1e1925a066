"""The worker's anonymous memory is what the plan said before it ran: after step 1 and at the end of every epoch, on six nets
and on two of them in other precisions; and while evaluations of them run."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import FASHION, Page, Skipped, check, equal, make, run, wait_for

MIB = 1 << 20
EPOCHS = 3  # ends of epochs that are looked at

PLAN = """name: {name}
model:
  layers:
{layers}
data:
  source: {{idx: {{dir: {data}}}}}
  train: {{split: train, range: [0, 55000], shuffle: true}}
  val: {{split: train, range: [55000, 60000]}}
  test: {{split: test}}
  batch_size: {batch}
  transforms: [scale]
step: {{loss: cross_entropy, metrics: [accuracy]}}
optimizer: {optimizer}
trainer: {{precision: {precision}, max_epochs: 1000000, limit_train_batches: {batches}, limit_val_batches: 4,
  limit_test_batches: 60, limit_predict_batches: 60, gradient_clip_val: 1.0}}
callbacks: [{{model_checkpoint: {{monitor: val_loss, save_top_k: 1}}}}]
"""


def anonymous(pid):
    """RssAnon + RssShmem, bytes."""
    with open(f"/proc/{pid}/status") as f:
        rows = dict(line.split(":", 1) for line in f)
    return sum(int(rows[k].split()[0]) * 1024 for k in ("RssAnon", "RssShmem"))


def agrees(held, planned):
    return abs(held - planned) <= (8 * MIB if planned < 256 * MIB else planned * 0.02)


WORKER = """#!/bin/sh
[ -p "${0%/*}/hold" ] && [ "${1#--}" = "$1" ] && read -r nothing <"${0%/*}/hold"
exec "${0%/*}/worker" "$@"
"""


def ltd(w):
    """Its workers don't begin while bin/hold is there: what ends within a millisecond is watched from its start."""
    folder = os.path.join(w.dir, "bin")
    os.mkdir(folder)
    os.symlink(w.program("lt-worker"), os.path.join(folder, "worker"))
    with open(os.path.join(folder, "lt-worker"), "w") as f:
        f.write(WORKER)
    os.chmod(f.name, 0o755)
    w.env["LT_PROGRAM_PATH"] = folder + ":" + w.path
    w.ltd()
    return os.path.join(folder, "hold")


def evaluate(w, hold, name, parent, mode):
    """It holds model, activations and batches alone: no optimiser's states, gradients or snapshot. Looked at all the time."""
    os.mkfifo(hold)
    job = w.submit(w.file(f"{name}-{mode}.yaml", f"kind: evaluation\nparent: {parent}\nmode: {mode}\ncheckpoint: best\n"))
    pid, held = w.worker(job)[0], []
    page = Page(w.attempt_dir(job))
    open(hold, "w").close()
    os.unlink(hold)
    try:
        while True:
            held.append(anonymous(pid))
    except (OSError, KeyError):  # it is over
        pass
    equal(w.wait_done(job).returncode, 0)
    planned = int(w.events(job, "checked")[0]["memory_bytes"])
    print(f"# {name} {mode}: planned {planned / MIB:.1f} MiB, held {page.memory / MIB:.1f}, at most {max(held, default=0) / MIB:.1f}", flush=True)
    check(agrees(page.memory, planned), f"{name} {mode}: planned {planned / MIB:.1f} MiB, held {page.memory / MIB:.1f} MiB")
    check(max(held, default=0) <= planned + 8 * MIB, f"{name} {mode}: planned {planned / MIB:.1f} MiB, at most {max(held, default=0) / MIB:.1f} MiB")
    return planned


def watch(w, name, layers, batch, batches, optimizer="{adam: {lr: 1.0e-3}}", precision="32-true"):
    if os.environ.get("LT_SANITIZED"):
        raise Skipped("a sanitizer's memory is in no plan")
    text = PLAN.format(name=name, layers="\n".join("    - " + layer for layer in layers), data=FASHION, batch=batch, batches=batches,
                       optimizer=optimizer, precision=precision)
    hold = ltd(w)
    job = w.submit(w.file(name + ".yaml", text))
    planned = int(w.events(job, "checked")[0]["memory_bytes"])
    pid = w.worker(job)[0]
    wait_for(lambda: os.path.exists(os.path.join(w.attempt_dir(job), "page")), "the rank's page")
    page = Page(w.attempt_dir(job))
    found = []
    for moment in range(1 + EPOCHS):
        step = 1 if moment == 0 else moment * batches + 1
        wait_for(lambda: page.step >= step, f"step {step}", pause=0.001)
        found.append(anonymous(pid))
    shown = wait_for(lambda: w.status(job)["ranks"][0].get("memory"), "memory in status")
    w.ctl("cancel", job)
    equal(w.wait_done(job).returncode, 103)
    for mode in ("test", "predict"):
        check(evaluate(w, hold, name, job, mode) < planned, f"{name} {mode}: planned as much as training")
    print(f"# {name}: planned {planned / MIB:.1f} MiB, held", *(f"{f / MIB:.1f}" for f in found), flush=True)
    for held in found + [int(shown)]:
        check(agrees(held, planned), f"{name}: planned {planned / MIB:.1f} MiB, held {held / MIB:.1f} MiB")


def tiny_mlp(w):
    watch(w, "tiny-mlp", ["flatten", "linear: {out_features: 8}", "relu", "linear: {out_features: 10}"], 16, 200,
          "{sgd: {lr: 0.01}}")


LARGE_MLP = ["flatten", "linear: {out_features: 4096}", "gelu", "linear: {out_features: 2048}", "gelu", "dropout",
             "linear: {out_features: 10}"]


def large_mlp(w):
    watch(w, "large-mlp", LARGE_MLP, 128, 4)


def large_mlp_mixed(w):
    watch(w, "large-mlp-bf16", LARGE_MLP, 128, 4, precision="bf16-mixed")


def large_mlp_double(w):
    watch(w, "large-mlp-f64", LARGE_MLP, 16, 2, precision="64-true")


CNN = ["conv2d: {out_channels: 16, kernel_size: 3, padding: 1}", "relu", "max_pool2d: {kernel_size: 2}",
       "conv2d: {out_channels: 32, kernel_size: 3, padding: 1}", "relu", "max_pool2d: {kernel_size: 2}", "flatten",
       "linear: {out_features: 64}", "relu", "linear: {out_features: 10}"]


def cnn(w):
    watch(w, "cnn", CNN, 64, 10)


def cnn_mixed(w):
    watch(w, "cnn-bf16", CNN, 64, 10, precision="bf16-mixed")


def cnn_double(w):
    watch(w, "cnn-f64", CNN, 64, 2, precision="64-true")


def cnn_with_batch_norm(w):
    watch(w, "cnn-norm", ["conv2d: {out_channels: 24, kernel_size: 3, padding: 1, bias: false}", "batch_norm", "relu",
                          "conv2d: {out_channels: 24, kernel_size: 3, stride: 2, padding: 1, bias: false}", "batch_norm", "relu",
                          "avg_pool2d: {kernel_size: 2}", "flatten", "dropout: {p: 0.3}", "linear: {out_features: 10}"], 100, 6,
          "{sgd: {lr: 0.01, momentum: 0.9}}")


def residual_net(w):
    block = ("residual: {layers: [{conv2d: {out_channels: 16, kernel_size: 3, padding: 1}}, batch_norm, relu, "
             "{conv2d: {out_channels: 16, kernel_size: 3, padding: 1}}, batch_norm]}")
    watch(w, "residual", ["conv2d: {out_channels: 16, kernel_size: 3, stride: 2, padding: 1}", block, "relu", block, "relu",
                          "global_avg_pool2d", "flatten", "linear: {out_features: 10}"], 64, 6)


def layer_norm_net(w):
    watch(w, "layer-norm", ["flatten", "linear: {out_features: 512}", "layer_norm", "gelu",
                            "repeat: {times: 3, layers: [{residual: {layers: [layer_norm, {linear: {out_features: 512}}, tanh]}}]}",
                            "layer_norm: {}", "linear: {out_features: 10}"], 256, 10, "{adamw: {lr: 1.0e-3}}")


run([tiny_mlp, large_mlp, large_mlp_mixed, large_mlp_double, cnn, cnn_mixed, cnn_double, cnn_with_batch_norm, residual_net,
     layer_norm_net], make)
