"""Random kill -9s of a running job's processes and of ltd: as many as were asked for, in as many jobs as that takes."""
import collections
import contextlib
import os
import random
import signal
import time

from common import TwoProcesses, alive, check, equal, identity, wait_for

IN_ONE_JOB = 12  # then it is left to its end, and the next one begins


class Kills:
    """LT_KILLS of them (`least`), chosen by LT_SEED. targets: what to kill beside ltd; `progress(job, attempt)` grows while
    the job works, by `stride` or so between two kills."""

    def __init__(self, w, ranks, targets, progress, stride, least):
        self.w, self.ranks, self.progress, self.stride = w, ranks, progress, stride
        self.left = int(os.environ.get("LT_KILLS", least))
        seed = int(os.environ.get("LT_SEED", random.randrange(1 << 30)))
        self.chance = random.Random(seed)
        self.done = collections.Counter()
        self.targets = targets + ["ltd"] + (["coordinator", "agent"] if isinstance(w, TwoProcesses) else [])
        print(f"# LT_SEED={seed}, {self.left} kills", flush=True)

    def newest(self, job):
        """The attempt whose folders are there; None: there are none."""
        names = [n.rsplit(".", 2) for n in os.listdir(os.path.join(self.w.state, "node", "attempts"))]
        return max((int(attempt) for j, attempt, _ in names if j == job), default=None)

    def over(self, job):
        return self.newest(job) is None and self.w.status(job)["state"] == "done"

    def moment(self, job):
        """Waits for any moment: while the ranks look for each other, or many steps later."""
        if self.chance.random() < 0.4:
            time.sleep(self.chance.random() * 0.4)
            return
        attempt = wait_for(lambda: self.newest(job) or self.over(job), "an attempt")
        step, by = self.progress(job, attempt), self.chance.randrange(1, self.stride)
        wait_for(lambda: self.newest(job) != attempt or self.progress(job, attempt) >= step + by, f"{by} steps more")

    def recorder(self, shim):
        """Identity of the program that reads a command's metrics, or None."""
        try:
            with open(f"/proc/{shim[0]}/task/{shim[0]}/children") as f:
                kids = f.read().split()
            for kid in kids:
                with open(f"/proc/{kid}/cmdline") as f, open(f"/proc/{kid}/stat") as g:
                    if "lt-recorder" in f.read():
                        return int(kid), int(g.read().rsplit(")", 1)[1].split()[19])
        except (OSError, TypeError):
            pass
        return None

    def kill_rank(self, job, what):
        attempt = self.newest(job)
        rank = 0 if what == "recorder" else self.chance.randrange(self.ranks)
        folder = self.w.attempt_dir(job, attempt or 0, rank)
        who = identity(os.path.join(folder, "shim" if what == "recorder" else what))
        who = self.recorder(who) if what == "recorder" else who
        if who and alive(who):
            with contextlib.suppress(ProcessLookupError):
                os.kill(who[0], signal.SIGKILL)
            wait_for(lambda: not alive(who), f"{what} of rank {rank} to be gone")
            self.count(what)

    def kill_ltd(self, job, what):
        """And now and then a rank, which nobody sees."""
        for role in ("coord", "node"):  # one that was just started may not have come so far
            wait_for(lambda: self.w.daemon_pid(role) in [d.pid for d in self.w.daemons if d.poll() is None], "ltd to be there")
        if what == "ltd":
            self.w.kill_daemon()
        else:
            self.w.kill_one(what)
        self.count(what)
        if self.left and self.chance.random() < 0.3:
            self.kill_rank(job, self.chance.choice(["worker", "shim"]))
        if what == "ltd":
            self.w.ltd()
        else:
            self.w.start_one(what)

    def count(self, what):
        self.done[what] += 1
        self.left -= 1

    def disturb(self, job):
        """Kills until the job is over, or has had enough."""
        enough = max(self.left - IN_ONE_JOB, 0)
        while self.left > enough:
            self.moment(job)
            if self.over(job):
                return
            what = self.chance.choice(self.targets)
            (self.kill_ltd if what in ("ltd", "coordinator", "agent") else self.kill_rank)(job, what)


class Watchers:
    """Followers of everything a job tells, from its beginning on, while ltd dies."""

    def __init__(self, w, job, ranks):
        self.w, self.job = w, job
        self.logs = [w.popen("logs", "-f", "--rank", r, job) for r in range(ranks)]
        self.events = w.popen("events", "-f", "-o", "jsonl", job)
        self.metrics = w.popen("metrics", "-f", "-o", "jsonl", job)

    def end(self, follower):
        out, err = follower.communicate(timeout=120)
        unreached = b"no daemon answers" in err or b"is `ltd` running" in err  # killed before this one's first answer
        if follower.returncode == 7 and not out and unreached:
            out, err = (follower := self.w.popen(*follower.args[1:])).communicate(timeout=120)
        equal(follower.returncode, 0, f"exit code of {follower.args}: {err.decode()}")
        return out

    def saw_everything_once(self, run_dir, ranks):
        attempts = sorted(map(int, os.listdir(os.path.join(run_dir, "logs"))))
        for rank, follower in enumerate(self.logs):
            there = b""
            for attempt in attempts:
                path = os.path.join(run_dir, "logs", str(attempt), f"{rank}.out")
                if os.path.exists(path):
                    with open(path, "rb") as f:
                        there += f.read()
            got = self.end(follower)
            check(got == there, f"rank {rank}'s output, {len(got)} bytes of {len(there)}:", got[:2000], there[:2000])
        events = self.w.ctl("events", "-o", "jsonl", self.job).stdout
        equal(self.end(self.events).decode(), events, "events")
        return check_events(self.w.events(self.job), ranks), self.end(self.metrics).decode().splitlines()


def check_events(events, ranks):
    """Each thing that happened once is told once, in its order."""
    seqs = [e["seq"] for e in events]
    equal(seqs, sorted(set(seqs)), "numbers of events")
    equal((events[0]["type"], events[-1]["type"]), ("submitted", "done"))
    started = [e["attempt"] for e in events if e["type"] == "attempt_started"]
    equal(started, list(range(1, len(started) + 1)), "attempts that started")
    equal([e["attempt"] for e in events if e["type"] == "attempt_ended"], started, "attempts that ended")
    exits = collections.Counter((e["attempt"], e.get("rank", 0)) for e in events if e["type"] == "rank_exited")
    equal(exits, {(a, r): 1 for a in started for r in range(ranks)}, "exits of ranks")
    saved = collections.Counter((e["attempt"], e["name"]) for e in events if e["type"] == "checkpoint_saved")
    equal([name for name, n in saved.items() if n > 1], [], "checkpoints told twice")
    return events
