"""What a job's ranks cost the daemon that watches over them, from 1 to 1,024 of them on one node.

  bench/many.py [--build DIR] [--ranks 1,2,4,…] [--seconds N] [--period MS] [--json]

The ranks are bench/rank.c under the real lt-shim: they meet, then take a step every so many milliseconds, with collectives of
the kind `null`; coordinator and agent are two processes, so that each has a column. Times are of processors, per second of
training, from /proc: what isn't there (a rank's own work) is printed by rank 0 and doesn't depend on the number.

start    from the coordinator's word to the last rank let out of the start barrier; behind it the barrier alone: from the last
         rank's coming until the last is let out
agent    its time while ranks step and nothing is written to a journal: reading pages, looking for hangs, samples
coord    the coordinator's meanwhile
record   what a metrics record of rank 0 costs both more
end      from `ltctl cancel` to the job's end
"""
import argparse
import glob
import json
import os
import sys
import time

from daemon import HERE, PLAN, nanoseconds


def spent(pid):
    """Nanoseconds on a processor, of all threads."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total


def lines(run_dir, ranks):
    """First line of every rank's log, as numbers; None while one is missing."""
    rows = []
    for r in range(ranks):
        try:
            with open(os.path.join(run_dir, "logs", "1", f"{r}.out")) as f:
                line = f.readline()
        except FileNotFoundError:
            return None
        if not line.endswith("\n"):
            return None
        rows.append(list(map(int, line.split())))
    return rows


class Watched:
    """Processor time of coordinator and agent, and rank 0's steps."""

    def __init__(self, world, job):
        self.pids = world.daemon_pid("node"), world.daemon_pid("coord")
        self.page = os.open(os.path.join(world.attempt_dir(job), "page"), os.O_RDONLY)
        self.began = self.look()

    def look(self):
        step = int.from_bytes(os.pread(self.page, 8, 32), "little")
        return [time.monotonic_ns(), *map(spent, self.pids), step]

    def since(self):
        """Seconds, then seconds of agent and coordinator, then steps."""
        a, b = self.began, self.look()
        return (b[0] - a[0]) / 1e9, (b[1] - a[1]) / 1e9, (b[2] - a[2]) / 1e9, b[3] - a[3]


def window(world, job, seconds):
    w = Watched(world, job)
    time.sleep(seconds)
    return w.since()


def measure(world, ranks, seconds, period):
    from harness import wait_for
    pids = world.daemon_pid("node"), world.daemon_pid("coord")
    before = list(map(spent, pids))
    job = world.submit(PLAN, "--set", f"name={period}", "--set", f"trainer.devices={ranks}", "--set",
                       "job.resources.oversubscribe=true")
    run_dir = wait_for(lambda: world.status(job).get("run_dir"), "the job to start")
    met = wait_for(lambda: lines(run_dir, ranks), "the ranks to meet", patience=300, pause=0.05)
    after = list(map(spent, pids))
    wall_to_mono = time.monotonic_ns() - time.time_ns()
    at = {e["type"]: nanoseconds(e["time"]) + wall_to_mono for e in world.events(job)}
    last_out, last_came = max(m[1] for m in met), max(m[0] for m in met)
    row = {"ranks": ranks, "start_ms": (last_out - at["attempt_started"]) / 1e6, "barrier_ms": (last_out - last_came) / 1e6,
           "start_cpu_ms": [(b - a) / 1e6 / ranks for a, b in zip(before, after)]}
    time.sleep(2)  # what follows the start
    took, agent, coord, steps = window(world, job, seconds)
    row.update(agent_ms=1e3 * agent / took, coord_ms=1e3 * coord / took, steps=steps / took)
    open(os.path.join(run_dir, "record"), "w").close()
    took, agent_too, coord_too, records = window(world, job, seconds)
    row.update(record_us=(1e6 * (agent_too + coord_too) / took - 1e6 * (agent + coord) / seconds) * took / max(records, 1))
    began = time.monotonic_ns()
    world.ctl("cancel", job)
    world.wait_done(job)
    row["end_ms"] = (time.monotonic_ns() - began) / 1e6
    with open(os.path.join(run_dir, "logs", "1", "0.out")) as f:
        row["step_ns"], row["append_ns"] = map(int, f.read().splitlines()[-1].split())
    return row


def show(r):
    print(f"{r['ranks']:5} {r['start_ms']:9.0f} {r['barrier_ms']:9.1f} {r['start_cpu_ms'][0]:8.2f} {r['start_cpu_ms'][1]:8.2f} {r['agent_ms']:11.2f} {1e3 * r['agent_ms'] / r['ranks']:9.1f} "
          f"{r['coord_ms']:11.2f} {r['record_us']:10.0f} {r['end_ms']:8.0f}  {r['step_ns']:6} {r['append_ns']:8}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", default="build")
    p.add_argument("--ranks", default="1,2,4,16,64,256,1024")
    p.add_argument("--seconds", type=float, default=6)
    p.add_argument("--period", type=int, default=100)
    p.add_argument("--json", action="store_true")
    args, _ = p.parse_known_args()  # the other benches' options mean nothing here
    args.build = os.path.abspath(args.build)
    os.environ["LT_BUILD_ROOT"] = args.build
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "support"))
    from harness import World
    rows = []
    if not args.json:
        print(f"a step every {args.period} ms, load {os.getloadavg()[0]:.1f}; ms/s: of a processor, a second of training\n"
              f"{'ranks':>5} {'start ms':>9} {'barrier':>9} {'agent':>8} {'coord':>8} {'agent ms/s':>11} {'us/rank':>9} {'coord ms/s':>11} {'us/record':>10} "
              f"{'end ms':>8}  {'rank: ns/step':>6} {'record':>8}", flush=True)
    for ranks in map(int, args.ranks.split(",")):
        world = World(worker=os.path.join(args.build, "bench/lt-bench-rank"))
        try:
            world.ltd("--role", "agent", "--coordinator", "unix:" + world.socket, wait=False)
            world.ltd("--role", "coordinator")
            rows.append(measure(world, ranks, args.seconds, args.period))
        finally:
            world.close()
        if not args.json:
            show(rows[-1])
    if args.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
