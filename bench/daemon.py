"""Latencies, rates and memory of client, daemon and worker beside their goals, and beside a Lightning script's start.

  bench/daemon.py [--build DIR] [--python PYTHON] [--rounds N] [--only first,submit,logs,records,ps,idle] [--json]

PYTHON is an interpreter that has torch and lightning (default: the one that runs this, if it has them; without, only
ours is measured). Every figure is of a daemon of its own in a temporary folder; the driver goes round the contenders,
so that what disturbs the machine disturbs all, and takes the best round, for rates the highest.
"""
import argparse
import glob
import gzip
import importlib.util
import json
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PLAN = os.path.join(HERE, "..", "examples", "fashion-mlp.yaml")
FASHION = "/usr/share/datasets/fashion-mnist"
FIRST_STEP_AT = 104  # of first_step_ns in a shared page (sys/page.h)
LINE = "epoch 3 step 12000: train_loss 0.3127, train_acc 0.8906, 1234.5 step/s\n"
LINES = 3_000_000
RECORDS = 50_000
JOBS = 20
CALLS = 30
STAGES = ("submitted", "checked", "attempt_started", "running")


def ms(ns):
    return round(ns / 1e6, 2)


# ---- from exec to the end of the first update


def page_of(world, seen):
    """The shared page of an attempt that isn't in seen, and its job's id; None before there is one."""
    for path in glob.glob(os.path.join(world.state, "node", "attempts", "*", "page")):
        if path not in seen and os.path.getsize(path):
            with open(path, "rb") as f:
                return mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ), path.split("/")[-2].split(".")[0]
    return None


def our_start(world, seed, stages=None):
    """Nanoseconds from exec of `ltctl run` with a plan that is new to the daemon; it is cancelled then."""
    seen = glob.glob(os.path.join(world.state, "node", "attempts", "*", "page"))
    wall, begin = time.time_ns(), time.monotonic_ns()
    p = world.popen("run", PLAN, "--set", f"seed={seed}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page = wait(p, lambda: page_of(world, seen))
    first = wait(p, lambda: struct.unpack_from("<Q", page[0], FIRST_STEP_AT)[0])
    world.ctl("cancel", page[1])
    p.wait()
    if stages is not None:
        at = {e["type"]: e["time"] for e in reversed(world.events(page[1]))}
        stages.append((first - begin, {k: ms(nanoseconds(at[k]) - wall) for k in STAGES if k in at}))
    return first - begin


def wait(process, condition):
    while not (value := condition()):
        if process.poll() is not None:
            raise RuntimeError(f"ltctl run: exit {process.returncode}")
        time.sleep(0.002)
    return value


def nanoseconds(rfc3339):
    whole, fraction = rfc3339.rstrip("Z").split(".")
    seconds = int(time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))) - time.timezone
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def first_ever(World, stages):
    """The first use of all: no daemon, no state, nothing decoded."""
    world = World()
    try:
        return our_start(world, 1, stages)
    finally:
        world.close()


def lightning_start(python, folder):
    begin = time.monotonic_ns()
    p = subprocess.run([python, os.path.join(HERE, "lightning_train.py"), folder], capture_output=True, text=True)
    if p.returncode != 0:
        raise RuntimeError(f"lightning_train.py: {p.stderr}")
    return int(p.stdout.split()[-1]) - begin


def unpack(folder):
    for name, to in (("train-images-idx3-ubyte.gz", "images"), ("train-labels-idx1-ubyte.gz", "labels")):
        with gzip.open(os.path.join(FASHION, name)) as f, open(os.path.join(folder, to), "wb") as g:
            shutil.copyfileobj(f, g)


def measure_first(args, World):
    world, folder = World(), tempfile.mkdtemp(prefix="ltd-bench-")
    ours, first, rival, stages, first_stages = [], [], [], [], []
    try:
        world.ltd()
        our_start(world, 0)  # decodes the data
        unpack(folder)
        for i in range(args.rounds):
            ours += [our_start(world, 10 * i + k, stages) for k in range(1, 4)]
            first.append(first_ever(World, first_stages))
            if args.python and i < max(args.rounds // 2, 1):
                rival.append(lightning_start(args.python, folder))
    finally:
        world.close()
        shutil.rmtree(folder)
    yield row("exec of `ltctl run` to the end of update 1", ms(min(ours)), "ms", 100, median=ms(statistics.median(ours)),
              rival=ms(min(rival)) if rival else None, what="python train.py, " + versions(args.python) if rival else None,
              detail=fastest(stages))
    yield row("first use ever: no daemon, no cache", ms(min(first)), "ms", 600, median=ms(statistics.median(first)),
              rival=ms(min(rival)) if rival else None, what="the same" if rival else None, detail=fastest(first_stages))


def fastest(stages):
    took, at = min(stages, key=lambda s: s[0])
    return {**{f"{k} at": v for k, v in at.items()}, "first step at": ms(took)}


def versions(python):
    code = "import torch,lightning;print(f'lightning {lightning.__version__}, torch {torch.__version__}')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# ---- rates


def measure_submit(args, World):
    """16 clients, distinct plans on hold; each answer means durable."""
    best = {"per_second": 0}
    rates = []
    for _ in range(args.rounds):
        world = World()
        try:
            world.ltd()
            p = subprocess.run([os.path.join(args.build, "bench/lt-bench-submit"), world.socket, PLAN, "16", "6000"],
                               capture_output=True, text=True, check=True, cwd=world.dir)
            result = json.loads(p.stdout)
            rates.append(result["per_second"])
            best = max(best, result, key=lambda r: r["per_second"])
        finally:
            world.close()
    yield row("durable submissions of distinct plans, 16 clients", best["per_second"], "/s", 3000, more=True,
              median=statistics.median(rates), detail={"fdatasync ms": best["fdatasync_ms"]})


def talkative(args, folder):
    """A rank that does nothing but write lines; checks are the real worker's."""
    path = os.path.join(folder, "lt-worker")
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\ncase $1 in --*) exec {args.build}/engine/worker/lt-worker \"$@\" ;; esac\n"
                f"yes '{LINE.rstrip()}' | head -n {LINES}\n")
    os.chmod(path, 0o755)
    return path


def lines_per_second(world, seed):
    """From the first byte at the follower to the last, which is the end of the rank's log."""
    p = world.popen("run", PLAN, "--set", f"seed={seed}", stderr=subprocess.DEVNULL)
    begin, size = None, 0
    while chunk := os.read(p.stdout.fileno(), 1 << 20):
        begin = begin or time.monotonic()
        size += len(chunk)
    took = time.monotonic() - begin
    p.wait()  # a rank without a journal counts as failed
    if size != LINES * len(LINE):
        raise RuntimeError(f"ltctl run: exit {p.returncode}, {size} bytes of {LINES * len(LINE)}")
    return LINES / took


def measure_logs(args, World):
    folder = tempfile.mkdtemp(prefix="ltd-bench-")
    world = World(worker=talkative(args, folder))
    try:
        world.ltd()
        rates = [lines_per_second(world, i) for i in range(args.rounds)]
    finally:
        world.close()
        shutil.rmtree(folder)
    yield row("log lines, rank to follower", round(max(rates)), "/s", 200_000, more=True,
              median=round(statistics.median(rates)), detail={"bytes a line": len(LINE)})


# ---- records


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def journal():
    """A rank's journal (docs/journal-format.md): records of four metrics each."""
    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data
    values = b"".join(field(3, field(1, name) + b"\x11" + struct.pack("<d", 0.123456789)) for name in
                      (b"train_loss", b"train_acc", b"lr-Adam", b"grad_norm"))
    payload = field(3, b"\x08\xe8\x07\x10\x03" + values)
    length = struct.pack("<I", len(payload))
    return b"LTJ1" + struct.pack("<I", 1) + RECORDS * (length + struct.pack("<I", crc32c(length + payload)) + payload)


def measure_records(args, World):
    """A rank that has written all of its journal when it ends; until its node has told all of it to the coordinator."""
    folder = tempfile.mkdtemp(prefix="ltd-bench-")
    with open(os.path.join(folder, "journal"), "wb") as f:
        f.write(journal())
    path = os.path.join(folder, "lt-worker")
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\ncase $1 in --*) exec {args.build}/engine/worker/lt-worker \"$@\" ;; esac\n"
                f"cp {folder}/journal $1/journal.new && date +%s%N > {folder}/began && mv $1/journal.new $1/journal\n")
    os.chmod(path, 0o755)
    world = World(worker=path)
    rates = []
    try:
        world.ltd()
        for i in range(args.rounds):
            job = world.submit(PLAN, "--set", f"seed={i}")
            world.ctl("watch", job, code=None)
            ended = nanoseconds(world.events(job, "rank_exited")[0]["time"])
            with open(os.path.join(folder, "began")) as f:
                rates.append(RECORDS / ((ended - int(f.read())) / 1e9))
            if i == 0 and len(world.ctl("metrics", job, "-o", "jsonl").stdout.splitlines()) != 4 * RECORDS:
                raise RuntimeError("metrics are missing")
    finally:
        world.close()
        shutil.rmtree(folder)
    yield row("journal records of four metrics, rank to database", round(max(rates)), "/s", 20_000, more=True,
              median=round(statistics.median(rates)))


# ---- a short call, and an idle daemon


def timed(argv, env):
    begin = time.monotonic_ns()
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic_ns() - begin


def breakdown(args, world):
    out = subprocess.run([os.path.join(args.build, "bench/lt-bench-call"), world.socket, str(time.monotonic_ns())],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def measure_ps(args, World):
    world = World()
    try:
        world.ltd()
        for i in range(JOBS):
            world.submit(PLAN, "--hold", "--set", f"seed={i}")
        argv = [world.program("ltctl"), "ps"]
        rounds = [[timed(argv, world.env) for _ in range(CALLS)] for _ in range(args.rounds)]
        parts = min((breakdown(args, world) for _ in range(CALLS)), key=lambda p: sum(p.values()))
    finally:
        world.close()
    medians = [statistics.median(r) for r in rounds]
    yield row(f"`ltctl ps` with {JOBS} jobs, median of {CALLS}", ms(min(medians)), "ms", 15,
              median=ms(statistics.median(medians)), detail={k + " ms": round(v / 1e3, 2) for k, v in parts.items()})


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return {k: round(int(fields[k].split()[0]) * 1024 / 1e6, 1) for k in ("VmRSS", "RssAnon")}


def measure_idle(args, World):
    world = World()
    try:
        world.ltd()
        fresh = memory(world.daemon_pid())
    finally:
        world.close()
    yield row("idle `ltd`, resident memory", fresh["VmRSS"], "MB", 25, detail={"of it anonymous": fresh["RssAnon"]})


# ---- the table


def row(name, ours, unit, goal=None, more=False, median=None, rival=None, what=None, detail=None, times=None):
    """goal: the most (more: the least) that ours may be; times: how many times as long the rival has to take."""
    ratio = round(rival / ours, 1) if rival else None
    met = (goal is None or (ours >= goal if more else ours <= goal)) and (not times or not rival or ratio >= times)
    return {"name": name, "ours": ours, "unit": unit, "goal": goal, "more_is_better": more, "median": median, "met": met,
            "rival": rival, "what": what, "ratio": ratio, "ratio_goal": times, "detail": detail or {}}


def show(r):
    least = f", goal >= {r['ratio_goal']} x" if r["ratio_goal"] else ""
    rival = f"  rival {r['rival']:g} {r['unit']} = {r['ratio']} x ({r['what']}{least})" if r["rival"] else ""
    median = f" (median of rounds {r['median']:g})" if r["median"] is not None else ""
    goal = f", goal {'>=' if r['more_is_better'] else '<='} {r['goal']:g}" if r["goal"] is not None else ""
    print(f"{r['name']}: {r['ours']:g} {r['unit']}{median}{goal}{'' if r['met'] else ' MISSED'}{rival}")
    if r["detail"]:
        print("    " + ", ".join(f"{k} {v:g}" for k, v in r["detail"].items()), flush=True)


MEASURES = {"first": measure_first, "submit": measure_submit, "logs": measure_logs, "records": measure_records, "ps": measure_ps, "idle": measure_idle}


def main(measures, about, module="lightning"):
    """module: what the rivals need; an interpreter without it measures only ours."""
    p = argparse.ArgumentParser(description=about.splitlines()[0])
    p.add_argument("--build", default="build")
    p.add_argument("--python", default=os.environ.get("LT_BENCH_PYTHON"))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", default=",".join(measures))
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    if not args.python and importlib.util.find_spec(module):
        args.python = sys.executable
    os.environ["LT_BUILD_ROOT"] = args.build
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "support"))
    from harness import World

    rows = []
    if not args.json:
        print(f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors")
    for name in args.only.split(","):
        for r in measures[name](args, World):
            rows.append(r)
            if not args.json:
                show(r)
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(MEASURES, __doc__)
