"""Faults other than kill -9 of a process (test_kill.py): each has a documented outcome (docs/faults.md), and the reason is said."""
import gzip
import os
import random
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import (FASHION, Failed, Follower, Held, Page, RECOVERY, SOURCE, Skipped, World, alive, check, equal, freeze, make, plan, read, recovered, result,
                    run, run_dir, same_result, wait_for, wait_recovery)
from disk import Disk, enter

undisturbed = {}


def short_plan(w, name="fashion", **replace):
    return plan(w, name, epochs=2, **replace)


def long_plan(w, **replace):
    """One that doesn't end before it is told to."""
    return plan(w, "long", epochs=200, **replace)


def expected(w):
    if not undisturbed:
        job = w.submit(short_plan(w))
        equal(w.wait_done(job).returncode, 0)
        undisturbed.update(result(w, job))
    return undisturbed


def finish(w, job):
    p = w.wait_done(job)
    check(p.returncode == 0, "the job ended with", p.returncode, w.out("status", job), w.out("events", job))
    same_result(result(w, job), undisturbed)


def training(w, job, steps=1):
    """The rank's page, once it has done so many steps."""
    wait_for(lambda: os.path.exists(os.path.join(w.attempt_dir(job), "page")), "the rank's page")
    page = Page(w.attempt_dir(job))
    wait_for(lambda: page.step >= steps, "training")
    return page


def begun(w, job, steps=1):
    """A short job's rank, that stands still after so many steps."""
    held = Held(w, job)
    held.steps(steps)
    return held


def conditions(w, job):
    return [(e["kind"], e.get("active", True), e.get("detail", "")) for e in w.events(job, "condition")]


# ---- disks

def state_disk_full(w):
    """New work is refused with the reason; what was acknowledged is all there; it goes on when there is room."""
    with Disk(os.path.join(w.dir, "state"), 8) as disk:
        w.ltd()
        expected(w)
        before = [w.submit(short_plan(w)) for _ in range(2)]
        disk.fill()
        accepted = []
        for _ in range(50):  # a few may still fit into what SQLite has
            p = w.ctl("submit", "-q", short_plan(w), "--hold", code=None)
            if p.returncode:
                break
            accepted.append(p.stdout.strip())
        check(p.returncode not in (0, 3, 4), "a submission into a full disk:", p.returncode, p.stderr)
        check("disk is full" in p.stderr and "until there is room again" in p.stderr, "reason and remedy:", p.stderr)
        known = w.out("ps", "--all", "-q").split()  # reading goes on
        check(set(before + accepted) <= set(known), "an acknowledged job is gone")
        disk.make_room()
        wait_for(lambda: w.ctl("submit", "-q", short_plan(w), "--hold", code=None).returncode == 0, "submissions to work again")
        for job in before:
            finish(w, job)
        w.kill_daemon()
        w.ltd()
        check(set(before + accepted) <= set(w.out("ps", "--all", "-q").split()), "an acknowledged job is gone after a restart")
        wait_for(lambda: [n for n in w.json("nodes")["nodes"] if n["state"] == "ready"], "the agent, before its disk is taken away")


def run_disk_full(w):
    """The system's checkpoint: DEGRADED, and training goes on. The user's, or a logger's file: the attempt fails as
    INFRASTRUCTURE, and the next one ends with the undisturbed run's bits once there is room."""
    enter()  # before ltd: it must see the disk
    w.ltd()
    expected(w)
    with Disk(os.path.join(w.dir, "small"), 16) as disk:
        job = w.submit(short_plan(w, **{"trainer: {": f"trainer: {{default_root_dir: {disk.path}, "}))
        held = begun(w, job)
        disk.fill()
        held.go_on()
        wait_for(lambda: w.status(job)["attempt"] > 1 or conditions(w, job), "trouble")
        disk.make_room()
        finish(w, job)
        said = [e for e in w.events(job, "attempt_ended") if "space" in e.get("reason", "")]
        said += [c for c in conditions(w, job) if "space" in c[2]]
        check(said, "the reason is in no event:", w.out("events", job))


def run_folder_read_only(w):
    """It fails with the reason: nothing that is tried again makes it writable."""
    enter()
    w.ltd()
    with Disk(os.path.join(w.dir, "locked"), 1, read_only=True) as disk:
        job = w.submit(short_plan(w, **{"trainer: {": f"trainer: {{default_root_dir: {disk.path}, ",
                                        "job: {": "job: {retries: {infrastructure: 1}, "}))
        equal(w.wait_done(job).returncode, 106, "exit code")
        done, = w.events(job, "done")
        equal((done["result"], done["class"]), ("failed", "infrastructure"))
        check("Read-only file system" in done["reason"] and disk.path in done["reason"], done)


def recovery_folder_read_only(w):
    """Training goes on without recovery checkpoints, and says that it does."""
    enter()
    w.ltd()
    expected(w)
    job = w.submit(short_plan(w))
    held = begun(w, job)
    with Disk(os.path.join(run_dir(w, job), "recovery"), 1, read_only=True):
        held.go_on()
        finish(w, job)
    found = conditions(w, job)
    check(any(kind == "degraded" and "Read-only" in detail for kind, _, detail in found), found)


def cache_disk_full(w):
    """The data can't be decoded: the plan is refused, with what to do about it."""
    with Disk(os.path.join(w.dir, "cache"), 8):
        w.ltd()
        p = w.ctl("submit", "-q", short_plan(w), code=3)
        check("No space left" in p.stderr and "make room" in p.stderr and "XDG_CACHE_HOME" in p.stderr, p.stderr)


def output_disk_full(w):
    """What couldn't be written never looks complete: no verb exits 0."""
    w.ltd()
    job = w.submit(short_plan(w))
    equal(w.wait_done(job).returncode, 0)
    for verb in (["ps", "--all"], ["ps", "--all", "-q"], ["status", job], ["events", "-o", "jsonl", job], ["metrics", job],
                 ["logs", job], ["logs", "-f", job], ["checkpoints", job], ["nodes"], ["plan", "show", short_plan(w)], ["help"]):
        with open("/dev/full", "wb") as full:
            p = w.popen(*verb, stdout=full)
            _, err = p.communicate(timeout=60)
        check(p.returncode == 1 and err, verb, p.returncode, err)
    with Disk(os.path.join(w.dir, "small"), 1) as disk:
        disk.fill()
        p = w.ctl("download", job, "last", os.path.join(disk.path, "x"), code=1)
        check("No space left" in p.stderr, p.stderr)


# ---- clock

def clock_set_back_a_day(w):
    offset = w.file("offset", "0")
    env = {"LT_CLOCK_OFFSET_FILE": offset}
    w.ltd(env=env)
    expected(w)
    job = w.submit(short_plan(w, **{"job: {": "job: {time_limit: 1h, "}))
    wait_recovery(w, job, hold=True)
    w.file("offset", "-86400")
    os.kill(w.worker(job)[0], signal.SIGKILL)
    recovered(w, job)
    w.kill_daemon()
    w.ltd(env=env)
    finish(w, job)
    events = w.events(job)
    seqs, times = [e["seq"] for e in events], [e["time"] for e in events]
    equal(seqs, sorted(set(seqs)), "events are in the order in which they happened")
    check(times[-1] < times[0], "the clock was turned back:", times[0], times[-1])
    equal(events[-1]["type"], "done")
    other = w.submit(short_plan(w))
    w.file("offset", "86400")
    finish(w, other)


# ---- the log

def a_flipped_bit_in_the_store(w):
    w.ltd()
    for i in range(3):
        w.submit(short_plan(w, f"victim-{i}"), "--hold")
    for d in w.daemons:
        d.send_signal(signal.SIGTERM)
    for d in w.daemons:
        equal(d.wait(timeout=30), 0, "ltd's exit code")
    path = os.path.join(w.state, "coord", "events.db")
    data = bytearray(read(path))
    at = data.index(b"victim-1")
    data[at] ^= 4
    with open(path, "wb") as f:
        f.write(data)
    w.log_is_sound = False
    World.ltd(w, *(["--role", "coordinator"] if make is not World else []), wait=False)
    code = w.daemons[-1].wait(timeout=30)
    check(code == 1, "exit code", code)
    said = w.log().splitlines()[-1]
    check("events.db" in said and re.search(r"row seq=\d+", said), "the row is named:", said)
    check("Restore" in said and "move it away" in said, "what to do is said:", said)
    with open(path, "rb") as f:
        check(f.read() == data, "the file was changed")


def two_daemons(w):
    """The second one says who has it, and leaves."""
    w.ltd()
    role = ["--role", "coordinator"] if make is not World else []
    pid = w.daemon_pid("coord")
    for args, what in ((["--socket", os.path.join(w.dir, "other.sock")], "state"), (["--state-dir", os.path.join(w.dir, "other")], "sock")):
        World.ltd(w, *role, *args, wait=False)
        equal(w.daemons[-1].wait(timeout=30), 1, "exit code of the second ltd")
        said = [line for line in w.log().splitlines() if " error " in line][-1]  # the first one's agent may say more
        check(str(pid) in said and what in said, "who has it:", said)
        check(not os.path.exists(os.path.join(w.dir, "other.sock")), "it left a socket behind")
    w.ctl("ps")


def submissions_while_ltd_dies(w):
    """ltctl repeats a submission whose answer it didn't see, under its request id: each becomes one job, none two."""
    w.ltd()
    seed = int(os.environ.get("LT_SEED", random.randrange(1 << 30)))
    print(f"# LT_SEED={seed}", flush=True)
    chance = random.Random(seed)
    clients = []
    for i in range(24):
        clients.append(w.popen("submit", "-q", "--hold", short_plan(w, f"job-{i}")))
        if i % 4 == 3:
            # A client that finds no ltd starts one of its own, with both roles: beside two processes none may look then.
            for p in clients[-4:] if os.environ.get("LT_TWO_PROCESSES") else [chance.choice(clients[-4:])]:
                p.stdout.readline()
            w.kill_daemon()
            try:
                w.ltd()
            except Failed:
                pass  # the client's was first, and is as good
    for p in clients:
        _, err = p.communicate(timeout=60)
        equal(p.returncode, 0, err.decode())
    names = sorted(j["name"] for j in w.json("ps", "--all")["jobs"])
    equal(names, sorted(f"job-{i}" for i in range(len(clients))), "jobs")


def only_with_two_processes():
    if make is World:
        raise Skipped("one process is both")


def restart(w, held, role):
    """kill -9 of one of the two; training goes on without it."""
    w.kill_one(role)
    held.steps(1)
    w.start_one(role)


def each_daemon_killed_alone(w):
    only_with_two_processes()
    w.ltd()
    expected(w)
    job = w.submit(short_plan(w))
    held = begun(w, job)
    follower = Follower(w, "logs", "-f", job).connected()
    restart(w, held, "agent")
    restart(w, held, "coordinator")
    held.go_on()
    finish(w, job)
    out = follower.end()
    check(out == read(run_dir(w, job), "logs", "1", "0.out"), "the follower saw each byte once")
    equal(w.status(job)["attempt"], 1, "attempts")


def no_agent_is_there(w):
    """What is submitted and asked for meanwhile happens when it comes; explain says what is missing."""
    only_with_two_processes()
    agent = w.ltd()[1]
    running = w.submit(long_plan(w))
    training(w, running)
    agent.kill()
    agent.wait()
    p = w.ctl("submit", "-q", short_plan(w), "--timeout", "300ms", code=9)
    job = p.stdout.strip()
    check(job and "explain" in p.stderr, p)
    check("node" in w.out("explain", job).lower(), w.out("explain", job))
    check("may still run" in w.out("explain", running), w.out("explain", running))
    w.ctl("cancel", running)
    World.ltd(w, "--role", "agent", "--coordinator", "unix:" + w.socket, wait=False)
    equal(w.wait_done(running).returncode, 103)
    equal(w.wait_done(job).returncode, 0)


# ---- checkpoints

def damaged_recovery_checkpoint(w):
    """The older one is used, and that is said."""
    w.ltd()
    expected(w)
    job = w.submit(short_plan(w))
    held = begun(w, job)
    folder = os.path.join(run_dir(w, job), "recovery")

    def saved():
        return sorted(e["name"] for e in w.events(job, "checkpoint_saved") if e.get("recovery"))
    worker = held.ranks[0]
    freeze(w, job, lambda step: step % RECOVERY > RECOVERY // 4 and os.path.isdir(folder) and len(os.listdir(folder)) >= 2, hold=True)
    newest = saved()[-1]
    path = os.path.join(folder, os.path.basename(newest), "model.safetensors")
    data = bytearray(read(path))
    data[-5] ^= 1
    with open(path, "wb") as f:
        f.write(data)
    os.kill(worker[0], signal.SIGKILL)
    finish(w, job)
    log = read(run_dir(w, job), "logs", "2", "0.err") + read(run_dir(w, job), "logs", "2", "0.out")
    check(os.path.basename(newest).encode() in log and b"damaged" in log, "the log of attempt 2:", log)
    began = w.events(job, "rewound")[-1]
    check(int(began["to_step"]) < int(newest.rsplit("-", 1)[1]), "it began before the damaged one:", began)


def damaged_checkpoint_of_the_users(w):
    """One that was named must be good: test and resume are refused, by its name, and accepted again when it is back."""
    w.ltd()
    job = w.submit(short_plan(w))
    equal(w.wait_done(job).returncode, 0)
    folder = os.path.join(run_dir(w, job), read(run_dir(w, job), "last").decode().strip())
    path = os.path.join(folder, "model.safetensors")
    good = read(path)
    with open(path, "r+b") as f:
        f.seek(-5, os.SEEK_END)
        f.write(bytes([good[-5] ^ 1]))
    for verb in (["test", "--checkpoint", "last", job], ["resume", "-q", job]):
        p = w.ctl(*verb, code=3)
        check("model.safetensors" in p.stderr and "damaged" in p.stderr, p.stderr)
    os.rename(folder, folder + ".away")
    for verb in (["test", "--checkpoint", "last", job], ["resume", "-q", job]):
        check("No such file" in w.ctl(*verb, code=3).stderr, verb)
    w.ctl("download", job, "last", os.path.join(w.dir, "x"), code=4)
    os.rename(folder + ".away", folder)
    with open(path, "wb") as f:
        f.write(good)
    w.ctl("test", "--checkpoint", "last", job)
    equal(w.wait_done(w.out("resume", "-q", job)).returncode, 0)
    p = w.ctl("resume", "--checkpoint", "none", job, code=4)
    check(p.stderr.count(job) == 1 and "it has" in p.stderr, p.stderr)


# ---- data

def plain_data(w):
    """Fashion-MNIST as plain files that a test may damage."""
    folder = os.path.join(w.dir, "data")
    os.mkdir(folder)
    for name in os.listdir(FASHION):
        with gzip.open(os.path.join(FASHION, name)) as f, open(os.path.join(folder, name[:-3]), "wb") as g:
            shutil.copyfileobj(f, g)
    return folder


def failed_for_its_data(w, job, *words):
    equal(w.wait_done(job).returncode, 100)
    done, = w.events(job, "done")
    equal((done["result"], done["class"]), ("failed", "data"), done["reason"])
    for word in words:
        check(word in done["reason"], f"no `{word}` in", done["reason"])


def data_gone_before_the_start(w):
    """Between the checks and the start: the job fails as DATA, by the file's name, and isn't tried again."""
    w.ltd()
    folder = plain_data(w)
    job = w.submit(short_plan(w, **{FASHION: folder}), "--hold")
    os.unlink(os.path.join(folder, "train-labels-idx1-ubyte"))
    w.ctl("release", job)
    failed_for_its_data(w, job, "train-labels-idx1-ubyte", "No such file")
    equal(len(w.events(job, "attempt_started")), 1)


def data_cut_while_it_is_read(w):
    """The mapped file ends too early: a signal to the worker; the next attempt says which file, and that is the end."""
    w.ltd()
    folder = plain_data(w)
    job = w.submit(long_plan(w, **{FASHION: folder}))
    training(w, job)
    os.truncate(os.path.join(folder, "train-images-idx3-ubyte"), 1 << 20)
    failed_for_its_data(w, job, "train-images-idx3-ubyte", "truncated")
    equal(len(w.events(job, "attempt_started")), 2)


def data_changed_between_attempts(w):
    w.ltd()
    folder = plain_data(w)
    job = w.submit(long_plan(w, **{FASHION: folder}))
    worker = w.worker(job)
    training(w, job)
    os.kill(worker[0], signal.SIGSTOP)
    with open(os.path.join(folder, "train-images-idx3-ubyte"), "r+b") as f:
        f.seek(1000)
        f.write(b"x")
    os.kill(worker[0], signal.SIGKILL)
    failed_for_its_data(w, job, "changed since the first attempt", "train-images-idx3-ubyte")


# ---- ends

def time_limit(w):
    w.ltd()
    job = w.submit(long_plan(w, **{"job: {": "job: {time_limit: 1.5s, "}))
    equal(w.wait_done(job).returncode, 104)
    equal(w.status(job)["result"], "timed_out")


def cancelled(w):
    w.ltd()
    job = w.submit(long_plan(w))
    worker = w.worker(job)
    training(w, job)
    w.ctl("cancel", job)
    equal(w.wait_done(job).returncode, 103)
    check(not alive(worker))
    equal(w.ctl("logs", "-f", job, code=None).returncode, 103)


def stopped_and_resumed(w):
    """The stop keeps a checkpoint; what goes on from there ends with the undisturbed run's bits."""
    w.ltd()
    expected(w)
    job = w.submit(short_plan(w))
    held = begun(w, job, 300)
    w.ctl("stop", job)
    held.go_on()
    equal(w.wait_done(job).returncode, 107)
    step = int(w.status(job)["step"])
    check(300 <= step < 5000, "stopped at", step)
    last = read(run_dir(w, job), "last").decode().strip()
    check(os.path.exists(os.path.join(run_dir(w, job), last, "MANIFEST")), last)
    again = w.out("resume", "-q", job)
    equal(w.wait_done(again).returncode, 0)
    status = w.status(again)
    equal(status["parent"], job)
    got = result(w, again)
    for what in ("model", "optimizer"):
        check(got[what] == undisturbed[what], what, "differs from the undisturbed run's")
    first = w.events(again, "attempt_started")[0]
    equal(int(first["from_step"]), step, "where the resumed job began")


def held_and_released(w):
    w.ltd()
    job = w.submit(short_plan(w), "--hold")
    equal(w.status(job)["state"], "held(user)")
    check("release" in w.out("explain", job), w.out("explain", job))
    check(not os.path.exists(w.attempt_dir(job)))
    w.ctl("release", job)
    equal(w.wait_done(job).returncode, 0)
    w.ctl("release", job)  # once more changes nothing
    equal(len(w.events(job, "done")), 1)
    held = w.submit(short_plan(w), "--hold")
    w.ctl("cancel", held)
    equal(w.wait_done(held).returncode, 103)


def retries_used_up(w):
    # a sanitizer takes the others for itself, and exits
    signals = (signal.SIGKILL, signal.SIGABRT, signal.SIGKILL) if os.environ.get("LT_SANITIZED") else (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS)
    w.ltd()
    job = w.submit(long_plan(w, **{"every_n_steps: 1100}": "every_n_steps: 100}, retries: {infrastructure: 2}"}))
    for attempt in (1, 2, 3):
        worker = w.worker(job, attempt)
        wait_for(lambda: any(e["attempt"] == attempt and e.get("recovery") for e in w.events(job, "checkpoint_saved")), "a checkpoint")
        os.kill(worker[0], signals[attempt - 1])
    equal(w.wait_done(job).returncode, 106)
    done, = w.events(job, "done")
    equal((done["result"], done["class"]), ("failed", "infrastructure"))
    check("signal" in done["reason"].lower(), done)
    equal(len(w.events(job, "attempt_started")), 3)
    check("its 2 retries are used up" in done["reason"] and "2 retries" in w.out("explain", job), w.out("explain", job))


def loss_not_finite(w):
    w.ltd()
    explode = {"adam: {lr: 1.0e-3}": "sgd: {lr: 1.0e+30}", "gradient_clip_val: 1.0, ": ""}
    job = w.submit(short_plan(w, **explode))
    equal(w.wait_done(job).returncode, 100)
    done, = w.events(job, "done")
    equal((done["result"], done["class"]), ("failed", "nonfinite"))
    check("step" in done["reason"] or "update" in done["reason"], done)
    equal(len(w.events(job, "attempt_started")), 1, "it isn't tried again")
    job = w.submit(short_plan(w, **explode, **{"max_epochs: 2": "max_epochs: 1, on_nonfinite: skip", "T_max: 2": "T_max: 1"}))
    equal(w.wait_done(job).returncode, 0)
    check(int(w.status(job)["step"]) > 0, "updates that were left out count as steps")
    job = w.submit(short_plan(w, **explode, **{"max_epochs: 2": "max_epochs: 2, on_nonfinite: rollback"}))
    equal(w.wait_done(job).returncode, 100)
    done, = w.events(job, "done")
    equal((done["class"], "3 rollbacks" in done["reason"]), ("nonfinite", True), done)
    told = w.events(job, "rolled_back")
    equal([int(e["times"]) for e in told], [1, 2, 3], "three rollbacks to the start, each told")
    check(all("checkpoint" not in e for e in told) and w.out("logs", job).count("rolled back to the weights of the start") == 3, told)


def documented(w):
    """docs/faults.md names tests that exist, and every test of faults is in it."""
    def tests(file):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"test_{file}.py")) as f:
            text = f.read()
        listed = re.search(r"^ *run\(\[(.*?)\]", text, re.M | re.S).group(1)
        return {name.strip() for name in listed.split(",")}
    with open(os.path.join(SOURCE, "docs", "faults.md")) as f:
        named = {n for n in re.findall(r"`([a-z_]+)/([a-z_]+)`", f.read()) if n[0] != "tests"}
    for file in {file for file, _ in named}:
        missing = {name for f, name in named if f == file} - tests(file)
        check(not missing, f"docs/faults.md names what test_{file}.py hasn't:", missing)
    for file in ("faults", "kill", "hostile", "bad_input", "metrics"):
        missing = tests(file) - {name for f, name in named if f == file} - {"documented"}
        check(not missing, "not in docs/faults.md:", file, missing)


run([state_disk_full, run_disk_full, run_folder_read_only, recovery_folder_read_only, cache_disk_full, output_disk_full,
     clock_set_back_a_day, a_flipped_bit_in_the_store,
     two_daemons, submissions_while_ltd_dies, each_daemon_killed_alone, no_agent_is_there, damaged_recovery_checkpoint,
     damaged_checkpoint_of_the_users, data_gone_before_the_start, data_cut_while_it_is_read, data_changed_between_attempts,
     time_limit, cancelled, stopped_and_resumed, held_and_released, retries_used_up, loss_not_finite, documented], make)
