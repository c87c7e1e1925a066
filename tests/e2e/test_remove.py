"""`ltctl rm`: the job leaves the list; with --files its run folder goes, and nothing else."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import World, check, equal, make, plan, read, run, run_dir, wait_for


def short(w, name="short", **kwargs):
    return plan(w, name, samples=2000, epochs=1, **kwargs)


def refused(w, job, *words, code=1):
    said = w.ctl("rm", "--files", job, code=code).stderr
    check(all(word in said for word in words), "what is said:", said)
    return said


def listed(w):
    return w.out("ps", "--all", "-q").split()


def only_the_record(w):
    w.ltd()
    job = w.submit(short(w))
    w.wait_done(job)
    folder = run_dir(w, job)
    w.ctl("rm", job)
    equal(listed(w), [])
    check(os.path.exists(os.path.join(folder, "metrics.csv")), "the run folder stays")
    w.ctl("metrics", job, code=4)
    w.ctl("rm", "--files", job, code=4)


def files_too_and_nothing_else(w):
    """What links in it point to stays."""
    w.ltd()
    outside = os.path.join(w.dir, "outside")
    os.makedirs(os.path.join(outside, "sub"))
    precious = w.file("outside/sub/precious", "mine")
    first, second = (w.submit(short(w, name)) for name in ("first", "second"))
    for job in (first, second):
        w.wait_done(job, code=0)
    folder = run_dir(w, first)
    os.symlink(outside, os.path.join(folder, "checkpoints", "elsewhere"))
    os.symlink(precious, os.path.join(folder, "logs", "1", "other"))
    os.symlink(run_dir(w, second), os.path.join(folder, "neighbour"))
    w.ctl("rm", "--files", first)
    check(not os.path.exists(folder), "the run folder is gone")
    equal(read(precious), b"mine")
    check(os.path.exists(os.path.join(run_dir(w, second), "plan.pb")), "the neighbour's is there")
    equal(sorted(os.listdir(os.path.dirname(folder))), [second])
    equal(listed(w), [second])


def not_while_it_is_needed(w):
    w.ltd()
    job = w.submit(plan(w, "long", epochs=2000))
    wait_for(lambda: w.status(job)["step"] > 50, "it to train", pause=0.05)
    refused(w, job, "before it has ended")
    w.ctl("stop", job)
    w.wait_done(job)
    child = w.out("resume", "-q", job, "--set", "job.hold=true")
    refused(w, job, child, "checkpoint")
    check(os.path.exists(os.path.join(run_dir(w, job), "plan.pb")), "all is there")
    w.ctl("cancel", child)
    w.wait_done(child)
    folder = run_dir(w, job)
    w.ctl("rm", "--files", child, job)  # the child never had a folder
    check(not os.path.exists(folder), "the run folder is gone")
    equal(listed(w), [])


def not_what_ltd_did_not_make(w):
    w.ltd()
    job = w.submit(short(w))
    w.wait_done(job, code=0)
    folder = run_dir(w, job)
    os.rename(folder, folder + ".away")
    os.makedirs(folder)
    theirs = os.path.join(folder, "theirs")
    with open(theirs, "w") as f:
        f.write("mine")
    refused(w, job, folder, "ltd didn't make it", "still there")
    os.remove(theirs)
    os.rmdir(folder)
    os.symlink(folder + ".away", folder)
    refused(w, job, folder, "isn't a folder")
    check(os.path.exists(os.path.join(folder, "plan.pb")), "what the link points to is there")
    os.remove(folder)
    equal(listed(w), [job])
    w.ctl("rm", "--files", job)  # the user has moved it: nothing to remove
    equal(listed(w), [])
    check(os.path.exists(folder + ".away/plan.pb"), "what was moved away is there")


def node_away(w):
    """Two processes: the job stays until its node is there."""
    if make is World:
        return
    w.ltd()
    job = w.submit(short(w))
    w.wait_done(job, code=0)
    folder = run_dir(w, job)
    agent = w.daemon_pid("node")
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: "isn't connected" in w.ctl("rm", "--files", job, code=None).stderr, "the node to be missed")
    check(os.path.exists(folder), "the folder is there")
    equal(listed(w), [job])
    World.ltd(w, "--role", "agent", "--coordinator", "unix:" + w.socket, wait=False)
    wait_for(lambda: w.ctl("rm", "--files", job, code=None).returncode == 0, "the node to be back")
    check(not os.path.exists(folder), "the folder is gone")


def what_was_begun_is_finished(w):
    """A removal that was cut short: its folder has the name that says so."""
    w.ltd()
    job = w.submit(short(w))
    w.wait_done(job, code=0)
    folder = run_dir(w, job)
    begun = os.path.join(os.path.dirname(folder), f".{job}.removing")
    os.rename(folder, begun)
    os.remove(os.path.join(begun, "plan.pb"))
    w.ctl("rm", "--files", job)
    check(not os.path.exists(begun), "it is gone")


run([only_the_record, files_too_and_nothing_else, not_while_it_is_needed, not_what_ltd_did_not_make, node_away,
     what_was_begun_is_finished], make)
