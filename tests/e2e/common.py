"""What the end-to-end tests share: plans over real data, what a run left behind, TensorBoard records."""
import contextlib
import glob
import mmap
import os
import signal
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
from harness import BUILD, PATIENCE, SOURCE, Failed, Skipped, World, alive, check, equal, identity, wait_for  # noqa: E402,F401
from leftovers import nothing_left  # noqa: E402

FASHION = "/usr/share/datasets/fashion-mnist"
RECOVERY = 1100  # optimiser steps between the system's checkpoints

# Dropout, accumulation, clipping and a schedule: everything that a restart could lose.
PLAN = f"""name: {{name}}
seed: 7
model:
  layers:
    - flatten
    - linear: {{{{out_features: 64}}}}
    - relu
    - dropout: {{{{p: 0.2}}}}
    - linear: {{{{out_features: 10}}}}
data:
  source: {{{{idx: {{{{dir: {FASHION}}}}}}}}}
  train: {{{{split: train, range: [0, {{samples}}], shuffle: true}}}}
  val: {{{{split: train, range: [59000, 60000]}}}}
  test: {{{{split: test}}}}
  batch_size: {{batch}}
  transforms: [scale, {{{{normalize: {{{{mean: [0.2860], std: [0.3530]}}}}}}}}]
step: {{{{loss: cross_entropy, metrics: [accuracy]}}}}
optimizer: {{{{adam: {{{{lr: 1.0e-3}}}}}}}}
lr_scheduler: {{{{cosine_annealing: {{{{T_max: {{epochs}}, interval: epoch}}}}}}}}
trainer: {{{{max_epochs: {{epochs}}, accumulate_grad_batches: 2, gradient_clip_val: 1.0, log_every_n_steps: 100}}}}
callbacks:
  - model_checkpoint: {{{{monitor: val_loss, save_top_k: 2}}}}
  - learning_rate_monitor: {{{{logging_interval: epoch}}}}
loggers: [tensorboard, csv]
job: {{{{recovery: {{{{every_n_steps: {RECOVERY}}}}}}}}}
"""


class TwoProcesses(World):
    """Coordinator and agent as two processes beside each other, as on two nodes; killed and started together."""

    def ltd(self, *args, **kwargs):
        tcp = [i for i, a in enumerate(args) if a in ("--listen", "--token-file")]  # the coordinator's alone
        both = [a for i, a in enumerate(args) if i not in tcp and i - 1 not in tcp]
        agent = super().ltd("--role", "agent", "--coordinator", "unix:" + self.socket, *both, **{**kwargs, "wait": False})
        return [super().ltd("--role", "coordinator", *args, **kwargs), agent]

    def kill_daemon(self):
        """kill -9 of both."""
        pids = [self.daemon_pid(role) for role in ("coord", "node")]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for p in self.daemons:
            if p.pid in pids:
                p.wait()
        return pids[0]

    def kill_one(self, role):
        """kill -9 of the `coordinator` or the `agent` alone."""
        pid = self.daemon_pid({"agent": "node", "coordinator": "coord"}[role])
        os.kill(pid, signal.SIGKILL)
        for p in self.daemons:
            if p.pid == pid:
                p.wait()

    def start_one(self, role):
        World.ltd(self, "--role", role, *(["--coordinator", "unix:" + self.socket] if role == "agent" else []))


make = TwoProcesses if os.environ.get("LT_TWO_PROCESSES") else World


def run(tests, make=World):
    """Each in a world of its own, at whose end nothing of it is left."""
    harness.run(tests, make, nothing_left)


def plan(w, name="fashion", samples=40000, batch=8, epochs=3, **replace):
    text = PLAN.format(name=name, samples=samples, batch=batch, epochs=epochs)
    for old, new in replace.items():
        text = text.replace(old, new)
    return w.file(name + ".yaml", text)


def run_dir(w, job):
    return w.status(job)["run_dir"]


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of a protobuf message; bytes for what is length-delimited or fixed."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def tensorboard(folder):
    """Sorted (tag, step, value) as TensorBoard would show them: a session's start purges what is at or behind its step."""
    points = {}
    for name in sorted(glob.glob(os.path.join(folder, "events.out.tfevents.*")), key=lambda n: (os.stat(n).st_mtime_ns, n)):
        data, at = read(name), 0
        while at + 12 <= len(data):
            size, = struct.unpack_from("<Q", data, at)
            event = dict(fields(data[at + 12:at + 12 + size]))
            at += 12 + size + 4
            step = event.get(2, 0)
            if 7 in event:
                points = {k: v for k, v in points.items() if k[1] < step}
            for number, value in fields(event.get(5, b"")):
                summary = dict(fields(value))
                points[summary[1].decode(), step] = struct.unpack("<f", summary[2])[0]
    return sorted((tag, step, value) for (tag, step), value in points.items())


class Page:
    """A rank's shared page (sys/page.h), still readable when the rank is gone."""

    def __init__(self, folder):
        with open(os.path.join(folder, "page"), "rb") as f:
            wait_for(lambda: os.fstat(f.fileno()).st_size > 0, "the page to be written")
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)

    @property
    def step(self):
        return struct.unpack_from("<Q", self.map, 32)[0]

    @property
    def epoch_steps(self):
        """Of one epoch; known before the first step."""
        steps, epochs = struct.unpack_from("<QQ", self.map, 48)
        return steps // epochs

    @property
    def memory(self):
        return struct.unpack_from("<Q", self.map, 72)[0]


def result(w, job):
    """What must not depend on how often a run was interrupted."""
    folder = run_dir(w, job)
    last = read(folder, "last").decode().strip()
    return {
        "model": read(folder, last, "model.safetensors"),
        "optimizer": read(folder, last, "optimizer.safetensors"),
        "metrics.csv": read(folder, "metrics.csv"),
        "metrics": [(m["name"], m["step"], m["epoch"], m["value"]) for m in w.jsonl("metrics", job)],
        "tensorboard": tensorboard(os.path.join(folder, "tensorboard")),
        "last": last,
        "checkpoints": sorted(os.listdir(os.path.join(folder, "checkpoints"))),
    }


def same_result(got, expected):
    for what in expected:
        a, b = got[what], expected[what]
        lists = isinstance(a, list)
        check(a == b, what, "differs from the undisturbed run's", lists and f"in {set(a) ^ set(b)}, {len(a)} instead of {len(b)}")


def recovered(w, job, attempt=2):
    """The attempt began at a recovery checkpoint inside an epoch."""
    e = wait_for(lambda: [e for e in w.events(job, "attempt_started") if e["attempt"] == attempt], f"attempt {attempt}")[0]
    check(e.get("from_checkpoint", "").startswith("recovery/"), "attempt", attempt, "began at", e)
    check(int(e["from_step"]) > 0, e)
    return int(e["from_step"])


class Follower:
    """ltctl in the background, that has reached ltd when its first bytes have come."""

    def __init__(self, w, *args, env=None):
        self.out = tempfile.NamedTemporaryFile(dir=w.dir)
        self.process = w.popen(*args, stdout=self.out, env=env or w.env)

    def connected(self):
        wait_for(lambda: os.stat(self.out.name).st_size or self.process.poll() is not None, "the follower's first bytes")
        return self

    def end(self):
        """What it said, when it ended well."""
        _, err = self.process.communicate(timeout=PATIENCE * 2)
        equal(self.process.returncode, 0, f"the follower's exit code: {err.decode()}")
        return read(self.out.name)


WAITING_WORKER = """#!/bin/sh
here=${0%/*}
while [ "${1#--}" = "$1" ] && [ -e "$here/hold" ] && [ ! -e "$here/${1##*/}" ]; do sleep 0.01; done
exec REAL "$@"
"""


def hold_starts(w):
    """Before ltd: from hold_next() on a rank's worker waits at its start until a Held has it."""
    w.held = os.path.join(w.dir, "held")
    os.mkdir(w.held)
    with open(os.path.join(w.held, "lt-worker"), "w") as f:
        f.write(WAITING_WORKER.replace("REAL", w.program("lt-worker")))
    os.chmod(f.name, 0o755)
    w.env["LT_PROGRAM_PATH"] = w.held + ":" + w.path


def hold_next(w):
    w.file("held/hold", "")


class Held:
    """Ranks of an attempt that get on only while the test waits for them; between two waits they stand still, however
    long the test's own calls take: a run of a second isn't over before the test has done what it wanted in its midst.
    What begins later is free, or waits for a Held of its own (`more`)."""

    def __init__(self, w, job, attempt=1, ranks=1, more=False):
        self.w, self.job, self.attempt = w, job, attempt
        folders = [w.attempt_dir(job, attempt, r) for r in range(ranks)]
        self.ranks = wait_for(lambda: (lambda ids: all(ids) and ids)([identity(os.path.join(f, "worker")) for f in folders]),
                              f"workers of {job}.{attempt}", pause=0.001)
        self.stand()
        if hasattr(w, "held"):
            for folder in folders:
                w.file("held/" + os.path.basename(folder), "")
            if not more:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(w.held, "hold"))
        for folder in folders:
            wait_for(lambda: os.path.exists(os.path.join(folder, "page")), f"page of {folder}")
        self.pages = [Page(folder) for folder in folders]

    @property
    def step(self):
        """What all have done."""
        return min(page.step for page in self.pages)

    def signal(self, number, ranks=None):
        for pid, _ in self.ranks if ranks is None else [self.ranks[r] for r in ranks]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stand(self):
        self.signal(signal.SIGSTOP)

    def go_on(self, *ranks):
        """All, or these, as if nobody had held them."""
        self.signal(signal.SIGCONT, ranks or None)

    def until(self, condition, what):
        self.go_on()
        wait_for(lambda: condition() or not all(map(alive, self.ranks)), what, pause=0)
        self.stand()
        check(all(map(alive, self.ranks)), f"a rank ended before {what}")

    def steps(self, by):
        """So many more, of each."""
        to = self.step + by
        self.until(lambda: self.step >= to, f"{by} steps more")

    def saved(self):
        """Until a recovery checkpoint of this attempt is known, with the ranks not far behind it."""
        def known():
            return [e for e in self.w.events(self.job, "checkpoint_saved") if e.get("recovery") and e["attempt"] == self.attempt]
        folder = os.path.join(run_dir(self.w, self.job), "recovery")
        names = lambda: {n for n in (os.listdir(folder) if os.path.isdir(folder) else []) if n.startswith("step-")}  # noqa: E731
        before = names()
        while not known():
            self.until(lambda: {n for n in names() - before if not n.endswith(".tmp")}, "a recovery checkpoint")
            with contextlib.suppress(Failed):  # stopped before it had told of it
                wait_for(known, "the event", patience=3, pause=0.05)
            before = before if known() else names()


def freeze(w, job, moment, hold, within=RECOVERY):
    """Stops the worker whenever moment(step) holds, and looks again while it stands still: what was true a moment ago may not
    be any more. moment() is the cheap look; it is followed by the events, which must know the newest recovery checkpoint, lying
    inside the epoch in which the worker now is: then no checkpoint of the user's, which an attempt would rightly begin at, is
    newer. It lies less than `within` steps back. Between looks the worker stands still. Returns the rank's page, with the
    worker stopped when `hold` (kill -9 ends it all the same), else going on."""
    held = Held(w, job, w.status(job)["attempt"])
    page = held.pages[0]

    def recorded():
        epoch = page.epoch_steps
        steps = [int(e["step"]) for e in w.events(job, "checkpoint_saved") if e.get("recovery")]
        newest = max(steps, default=0)
        return newest % epoch and newest // epoch == page.step // epoch and page.step - newest < within

    while True:
        held.until(lambda: moment(page.step), "the right moment")
        try:
            wait_for(recorded, patience=3, pause=0.1)
        except Failed:
            held.until(lambda: not moment(page.step), "this moment to pass")
            continue
        if not hold:
            held.go_on()
        return page


def wait_recovery(w, job, hold=False):
    """Until the newest recovery checkpoint is one inside the present epoch, a quarter to three quarters of an interval ago."""
    folder = os.path.join(run_dir(w, job), "recovery")

    def moment(step):
        steps = [int(n.rsplit("-", 1)[1]) for n in (os.listdir(folder) if os.path.isdir(folder) else []) if n.startswith("step-")]
        return steps and RECOVERY // 4 < step - max(steps) < RECOVERY * 3 // 4
    return freeze(w, job, moment, hold)
