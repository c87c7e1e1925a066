"""Jobs and their ranks as people see them: `top` on a pipe and in place on a terminal, `status` with a row per rank, `logs` of each rank."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import PATIENCE, Failed, check, equal, make, plan, read, run, wait_for

SCRIPT = '[ $RANK != 0 ] || echo LTD_METRIC loss 2.5 7 > /proc/self/fd/$LTD_METRICS_FD; echo "rank $RANK says"; echo "and complains, $RANK" >&2; while [ ! -e "$0" ]; do sleep 0.05; done; echo "end of $RANK"'


def command(w, ranks=2):
    """A job whose ranks wait for a file; its id, and the file."""
    gate = os.path.join(w.dir, "gate")
    return w.out("submit", "-q", "--nproc", ranks, "--", "sh", "-c", SCRIPT, gate), gate


def running(w, job, ranks):
    return wait_for(lambda: (lambda s: s["state"] == "running" and len(s["ranks"]) == ranks and
                             all(r["state"] == "running" for r in s["ranks"]) and s)(w.status(job)), "all ranks to run", pause=0.05)


def status_has_a_row_for_each(w):
    w.ltd()
    job, gate = command(w)
    ranks = running(w, job, 2)["ranks"]
    equal([r["rank"] for r in ranks], [0, 1])
    for r in ranks:
        with open(f"/proc/{r['pid']}/environ") as f:
            check(f"RANK={r['rank']}\0" in f.read(), "the pid is the rank's", r)
    lines = w.out("status", job).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("ranks "))
    equal(lines[at].split()[1:], ["RANK", "NODE", "PID", "PHASE", "STEP", "MS/STEP", "MEMORY"])
    for r, line in zip(ranks, lines[at + 1:at + 3]):
        equal(line.split()[:3], [str(r["rank"]), r["node"], str(r["pid"])])
        equal(line.split()[5], "-", "a program's steps take no time that anybody knows")
    w.file("gate", "")
    equal(w.wait_done(job).returncode, 0)
    one = w.out("submit", "-q", "--wait", "--", "true")
    line, = [x for x in w.out("status", one).splitlines() if x.startswith("rank ")]
    check(line.endswith(", exited, step 0"), "nothing of what isn't known:", line)


def logs_of_each_rank(w):
    w.ltd()
    job, gate = command(w)
    running(w, job, 2)
    followers = [w.popen("logs", "-f", job, "--rank", r) for r in (0, 1)]
    w.file("gate", "")
    for r, p in enumerate(followers):
        out, err = p.communicate(timeout=60)
        equal((out.decode(), err.decode(), p.returncode), (f"rank {r} says\nend of {r}\n", f"and complains, {r}\n", 0))
        equal(w.ctl("logs", job, "--rank", r).stdout, out.decode())
    said = w.ctl("logs", job, "--rank", 2, code=4).stderr
    check("no rank 2" in said and "0 to 1" in said, said)


def a_trained_plans_ranks(w):
    """They keep their values when they have ended, and ltd has forgotten what it saw."""
    w.ltd()
    job = w.submit(plan(w, "pair", epochs=2000, **{"trainer: {": "trainer: {devices: 2, "}))
    s = wait_for(lambda: (lambda s: len(s["ranks"]) == 2 and all(r["step"] > 100 for r in s["ranks"]) and s)(w.status(job)), "both to train", pause=0.05)
    for r in s["ranks"]:
        check(r["memory"] > 1 << 20 and r["step_ms"] > 0 and r["phase"] == "training", r)
    rows = [line.split() for line in w.out("top").splitlines()]
    for r in s["ranks"]:
        check(any(str(r["pid"]) in row and "training" in row for row in rows), "a row of top for", r, rows)
    wait_for(lambda: "train_loss" in w.status(job)["metrics"], "a loss", pause=0.05)
    rows = [line.split() for line in w.out("top").splitlines()]
    loss = [row[rows[3].index("LOSS")] for row in rows if row and row[0] == job]
    check(len(loss) == 1 and float(loss[0]) > 0, "top has the loss:", loss, rows)
    w.ctl("stop", job)
    w.wait_done(job, code=107)
    before = w.status(job)["ranks"]
    w.kill_daemon()
    w.ltd()
    equal(w.status(job)["ranks"], [{**r, "phase": a["phase"]} for r, a in zip(before, w.status(job)["ranks"])])
    for r in w.status(job)["ranks"]:
        check(r["step"] > 100 and r["memory"] > 1 << 20, r)


def top_on_a_pipe(w):
    w.ltd()
    text = w.ctl("top").stdout
    check(text.startswith("0 jobs; 0 ranks\n1 of 1 node ready: "), text)
    job, gate = command(w)
    ranks = running(w, job, 2)["ranks"]
    held = w.submit(plan(w, "later"), "--hold")
    wait_for(lambda: w.status(held)["state"] == "held(user)", "the checks", pause=0.05)
    wait_for(lambda: "loss" in w.status(job)["metrics"], "a loss", pause=0.05)
    text = w.ctl("top").stdout
    check("\033" not in text, repr(text))
    lines = text.splitlines()
    equal(lines[0], "2 jobs: 1 held(user), 1 running; 2 ranks")
    equal(lines[3].split(), "JOB NAME STATE EPOCH LOSS RANK NODE PID PHASE STEP OF MS/STEP MEMORY".split())
    equal(len(lines), 7)
    rows = [line.split() for line in lines[4:]]
    check(rows[0][0] == job and str(ranks[0]["pid"]) in rows[0], rows[0])
    equal(rows[0][lines[3].split().index("LOSS")], "2.5", "a program's loss")
    check(rows[1][0] == "1" and str(ranks[1]["pid"]) in rows[1], "its second rank's row says nothing of the job:", rows[1])
    check(rows[2][0] == held and "held(user)" in rows[2], rows[2])
    equal([j["id"] for j in w.json("top")["jobs"]], [job, held])
    w.file("gate", "")
    w.wait_done(job)
    check(job not in w.ctl("top").stdout and job in w.ctl("top", "--all").stdout, "ended ones only when asked for")


class Terminal:
    def __init__(self, w, *args, rows=24, columns=200, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(w.program("ltctl"), ["ltctl", *args], {**w.env, **(env or {})})
        self.size(rows, columns)
        self.text = ""

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until):
        """Reads on until that is true of all text since the last call."""
        self.text = ""
        end = time.monotonic() + PATIENCE
        while not until(self.text):
            if time.monotonic() > end or not select.select([self.fd], [], [], PATIENCE)[0]:
                raise Failed(f"in vain: {self.text[-2000:]!r}")
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:  # it has ended
                chunk = b""
            if not chunk:
                check(until(self.text), "ended after", repr(self.text[-2000:]))
                break
            self.text += chunk.decode(errors="replace")
        return self.text

    def end(self):
        try:
            rest = self.read(lambda t: t.endswith("\033[?1049l"))
        finally:
            status = os.waitpid(self.pid, 0)[1]
            os.close(self.fd)
        return rest, os.waitstatus_to_exitcode(status)


def frames(text):
    return text.split("\033[H")[1:]


def top_in_place(w):
    w.ltd()
    job, gate = command(w)
    running(w, job, 2)
    t = Terminal(w, "top")
    try:
        first = t.read(lambda text: len(frames(text)) >= 3)
        check(first.startswith("\033[?1049h\033[?25l"), repr(first[:40]))
        check("\033[1mJOB" in first and all(job in f and f.endswith("\033[J") for f in frames(first)[:2]), repr(first))
        before = termios.tcgetattr(t.fd)[3]
        check(not before & termios.ECHO and not before & termios.ICANON, "no echo, keys at once")
        t.size(5, 30)  # room for four lines
        small = lambda text: [f for f in frames(text)[:-1] if "more" in f]  # noqa: E731; frames of before may come first
        last = small(t.read(small))[0].split("\r\n")
        check("more" in last[-2] and len(last) == 5, last)
        for line in last:
            check(line.rfind("\033[K") <= 0, "behind a full line it would take its last character away:", repr(line))
            check(len(re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", line)) <= 30, "too wide:", repr(line))
        t.size(24, 200)
        second = w.submit(plan(w, "later"), "--hold")
        t.read(lambda text: second in text)  # it is live
        w.kill_daemon()
        t.read(lambda text: "doesn't answer" in text and job in text.split("doesn't answer")[1])
        w.ltd()
        t.read(lambda text: len(frames(text)) >= 3 and "doesn't answer" not in frames(text)[-2] and job in frames(text)[-2])
        os.write(t.fd, b"q")
        rest, code = t.end()
        equal(code, 0)
        check("\033[?25h" in rest, "the cursor is back")
    except Exception:
        os.kill(t.pid, signal.SIGKILL)
        raise
    w.file("gate", "")
    w.wait_done(job)


def top_is_ended(w):
    w.ltd()
    for signal_number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        t = Terminal(w, "top")
        t.read(lambda text: len(frames(text)) >= 2)
        os.kill(t.pid, signal_number)
        rest, got = t.end()
        equal(got, code)
        check("\033[?25h" in rest, "the cursor is back")
    for args, env in ((["top", "--once"], None), (["top"], {"TERM": "dumb"})):
        t = Terminal(w, *args, env=env)
        text = t.read(lambda text: "MEMORY" in text)
        check("\033" not in text, repr(text))
        equal(os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]), 0)
        os.close(t.fd)
    t = Terminal(w, "top", env={"NO_COLOR": "1"})
    text = t.read(lambda text: len(frames(text)) >= 2)
    check("\033[1m" not in text and "JOB" in text, repr(text))
    os.write(t.fd, b"q")
    equal(t.end()[1], 0)


run([status_has_a_row_for_each, logs_of_each_rank, a_trained_plans_ranks, top_on_a_pipe, top_in_place, top_is_ended], make)
