"""rival_ddp.py CASE WORLD STEPS [BATCH]: a training step under torch's DistributedDataParallel over gloo, "best median" microseconds.

The models of rival.py, BATCH samples (the case's) on each rank, a thread and a processor each; rank 0's times. A world of one
is the model alone.
"""
import os
import statistics
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rival import batch, model, split


def run(rank, world, case, steps, n, store):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[rank % len(cpus)]})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    name, precision = split(case)
    net = model(name)
    if world > 1:
        net = torch.nn.parallel.DistributedDataParallel(net, gradient_as_bucket_view=True)
    x, y = batch(name, n)
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss_fn = torch.nn.CrossEntropyLoss()
    times = []
    for step in range(10 + steps):
        began = time.perf_counter_ns()
        opt.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = loss_fn(net(x), y)
        loss.backward()
        opt.step()
        if step >= 10:
            times.append((time.perf_counter_ns() - began) / 1000)
    if rank == 0:
        print(f"{min(times):.2f} {statistics.median(times):.2f}", flush=True)
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # torch 2.13 may abort behind this when a rank has one processor


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        world, case, steps = int(sys.argv[2]), sys.argv[1], int(sys.argv[3])
        n = int(sys.argv[4]) if len(sys.argv) > 4 else None
        mp.spawn(run, (world, case, steps, n, os.path.join(folder, "store")), world)
