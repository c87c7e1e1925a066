"""What a run leaves behind, read by others: safetensors and numpy give the accuracy that `ltctl test` printed, TensorBoard's
reader and csv see the metrics that the journal holds."""
import csv
import glob
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(0)
from harness import check, equal, run  # noqa: E402

DATA = "/usr/share/datasets/fashion-mnist"
PLAN = f"""
name: files
seed: 5
model:
  layers: [flatten, {{linear: {{out_features: 32}}}}, relu, {{linear: {{out_features: 10}}}}]
data:
  source: {{idx: {{dir: {DATA}}}}}
  train: {{split: train, range: [0, 4000], shuffle: true}}
  val: {{split: train, range: [55000, 56000]}}
  test: {{split: test}}
  batch_size: 30
  transforms: [scale, {{normalize: {{mean: [0.2860], std: [0.3530]}}}}]
step: {{loss: cross_entropy, metrics: [{{accuracy: {{on_step: true, on_epoch: true}}}}]}}
optimizer: {{adam: {{lr: 0.002}}}}
lr_scheduler: {{cosine_annealing: {{T_max: 3}}}}
trainer: {{max_epochs: 3, log_every_n_steps: 7}}
callbacks:
  - model_checkpoint: {{monitor: val_loss, save_top_k: 2}}
  - learning_rate_monitor: {{}}
loggers: [tensorboard, csv]
"""


def trained(w):
    job = w.submit(w.file("plan.yaml", PLAN))
    w.wait_done(job, code=0)
    return job, w.status(job)["run_dir"]


def images(name):
    with gzip.open(os.path.join(DATA, name)) as f:
        data = f.read()
    dims = [int.from_bytes(data[4 + 4 * d:8 + 4 * d], "big") for d in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(dims)


def weights(w):
    """The best checkpoint in numpy: the same accuracy; sorted keys, torch's names and shapes."""
    job, run_dir = trained(w)
    best = w.status(job)["best"]["name"]
    path = os.path.join(run_dir, "checkpoints", best, "model.safetensors")
    with safe_open(path, framework="np") as f:
        equal(f.metadata(), {"format": "pt"}, "metadata")
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    names = [k for k in header if k != "__metadata__"]
    equal(names, ["1.bias", "1.weight", "3.bias", "3.weight"], "names")
    t = load_file(path)
    equal(t["1.weight"].shape, (32, 784), "shape")
    x = (images("t10k-images-idx3-ubyte.gz").reshape(-1, 784).astype(np.float32) / 255 - 0.2860) / 0.3530
    y = images("t10k-labels-idx1-ubyte.gz")
    logits = np.maximum(x @ t["1.weight"].T + t["1.bias"], 0) @ t["3.weight"].T + t["3.bias"]
    ours = w.json("test", job, "--checkpoint", "best")
    accuracy = float((logits.argmax(1) == y).mean())
    check(abs(accuracy - ours["test_acc_epoch"]) <= 2 / len(y), "accuracy", accuracy, "ours", ours["test_acc_epoch"])
    logits -= logits.max(1, keepdims=True)
    loss = float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]))
    check(abs(loss - ours["test_loss"]) < 1e-4 * loss, "loss", loss, "ours", ours["test_loss"])


def optimizer(w):
    """Optimiser states have the parameters' shapes."""
    _, run_dir = trained(w)
    with open(os.path.join(run_dir, "last")) as f:
        last = os.path.join(run_dir, f.read().strip())
    model, states = load_file(os.path.join(last, "model.safetensors")), load_file(os.path.join(last, "optimizer.safetensors"))
    equal(sorted(states), sorted(f"{s}/{n}" for s in ("exp_avg", "exp_avg_sq") for n in model), "states")
    for name, value in states.items():
        equal(value.shape, model[name.split("/", 1)[1]].shape, name)


def metrics(w):
    """metrics.csv, the event files and the journal say the same."""
    job, run_dir = trained(w)
    said = sorted((m["name"], m["step"], m["value"]) for m in w.jsonl("metrics", job))
    with open(os.path.join(run_dir, "metrics.csv"), newline="") as f:
        rows = list(csv.DictReader(f))
    equal(list(rows[0]), sorted(rows[0]), "columns")
    table = sorted((k, int(r["step"]), float(v)) for r in rows for k, v in r.items() if v and k not in ("step", "epoch"))
    equal(table, said, "metrics.csv")
    events = EventAccumulator(os.path.join(run_dir, "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    equal(sorted(tags), sorted({name for name, _, _ in said} | {"epoch"}), "tags")
    seen = sorted((tag, e.step, e.value) for tag in tags if tag != "epoch" for e in events.Scalars(tag))
    equal([(n, s, np.float32(v)) for n, s, v in said], [(n, s, np.float32(v)) for n, s, v in seen], "events")
    equal(len(glob.glob(os.path.join(run_dir, "tensorboard", "*"))), 1, "event files")


run([weights, optimizer, metrics])
