"""train.py as one would write it for examples/fashion-mlp.yaml on several ranks: torch's DistributedDataParallel over gloo.

  torchrun --nproc-per-node 2 torchrun_train.py FOLDER [EVERY]

Each rank writes the monotonic clock in ns into FOLDER/first-RESTART-RANK when its first update is done. Without EVERY that
is all; with it a checkpoint is saved every so many updates, and loaded by whoever starts again. FOLDER has the pictures
as plain idx files, as for lightning_train.py.
"""
import os
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

folder, every = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
rank, restart = int(os.environ["RANK"]), os.environ["TORCHELASTIC_RESTART_COUNT"]
checkpoint = os.path.join(folder, "checkpoint.pt")


def tell(name, text):
    path = os.path.join(folder, f"{name}-{restart}-{rank}")
    with open(path + ".new", "w") as f:
        f.write(str(text))
    os.replace(path + ".new", path)


def save(net, opt, step):
    torch.save({"net": net.state_dict(), "opt": opt.state_dict(), "step": step}, checkpoint + ".new")
    os.replace(checkpoint + ".new", checkpoint)


def join():
    """With a plain init_process_group() torch 2.13's ranks find, after a restart, the dead ones' addresses in the store of
    torchrun, and fail or hang: each restart has keys of its own here."""
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    dist.init_process_group("gloo", store=dist.PrefixStore("restart" + restart, store), rank=rank,
                            world_size=int(os.environ["WORLD_SIZE"]))


def update(net, opt, loss_fn, batches):
    opt.zero_grad(set_to_none=True)
    for i in (1, 0):  # accumulate_grad_batches: 2
        x, y = next(batches)
        net.require_backward_grad_sync = i == 0
        (loss_fn(net((x.float() / 255 - 0.2860) / 0.3530), y) / 2).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()


def main():
    tell("pid", os.getpid())
    torch.set_num_threads(1)
    torch.manual_seed(42)
    join()
    x = torch.from_numpy(np.memmap(os.path.join(folder, "images"), np.uint8, "c", 16, (60000, 28, 28)))
    y = torch.from_numpy(np.memmap(os.path.join(folder, "labels"), np.uint8, "c", 8, (60000,))).long()
    data = TensorDataset(x[:55000], y[:55000])
    loader = DataLoader(data, 32, sampler=DistributedSampler(data, seed=42))
    net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)))
    opt, step = torch.optim.Adam(net.parameters(), lr=1e-3), 0
    if every and os.path.exists(checkpoint):
        saved = torch.load(checkpoint)
        net.load_state_dict(saved["net"])
        opt.load_state_dict(saved["opt"])
        step = saved["step"]
    first = step
    batches = iter(loader)
    while True:
        try:
            update(net, opt, nn.CrossEntropyLoss(), batches)
        except StopIteration:
            batches = iter(loader)
            continue
        if step == first:
            tell("first", time.monotonic_ns())
            if not every:
                break
        step += 1
        if step % every == 0 and rank == 0:
            save(net, opt, step)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
