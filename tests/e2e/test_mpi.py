"""Anybody's MPICH program as a job of several ranks, while ltd is killed; and who has no business at the ranks' socket."""
import base64
import json
import os
import random
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import BUILD, alive, check, equal, identity, make, plan, read, result, run, same_result, wait_for
from leftovers import no_segments_left, of_jobs

PROGRAM = os.path.join(BUILD, "tests", "comm", "lt-mpi-program")
random.seed(5)


def submit(w, ranks=2, gate=True):
    w.gate = os.path.join(w.dir, "gate")
    argv = [PROGRAM, str(ranks)] + ([w.gate] if gate else [])
    text = "\n".join(["kind: command", "argv: [%s]" % ", ".join(f'"{a}"' for a in argv), f"nproc: {ranks}",
                      "job: {resources: {oversubscribe: true}}", ""])
    job = w.submit(w.file("mpi.yaml", text))
    for r in range(ranks if gate else 0):  # they may be over before they are looked at
        wait_for(lambda: identity(os.path.join(w.attempt_dir(job, 1, r), "worker")), f"rank {r}")
    return job


def open_gate(w, name):
    open(f"{w.gate}.{name}", "w").close()


def ready(w, ranks=2):
    wait_for(lambda: all(os.path.exists(f"{w.gate}.ready.{r}") for r in range(ranks)), "the ranks to have met")


def succeed(w, job):
    p = w.wait_done(job)
    equal(p.returncode, 0, p.stderr)
    check("ranks, sum" in w.out("logs", job), "rank 0 says so")


def runs_without_mpirun(w):
    w.ltd()
    for ranks in (1, 2, 4):
        succeed(w, submit(w, ranks, gate=False))
    no_segments_left()


def ltd_away_from_init_to_the_end_of_init(w):
    w.ltd()
    job = submit(w)
    w.kill_daemon()
    open_gate(w, "init")
    open_gate(w, "finalize")
    w.ltd()
    succeed(w, job)


def ltd_killed_between_the_requests_of_init(w):
    w.ltd()
    for _ in range(4):
        job = submit(w)
        open_gate(w, "init")
        open_gate(w, "finalize")
        time.sleep(random.random() * 0.06)  # anywhere in it
        w.kill_daemon()
        w.ltd()
        succeed(w, job)
        os.remove(w.gate + ".init")
        os.remove(w.gate + ".finalize")


def ltd_away_at_finalize(w):
    w.ltd()
    job = submit(w)
    open_gate(w, "init")
    ready(w)
    w.kill_daemon()
    open_gate(w, "finalize")
    w.ltd()
    succeed(w, job)


def a_killed_rank_ends_the_others_and_leaves_nothing(w):
    w.ltd()
    job = submit(w, 3)
    open_gate(w, "init")
    ready(w, 3)
    ranks = [identity(os.path.join(w.attempt_dir(job, 1, r), "worker")) for r in range(3)]
    os.kill(ranks[1][0], signal.SIGKILL)
    wait_for(lambda: not any(alive(r) for r in ranks), "the other ranks to be ended")
    w.ctl("cancel", job, code=None)  # a further attempt would wait at the gate
    w.wait_done(job)
    no_segments_left()


def connect(w):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(os.path.join(w.state, "node", "pmi"))
    return s


def answer(s):
    """Everything until the other side hangs up."""
    got = b""
    while True:
        try:
            part = s.recv(4096)
        except ConnectionResetError:
            part = b""
        if not part:
            return got.decode()
        got += part


def strangers_are_refused(w):
    w.ltd()
    job = submit(w)
    me = f"job={job} attempt=1 generation=1 rank=0 seq=0"
    for text in ("hello\n", "\n", "\0\0\0\n", "x" * 100000, f"ltpmi1 put {me} key=a value=b\n",
                 f"ltpmi1 hello {me} world=3 puts=0\n", f"ltpmi1 hello {me.replace('rank=0', 'rank=2')} world=2 puts=0\n",
                 f"ltpmi1 hello {me.replace('generation=1', 'generation=0')} world=2 puts=0\n",
                 f"ltpmi1 hello {me.replace('generation=1', 'generation=2')} world=2 puts=0\n",
                 f"ltpmi1 hello {me.replace(job, 'nojob')} world=2 puts=0\n"):
        with connect(w) as s:
            try:
                s.sendall(text.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass
            said = answer(s)
            check(said.startswith("ltpmi1 refused ") or len(text) > 4096, repr(text[:60]), "was told", repr(said))
    idle = [connect(w) for _ in range(50)]  # they say nothing
    open_gate(w, "init")
    open_gate(w, "finalize")
    succeed(w, job)
    for s in idle:
        s.close()


def two_ranks(w):
    """A plan of two ranks that have a core between them, if need be."""
    text = read(plan(w, samples=2000, batch=32, epochs=2)).decode()
    return w.file("two.yaml", text.replace("job: {", "job: {resources: {oversubscribe: true}, ")
                  .replace("trainer: {", "trainer: {devices: 2, "))


def collectives(w, job):
    return [e["value"] for e in w.events(job, "resolved") if e["field"] == "collectives"]


def profile(w, job):
    """Of the first attempt."""
    return json.loads(base64.b64decode(w.events(job, "profile")[0]["profile"]))


def shared_memory_and_mpi_have_the_same_bits(w):
    got = {}
    for kind in ("shm", "mpi"):
        w.ltd(env={"LT_COMM": "mpi"} if kind == "mpi" else {})
        job = w.submit(two_ranks(w))
        equal(w.wait_done(job).returncode, 0, w.out("logs", job))
        equal(collectives(w, job), [kind])
        equal("mpich" in profile(w, job), kind == "mpi", "the library in the execution profile")
        got[kind] = result(w, job)
        w.kill_daemon()
    same_result(got["mpi"], got["shm"])
    no_segments_left()


def a_killed_rank_of_a_plan_leaves_nothing(w):
    for kind in ("shm", "mpi"):
        w.ltd(env={"LT_COMM": "mpi"} if kind == "mpi" else {})
        job = w.submit(two_ranks(w), "--set", "trainer.max_epochs=1000000")
        wait_for(lambda: w.status(job).get("step", 0) > 20, "the job to train")
        ranks = [identity(os.path.join(w.attempt_dir(job, 1, r), "worker")) for r in range(2)]
        os.kill(ranks[1][0], signal.SIGKILL)
        wait_for(lambda: not any(alive(r) for r in ranks), "the other rank to be ended")
        wait_for(lambda: (lambda s: s["attempt"] == 2 and s.get("step", 0) > 20)(w.status(job)), "the next attempt")
        w.ctl("cancel", job)
        w.wait_done(job)
        w.kill_daemon()
    no_segments_left()


PACKAGE = "libmpich12"


def stage(w):
    """An installation of this world's own; where its plug-in is."""
    programs = {"bin": ["ltd", "ltctl"], "libexec/ltd": ["lt-shim", "lt-worker", "lt-recorder", "lt-stacks", "liblt_mpi.so"]}
    folders = [os.path.join(w.dir, "stage", f) for f in programs]
    for folder, names in zip(folders, programs.values()):
        os.makedirs(folder)
        for name in names:
            shutil.copy(w.program(name), folder)
    w.path = ":".join(folders)
    del w.env["LT_PROGRAM_PATH"]
    w.env["LT_COMM"] = "mpi"
    return os.path.join(folders[1], "liblt_mpi.so")


def refused(w, *words):
    """By client and node, with what to install; nothing is started."""
    path = two_ranks(w)
    for verb in (["plan", "check"], ["submit", "-q"]):
        said = w.ctl(*verb, path, code=3).stderr
        for word in ("trainer.devices: ", PACKAGE, *words):
            check(word in said, f"no `{word}` in:", said)


def the_plug_in_is_missing(w):
    plug_in = stage(w)
    os.rename(plug_in, plug_in + ".away")
    w.ltd()
    refused(w, plug_in, "No such file")
    os.rename(plug_in + ".away", plug_in)  # installed meanwhile: the same daemon looks again
    equal(w.wait_done(w.submit(two_ranks(w))).returncode, 0)


def the_library_cant_be_loaded(w):
    stage(w)
    folder = os.path.join(w.dir, "lib")
    os.mkdir(folder)
    w.env["LD_LIBRARY_PATH"] = folder
    w.file("lib/libmpich.so.12", "no library\n" * 1000)
    w.ltd()
    refused(w, os.path.join(folder, "libmpich.so.12"))


def the_plug_in_goes_between_check_and_start(w):
    plug_in = stage(w)
    w.ltd()
    job = w.submit(two_ranks(w), "--set", "job.hold=true", "--set", "job.retries.infrastructure=1")
    wait_for(lambda: w.events(job, "checked"), "the plan to be checked")
    os.remove(plug_in)
    w.ctl("release", job)
    p = w.wait_done(job)
    equal(p.returncode, 106, p.stderr)
    reason = w.events(job, "done")[0]["reason"]
    for word in (plug_in, PACKAGE):
        check(word in reason, f"no `{word}` in:", reason)
    equal(w.status(job)["attempt"], 2)
    of_jobs(w, job)


if __name__ == "__main__":
    run([the_plug_in_is_missing, the_library_cant_be_loaded, the_plug_in_goes_between_check_and_start,
         shared_memory_and_mpi_have_the_same_bits, a_killed_rank_of_a_plan_leaves_nothing,
         runs_without_mpirun, ltd_away_from_init_to_the_end_of_init, ltd_killed_between_the_requests_of_init,
         ltd_away_at_finalize, a_killed_rank_ends_the_others_and_leaves_nothing, strangers_are_refused], make)
