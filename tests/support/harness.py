"""A world of its own for tests with real processes: folders, environment, a daemon, ltctl, and a way to end it all.

Nothing but Python's standard library. A test is a function that takes a World; run(tests) runs them and prints TAP.
Waiting is always for a condition, with a deadline that only a broken program reaches.
"""
import glob
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = os.environ.get("LT_SOURCE_ROOT", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("LT_BUILD_ROOT", os.path.join(SOURCE, "build"))
PATIENCE = float(os.environ.get("LT_PATIENCE", "180" if os.environ.get("LT_SANITIZED") else "60"))


class Failed(Exception):
    pass


class Skipped(Exception):
    """What a test needs isn't there: said in its line of TAP."""


def check(condition, *what):
    if not condition:
        raise Failed(" ".join(str(w) for w in what) or "check failed")


def equal(a, b, what=""):
    if a != b:
        raise Failed(f"{what}: {a!r} != {b!r}")


def wait_for(condition, what="", patience=PATIENCE, pause=0.01):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"waited {patience:.0f} s in vain for {what or condition}")
        time.sleep(pause)


def identity(path):
    """(pid, start ticks) of a `shim` or `worker` file, or None."""
    try:
        with open(path) as f:
            pid, ticks = f.read().split()[:2]
        return int(pid), int(ticks)
    except (OSError, ValueError):
        return None


def alive(who):
    """Is that very process (an identity, or a plain pid) there, and no zombie? (One whose other threads are still
    dying isn't dead: it holds its files and locks.)"""
    pid, ticks = who if isinstance(who, tuple) else (who, None)
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return (fields[0] != "Z" or int(fields[17]) > 1) and (ticks is None or int(fields[19]) == ticks)


class World:
    """Folders below one temporary one; every process it starts finds only these."""

    def __init__(self, worker=None):
        self.dir = tempfile.mkdtemp(prefix="ltd-test-")
        self.socket = os.path.join(self.dir, "rt", "ltd", "ltd.sock")
        self.state = os.path.join(self.dir, "state", "ltd")
        self.runs = os.path.join(self.dir, "data", "ltd", "runs")
        self.daemons = []
        self.children = []
        self.log_is_sound = True  # a test that damages the log says no
        path = os.environ.get("LT_PROGRAM_PATH") or ":".join(
            os.path.join(BUILD, d) for d in ("daemon/main", "client", "engine/worker"))
        if worker:
            os.mkdir(os.path.join(self.dir, "bin"))
            os.symlink(worker, os.path.join(self.dir, "bin", "lt-worker"))
            path = os.path.join(self.dir, "bin") + ":" + path
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "LTD_"))}
        for name in ("state", "data", "cache"):
            self.env[f"XDG_{name.upper()}_HOME"] = os.path.join(self.dir, name)
        os.mkdir(os.path.join(self.dir, "rt"), 0o700)
        self.env.update(XDG_RUNTIME_DIR=os.path.join(self.dir, "rt"), LT_PROGRAM_PATH=path, HOME=self.dir, TERM="xterm")
        if os.environ.get("LT_SANITIZED"):  # what it keeps of freed memory counts against a rank's limit
            self.env["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=32"]))
        self.path = path

    # ---- programs

    def program(self, name):
        for folder in self.path.split(":"):
            p = os.path.join(folder, name)
            if os.access(p, os.X_OK):
                return p
        raise Failed(f"no program {name} in {self.path}")

    def popen(self, *args, **kwargs):
        """ltctl ARGS in the background; text pipes."""
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("env", self.env)
        p = subprocess.Popen([self.program("ltctl"), *map(str, args)], **kwargs)
        self.children.append(p)
        return p

    def ctl(self, *args, code=0, text=True, stdin=None, env=None, cwd=None):
        """Runs ltctl; code None accepts any exit code."""
        p = subprocess.run([self.program("ltctl"), *map(str, args)], capture_output=True, env={**self.env, **(env or {})},
                           timeout=PATIENCE * 8, input=stdin, text=text, cwd=cwd)
        if code is not None and p.returncode != code:
            raise Failed(f"ltctl {' '.join(map(str, args))}: exit {p.returncode}, expected {code}\n{p.stdout}\n{p.stderr}")
        return p

    def on_terminal(self, *args, env=None):
        """Exit code and everything that ltctl shows on a terminal of its own."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(self.program("ltctl"), ["ltctl", *map(str, args)], {**self.env, **(env or {})})
        shown = b""
        while True:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                break
            shown += piece
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")

    def out(self, *args, **kwargs):
        return self.ctl(*args, **kwargs).stdout.strip()

    def json(self, *args, **kwargs):
        return json.loads(self.ctl(*args, "-o", "json", **kwargs).stdout)

    def jsonl(self, *args, **kwargs):
        return [json.loads(line) for line in self.ctl(*args, "-o", "jsonl", **kwargs).stdout.splitlines()]

    # ---- daemon

    def ltd(self, *args, env=None, wait=True, files=None):
        """Starts ltd in the foreground of the test; its log is DIR/ltd.log. files: how many it may have open."""
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        with open(os.path.join(self.dir, "ltd.log"), "ab") as log:
            p = subprocess.Popen([self.program("ltd"), *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env={**self.env, **(env or {})}, preexec_fn=limit if files else None)
        self.daemons.append(p)
        if wait:
            wait_for(lambda: p.poll() is not None or self.ctl("ps", code=None).returncode == 0, "ltd to answer")
            check(p.poll() is None, "ltd ended:", self.log())
        return p

    def log(self):
        parts = []
        for name in (os.path.join(self.dir, "ltd.log"), os.path.join(self.state, "ltd.log")):
            if os.path.exists(name):
                with open(name, errors="replace") as f:
                    parts.append(f.read()[-4000:])
        return "\n".join(parts)

    def daemon_pid(self, role="node"):
        with open(os.path.join(self.state, role, "lock")) as f:
            return int(f.read())

    def kill_daemon(self):
        """kill -9 of whoever holds the node's lock."""
        pid = self.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        for p in self.daemons:
            if p.pid == pid:
                p.wait()
        wait_for(lambda: not alive(pid), "ltd to be dead")
        return pid

    # ---- jobs

    def submit(self, plan, *args, **kwargs):
        return self.out("submit", "-q", plan, *args, **kwargs)

    def status(self, job):
        return self.json("status", job)

    def events(self, job, type=None):
        return [e for e in self.jsonl("events", job) if type is None or e["type"] == type]

    def wait_state(self, job, *states):
        return wait_for(lambda: (lambda s: s["state"] in states and s)(self.status(job)), f"{job} to be {states}", pause=0.05)

    def wait_done(self, job, code=None):
        return self.ctl("watch", job, code=code)

    def attempt_dir(self, job, attempt=1, rank=0):
        return os.path.join(self.state, "node", "attempts", f"{job}.{attempt}.{rank}")

    def worker(self, job, attempt=1):
        """Identity of the rank's worker, when it is there."""
        return wait_for(lambda: identity(os.path.join(self.attempt_dir(job, attempt), "worker")), f"worker of {job}")

    def shim(self, job, attempt=1):
        return wait_for(lambda: identity(os.path.join(self.attempt_dir(job, attempt), "shim")), f"shim of {job}")

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    # ---- the end

    def remove_cgroups(self, attempt):
        """A world that was killed couldn't remove its ranks' groups."""
        for folder in glob.glob("/sys/fs/cgroup/**/ltd-" + glob.escape(attempt), recursive=True):
            for _ in range(100):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)

    def check_log(self):
        """Whatever happened, the coordinator's log replays, and to one state (tests/store/check_log.c)."""
        folder = os.path.join(self.state, "coord")
        if self.log_is_sound and os.path.exists(os.path.join(folder, "events.db")):
            p = subprocess.run([os.path.join(BUILD, "tests", "check_log"), folder], capture_output=True, text=True)
            check(p.returncode == 0, "the coordinator's log:", p.stderr)

    def end_in_order(self, p):
        """A sanitizer looks for leaks only in a process that ends by itself; one that is stopped or deaf doesn't."""
        p.terminate()
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            pass

    def stop(self):
        for p in self.daemons if os.environ.get("LT_SANITIZED") else []:
            self.end_in_order(p)
        for p in self.children + self.daemons:
            if p.poll() is None:
                p.kill()
            p.wait()
        for role in ("node", "coord"):  # an embedded one is nobody's child
            try:
                pid = self.daemon_pid(role)
                with open(f"/proc/{pid}/environ") as f:
                    ours = f"HOME={self.dir}\0" in f.read()
                if ours:
                    os.kill(pid, signal.SIGKILL)
                    wait_for(lambda: not alive(pid), "ltd to be dead")
            except (OSError, ValueError):
                pass
        attempts = os.path.join(self.state, "node", "attempts")
        for name in os.listdir(attempts) if os.path.isdir(attempts) else []:
            for who in ("worker", "shim"):
                there = identity(os.path.join(attempts, name, who))
                if there and alive(there):
                    os.kill(there[0], signal.SIGKILL)
            self.remove_cgroups(name)

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


def run(tests, make=World, after=lambda world: None):
    """Runs each test in a world of its own, and after(world); with names as arguments only those. TAP on stdout."""
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, test in enumerate(chosen, 1):
        world = make()
        began = time.monotonic()
        try:
            test(world)
            after(world)
            world.stop()
            world.check_log()
            print(f"ok {number} - {test.__name__}", flush=True)
        except Skipped as why:
            print(f"ok {number} - {test.__name__} # SKIP {why}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {test.__name__}", flush=True)
            for line in (traceback.format_exc() + "\n" + world.log()).splitlines():
                print("#", line, flush=True)
        finally:
            world.close()
        print(f"# {time.monotonic() - began:.2f} s", flush=True)
    sys.exit(1 if failed else 0)
