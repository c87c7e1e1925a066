"""Two ranks: how fast they start, and start again when one was killed, beside torchrun.

  bench/start.py [--build DIR] [--python PYTHON] [--rounds N] [--only run,command,restart] [--json]

PYTHON is an interpreter that has torch, torchrun beside it (default: the one that runs this, if it has it; without, only
ours is measured). The contenders take turns; times are from exec, or from kill -9, until the last of the ranks is there.
"""
import glob
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from daemon import FIRST_STEP_AT, HERE, PLAN, main, ms, row, unpack, wait

RANKS = 2
PATIENCE_NS = 60 * 10**9
EVERY = 1000  # updates between checkpoints, where a rank is killed
TWO = ("--set", f"trainer.devices={RANKS}")


def number(path):
    try:
        with open(path) as f:
            return int(f.read())
    except (OSError, ValueError):
        return 0


class Page:
    """What a rank says of itself (sys/page.h)."""

    def __init__(self, folder):
        with open(os.path.join(folder, "page"), "rb") as f:
            self.file = os.dup(f.fileno())

    def at(self, offset):
        return int.from_bytes(os.pread(self.file, 8, offset), "little")


def pages(world, job, attempt, known=()):
    """Of all ranks of an attempt; job "*": of any but the known ones. None while one of them isn't there."""
    folders = glob.glob(os.path.join(world.state, "node", "attempts", f"{job}.{attempt}.*"))
    folders = [f for f in folders if f not in known and os.path.exists(os.path.join(f, "page"))]
    return [Page(f) for f in sorted(folders)] if len(folders) == RANKS else None


def first_updates(p):
    """When the last rank's first update of this attempt was done; 0: not yet."""
    at = [page.at(FIRST_STEP_AT) for page in p]
    return max(at) if all(at) else 0


def files(folder, *names):
    at = [number(os.path.join(folder, n)) for n in names]
    return max(at) if all(at) else 0


class Torchrun:
    def __init__(self, python, *argv):
        program = os.path.join(os.path.dirname(python), "torchrun")
        self.process = subprocess.Popen(
            [program, "--nproc-per-node", str(RANKS), *argv],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def end(self):
        self.process.terminate()
        self.process.wait()


def version(python):
    return "torchrun " + subprocess.run([python, "-c", "import torch;print(torch.__version__)"], capture_output=True, text=True,
                                        check=True).stdout.strip()


def both(args, ours, rival):
    """Best and median of each, in turn; the rival not oftener than three times."""
    mine, theirs = [], []
    for i in range(args.rounds):
        mine += [ours(3 * i + k) for k in range(3)]
        if args.python and i < 3:
            theirs.append(rival())
    return {"ours": ms(min(mine)), "median": ms(statistics.median(mine)), "rival": ms(min(theirs)) if theirs else None,
            "what": f"{version(args.python)}, median {ms(statistics.median(theirs)):g}" if theirs else None}


class Folder:
    """Temporary; the rival's, with the pictures."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="ltd-bench-")
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path)


# ---- from exec to the end of the first update


def our_run(world, seed):
    known = glob.glob(os.path.join(world.state, "node", "attempts", "*"))
    begin = time.monotonic_ns()
    p = world.popen("run", PLAN, *TWO, "--set", f"seed={seed}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ranks = wait(p, lambda: pages(world, "*", 1, known))
    first = wait(p, lambda: first_updates(ranks))
    world.ctl("cancel", os.path.basename(next(f for f in glob.glob(os.path.join(world.state, "node", "attempts", "*"))
                                              if f not in known)).split(".")[0])
    p.wait()
    return first - begin


def torch_run(python, folder):
    for name in glob.glob(os.path.join(folder, "first-*")):
        os.unlink(name)
    begin = time.monotonic_ns()
    t = Torchrun(python, os.path.join(HERE, "torchrun_train.py"), folder)
    first = wait(t.process, lambda: files(folder, *(f"first-0-{r}" for r in range(RANKS))))
    t.process.wait()
    return first - begin


def measure_run(args, World):
    world = World()
    try:
        with Folder() as folder:
            world.ltd()
            our_run(world, 10**6)  # decodes the data
            unpack(folder)
            times = both(args, lambda i: our_run(world, i), lambda: torch_run(args.python, folder))
    finally:
        world.close()
    yield row(f"exec of `ltctl run` to the end of update 1, {RANKS} ranks", unit="ms", times=10, **times)


# ---- the launch alone


def said(folder, start):
    """From before start() until both ranks of say_time.py have said the time."""
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    begin = time.monotonic_ns()
    process = start()
    at = wait(process, lambda: files(folder, *map(str, range(RANKS))))
    process.wait()
    return at - begin


def measure_command(args, World):
    script = os.path.join(HERE, "say_time.py")
    world = World()
    try:
        with Folder() as folder:
            world.ltd()

            def ours(_):
                return said(folder, lambda: world.popen("run", "--nproc", RANKS, "--", args.python or "python3", script, folder,
                                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            ours(0)
            times = both(args, ours, lambda: said(folder, lambda: Torchrun(args.python, script, folder).process))
    finally:
        world.close()
    yield row(f"`ltctl run --nproc {RANKS} -- python x.py` to x.py's first line", unit="ms", times=10, **times)


# ---- from kill -9 of a rank to the end of the next generation's first update


def long_plan(world):
    """The plan, with a checkpoint every so many updates and nothing that would end it before we do."""
    with open(PLAN) as f:
        text = f.read()
    for old, new in ("every: 60s", f"every_n_steps: {EVERY}"), ("T_max: 10", "T_max: 1000"), ("max_epochs: 10", "max_epochs: 1000"), \
            ("patience: 5", "patience: 1000"):
        text = text.replace(old, new)
    return world.file("long.yaml", text)


def our_restart(world, plan, seed):
    job = world.submit(plan, *TWO, "--set", f"seed={seed}")
    follower = world.popen("watch", job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(follower, lambda: world.events(job, "checkpoint_saved"))
    victim = number_of_worker(world, job)
    begin = time.monotonic_ns()
    os.kill(victim, signal.SIGKILL)
    ranks = wait(follower, lambda: pages(world, job, 2))
    first = wait(follower, lambda: first_updates(ranks))
    world.ctl("cancel", job)
    follower.wait()
    return first - begin


def number_of_worker(world, job):
    with open(os.path.join(world.attempt_dir(job, 1, 1), "worker")) as f:
        return int(f.read().split()[0])


def torch_restart(python, folder):
    for name in glob.glob(os.path.join(folder, "*-*")) + glob.glob(os.path.join(folder, "checkpoint*")):
        os.unlink(name)
    t = Torchrun(python, "--max-restarts", "3", os.path.join(HERE, "torchrun_train.py"), folder, str(EVERY))
    try:
        wait(t.process, lambda: os.path.exists(os.path.join(folder, "checkpoint.pt")))
        begin = time.monotonic_ns()
        os.kill(number(os.path.join(folder, "pid-0-1")), signal.SIGKILL)
        return wait(t.process, lambda: files(folder, *(f"first-1-{r}" for r in range(RANKS))) or late(begin)) - begin
    finally:
        t.end()


def late(begin):
    if time.monotonic_ns() - begin > PATIENCE_NS:
        raise RuntimeError("torchrun's ranks didn't come back")
    return 0


def measure_restart(args, World):
    world = World()
    try:
        with Folder() as folder:
            world.ltd()
            plan = long_plan(world)
            our_restart(world, plan, 10**6)  # decodes the data
            unpack(folder)
            times = both(args, lambda i: our_restart(world, plan, i), lambda: torch_restart(args.python, folder))
    finally:
        world.close()
    yield row("kill -9 of a rank to the next step done", unit="ms", goal=1000, **times)


MEASURES = {"run": measure_run, "command": measure_command, "restart": measure_restart}

if __name__ == "__main__":
    main(MEASURES, __doc__, "torch")
