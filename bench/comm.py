"""All-reduce of float32 by size beside gloo's (what torch uses between CPU ranks), in one run.

  bench/comm.py [--build DIR] [--python PYTHON] [--world N] [--rounds N] [--kinds shm,mpi,plain] [--sizes 1KiB,…] [--json]

PYTHON is an interpreter that has torch (default: the one that runs this, if it has it; else only ours is measured). The
contenders take turns, every round all of them; a size's figure is the best median of the rounds, so that what disturbs
the machine disturbs nobody's figure alone. Goals: 2 x gloo up to 32 MiB, 1.6 x above.
"""
import argparse
import importlib.util
import json
import os
import subprocess
import sys

SIZES = "1KiB,4KiB,16KiB,64KiB,256KiB,1MiB,4MiB,16MiB,32MiB,64MiB,256MiB"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "B": 1}


def number(text):
    unit = next(u for u in UNITS if text.endswith(u))
    return int(text[:-len(unit)]) * UNITS[unit]


def measure(argv, best):
    out = subprocess.run(argv, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{' '.join(argv)}: exit {out.returncode}\n{out.stderr[-2000:]}")
    for line in out.stdout.splitlines():
        size, least, median = line.split()
        best[int(size)] = min(best.get(int(size), float("inf")), float(median))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build")
    p.add_argument("--python", default=sys.executable if importlib.util.find_spec("torch") else None)
    p.add_argument("--world", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--kinds", default="shm,mpi,plain")
    p.add_argument("--sizes", default=SIZES)
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    sizes = [str(number(s)) for s in args.sizes.split(",")]
    here = os.path.dirname(os.path.abspath(__file__))
    os.environ.setdefault("LT_PROGRAM_PATH", os.path.abspath(os.path.join(args.build, "engine/worker")))
    contenders = {k: [os.path.join(args.build, "bench/lt-bench-comm"), k, str(args.world), *sizes]
                  for k in args.kinds.split(",")}
    if args.python:
        contenders["gloo"] = [args.python, os.path.join(here, "comm_gloo.py"), str(args.world), *sizes]
    best = {k: {} for k in contenders}
    load = os.getloadavg()[0]
    for _ in range(args.rounds):
        for k, argv in contenders.items():
            measure(argv, best[k])
    if args.json:
        print(json.dumps({"world": args.world, "load": load, "us": best}, indent=1))
        return
    print(f"all-reduce, float32, {args.world} ranks, microseconds (load when it began: {load:.1f})")
    for text, size in zip(args.sizes.split(","), map(int, sizes)):
        cells = [f"{k} {best[k][size]:10.1f}" for k in contenders]
        if args.python:
            goal = 2.0 if size <= 32 << 20 else 1.6
            cells += [f"{k} {best['gloo'][size] / best[k][size]:5.2f} x" for k in contenders if k != "gloo"]
            cells.append(f"(goal {goal} x)")
        print(f"{text:>7}  " + "  ".join(cells))


if __name__ == "__main__":
    main()
