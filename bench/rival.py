"""The models of engine_step.c in PyTorch eager, and in Lightning's loop.

  rival.py eager CASE THREADS       answers each line "N" on stdin with "min median" microseconds of N steps
  rival.py lightning CASE THREADS   same; each line is one trainer.fit of N steps, timed from batch to batch

CASE-bf16 is trained under torch.autocast (Lightning: bf16-mixed), CASE-f64 in float64 (64-true).

Needs torch and lightning in the interpreter that runs it. Same shapes, batch size, optimiser and loss as ours; data
are one random batch, so that neither side pays for loading.
"""
import statistics
import sys
import time

import torch
from torch import nn

BATCH = {"mlp": 32, "cnn": 64}


def model(case):
    if case == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


def batch(case, n=None):
    n = n or BATCH[case]
    return torch.rand(n, 1, 28, 28) * 2 - 1, torch.randint(0, 10, (n,))


def split(case):
    """"cnn-bf16": the net, and Lightning's word for the precision."""
    name, _, suffix = case.partition("-")
    return name, {"": "32-true", "bf16": "bf16-mixed", "f64": "64-true"}[suffix]


def answer(times):
    print(f"{min(times):.2f} {statistics.median(times):.2f}", flush=True)


def eager(case):
    case, precision = split(case)
    net = model(case)
    x, y = batch(case)
    if precision == "64-true":
        net, x = net.double(), x.double()
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss_fn = nn.CrossEntropyLoss()

    for line in sys.stdin:
        times = []
        for _ in range(max(int(line), 1)):
            start = time.perf_counter_ns()
            opt.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = loss_fn(net(x), y)
            loss.backward()
            opt.step()
            times.append((time.perf_counter_ns() - start) / 1000)
        answer(times)


def lightning(case):
    import logging
    import warnings

    import lightning as L

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    case, precision = split(case)
    fixed = batch(case)

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            while True:
                yield fixed

    class Net(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model(case)
            self.loss = nn.CrossEntropyLoss()
            self.starts = []

        def training_step(self, b, _):
            self.starts.append(time.perf_counter_ns())
            x, y = b
            return self.loss(self.net(x), y)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    net = Net()
    for line in sys.stdin:
        steps = max(int(line), 1) + 1
        net.starts.clear()
        trainer = L.Trainer(
            accelerator="cpu", devices=1, max_steps=steps, precision=precision, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False)
        trainer.fit(net, torch.utils.data.DataLoader(Batches(), batch_size=None))
        answer([(b - a) / 1000 for a, b in zip(net.starts, net.starts[1:])])


def main():
    kind, case, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    versions = f"torch {torch.__version__}"
    if kind == "lightning":
        import lightning as installed

        versions += f", lightning {installed.__version__}"
    print(f"{versions}, {threads} threads, {torch.backends.cpu.get_cpu_capability()}, "
          f"mkl {torch.backends.mkl.is_available()}", flush=True)
    {"eager": eager, "lightning": lightning}[kind](case)


if __name__ == "__main__":
    main()
