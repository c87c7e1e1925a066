"""kill -9 of every process, at any moment: a run ends with the undisturbed run's bits, and who watches it misses nothing."""
import contextlib
import os
import random
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import (alive, check, equal, Failed, Follower, freeze, Held, identity, make, Page, plan, read, recovered,
                    RECOVERY, result, run, run_dir, same_result, wait_for, wait_recovery)

undisturbed = {}


def expected(w):
    """The undisturbed run, made once: its result, and the bytes of its output."""
    if not undisturbed:
        job = w.submit(plan(w))
        equal(w.wait_done(job).returncode, 0)
        undisturbed.update(result(w, job))
    return undisturbed


def start(w):
    w.ltd()
    expected(w)
    return w.submit(plan(w))


def kill(who):
    with contextlib.suppress(ProcessLookupError):
        os.kill(who[0], signal.SIGKILL)
    wait_for(lambda: not alive(who), "the killed process to be gone")


def redone_less_than_an_interval(w, job, page, attempt=2):
    from_step = recovered(w, job, attempt)
    check(page.step - from_step < RECOVERY, f"{page.step - from_step} updates were redone, an interval holds {RECOVERY}")


def finish(w, job):
    code = w.wait_done(job).returncode
    if code:
        raise Failed(f"the job ended with {code}: {w.out('status', job)}")
    same_result(result(w, job), undisturbed)


def worker_killed(w):
    job = start(w)
    worker = w.worker(job)
    page = wait_recovery(w, job, hold=True)
    kill(worker)
    redone_less_than_an_interval(w, job, page)
    check(w.events(job, "rewound"), "followers were told of the rewind")
    equal(w.status(job)["attempt"], 2)
    finish(w, job)


def shim_killed(w):
    job = start(w)
    shim, worker = w.shim(job), w.worker(job)
    page = wait_recovery(w, job, hold=True)
    kill(shim)
    wait_for(lambda: not alive(worker), "the worker to die with its shim")
    redone_less_than_an_interval(w, job, page)
    finish(w, job)


def daemon_killed_while_a_client_follows(w):
    job = start(w)
    follower = Follower(w, "logs", "-f", job)
    worker, page = w.worker(job), wait_recovery(w, job, hold=True)
    ranks = Held(w, job)
    follower.connected()
    w.kill_daemon()
    ranks.steps(1)  # without ltd
    w.ltd()
    check(alive(worker), "the worker is the same process")
    ranks.go_on()
    out = follower.end()
    equal(w.status(job)["attempt"], 1, "attempts")
    check(out == read(run_dir(w, job), "logs", "1", "0.out"), "the follower saw each byte once")
    finish(w, job)


def daemon_killed_again_and_again(w):
    job = start(w)
    seed = int(os.environ.get("LT_SEED", random.randrange(1 << 30)))
    print(f"# LT_SEED={seed}", flush=True)
    chance = random.Random(seed)
    ranks = Held(w, job)
    follower = Follower(w, "logs", "-f", job)
    ranks.steps(1)
    follower.connected()
    for _ in range(4):
        ranks.steps(chance.randrange(50, 400))
        w.kill_daemon()
        ranks.steps(1)
        w.ltd()
    ranks.go_on()
    out = follower.end()
    check(out == read(run_dir(w, job), "logs", "1", "0.out"), "the follower saw each byte once")
    equal(w.status(job)["attempt"], 1, "attempts")
    finish(w, job)


def worker_ends_while_the_daemon_is_away(w):
    job = start(w)
    worker = w.worker(job)
    wait_recovery(w, job, hold=True)
    w.kill_daemon()
    os.kill(worker[0], signal.SIGCONT)
    wait_for(lambda: not alive(worker), "training to end by itself", patience=120)
    w.ltd()
    finish(w, job)
    equal(w.status(job)["attempt"], 1, "attempts")


def everything_killed_at_once(w):
    job = start(w)
    shim, worker = w.shim(job), w.worker(job)
    page = wait_recovery(w, job, hold=True)
    w.kill_daemon()
    for pid in (shim[0], worker[0]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the shim's death took it along
    wait_for(lambda: not alive(worker) and not alive(shim), "all to be gone")
    w.ltd()
    redone_less_than_an_interval(w, job, page)
    finish(w, job)


def worker_killed_while_it_writes_a_checkpoint(w):
    job = start(w)
    worker, folder = w.worker(job), os.path.join(run_dir(w, job), "recovery")

    def writing(step):
        return os.path.isdir(folder) and any(n.endswith(".tmp") for n in os.listdir(folder))
    freeze(w, job, writing, hold=True, within=2 * RECOVERY)
    kill(worker)
    recovered(w, job)
    finish(w, job)
    leftovers = [n for n in os.listdir(folder) if n.startswith(".") or n.endswith(".tmp")] if os.path.isdir(folder) else []
    equal(leftovers, [], "half-written checkpoints left behind")


def killed_at_random_until_done(w):
    """Worker, shim and daemon die at random moments; the budget of infrastructure retries is enough for it."""
    job = start(w)
    seed = int(os.environ.get("LT_SEED", random.randrange(1 << 30)))
    print(f"# LT_SEED={seed}", flush=True)
    chance = random.Random(seed)
    for _ in range(int(os.environ.get("LT_KILLS", 5))):
        def training():
            now = w.status(job)
            return now["state"] == "done" or (any(r["state"] == "running" for r in now["ranks"]) and now)
        try:
            now = wait_for(training, "the job to train")
        except Failed as e:
            raise Failed(f"{e}: {w.out('status', job)} {w.out('explain', job)} {w.out('events', job)}")
        if now is True:
            break
        folder = w.attempt_dir(job, now["attempt"])
        worker, shim = identity(os.path.join(folder, "worker")), identity(os.path.join(folder, "shim"))
        if not worker or not shim:
            continue  # that attempt has ended in the meantime
        try:
            page = Page(folder)
        except OSError:
            continue  # or has now
        target = page.step + chance.randrange(RECOVERY, 2 * RECOVERY)
        wait_for(lambda: page.step >= target or not alive(worker), "training to go on")
        what = chance.choice(["worker", "shim", "daemon"])
        if what == "daemon":
            w.kill_daemon()
            w.ltd()
        elif alive(worker):
            kill(worker if what == "worker" else shim)
    finish(w, job)


run([worker_killed, shim_killed, daemon_killed_while_a_client_follows, daemon_killed_again_and_again,
     worker_ends_while_the_daemon_is_away, everything_killed_at_once, worker_killed_while_it_writes_a_checkpoint,
     killed_at_random_until_done], make)
