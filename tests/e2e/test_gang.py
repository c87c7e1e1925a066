"""Two ranks that train as one: any of them, its shim or ltd killed, stopped for a while or for ever; and nothing is left."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import (Held, Page, RECOVERY, Skipped, World, alive, check, equal, hold_next, hold_starts, identity, make, plan, read,
                    result, run, run_dir, same_result, wait_for)
from kills import Kills, Watchers, check_events
from leftovers import carriers, of_jobs

RANKS = 2
EVERY = 200  # optimiser steps between the system's checkpoints
undisturbed = {}


def ranks_plan(w, name="two", reproducible="strict", samples=24000, epochs=2, **replace):
    """Whatever processors there are: two jobs at once fit, too."""
    return plan(w, name, samples, 8, epochs, **{
        "trainer: {": f"trainer: {{devices: {RANKS}, reproducible: {reproducible}, ",
        "job: {": "job: {resources: {oversubscribe: true}, ", f"every_n_steps: {RECOVERY}": f"every_n_steps: {EVERY}", **replace})


def prepare(w, *args, hold=True):
    """The undisturbed run, made once, in a world where ltd runs; and one that waits at its start, unless hold is False."""
    hold_starts(w)
    w.ltd(*args)
    if not undisturbed:
        job = w.submit(ranks_plan(w))
        equal(w.wait_done(job).returncode, 0)
        equal(w.status(job)["attempt"], 1)
        undisturbed.update(result(w, job))
    if hold:
        hold_next(w)
    return w.submit(ranks_plan(w))


def who(w, job, rank, what="worker", attempt=1):
    return wait_for(lambda: identity(os.path.join(w.attempt_dir(job, attempt, rank), what)), f"{what} of rank {rank}")


def kill(process):
    os.kill(process[0], signal.SIGKILL)
    wait_for(lambda: not alive(process), "the killed process to be gone")


def held(w, job, attempt=1, more=False):
    return Held(w, job, attempt, RANKS, more)


def stepping(w, job, attempt=1, by=50):
    """Both ranks train: so many steps more. For jobs that don't end by themselves."""
    for r in range(RANKS):
        who(w, job, r, attempt=attempt)
    pages = [Page(w.attempt_dir(job, attempt, r)) for r in range(RANKS)]
    before = [p.step for p in pages]
    wait_for(lambda: all(p.step >= b + by for p, b in zip(pages, before)), "the ranks to train")
    return pages


def recovered(w, job, attempt=2):
    """The attempt began at a checkpoint: the newest of any kind."""
    e = wait_for(lambda: [e for e in w.events(job, "attempt_started") if e["attempt"] == attempt], f"attempt {attempt}")[0]
    check(e.get("from_checkpoint") and int(e["from_step"]) > 0, "attempt", attempt, "began at", e)
    equal(len(e["ranks"]), RANKS)


def conditions(w, job, kind):
    return [e for e in w.events(job, "condition") if e["kind"] == kind]


def stalled(w, job, active):
    return [e for e in conditions(w, job, "stalled") if e.get("active", True) == active]


def finish(w, job, attempts):
    code = w.wait_done(job).returncode
    check(code == 0, f"the job ended with {code}: {w.out('status', job)}\n{w.out('logs', job, code=None)}")
    equal(w.status(job)["attempt"], attempts, "attempts")
    same_result(result(w, job), undisturbed)


def a_rank_is_killed(w):
    job = prepare(w)
    for attempt, rank in ((1, 1), (2, 0)):
        ranks = held(w, job, attempt, more=attempt == 1)
        victim, other = ranks.ranks[rank], ranks.ranks[1 - rank]
        ranks.saved()
        kill(victim)
        ranks.go_on()
        wait_for(lambda: not alive(other), "the other rank to be ended")
        recovered(w, job, attempt + 1)
        first = [e for e in w.events(job, "rank_exited") if e["attempt"] == attempt]
        equal(len(first), RANKS)
        end = [e for e in w.events(job, "attempt_ended") if e["attempt"] == attempt][0]
        check(f"rank {rank}: killed by signal 9" in end["reason"], "the first failure is the reason:", end)
    finish(w, job, 3)
    of_jobs(w, job)


def a_shim_is_killed(w):
    job = prepare(w)
    ranks = held(w, job)
    other, worker = ranks.ranks
    ranks.saved()
    kill(who(w, job, 1, "shim"))
    ranks.go_on()
    wait_for(lambda: not alive(worker) and not alive(other), "both ranks to be ended")
    recovered(w, job)
    end = w.events(job, "attempt_ended")[0]
    check("rank 1: lt-shim died" in end["reason"], end)
    finish(w, job, 2)
    of_jobs(w, job)


def a_rank_is_killed_at_the_start(w):
    """Before the ranks have met: the other one waits at a barrier that nobody will pass."""
    job = prepare(w)
    ranks = held(w, job)
    other, victim = ranks.ranks
    ranks.go_on(0)
    wait_for(lambda: os.readlink(f"/proc/{other[0]}/exe") == os.path.realpath(w.program("lt-worker")), "the other rank to begin")
    kill(victim)
    wait_for(lambda: not alive(other), "the other rank to be ended")
    finish(w, job, 2)
    of_jobs(w, job)


def ltd_is_killed(w):
    """At the start, where the ranks look for each other through it, and while they train."""
    job = prepare(w)
    ranks = held(w, job)
    w.kill_daemon()
    ranks.go_on()  # they look for each other now
    w.ltd(wait=False)
    ranks.steps(50)
    wait_for(lambda: w.ctl("ps", code=None).returncode == 0, "ltd to answer")
    w.kill_daemon()
    ranks.steps(50)
    w.ltd()
    ranks.go_on()
    finish(w, job, 1)
    of_jobs(w, job)


def a_rank_is_killed_while_the_coordinator_is_away(w):
    """The node ends the other rank by itself; the coordinator hears of both, and of the first, when it is back."""
    if make is World:
        raise Skipped("one process is both")
    job = prepare(w)
    ranks = held(w, job)
    other, victim = ranks.ranks
    ranks.saved()
    coordinator = w.daemon_pid("coord")
    os.kill(coordinator, signal.SIGKILL)
    for p in w.daemons:
        if p.pid == coordinator:
            p.wait()
    kill(victim)
    ranks.go_on()
    wait_for(lambda: not alive(other), "the other rank to be ended")
    equal(carriers(job), {}, "processes of the generation")
    World.ltd(w, "--role", "coordinator")
    recovered(w, job)
    end = w.events(job, "attempt_ended")[0]
    check("rank 1: killed by signal 9" in end["reason"], "the first failure is the reason:", end)
    finish(w, job, 2)
    of_jobs(w, job)


def ltd_is_killed_during_a_checkpoint(w):
    """Rank 0 finishes it by itself; nothing is redone."""
    job = prepare(w, hold=False)
    folder = os.path.join(run_dir(w, job), "recovery")
    for _ in range(2):
        wait_for(lambda: os.path.isdir(folder) and any(n.startswith(".") or n.endswith(".tmp") for n in os.listdir(folder))
                 or w.status(job)["state"] == "done", "a checkpoint to be written", pause=0)
        w.kill_daemon()
        w.ltd()
    finish(w, job, 1)
    check_events(w.events(job), RANKS)
    of_jobs(w, job)


def other_worker(w, text):
    """lt-worker is a script that becomes it. $1: the attempt's folder, JOB.ATTEMPT.RANK."""
    real = w.program("lt-worker")
    folder = os.path.join(w.dir, "bin")
    os.mkdir(folder)
    with open(os.path.join(folder, "lt-worker"), "w") as f:
        f.write(f"#!/bin/bash\n{text}\nexec -a {real} {real} \"$@\"\n")
    os.chmod(os.path.join(folder, "lt-worker"), 0o755)
    w.env["LT_PROGRAM_PATH"] = folder + ":" + w.path


def a_rank_cant_map_its_memory(w):
    """It says which memory it couldn't have, the other rank is ended; no retry helps."""
    if os.environ.get("LT_SANITIZED"):
        raise Skipped("a sanitizer needs addresses of its own")
    other_worker(w, "case $1 in *.1) ulimit -v 350000;; esac")
    w.ltd()
    path = ranks_plan(w, **{"out_features: 64": "out_features: 30000"})
    job = w.submit(path)
    code = w.wait_done(job).returncode
    done, = w.events(job, "done")
    check(code == 100 and done["class"] == "oom" and "rank 1" in done["reason"] and "cannot map" in done["reason"], code, done, w.out("logs", job, code=None))
    equal(w.status(job)["attempt"], 1)
    of_jobs(w, job)


def two_jobs_at_once(w):
    a = prepare(w)
    b = w.submit(ranks_plan(w))
    both = [held(w, job, more=job == a) for job in (a, b)]
    for victim, ranks in enumerate(both):
        ranks.saved()
        kill(ranks.ranks[victim])
    for ranks in both:
        ranks.go_on()
    for job in (a, b):
        finish(w, job, 2)
    of_jobs(w, a, b)


def stopped_for_a_while(w):
    """A condition that passes. The job is long enough for its end to be told."""
    w.ltd("--hang-after", "30")
    job = w.submit(ranks_plan(w, "long", epochs=400))
    victim = who(w, job, 1)
    stepping(w, job)
    os.kill(victim[0], signal.SIGSTOP)
    found = wait_for(lambda: stalled(w, job, True), "the condition")
    os.kill(victim[0], signal.SIGCONT)
    check("rank 1 is stopped" in found[0]["detail"], found)
    wait_for(lambda: stalled(w, job, False), "its end")
    stepping(w, job)
    w.ctl("cancel", job)
    equal(w.wait_done(job, code=103).returncode, 103)
    equal(w.status(job)["attempt"], 1)
    of_jobs(w, job)


def stopped_for_ever(w):
    """A hang: named, with every rank's stack in the logs, and a new generation."""
    job = prepare(w, "--hang-after", "6")
    ranks = held(w, job)
    ranks.saved()
    ranks.go_on(0)
    recovered(w, job)
    end = w.events(job, "attempt_ended")[0]
    check("rank 1: hung: rank 1 is stopped" in end["reason"] and "rank 0" in end["reason"], end)
    for rank in range(RANKS):
        log = read(run_dir(w, job), "logs", "1", f"{rank}.err").decode()
        check("seen from outside" in log and "  thread " in log, f"rank {rank}'s log:", log)
        check("#0" in log or "no stacks:" in log, f"rank {rank}'s stack:", log)
    finish(w, job, 2)
    of_jobs(w, job)


def more_ranks_than_processors(w):
    w.ltd()
    path = plan(w, "many", **{"trainer: {": "trainer: {devices: 500, "})
    p = w.ctl("run", path, code=3)
    check("500 ranks" in p.stderr and "trainer.devices" in p.stderr and "oversubscribe" in p.stderr, p.stderr)


def another_number_of_ranks(w):
    """Strict refuses to go on with it, relaxed says what it means."""
    job = prepare(w)
    ranks = held(w, job)
    ranks.steps(50)
    w.ctl("stop", job)
    ranks.go_on()
    equal(w.wait_done(job).returncode, 107)
    p = w.ctl("resume", job, "--set", "trainer.devices=1", code=3)
    check("the bits would be others" in p.stderr, p.stderr)
    new = w.out("resume", "-q", job, "--set", "trainer.devices=1", "--set", "data.batch_size=16", "--set",
                "trainer.reproducible=relaxed")
    equal(w.wait_done(new).returncode, 0)
    check(conditions(w, new, "bits_changed"), "it is said")
    of_jobs(w, job)


def newest_step(w, job, attempt):
    """Steps of rank 0: 0 before it has any."""
    try:
        return Page(w.attempt_dir(job, attempt)).step
    except (OSError, ValueError):
        return 0


def saved_names(events):
    return {(e["name"], e["step"]) for e in events if e["type"] == "checkpoint_saved" and not e.get("recovery")}


def killed_at_random(w):
    """LT_KILLS (10) times rank, shim or ltd, in as many jobs as that takes. Each ends with the undisturbed run's bits, and
    whoever watched it saw each line, event and value, and none twice."""
    calm = prepare(w, hold=False)
    equal(w.wait_done(calm).returncode, 0)
    expected = saved_names(w.events(calm))
    kills = Kills(w, RANKS, ["worker", "shim"], lambda job, attempt: newest_step(w, job, attempt), 200, least=10)
    jobs = []
    while kills.left:
        job = w.submit(ranks_plan(w, **{"job: {": "job: {retries: {infrastructure: 1000}, resources: {oversubscribe: true}, ",
                                        f"every_n_steps: {RECOVERY}": "every_n_steps: 50"}))
        jobs.append(job)
        watchers = Watchers(w, job, RANKS)
        kills.disturb(job)
        code = w.wait_done(job).returncode
        equal(code, 0, w.out("status", job))
        same_result(result(w, job), undisturbed)
        events, values = watchers.saw_everything_once(run_dir(w, job), RANKS)
        equal(saved_names(events), expected, "checkpoints told")
        values = [json.loads(v) for v in values]
        last = {(v["name"], v["step"]): v["value"] for v in values}
        equal(last, {(n, s): v for n, s, _, v in undisturbed["metrics"]}, "values that a follower saw")
        equal(len({(v["attempt"], v["name"], v["step"]) for v in values}), len(values), "values a follower saw twice")
        of_jobs(w, job)
    print(f"# {sum(kills.done.values())} kills in {len(jobs)} jobs: {dict(kills.done)}", flush=True)


if __name__ == "__main__":
    run([a_rank_is_killed, a_shim_is_killed, a_rank_is_killed_at_the_start, ltd_is_killed,
         a_rank_is_killed_while_the_coordinator_is_away, ltd_is_killed_during_a_checkpoint, a_rank_cant_map_its_memory, two_jobs_at_once, stopped_for_a_while, stopped_for_ever,
         more_ranks_than_processors, another_number_of_ranks, killed_at_random], make)
