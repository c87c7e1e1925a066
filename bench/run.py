"""Training steps of ours beside PyTorch's and Lightning's: interleaved, same thread count, best of the rounds.

  bench/run.py [--build DIR] [--python PYTHON] [--rounds N] [--threads 1,2] [--cases mlp,cnn,mlp-bf16,cnn-bf16,…] [--json]

PYTHON is an interpreter that has torch and lightning (default: the one that runs this, if it has them; else only ours
is measured). Each contender is one
process that runs a few steps a line; the driver goes round them, so that what disturbs the machine disturbs all.
"""
import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys

STEPS = {"mlp": 300, "cnn": 8, "mlp-bf16": 300, "cnn-bf16": 16, "mlp-f64": 100, "cnn-f64": 2}
# Times as fast as the rival, and per cent of the roofline, which is float32's and says nothing about other precisions. In
# bf16-mixed the rival is torch.autocast.
GOALS = {"mlp": {"eager": 2.5, "lightning": 10.0, 1: 75, 2: 50}, "cnn": {"eager": 2.0, "lightning": 2.2, 1: 80, 2: 80},
         "cnn-bf16": {"eager": 2.0}}


class Contender:
    def __init__(self, argv, env):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env=env)
        self.title = self.process.stdout.readline().strip()
        self.best = self.median = float("inf")

    def round(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise RuntimeError(f"{self.process.args}: no answer")
        self.best = min(self.best, float(line[0]))
        self.median = min(self.median, float(line[1]))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def environment(threads):
    """What lt-worker sets for itself; the rivals get the same."""
    return dict(os.environ, OMP_NUM_THREADS=str(threads), OMP_PROC_BIND="true", GOMP_SPINCOUNT="10000")


def roofline(ours, threads, rounds):
    """Best of several runs: GFLOP/s, GB/s from memory, GB/s from cache."""
    best = [0.0, 0.0, 0.0]
    for _ in range(rounds):
        out = subprocess.run([ours, "roofline", str(threads)], capture_output=True, text=True, check=True,
                             env=environment(threads)).stdout
        numbers = [float(w) for w in out.replace(",", "").split() if w.replace(".", "").isdigit()][1:]
        best = [max(a, b) for a, b in zip(best, numbers)]
    return best


def floor_us(title, peak):
    """The least a step can take: its arithmetic at the matrix product's speed, then Adam's traffic at the cache's
    speed where four arrays fit (2 MiB), else at memory's."""
    words = title.replace(",", "").split()
    parameters, flop = int(words[words.index("parameters") - 1]), int(words[words.index("FLOP") - 1])
    traffic = 7 * 4 * parameters
    speed = peak[2] if 16 * parameters <= 2 << 20 else peak[1]
    return flop / peak[0] / 1e3 + traffic / speed / 1e3


def measure(args, case, threads, peak):
    env = environment(threads)
    rival = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rival.py")
    contenders = {"ours": Contender([args.ours, case, str(threads)], env)}
    for kind in ("eager", "lightning") if args.python else ():
        contenders[kind] = Contender([args.python, rival, kind, case, str(threads)], env)
    for _ in range(args.rounds):
        for c in contenders.values():
            c.round(STEPS[case])
    for c in contenders.values():
        c.close()
    ours = contenders["ours"]
    goals = GOALS.get(case, {})
    row = {"case": case, "threads": threads, "us": ours.best, "us_median": ours.median, "rivals": {}}
    if "-" not in case:
        floor = floor_us(ours.title, peak)
        row.update(floor_us=round(floor, 1), percent=round(100 * floor / ours.best), goal_percent=goals.get(threads))
    for kind in contenders.keys() - {"ours"}:
        c = contenders[kind]
        row["rivals"][kind] = {"us": c.best, "us_median": c.median, "ratio": round(c.best / ours.best, 2),
                               "ratio_median": round(c.median / ours.median, 2), "goal": goals.get(kind),
                               "what": c.title}
    return row


def show(row):
    roof = (f", floor {row['floor_us']} us = {row['percent']} % of the roofline (goal {row['goal_percent']} %)"
            if "percent" in row else "")
    print(f"{row['case']} {row['threads']}T: {row['us']:.1f} us/step (median {row['us_median']:.1f}){roof}")
    for kind, r in sorted(row["rivals"].items()):
        goal = f", goal {r['goal']} x" if r["goal"] else ""
        print(f"    {kind:9} {r['us']:9.1f} us  {r['ratio']:5.2f} x (median {r['ratio_median']:.2f} x{goal})"
              f"  {r['what']}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build")
    p.add_argument("--python", default=sys.executable if importlib.util.find_spec("lightning") else None)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", default="1,2")
    p.add_argument("--cases", default="mlp,cnn,mlp-bf16,cnn-bf16")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    args.ours = os.path.join(args.build, "bench/lt-bench-step")
    if args.python and not shutil.which(args.python):
        sys.exit(f"{args.python}: not found")
    rows = []
    for threads in map(int, args.threads.split(",")):
        peak = roofline(args.ours, threads, 3)
        if not args.json:
            print(f"{threads}T: {peak[0]:.0f} GFLOP/s matrix product, updates read and write {peak[2]:.0f} GB/s from cache, "
                  f"{peak[1]:.0f} GB/s from memory")
        for case in args.cases.split(","):
            rows.append(measure(args, case, threads, peak))
            if not args.json:
                show(rows[-1])
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
