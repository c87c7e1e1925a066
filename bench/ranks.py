#!/usr/bin/env python3
"""A training step on several ranks beside PyTorch's DDP over gloo, in turn, best and median of the rounds.

bench/ranks.py --python PYTHON (having torch) [--world 2] [--rounds 4] [--cases mlp,cnn]. Goals: MLP 4 x, CNN 1.5 x.
The column `alone` is one rank's step with the same batch: what is above it is communication, and waiting for each other.
"""
import argparse
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = {"mlp": "400", "cnn": "30"}


def times(command):
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE).stdout.split()
    return float(out[-2]), float(out[-1])


def main():
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"))
    ask.add_argument("--python", default=sys.executable)
    ask.add_argument("--world", default="2")
    ask.add_argument("--rounds", type=int, default=4)
    ask.add_argument("--cases", default="mlp,cnn")
    args = ask.parse_args()
    os.environ.setdefault("LT_PROGRAM_PATH", os.path.join(os.path.abspath(args.build), "engine/worker"))
    step = os.path.join(os.path.abspath(args.build), "bench", "lt-bench-step")
    print(f"{'case':8} {'ours us':>10} {'alone us':>10} {'DDP us':>10} {'ratio':>7} {'of medians':>11}")
    for case in args.cases.split(","):
        n = STEPS[case.split("-")[0]]
        commands = {"ours": [step, case, "1", args.world, n], "alone": [step, case, "1", "1", n],
                    "ddp": [args.python, os.path.join(HERE, "rival_ddp.py"), case, args.world, n]}
        seen = {k: [] for k in commands}
        for _ in range(args.rounds):
            for k, command in commands.items():
                seen[k].append(times(command))
        best = {k: min(v[0] for v in seen[k]) for k in seen}
        middle = {k: statistics.median(v[1] for v in seen[k]) for k in seen}
        print(f"{case:8} {best['ours']:10.1f} {best['alone']:10.1f} {best['ddp']:10.1f} {best['ddp'] / best['ours']:6.1f}x "
              f"{middle['ddp'] / middle['ours']:10.1f}x", flush=True)


if __name__ == "__main__":
    main()
