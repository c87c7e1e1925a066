"""The metrics database is filled again from the ranks' journals, whatever became of it: `ltctl metrics` answers the same bytes."""
import contextlib
import os
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import World, check, equal, fields, make, plan, read, run, wait_for, wait_recovery


def every_step(w, name, **kwargs):
    return plan(w, name, **{"log_every_n_steps: 100": "log_every_n_steps: 1"}, **kwargs)


def metrics(w, job):
    return w.ctl("metrics", job, "-o", "jsonl").stdout


def written(journal):
    """How many values a rank's journal holds (docs/journal-format.md)."""
    data, at, count = read(journal), 8, 0
    while at + 8 <= len(data):
        size, = struct.unpack_from("<I", data, at)
        for number, value in fields(data[at + 8:at + 8 + size]):
            count += sum(key == 3 for key, _ in fields(value)) if number == 3 else 0
        at += 8 + size
    return count


def all_told(w, job, attempt):
    """What that attempt wrote, and now stands still, has come."""
    want = written(os.path.join(w.attempt_dir(job, attempt), "journal"))
    wait_for(lambda: metrics(w, job).count(f'"attempt":{attempt},') == want, f"{want} values of attempt {attempt}", pause=0.2)


def history(w):
    """A job that ended after a restart in its middle, and one that stands still in its second attempt; what they answer."""
    w.ltd()
    done = w.submit(every_step(w, "done"))
    live = w.submit(every_step(w, "live", epochs=50))
    for job in (done, live):  # each takes all processors
        worker = w.worker(job)
        wait_recovery(w, job, hold=True)
        os.kill(worker[0], signal.SIGKILL)
        if job == done:
            equal(w.wait_done(job).returncode, 0)
    second = w.worker(live, 2)
    said = len(metrics(w, live).splitlines())
    wait_for(lambda: len(metrics(w, live).splitlines()) > said + 50, "metrics of the second attempt", pause=0.05)
    os.kill(second[0], signal.SIGSTOP)
    all_told(w, live, 2)
    answers = {job: metrics(w, job) for job in (done, live)}
    for text in answers.values():
        attempts = {line.split('"attempt":')[1].split(",")[0] for line in text.splitlines()}
        equal(attempts, {"1", "2"}, "attempts that have metrics")
    return answers


def stop(w):
    for p in w.daemons:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
    for p in w.daemons:
        p.wait(timeout=30)


def database(w):
    return os.path.join(w.state, "coord", "metrics.db")


def rows(w):
    """Of all that is committed, as a copy says; ltd must not run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy.db")
        for end in ("", "-wal"):
            if os.path.exists(database(w) + end):
                shutil.copy(database(w) + end, copy + end)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            try:
                return db.execute("SELECT count(*) FROM points").fetchone()[0]
            except sqlite3.OperationalError:  # no table yet
                return 0


def compare(w, answers, what):
    for job, text in answers.items():
        got = metrics(w, job)
        if got != text:
            a, b = text.splitlines(), got.splitlines()
            first = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            check(False, f"{what}: {job} has {len(b)} lines, had {len(a)}; first difference at {first}:",
                  a[first:first + 1], b[first:first + 1])


def change(w, edit):
    data = bytearray(read(database(w)))
    edit(data)
    with open(database(w), "wb") as f:
        f.write(data)


def flip_everywhere(data):
    for i in range(0, len(data), 509):
        data[i] ^= 64


def truncate(data):
    del data[len(data) // 2:]


def empty(data):
    del data[:]


def headless(data):
    data[:4096] = os.urandom(4096)


def deleted_or_damaged(w):
    answers = history(w)
    live = list(answers)[1]
    status = w.json("status", live)["metrics"]
    value = float(answers[live].splitlines()[7].split('"value":')[1].rstrip("}"))

    def one_value(data):
        at = data.index(struct.pack(">d", value))
        data[at + 6] ^= 1
    for edit in (flip_everywhere, truncate, empty, headless, one_value, None):
        stop(w)
        if edit:
            change(w, edit)
        else:
            os.remove(database(w))
        w.ltd()
        compare(w, answers, edit.__name__ if edit else "deleted")
        equal(w.json("status", live)["metrics"], status, "the latest values")
    stop(w)
    w.ltd()
    compare(w, answers, "left alone")


def killed_while_it_is_filled_again(w):
    answers = history(w)
    stop(w)
    whole = rows(w)
    for _ in range(30):
        if any(p.poll() is None for p in w.daemons):
            w.kill_daemon()
        for end in ("", "-wal"):
            if os.path.exists(database(w) + end):
                os.remove(database(w) + end)
        w.ltd(wait=False)
        wait_for(lambda: os.path.exists(database(w) + "-wal") and os.stat(database(w) + "-wal").st_size > 200000,
                 "some of it to be there", pause=0)
        w.kill_daemon()
        part = rows(w)
        if 0 < part < whole:
            break
    else:
        check(False, f"never killed in the middle: {part} of {whole} rows")
    w.ltd()
    compare(w, answers, f"killed when {part} of {whole} rows were there")
    stop(w)
    equal(rows(w), whole, "rows, each once")


def who_follows_misses_nothing(w):
    """A follower's place is one in the journals: it outlives the database."""
    w.ltd()
    job = w.submit(every_step(w, "followed", samples=20000, epochs=2))
    out = os.path.join(w.dir, "followed.out")
    with open(out, "wb") as f:
        follower = w.popen("metrics", "-f", job, "-o", "jsonl", stdout=f)
    wait_for(lambda: os.stat(out).st_size > 20000, "the follower to have begun")
    w.kill_daemon()
    for end in ("", "-wal"):
        if os.path.exists(database(w) + end):
            os.remove(database(w) + end)
    w.ltd()
    equal(follower.wait(timeout=120), 0, "the follower's exit code")
    check(read(out).decode() == metrics(w, job), "the follower saw other lines than there are")


def node_that_holds_the_journals_is_away(w):
    """Two processes: no part of a job's metrics is taken for the whole."""
    if make is World:
        return
    w.ltd()
    job = w.submit(plan(w, "away", samples=4000, epochs=1))
    equal(w.wait_done(job).returncode, 0)
    text = metrics(w, job)
    stop(w)
    os.remove(database(w))
    World.ltd(w, "--role", "coordinator")
    said = w.ctl("metrics", job, "-o", "jsonl", code=7)
    check("isn't connected" in said.stderr and not said.stdout, said.stderr, said.stdout)
    World.ltd(w, "--role", "agent", "--coordinator", "unix:" + w.socket, wait=False)
    equal(wait_for(lambda: w.ctl("metrics", job, "-o", "jsonl", code=None).stdout, "the node to come"), text)


def run_folder_that_keeps_no_journal(w):
    """Somebody removed it: what can't be filled again isn't waited for."""
    w.ltd()
    job = w.submit(plan(w, "gone", samples=4000, epochs=1))
    equal(w.wait_done(job).returncode, 0)
    journal = os.path.join(w.status(job)["run_dir"], "journal", "1.0")
    check(os.stat(journal).st_size > 8, "the journal is kept")
    check(not os.path.exists(w.attempt_dir(job)), "the attempt's folder isn't")
    os.remove(journal)
    equal(len(metrics(w, job)) > 0, True)
    stop(w)
    os.remove(database(w))
    w.ltd()
    equal(metrics(w, job), "")



run([deleted_or_damaged, killed_while_it_is_filled_again, who_follows_misses_nothing, node_that_holds_the_journals_is_away,
     run_folder_that_keeps_no_journal], make)
