"""comm_gloo.py WORLD BYTES…: torch.distributed's all_reduce over gloo, microseconds by size; lines as lt-bench-comm's."""
import os
import sys
import tempfile
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

ITERATIONS_MAX = 2000


def run(rank, world, sizes, store):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[rank % len(cpus)]})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    for size in sizes:
        data = torch.zeros(size // 4)
        dist.all_reduce(data)
        times = []
        for _ in range(max(5, min(ITERATIONS_MAX, (1 << 27) // (size + 65536)))):
            began = time.perf_counter_ns()
            dist.all_reduce(data)
            times.append((time.perf_counter_ns() - began) / 1e3)
        times.sort()
        if rank == 0:
            print(size, f"{times[0]:.2f} {times[len(times) // 2]:.2f}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run, (int(sys.argv[1]), [int(a) for a in sys.argv[2:]], os.path.join(folder, "store")), int(sys.argv[1]))
