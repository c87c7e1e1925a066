"""A training step on two ranks beside torch's DistributedDataParallel over gloo, and what the second rank brings.

  bench/ranks.py [--build DIR] [--python PYTHON] [--rounds N] [--cases mlp,cnn,cnn-bf16] [--scaling mlp:64,mlp:512,cnn:128]

PYTHON is an interpreter that has torch (default: the one that runs this). Every rank has a thread and a processor of its own.
--cases: the same batch on each rank as bench/run.py has on one. --scaling: the same global batch on one rank and, shared out,
on all. The contenders are run in turns; a figure is the best of the rounds, a share of time the median of the rounds. Goals:
MLP 4 x DDP, CNN 1.5 x, CNN in bf16-mixed 2 x.
"""
import argparse
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = {"mlp": 400, "cnn": 30}


class Contender:
    def __init__(self, *command):
        self.command = list(map(str, command))
        self.seen = []  # rows of best and median, microseconds a step; ours: wait and spent, thousandths of the time

    def round(self):
        out = subprocess.run(self.command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE).stdout.splitlines()
        self.seen.append(list(map(float, out[-1].split())))

    @property
    def best(self):
        return min(s[0] for s in self.seen)

    @property
    def median(self):
        return statistics.median(s[1] for s in self.seen)

    def share(self, column):
        """Per cent of all the round's steps, so of their mean, not of the best."""
        return statistics.median(s[column] for s in self.seen) / 10


def take_turns(rounds, **contenders):
    for _ in range(rounds):
        for c in contenders.values():
            c.round()
    return contenders


def beside_ddp(args, case):
    n = STEPS[case.split("-")[0]]
    c = take_turns(args.rounds, ours=Contender(args.step, case, 1, args.world, n), alone=Contender(args.step, case, 1, 1, n),
                   ddp=Contender(args.python, args.rival, case, args.world, n))
    print(f"{case:10} {c['ours'].best:10.1f} {c['alone'].best:10.1f} {c['ddp'].best:10.1f} "
          f"{c['ddp'].best / c['ours'].best:6.1f}x {c['ddp'].median / c['ours'].median:10.1f}x", flush=True)


def scaling(args, case, batch):
    n, each = max(STEPS[case.split("-")[0]] * 32 // batch, 20), batch // args.world
    c = take_turns(args.rounds, one=Contender(args.step, case, 1, 1, n, batch), all=Contender(args.step, case, 1, args.world, n, each),
                   ddp_one=Contender(args.python, args.rival, case, 1, n, batch),
                   ddp=Contender(args.python, args.rival, case, args.world, n, each))
    gain, theirs = c["one"].best / c["all"].best, c["ddp_one"].best / c["ddp"].best
    print(f"{case:10} {batch:6} {c['one'].best:10.1f} {c['all'].best:10.1f} {gain:9.2f}x {100 * gain / args.world:9.0f}% "
          f"{c['all'].share(3):8.1f}% {c['all'].share(2):8.1f}% {c['ddp_one'].best:10.1f} {c['ddp'].best:10.1f} {theirs:9.2f}x",
          flush=True)


def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"))
    ask.add_argument("--python", default=sys.executable)
    ask.add_argument("--world", type=int, default=2)
    ask.add_argument("--rounds", type=int, default=4)
    ask.add_argument("--cases", default="mlp,cnn,cnn-bf16")
    ask.add_argument("--scaling", default="mlp:64,mlp:512,cnn:128")
    args = ask.parse_args()
    os.environ.setdefault("LT_PROGRAM_PATH", os.path.join(os.path.abspath(args.build), "engine/worker"))
    args.step = os.path.join(os.path.abspath(args.build), "bench", "lt-bench-step")
    args.rival = os.path.join(HERE, "rival_ddp.py")
    print(f"the same batch on each of {args.world} ranks\n"
          f"{'case':10} {'ours us':>10} {'alone us':>10} {'DDP us':>10} {'ratio':>7} {'of medians':>11}", flush=True)
    for case in filter(None, args.cases.split(",")):
        beside_ddp(args, case)
    print(f"the same global batch on 1 and {args.world} ranks; in collectives: of a step's time, of it not overlapped\n"
          f"{'case':10} {'batch':>6} {'1 rank us':>10} {str(args.world) + ' ranks':>10} {'speed-up':>10} {'efficiency':>10} "
          f"{'in coll.':>9} {'waiting':>9} {'torch 1':>10} {'DDP':>10} {'speed-up':>10}", flush=True)
    for case in filter(None, args.scaling.split(",")):
        scaling(args, case.split(":")[0], int(case.split(":")[1]))


if __name__ == "__main__":
    main()
