"""What a run leaves behind is other people's formats: Python's safetensors, numpy and TensorBoard read it, and numpy computes
from the weights what `ltctl test` said. (Files of a plain MLP: tests/train/test_files.py.)"""
import csv
import gzip
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import FASHION, check, equal, make, plan, read, recovered, run, run_dir, wait_recovery  # noqa: E402

try:
    import numpy as np
    from safetensors.numpy import load_file, save_file
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(0)

SAMPLES = 500  # of the test split; numpy is slow at convolutions
PLAN = f"""
name: artifacts
seed: 11
model: {{layers: [LAYERS]}}
data:
  source: {{idx: {{dir: {FASHION}}}}}
  train: {{split: train, range: [0, 2000], shuffle: true}}
  val: {{split: train, range: [59000, 59500]}}
  test: {{split: test, range: [0, {SAMPLES}]}}
  batch_size: 32
  transforms: [scale, {{normalize: {{mean: [0.2860], std: [0.3530]}}}}]
step: {{loss: cross_entropy, metrics: [accuracy]}}
optimizer: {{adam: {{lr: 2.0e-3}}}}
trainer: {{max_epochs: 2}}
callbacks: [{{model_checkpoint: {{monitor: val_loss, save_top_k: 2}}}}]
"""
CONVOLUTIONAL = """{conv2d: {out_channels: 6, kernel_size: 3, padding: 1, stride: 2}}, batch_norm, relu,
    {conv2d: {out_channels: 12, kernel_size: [3, 5], padding: [0, 2], groups: 2}}, tanh, {max_pool2d: {kernel_size: 2}}, flatten,
    {dropout: {p: 0.2}}, {linear: {out_features: 20}}, layer_norm, gelu, {linear: {out_features: 10}}"""
LINEAR = "flatten, {linear: {out_features: 10}}"


def train(w, layers, **replace):
    text = PLAN.replace("LAYERS", layers)
    for old, new in replace.items():
        text = text.replace(old, new)
    w.ltd()
    job = w.submit(w.file("artifacts.yaml", text))
    equal(w.wait_done(job).returncode, 0, w.out("status", job))
    return job


def test_split():
    with gzip.open(os.path.join(FASHION, "t10k-images-idx3-ubyte.gz")) as f:
        images = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:SAMPLES]
    with gzip.open(os.path.join(FASHION, "t10k-labels-idx1-ubyte.gz")) as f:
        labels = np.frombuffer(f.read(), np.uint8, offset=8)[:SAMPLES]
    return (images.astype(np.float64) / 255 - 0.2860) / 0.3530, labels


def conv2d(x, weight, bias, stride=1, padding=(0, 0), groups=1):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    outs = []
    for xs, ws in zip(np.split(x, groups, 1), np.split(weight, groups, 0)):
        windows = np.lib.stride_tricks.sliding_window_view(xs, ws.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        outs.append(np.einsum("nchwij,ocij->nohw", windows, ws, optimize=True))
    return np.concatenate(outs, 1) + bias[:, None, None]


def gelu(x):
    """x times the normal distribution's integral up to x, by its error function (Abramowitz and Stegun 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x) / np.sqrt(2))
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * x * (1 + np.sign(x) * (1 - tail * np.exp(-x * x / 2)))


def convolutional(t, x):
    x = conv2d(x, t["0.weight"], t["0.bias"], stride=2, padding=(1, 1))
    x = (x - t["1.running_mean"][:, None, None]) / np.sqrt(t["1.running_var"][:, None, None] + 1e-5)
    x = np.maximum(x * t["1.weight"][:, None, None] + t["1.bias"][:, None, None], 0)
    x = np.tanh(conv2d(x, t["3.weight"], t["3.bias"], padding=(0, 2), groups=2))
    n, c, h, w = x.shape
    x = x[:, :, :h // 2 * 2, :w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5)).reshape(n, -1)
    x = x @ t["8.weight"].T + t["8.bias"]
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * t["9.weight"] + t["9.bias"]
    return gelu(x) @ t["11.weight"].T + t["11.bias"]


def judged(logits, labels):
    """Accuracy and cross-entropy."""
    logits = logits - logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    return float((logits.argmax(1) == labels).mean()), float(loss.mean())


def agree(ours, accuracy, loss):
    check(abs(ours["test_acc"] - accuracy) <= 1.01 / SAMPLES, "accuracy", accuracy, "ltctl test says", ours)
    check(abs(ours["test_loss"] - loss) <= 1e-4 * loss, "loss", loss, "ltctl test says", ours)


def a_convolutional_net_in_numpy(w):
    job = train(w, CONVOLUTIONAL)
    folder = os.path.join(w.dir, "best")
    w.ctl("download", job, "best", folder)
    tensors = {k: v.astype(np.float64) for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
    images, labels = test_split()
    logits = convolutional(tensors, images)
    accuracy, loss = judged(logits, labels)
    check(accuracy > 0.5, "it learned something:", accuracy)
    file = os.path.join(w.dir, "predictions")
    equal(w.out("predict", job, file, "--checkpoint", "best"), "")
    said = np.fromfile(file, "<f4").reshape(SAMPLES, 10)
    check(np.abs(said - logits).max() < 1e-3, "predictions", np.abs(said - logits).max())
    agree(w.json("test", job, "--checkpoint", "best"), accuracy, loss)


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def manifest_and_download(w):
    """MANIFEST says what is there, bit for bit, and a download is the checkpoint's folder."""
    job = train(w, LINEAR)
    folder = run_dir(w, job)
    names = sorted(w.out("checkpoints", "-q", job).split())
    equal(names, sorted(os.listdir(os.path.join(folder, "checkpoints"))), "checkpoints")
    equal(len(names), 2)
    best = w.status(job)["best"]["name"]
    last = read(folder, "last").decode().strip()
    for name, source in [(best, os.path.join("checkpoints", best)), ("best", os.path.join("checkpoints", best)), ("last", last)]:
        target = os.path.join(w.dir, "download", name)
        w.ctl("download", job, name, target)
        equal(sorted(os.listdir(target)), sorted(os.listdir(os.path.join(folder, source))), "files")
        for file in os.listdir(target):
            check(read(target, file) == read(folder, source, file), name, file)
        lines = read(target, "MANIFEST").decode().splitlines()
        said = {f[1]: (int(f[2]), f[3]) for f in (line.split() for line in lines) if f[0] == "file"}
        there = {f: (len(read(target, f)), "%08x" % crc32c(read(target, f))) for f in os.listdir(target) if f != "MANIFEST"}
        equal(said, there, "MANIFEST")
        head = dict(line.split(" ", 1) for line in lines if line.split()[0] in ("job", "step", "epoch", "kind"))
        equal((head["job"], head["kind"]), (job, "full"))
        equal(int(head["step"]), json.loads(read(target, "trainer.json"))["position"]["step"], "step")


def optimizer_states(w):
    """Adam's moments, by torch's names and in the parameters' shapes; they are what the gradients left."""
    job = train(w, LINEAR)
    folder = os.path.join(run_dir(w, job), read(run_dir(w, job), "last").decode().strip())
    model, states = (load_file(os.path.join(folder, f"{name}.safetensors")) for name in ("model", "optimizer"))
    equal({k: v.shape for k, v in states.items()}, {f"{s}/{k}": v.shape for k, v in model.items() for s in ("exp_avg", "exp_avg_sq")})
    check(all(np.isfinite(v).all() for v in states.values()), "finite")
    check(all((v >= 0).all() and v.max() > 0 for k, v in states.items() if k.startswith("exp_avg_sq/")), "second moments")


def weights_of_other_people(w):
    """A file that Python's safetensors wrote is what training starts from."""
    random = np.random.default_rng(5)
    tensors = {"1.weight": random.normal(0, 0.05, (10, 784)).astype(np.float32),
               "1.bias": random.normal(0, 0.1, 10).astype(np.float32)}
    save_file(tensors, os.path.join(w.dir, "start.safetensors"))
    job = train(w, LINEAR + f"], weights: {w.dir}/start.safetensors, freeze: ['*.bias'",
                **{"max_epochs: 2": "max_steps: 3", "lr: 2.0e-3": "lr: 1.0e-9"})
    images, labels = test_split()
    logits = images.reshape(SAMPLES, -1) @ tensors["1.weight"].astype(np.float64).T + tensors["1.bias"]
    agree(w.json("test", job, "--checkpoint", "last"), *judged(logits, labels))


def curves(folder):
    """(tag, step, value) as TensorBoard shows them."""
    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    return sorted((tag, e.step, np.float32(e.value)) for tag in events.Tags()["scalars"] if tag != "epoch"
                  for e in events.Scalars(tag))


def tensorboard_after_kill_and_resume(w):
    """Killed, and later resumed in a job of its own: TensorBoard sees each point once, and those of metrics.csv."""
    w.ltd()
    job = w.submit(plan(w, epochs=2))
    wait_recovery(w, job, hold=True)
    os.kill(w.worker(job)[0], signal.SIGKILL)
    recovered(w, job)
    equal(w.wait_done(job).returncode, 0)
    child = w.out("resume", "-q", job, "--set", "trainer.max_epochs=3")
    equal(w.wait_done(child).returncode, 0)
    for one in (job, child):
        folder = run_dir(w, one)
        with open(os.path.join(folder, "metrics.csv"), newline="") as f:
            table = sorted((k, int(r["step"]), np.float32(v)) for r in csv.DictReader(f) for k, v in r.items()
                           if v and k not in ("step", "epoch"))
        check(len(table) > 20, table)
        seen = curves(os.path.join(folder, "tensorboard"))
        equal(seen, table, one)
    first, second = (curves(os.path.join(run_dir(w, one), "tensorboard")) for one in (job, child))
    check(max(step for _, step, _ in first) < min(step for _, step, _ in second), "the child goes on where its parent ended")


run([a_convolutional_net_in_numpy, manifest_and_download, optimizer_states, weights_of_other_people,
     tensorboard_after_kill_and_resume], make)
