"""Command jobs: programs that aren't ours, with queue, logs, exit codes, retries, metrics and the kill ladder of any job
(docs/command-jobs.md). What such a program may do to itself and to others has a documented outcome (docs/faults.md)."""
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import (SOURCE, Skipped, alive, check, equal, identity, make, read, run, run_dir, tensorboard, wait_for)
from disk import Disk
from kills import Kills, Watchers
from leftovers import of_jobs

PYTHON = sys.executable


def program(w, text, name="program.py"):
    """A Python program; waits are for files in the world's folder."""
    return w.file(name, "import os, sys, time, signal\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
                        "def wait(name):\n    while not os.path.exists(os.path.join(HERE, name)): time.sleep(0.01)\n"
                        "def tell(name, text):\n    name = os.path.join(HERE, name)\n    with open(name + '.new', 'w') as f: f.write(str(text))\n"
                        "    os.rename(name + '.new', name)\n"
                        "def touch(name):\n    open(os.path.join(HERE, name), 'a').close()\n"
                        "def metric(*words):\n    os.write(int(os.environ['LTD_METRICS_FD']), "
                        "('LTD_METRIC ' + ' '.join(map(str, words)) + '\\n').encode())\n" + text)


def submit(w, text, *options, **kwargs):
    return w.out("submit", "-q", *options, "--", PYTHON, program(w, text), **kwargs)


def there(w, name):
    wait_for(lambda: os.path.exists(os.path.join(w.dir, name)), name)


def touch(w, name):
    w.file(name, "")


def done(w, job):
    return w.events(job, "done")[0]


def log(w, job, attempt=1, suffix="err"):
    return read(run_dir(w, job), "logs", str(attempt), "0." + suffix).decode(errors="replace")


def points(w, job):
    return [(m["name"], m["step"], m["value"]) for m in w.jsonl("metrics", job)]


# ---- from the command line

def a_program_is_a_job(w):
    """Its output goes where it would go without us, its exit code is the job's reason; the queue, ps and status know it."""
    w.ltd()
    p = w.ctl("run", "--", "sh", "-c", "echo out; echo err >&2", text=False)
    equal((p.stdout, p.stderr), (b"out\n", b"err\n"))
    p = w.ctl("run", "--name", "mine", "--", "sh", "-c", "exit 3", code=100)
    check("class job: exit code 3" in p.stderr, p.stderr)
    jobs = {j["name"]: j for j in w.jsonl("ps", "--all")}
    equal((jobs["sh"]["result"], jobs["mine"]["result"], jobs["mine"]["kind"]), ("succeeded", "failed", "command"))
    equal(w.out("run", "--", "printf", "%s|", "-x", "--set", "a b", ""), "-x|--set|a b||")  # what is behind -- isn't ours


def where_and_with_what_it_runs(w):
    """In the caller's folder, with a few of the caller's variables, torchrun's names, and nothing of the daemon's."""
    w.ltd(env={"OF_THE_DAEMON": "1", "PMI_RANK": "7"})
    folder = os.path.join(w.dir, "somewhere")
    os.mkdir(folder)
    text = "import json\nprint(json.dumps({'cwd': os.getcwd(), **os.environ}))"
    env = {"VIRTUAL_ENV": "/venv", "LC_NUMERIC": "de_DE.UTF-8", "MY_TOKEN": "s3cret", "GIVEN": "by the caller"}
    script = program(w, text)

    def of(*options):
        return json.loads(w.out("run", *options, "--", PYTHON, script, env=env, cwd=folder))
    e = of("--env", "A=1=2", "--env", "GIVEN", "--name", "env")
    equal((e["cwd"], e["PATH"], e["VIRTUAL_ENV"], e["LC_NUMERIC"]), (folder, os.environ["PATH"], "/venv", "de_DE.UTF-8"))
    equal((e["A"], e["GIVEN"]), ("1=2", "by the caller"))
    check(not {"MY_TOKEN", "OF_THE_DAEMON", "PMI_RANK", "LTD_SOCKET"} & set(e), sorted(e))
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "GROUP_RANK": "0",
                        "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RESTART_COUNT": "0", "LTD_ATTEMPT": "1",
                        "LTD_JOB_NAME": "env"}.items():
        equal(e[name], value, name)
    check(1024 < int(e["MASTER_PORT"]) < 65536 and e["TORCHELASTIC_RUN_ID"] == e["LTD_JOB"], e)
    check(os.path.isdir(e["LTD_RUN_DIR"]), e)
    equal(of("--working-dir", "..")["cwd"], w.dir)
    p = w.ctl("run", "--env", "NOT_THERE", "--", "true", code=2)
    check("you have no such variable" in p.stderr, p.stderr)


def a_file_of_a_command(w):
    """kind: command; relative paths start at the file, without a folder it runs in the run's; --set changes it."""
    w.ltd()
    plan = w.file("command.yaml", f"kind: command\nname: filed\nargv: [{PYTHON}, -c, 'import os; print(os.getcwd(), os.environ[\"X\"])']\n"
                                  "env: {X: 1}\n")
    job = w.submit(plan)
    w.wait_done(job, code=0)
    equal(w.out("logs", job), run_dir(w, job) + " 1")
    equal(w.out("run", plan, "--set", "working_dir=.", "--set", "env.X=2"), w.dir + " 2")
    text = w.out("plan", "show", plan)
    again = w.file("again.yaml", text)
    equal(w.out("plan", "show", "--hash", again), w.out("plan", "show", "--hash", plan))
    check("program" in w.out("plan", "check", plan))
    p = w.ctl("run", plan, "--nproc", "2", code=2)
    check("belongs to a program" in p.stderr, p.stderr)


def secrets_stay_in_their_files(w):
    """The program has them; events, plans, status, logs of ours and the state folder don't."""
    w.ltd()
    secret = "n0b0dy-is-t0-read-this"
    w.file("token", secret + "\n")
    w.file("more.env", f"# mine\n\nexport SECOND={secret}-2\nEMPTY=\n")
    job = submit(w, "print(len(os.environ['TOKEN']), os.environ['SECOND'] == os.environ['TOKEN'] + '-2', repr(os.environ['EMPTY']))",
                 "--secret", "TOKEN=token", "--env-from-file", "more.env", cwd=w.dir)
    w.wait_done(job, code=0)
    equal(w.out("logs", job), f"{len(secret)} True ''")
    shown = [w.out("events", "-o", "jsonl", job), w.out("status", "-o", "json", job), w.log(),
             read(run_dir(w, job), "plan.yaml").decode(), log(w, job)]
    check("token" in shown[3], "the path is in the plan:", shown[3])
    for folder, _, names in os.walk(w.state):
        shown += [read(folder, n).decode(errors="replace") for n in names if os.path.isfile(os.path.join(folder, n))]
    check(not any(secret in text for text in shown), "a secret was told")


def what_cant_be_run_is_refused(w):
    """Before it is queued, each by name: argv, program with the PATH that was searched, folder, ranks, names, secrets."""
    w.env["PATH"] = "/usr/local/bin:/usr/bin:/bin"  # short enough for one sentence
    w.ltd()
    w.file("plain", "no program")
    cases = {
        (): (2, "no program behind `--`"),
        ("",): (3, "argv[0]: is empty"),
        ("no-such-program",): (3, "no program `no-such-program` in PATH: " + w.env["PATH"]),
        ("./nowhere",): (3, f"no program {w.dir}/./nowhere"),
        ("./plain",): (3, "is not a program that may be run"),
        ("--nproc", "0", "true"): (3, "nproc: 0 is out of range"),
        ("--nproc", "1025", "true"): (3, "nproc: 1025 is out of range"),
        ("--working-dir", "missing", "true"): (3, f"working_dir: {w.dir}/missing: No such file"),
        ("--env", "RANK=1", "true"): (3, "env.RANK: `RANK` is set by ltd"),
        ("--env", "A-B=1", "true"): (3, "env.A-B: `A-B` isn't a name"),
        ("--secret", "TOKEN=missing", "true"): (3, f"secrets.TOKEN: open {w.dir}/missing: No such file"),
        ("--secret", "TOKEN", "true"): (2, "NAME=FILE"),
        ("--env-from-file", "plain", "true"): (3, "line 1: is not NAME=VALUE"),
        ("--set", "job.recovery={keep: 2}", "true"): (3, "a command makes its own checkpoints"),
        ("--set", "argv=true false", "true"): (3, "argv is a list"),
    }
    for words, (code, text) in cases.items():
        options, argv = words[:-1], words[-1:]
        p = w.ctl("submit", "-q", *options, "--", *argv, code=None, cwd=w.dir)
        check(p.returncode == code and text in p.stderr, words, p.returncode, p.stderr)
    check("-- python" in w.ctl("run", "python", "train.py", code=2).stderr)
    p = w.ctl("plan", "check", "--", "no-such-program", code=3)
    check("no program `no-such-program`" in p.stderr, p.stderr)
    job = submit(w, "wait('go')")
    p = w.ctl("checkpoint", job, code=None)
    check(p.returncode not in (0, 3) and "its own affair" in p.stderr, p.stderr)
    touch(w, "go")
    w.wait_done(job, code=0)


def gone_between_the_checks_and_the_start(w):
    """FAILED, class PLAN, with the file's name; not tried again."""
    w.ltd()
    token = w.file("token", "x")
    job = submit(w, "print('never')", "--secret", "TOKEN=" + token, "--hold")
    os.unlink(token)
    w.ctl("release", job)
    w.wait_done(job, code=100)
    d = done(w, job)
    equal((d["result"], d["class"]), ("failed", "plan"))
    check("secret TOKEN" in d["reason"] and token in d["reason"], d)
    equal(w.status(job)["attempt"], 1)


# ---- ends

def retries_with_the_attempt_in_the_environment(w):
    """class JOB, within job.retries.job; the next attempt finds its number, and its folder again."""
    w.ltd()
    job = submit(w, "n = os.environ['LTD_ATTEMPT']\nopen(os.path.join(os.environ['LTD_RUN_DIR'], 'seen'), 'a').write(n)\n"
                    "print(n, os.environ['TORCHELASTIC_RESTART_COUNT'], flush=True)\nsys.exit(0 if n == '3' else 7)",
                 "--set", "job.retries.job=2")
    w.wait_done(job, code=0)
    equal(w.out("logs", job), "1 0\n2 1\n3 2")
    equal(read(run_dir(w, job), "seen"), b"123")
    equal([e["reason"] for e in w.events(job, "attempt_ended") if e["retry"]], ["exit code 7"] * 2)


def resumed(w):
    """A new job with its parent's program, which finds the old one's folder in LTD_RESUME_DIR; --set changes it on the way."""
    w.ltd()
    text = ("old = os.environ.get('LTD_RESUME_DIR')\nstep = int(open(old + '/step').read()) if old else 0\n"
            "print(step, os.environ.get('MORE'), flush=True)\nopen(os.environ['LTD_RUN_DIR'] + '/step', 'w').write(str(step + 1))")
    first = submit(w, text)
    w.wait_done(first, code=0)
    second = w.out("resume", "-q", first)
    w.wait_done(second, code=0)
    third = w.out("resume", "-q", second, "--set", "env.MORE=yes")
    w.wait_done(third, code=0)
    equal([w.out("logs", j) for j in (first, second, third)], ["0 None", "1 None", "2 yes"])
    equal(w.status(third)["parent"], second)
    p = w.ctl("resume", first, "--checkpoint", "best", code=None)
    check(p.returncode == 1 and "its own affair" in p.stderr, p.returncode, p.stderr)


def ends_by_a_signal(w):
    """Its own fault (SIGSEGV, SIGABRT, …): class JOB, exit 100. Killed by somebody: INFRASTRUCTURE, tried again."""
    w.ltd()
    p = w.ctl("run", "--", "sh", "-c", "kill -SEGV $$", code=100)
    check("class job: killed by signal 11" in p.stderr, p.stderr)
    p = w.ctl("run", "--set", "job.retries.infrastructure=1", "--", "sh", "-c", "kill -KILL $$", code=106)
    check("killed by signal 9" in p.stderr and "1 retry is used up" in p.stderr, p.stderr)


def stopped(w):
    """`stop`: SIGTERM, and its grace to end in. Exit 107, whatever it answers."""
    w.ltd()
    job = submit(w, "signal.signal(signal.SIGTERM, lambda *a: (print('saving'), touch('saved'), sys.exit(5)))\ntouch('up')\nwait('never')")
    there(w, "up")
    w.ctl("stop", job)
    w.wait_done(job, code=107)
    equal((w.out("logs", job), w.status(job)["reason"]), ("saving", "exit code 5"))


def a_stop_reaches_its_children(w):
    """SIGTERM is for the whole process group, as Ctrl-C is: what a shell has started has the grace, too."""
    w.ltd()
    script = program(w, "signal.signal(signal.SIGTERM, lambda *a: (sys.stdout.write('child saves\\n'), sys.exit()))\ntouch('up')\nwait('never')")
    job = w.out("submit", "-q", "--", "sh", "-c", f"trap 'echo shell waits' TERM; {PYTHON} {script} & wait; wait; echo shell ends")
    there(w, "up")
    w.ctl("stop", job)
    w.wait_done(job, code=107)  # although the shell made a good end of it
    equal(sorted(w.out("logs", job).split("\n")), ["child saves", "shell ends", "shell waits"])


def deaf_to_sigterm(w):
    """SIGKILL when the grace is over; children of its own are gone, too."""
    w.ltd()
    text = ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\nif child:\n    print(child, flush=True)\n    touch('up')\n"
            "wait('never')")
    job = submit(w, text, "--set", "grace=300ms")
    there(w, "up")
    worker, child = w.worker(job), int(w.out("logs", job))
    w.ctl("stop", job)
    w.wait_done(job, code=107)
    check(not alive(worker) and not alive(child), "something is left")


def time_limit(w):
    """SIGTERM and the grace; TIMED_OUT, exit 104."""
    w.ltd()
    job = submit(w, "wait('never')", "--set", "job.time_limit=500ms")
    w.wait_done(job, code=104)
    equal(w.status(job)["reason"], "the job's time limit is over", "not that it ended by SIGTERM, as it was asked to")


def cancelled(w):
    """SIGTERM at once."""
    w.ltd()
    job = submit(w, "touch('up')\nwait('never')")
    there(w, "up")
    w.ctl("cancel", job)
    w.wait_done(job, code=103)


# ---- what programs do

def forks_and_daemonises(w):
    """What it leaves behind when it ends is killed, daemonised or not, before the job is over."""
    w.ltd()
    text = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir('/')
        for fd in range(3): os.close(fd)
        tell('daemon', os.getpid())
        wait('never')
    os._exit(0)
wait('daemon')
"""
    job = submit(w, text)
    w.wait_done(job, code=0)
    check(not alive(int(read(w.dir, "daemon"))), "the daemon lives")


def daemonises_and_loses_its_shim(w):
    """kill -9 of the shim: the program dies with it, and what it had detached is found by its token."""
    w.ltd()
    text = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell('daemon' + os.environ['LTD_ATTEMPT'], os.getpid())
        wait('never')
    os._exit(0)
wait('daemon' + os.environ['LTD_ATTEMPT'])
touch('up' + os.environ['LTD_ATTEMPT'])
if os.environ['LTD_ATTEMPT'] == '1': wait('never')
"""
    job = submit(w, text)
    there(w, "up1")
    worker, daemon = w.worker(job), int(read(w.dir, "daemon1"))
    os.kill(w.shim(job)[0], signal.SIGKILL)
    w.wait_done(job, code=0)
    ended = w.events(job, "attempt_ended")
    check(ended[0]["class"] == "infrastructure" and "lt-shim died" in ended[0]["reason"], ended)
    check(not alive(worker) and not alive(daemon), "something of the first attempt is left")


def orphans_are_reaped(w):
    """Ended orphans don't pile up as zombies under the shim while the program runs."""
    w.ltd()
    job = submit(w, "for i in range(50):\n    if os.fork() == 0:\n        if os.fork() == 0: os._exit(0)\n        os._exit(0)\n    os.wait()\n"
                    "touch('up')\nwait('go')")
    there(w, "up")
    shim = w.shim(job)[0]

    def zombies():
        kids = read(f"/proc/{shim}/task/{shim}/children").decode().split()
        return [k for k in kids if not alive(int(k))]
    wait_for(lambda: not zombies(), "the orphans to be reaped")
    touch(w, "go")
    w.wait_done(job, code=0)


def logs_without_end(w):
    """Only so much is kept of each stream: the oldest goes, the disk gets it back, cursors stay true. Whoever reads is told
    how much is gone; a follower reads on, to the end."""
    w.ltd()
    text = ("line = b'x' * 100\nn = 0\n"
            "for part in range(8):\n    for i in range(10000):\n        os.write(1, b'%06d' % n + line[7:] + b'\\n'); n += 1\n"
            "    touch(f'part{part}')\n    wait(f'go{part}')\n")
    job = submit(w, text, "--set", "job.resources.log_size=256KiB")
    file = os.path.join(run_dir(w, job), "logs", "1", "0.out")
    p = w.popen("logs", "-f", job)
    for part in range(8):
        there(w, f"part{part}")
        wait_for(lambda: os.stat(file).st_blocks * 512 < 1 << 20, "the log to be cut")
        touch(w, f"go{part}")
    out, err = p.communicate(timeout=60)
    equal(p.returncode, 0, err)
    equal(os.stat(file).st_size, 8 * 10000 * 100, "its offsets stay")
    lines = out.decode().split("\n")
    check(lines[-2].startswith("079999") and lines[-1] == "", lines[-2:])
    gone = sum(int(g) for g in re.findall(r"(\d+) bytes are no longer there", err.decode()))
    equal(len(out) + gone, 8 * 10000 * 100, "what it got and what it was told is gone")
    check(not out.count(b"\0"), "zeros of a hole were shown")
    p = w.ctl("logs", job)
    check(len(p.stdout) < 1 << 20 and "no longer there" in p.stderr and p.stdout.endswith("x\n"), p.stderr, len(p.stdout))
    equal([line[:6] for line in w.out("logs", "--tail", "3", job).split("\n")], ["079997", "079998", "079999"])
    equal(w.ctl("logs", "--tail", "100000", job).stdout, p.stdout)


def binary_garbage(w):
    """Every byte comes out as it went in."""
    w.ltd()
    p = w.ctl("run", "--", PYTHON, "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)", text=False)
    check(p.stdout == bytes(range(256)) * 1000, "bytes were changed")


def closes_everything(w):
    """stdout, stderr, stdin and the pipe closed: the job goes on, and its exit counts."""
    w.ltd()
    job = submit(w, "for fd in range(64):\n    try: os.close(fd)\n    except OSError: pass\ntouch('up')\nwait('go')\nos._exit(4)")
    there(w, "up")
    w.wait_state(job, "running")
    touch(w, "go")
    w.wait_done(job, code=100)
    equal(done(w, job)["reason"], "exit code 4")


def daemon_killed(w):
    """kill -9 of ltd: the program goes on, its output and metrics are all there, once."""
    w.ltd()
    text = "for i in range(300):\n    print(i, flush=True)\n    metric('loss', 300 - i, i)\n    if i == 100: touch('up'); wait('go')\nprint('end')"
    script = program(w, text)
    p = w.popen("run", "--", PYTHON, script)
    there(w, "up")
    job = w.out("ps", "-q")
    worker = w.worker(job)
    w.kill_daemon()
    touch(w, "go")
    there_is = os.path.join(w.attempt_dir(job), "exit")
    wait_for(lambda: os.path.exists(there_is), "its end without a daemon")
    w.ltd()
    out, err = p.communicate(timeout=60)
    equal(p.returncode, 0, err)
    equal(out.decode(), "".join(f"{i}\n" for i in range(300)) + "end\n")
    equal(points(w, job), [("loss", i, 300 - i) for i in range(300)])
    equal(w.status(job)["attempt"], 1)
    check(not alive(worker))


# ---- metrics

def metrics_of_a_command(w):
    """Journal, database, CSV, TensorBoard, status; garbage is counted and named once; the program notices nothing."""
    w.ltd()
    text = """
for i in range(20):
    metric('loss', 1 / (i + 1), i)
    metric('lr', '1e-3', i)
    if i == 3: os.write(int(os.environ['LTD_METRICS_FD']), b'what is\\x00this\\n' + b'x' * 5000 + b'\\nLTD_METRIC a b c\\n\\nLTD_METRIC step 3\\n')
metric('val/acc', 0.5)
metric('val/acc', 'nan')
metric('epoch', 2)
metric('val/acc', 'inf')
"""
    job = submit(w, text)
    w.wait_done(job, code=0)
    expected = sorted([("loss", i, 1 / (i + 1)) for i in range(20)] + [("lr", i, 1e-3) for i in range(20)])
    got = points(w, job)
    equal(sorted(p for p in got if p[0] != "val/acc"), expected)
    rest = [m for m in w.jsonl("metrics", job, "--name", "val/acc")]
    equal([(m["step"], m["epoch"], str(m["value"]).lower()[:3]) for m in rest], [(0, 0, "0.5"), (1, 0, "nan"), (2, 2, "inf")])
    err = log(w, job)
    check(err.count("not of the form") == 1 and "`what is?this`" in err and "4 lines were no metrics" in err, err)
    with open(os.path.join(run_dir(w, job), "metrics.csv")) as f:
        rows = list(csv.DictReader(f))
    equal(list(rows[0]), ["epoch", "loss", "lr", "step", "val/acc"])
    equal([(float(r["loss"]), float(r["lr"])) for r in rows if r["loss"]], [(1 / (i + 1), 1e-3) for i in range(20)])
    equal(len([t for t in tensorboard(os.path.join(run_dir(w, job), "tensorboard")) if t[0] == "loss"]), 20)
    equal(w.status(job)["step"], 20)


def the_example_of_the_page(w):
    """docs/command-jobs.md's, as it stands: with metrics as a job, without them as a plain program."""
    page = read(SOURCE, "docs", "command-jobs.md").decode()
    text, = re.findall(r"```python\n(.*?)```", page, re.S)
    script = w.file("example.py", text)
    check(len([line for line in text.splitlines() if line]) <= 10, text)
    subprocess.run([PYTHON, script], check=True, env={k: v for k, v in os.environ.items() if k != "LTD_METRICS_FD"})
    w.ltd()
    job = w.out("submit", "-q", "--nproc", "2", "--", PYTHON, script)
    w.wait_done(job, code=0)
    equal(points(w, job), [("loss", i, 1 / (i + 1)) for i in range(100)])


def metrics_again_after_a_retry(w):
    """An attempt that goes on from step 6 replaces what the first one wrote from there on, everywhere; followers are told."""
    w.ltd()
    text = ("first = os.environ['LTD_ATTEMPT'] == '1'\n"
            "for i in range(0 if first else 6, 10): metric('loss', i if first else 100 + i, i); metric('x', i, i) if i % 2 else None\n"
            "sys.exit(first)")
    job = submit(w, text, "--set", "job.retries.job=1")
    w.wait_done(job, code=0)
    want = [("loss", i, i) for i in range(6)] + [("loss", i, 100 + i) for i in range(6, 10)]
    equal([p for p in points(w, job) if p[0] == "loss"], want)
    with open(os.path.join(run_dir(w, job), "metrics.csv")) as f:
        equal([(int(r["step"]), float(r["loss"])) for r in csv.DictReader(f)], [(s, v) for _, s, v in want])
    equal([p[1:] for p in tensorboard(os.path.join(run_dir(w, job), "tensorboard")) if p[0] == "loss"], [p[1:] for p in want])
    equal([int(e["to_step"]) for e in w.events(job, "rewound")], [6])


def early_stopping(w):
    """An event, a SIGTERM, and SUCCEEDED, however the program answers."""
    w.ltd()
    text = "i = 0\nwhile True:\n    metric('val_loss', max(1, 5 - i), i)\n    i += 1\n    time.sleep(0.005)"
    job = submit(w, text, "--set", "early_stopping={monitor: val_loss, patience: 3}")
    w.wait_done(job, code=0)
    stopped, = w.events(job, "early_stopped")
    equal((stopped["monitor"], int(stopped["step"])), ("val_loss", 7))
    check("did not improve in the last 3 checks (best 1.000)" in stopped["reason"], stopped)
    equal(done(w, job)["result"], "succeeded")
    check("early stopping: val_loss did not improve" in log(w, job))


def floods_of_metrics(w):
    """Too many a second, or too many names: dropped, counted, said; the program isn't held up."""
    w.ltd()
    job = submit(w, "for step in range(500): os.write(int(os.environ['LTD_METRICS_FD']), b''.join(b'LTD_METRIC m%d 1 %d\\n' % (i, step) for i in range(200)))")
    w.wait_done(job, code=0)
    err = log(w, job)
    check("more than 1000 metrics a second" in err and "were left out: too many a second" in err, err)
    job = submit(w, "for i in range(300): metric(f'm{i}', 1, 0)")
    w.wait_done(job, code=0)
    check("44 values of metrics beyond the first 256 were left out" in log(w, job), log(w, job))
    equal(len(points(w, job)), 256)


def metrics_on_a_full_disk(w):
    """metrics.csv and TensorBoard end where the disk was full, and the job says so; the rest goes on."""
    with Disk(os.path.join(w.dir, "data"), 8) as disk:
        w.ltd()
        job = submit(w, "for i in range(1000):\n    metric('loss', i, i)\n    if i == 9: touch('up'); wait('go')")
        there(w, "up")
        wait_for(lambda: len(points(w, job)) == 10, "the first values")
        disk.fill()
        touch(w, "go")
        w.wait_done(job, code=0)
        equal(points(w, job), [("loss", i, i) for i in range(1000)])
        found = [c["detail"] for c in w.events(job, "condition") if c["kind"] == "degraded"]
        check(any("metrics.csv" in d and "No space" in d for d in found) and any("tfevents" in d for d in found), found)


def the_recorder_is_killed(w):
    """Another one reads on; the program notices nothing, early stopping remembers."""
    w.ltd()
    text = "for i in range(6):\n    metric('loss', 9, i)\n    touch(f'wrote{i}')\n    wait(f'go{i}')\nwait('never')"
    job = submit(w, text, "--set", "early_stopping={monitor: loss, patience: 5}")
    shim = w.shim(job)[0]

    def recorder():
        for k in read(f"/proc/{shim}/task/{shim}/children").decode().split():
            with contextlib.suppress(OSError):  # gone between the two
                if b"lt-recorder" in read(f"/proc/{k}/cmdline"):
                    return int(k)
    for i in range(6):
        there(w, f"wrote{i}")
        wait_for(lambda: len(points(w, job)) > i, f"value {i}")
        if i == 2:
            old = wait_for(recorder, "the recorder")
            os.kill(old, signal.SIGKILL)
            wait_for(lambda: recorder() not in (None, old), "another recorder")
        touch(w, f"go{i}")
    w.wait_done(job, code=0)
    equal(points(w, job), [("loss", i, 9) for i in range(6)])
    equal(int(w.events(job, "early_stopped")[0]["step"]), 5)
    with open(os.path.join(run_dir(w, job), "metrics.csv")) as f:
        equal([int(r["step"]) for r in csv.DictReader(f)], list(range(6)))


# ---- several ranks

def several_ranks(w):
    """Each has its numbers, all the same port; logs are told apart; more of them than processors is said, not refused."""
    w.ltd()
    text = "e = os.environ\nprint(e['RANK'], e['LOCAL_RANK'], e['WORLD_SIZE'], e['MASTER_PORT'], 'LTD_METRICS_FD' in e)"
    job = submit(w, text, "--nproc", "5")
    w.wait_done(job, code=0)
    words = [w.out("logs", job, "--rank", r).split() for r in range(5)]
    equal([x[:3] + x[4:] for x in words], [[str(r), str(r), "5", str(r == 0)] for r in range(5)])
    equal(len({x[3] for x in words}), 1, "ports")
    equal([r["rank"] for r in w.status(job)["ranks"]], list(range(5)))


def output_of_several_ranks(w):
    """Whole lines, each with its rank in front, however they were written; stdout to stdout, stderr to stderr; the exit
    code is the job's. --rank N is that rank's bytes, one rank has nothing in front."""
    w.ltd()
    text = ("r = int(os.environ['RANK'])\n"
            "for i in range(30):\n"
            "    turn = i * 3 + r\n"
            "    while turn and not os.path.exists(os.path.join(HERE, f'turn{turn - 1}')): time.sleep(0.001)\n"
            "    os.write(1 + i % 2, b'x%d ' % i if i % 3 else b'begin%d\\n%d ' % (i, i))\n"  # never a whole line
            "    touch(f'turn{turn}')\n"
            "if r == 2: os.write(2, b'\\xff\\x00\\r\\n'); touch('end')\nwait('end')\nsys.exit(r and 7)")
    p = w.ctl("run", "--nproc", "3", "--set", "job.resources.oversubscribe=true", "--", PYTHON, program(w, text), code=100, text=False)
    job = w.out("ps", "--all", "-q")
    err = p.stderr.decode(errors="surrogateescape").split("\nltctl run: ")
    check("exit code 7" in err[1], err)
    shown = p.stdout, err[0].encode(errors="surrogateescape") + b"\n"
    for rank in range(3):
        alone = w.ctl("logs", "--rank", rank, job, text=False)
        equal(alone.stderr.endswith(b"\xff\0\r\n"), rank == 2)
        for stream, whole in zip((alone.stdout, alone.stderr), shown):
            lines = [x[4:] for x in whole.split(b"\n") if x.startswith(b"[%d] " % rank)]
            check(len(lines) == 6 and b"\n".join(lines) == stream.removesuffix(b"\n"), rank, lines, stream)
    for lines in shown:
        check(all(re.match(rb"\[[012]\] ", x) for x in lines.split(b"\n")[:-1]), lines)
    again = w.ctl("logs", "--rank", "all", job, text=False)
    for whole, now in zip(shown, (again.stdout, again.stderr)):
        equal(sorted(now.split(b"\n")), sorted(whole.split(b"\n")))
    tail = w.ctl("logs", "--tail", "1", job, text=False).stdout
    equal(sorted(tail.split(b"\n")[:-1]), [b"[%d] " % r + w.ctl("logs", "--tail", "1", "--rank", r, job, text=False).stdout
                                           for r in range(3)])
    equal(w.out("run", "--", "echo", "alone"), "alone")
    equal(w.out("run", "--rank", "all", "--", "echo", "alone"), "alone")
    equal(w.out("run", "--nproc", "2", "--rank", "1", "--", "sh", "-c", "echo I am $RANK"), "I am 1")
    check("has no rank 3; its ranks are 0 to 2" in w.ctl("logs", "--rank", "3", job, code=4).stderr)


def several_ranks_on_a_terminal(w):
    """A progress bar stays in its place, with its rank in front; colours only where they are wanted."""
    w.ltd()
    text = ("r = os.environ['RANK']\nif r == '0':\n    for i in range(3): os.write(2, f'\\r{i} of 2'.encode())\n    os.write(2, b'\\n'); touch('go')\n"
            "else: wait('go'); print('other')\n")
    argv = ["run", "--nproc", "2", "--set", "job.resources.oversubscribe=true", "--", PYTHON, program(w, text)]
    plain = re.compile("\033\\[[0-9;]*[a-zA-Z]")
    code, shown = w.on_terminal(*argv, env={"NO_COLOR": "1"})
    equal(code, 0, shown)
    check("[0] 0 of 2\r[0] 1 of 2\r[0] 2 of 2\r\n" in plain.sub("", shown) and "[1] other\r\n" in shown, repr(shown))
    check("m[" not in shown, repr(shown))
    check("\033[33m[1]\033[0m other" in w.on_terminal("logs", w.out("ps", "--all", "-q"))[1])
    p = w.ctl(*argv)
    equal((p.stdout, p.stderr), ("[1] other\n", "[0] 0 of 2\n[0] 1 of 2\n[0] 2 of 2\n"))


def several_ranks_after_a_kill(w):
    """kill -9 of ltd while all ranks write: each rank's lines come once, in order, none is torn."""
    w.ltd()
    text = ("r = os.environ['RANK']\nfor i in range(400):\n    os.write(1, f'rank {r}'.encode()); os.write(1, f' line {i}\\n'.encode())\n"
            "    if i in (100, 200): touch(f'at{i}.{r}'); wait(f'go{i}')\n")
    p = w.popen("run", "--nproc", "3", "--", PYTHON, program(w, text))
    for at in (100, 200):
        for r in range(3):
            there(w, f"at{at}.{r}")
        w.kill_daemon()
        touch(w, f"go{at}")
        w.ltd()
    out, err = p.communicate(timeout=60)
    equal(p.returncode, 0, err)
    lines = out.decode().split("\n")
    for r in range(3):
        equal([x for x in lines if x.startswith(f"[{r}]")], [f"[{r}] rank {r} line {i}" for i in range(400)])
    equal(len(lines), 1201)


def a_new_attempt_of_several_ranks(w):
    """What a rank hadn't ended is a line before its next attempt's first."""
    w.ltd()
    text = ("r, n = os.environ['RANK'], os.environ['LTD_ATTEMPT']\nos.write(1, f'attempt {n}'.encode())\ntouch(f'up{n}.{r}')\n"
            "for i in range(2): wait(f'up{n}.{i}')\n"
            "if n == '1' and r == '1': sys.exit(1)\nif n == '1': wait('never')")
    p = w.ctl("run", "--nproc", "2", "--set", "job.retries.job=1", "--", PYTHON, program(w, text))
    for r in range(2):
        equal([x for x in p.stdout.split("\n") if x.startswith(f"[{r}]")], [f"[{r}] attempt {n}" for n in (1, 2)])


def more_ranks_than_are_followed(w):
    """The first 128 are shown, and that is said."""
    w.ltd()
    job = w.out("submit", "-q", "--hold", "--nproc", "130", "--", "true")
    p = w.ctl("logs", job)
    check("has 130 ranks; these are the first 128" in p.stderr, p.stderr)
    equal(w.ctl("logs", "--rank", "129", job).stderr, "")
    w.ctl("cancel", job)


def warnings_are_said(w):
    """What the checks on the node warn of, by submit, run and resume, before the job's output; a reason to stop it is none."""
    w.ltd()
    crowd = len(os.sched_getaffinity(0)) + 1
    warning = f"warning: nproc: {crowd} ranks take turns on {crowd - 1} processor"
    argv = ["--nproc", crowd, "--", "sh", "-c", "echo here >&2"]
    p = w.ctl("run", *argv)
    check(p.stderr.lstrip().startswith(warning) and p.stderr.count("here") == crowd, p.stderr)
    p = w.ctl("submit", "--wait", *argv)
    check(warning in p.stderr, p.stderr)
    check(warning in w.ctl("resume", "--follow", p.stdout.strip()).stderr)
    check("warning" not in w.ctl("run", "--set", "job.resources.oversubscribe=true", *argv).stderr)
    check(f"warning: nproc: {crowd} ranks, but this machine has {crowd - 1} processor" in w.ctl("plan", "check", *argv).stderr)
    plan = ["plan", "check", os.path.join(SOURCE, "examples", "fashion-mlp.yaml"), "--set", f"trainer.devices={crowd}"]
    check(f"warning: trainer.devices: {crowd} ranks, but this machine has {crowd - 1} processor" in w.ctl(*plan).stderr)
    equal([x["path"] for x in w.json(*plan)["problems"]], ["trainer.devices"])
    equal(w.json(*plan, "--set", "job.resources.oversubscribe=true")["problems"], [])


def one_rank_fails(w):
    """The others are ended; the job fails with the first one's reason, and starts again with all of them."""
    w.ltd()
    text = ("r, n = os.environ['RANK'], os.environ['LTD_ATTEMPT']\ntell(f'pid{n}.{r}', os.getpid())\n"
            "if n == '2': sys.exit(0)\n"
            "for i in range(3): wait(f'pid{n}.{i}')\nif r == '1': sys.exit(9)\nwait('never')")
    job = submit(w, text, "--nproc", "3", "--set", "job.retries.job=1")
    w.wait_done(job, code=0)
    first, = [e for e in w.events(job, "attempt_ended") if e["retry"]]
    check(first["class"] == "job" and "exit code 9" in first["reason"], first)
    check(not any(alive(int(read(w.dir, f"pid1.{r}"))) for r in range(3)), "a rank of the first attempt lives")


def ranks_are_stopped_together(w):
    """Early stopping by rank 0's metric, and then `stop`: every rank gets its SIGTERM."""
    w.ltd()
    text = ("r = os.environ['RANK']\ndef term(*a):\n    touch('term' + r + os.environ['LTD_JOB']); os._exit(1)\nsignal.signal(signal.SIGTERM, term)\n"
            "touch('up' + r)\nfor i in range(3):\n    wait(f'up{i}')\n    if r == '0': metric('loss', 1, i)\nwait('never')")
    job = submit(w, text, "--nproc", "3", "--set", "early_stopping={monitor: loss, patience: 2}")
    w.wait_done(job, code=0)
    check(all(os.path.exists(os.path.join(w.dir, f"term{r}{job}")) for r in range(3)), "a rank wasn't asked")
    equal(done(w, job)["result"], "succeeded")
    job = submit(w, text, "--nproc", "3")
    wait_for(lambda: len(points(w, job)) == 3, "its metrics")
    w.ctl("stop", job)
    w.wait_done(job, code=107)
    check(all(os.path.exists(os.path.join(w.dir, f"term{r}{job}")) for r in range(3)), "a rank wasn't asked")


# Goes on where its file says; each line of output and each value belongs to one number.
COUNTS = """
rank, attempt = os.environ['RANK'], os.environ['LTD_ATTEMPT']
file = os.path.join(os.environ['LTD_RUN_DIR'], 'count.' + rank)
n = int(open(file).read()) if os.path.exists(file) else 0
while n < %d:
    os.write(1, f'{attempt} {n}\\n'.encode())  # at once: print() of an unbuffered Python writes the newline by itself
    if rank == '0': metric('count', n * n, n)
    n += 1
    open(file + '.new', 'w').write(str(n))
    os.replace(file + '.new', file)
    time.sleep(0.002)
"""


def killed_at_random(w):
    """LT_KILLS (5) times one of 3 ranks, its shim, the recorder or ltd, in as many jobs as that takes. Each job counts to
    its end; output and events are seen once by whoever follows, and each value is there once. What a recorder had just read
    when it was killed, or the last a program wrote, may be lost."""
    w.ltd()
    ranks, end = 3, 400

    def counted(job, attempt):
        try:
            return int(read(run_dir(w, job), "count.0"))
        except (OSError, ValueError):
            return 0
    kills, jobs = Kills(w, ranks, ["worker", "shim", "recorder"], counted, 60, least=5), 0
    while kills.left:
        job, jobs = submit(w, COUNTS % end, "--nproc", ranks, "--set", "job.retries.infrastructure=1000"), jobs + 1
        watchers = Watchers(w, job, ranks)
        recorders = kills.done["recorder"]
        kills.disturb(job)
        w.wait_done(job, code=0)
        events, _ = watchers.saw_everything_once(run_dir(w, job), ranks)
        attempts = len([e for e in events if e["type"] == "attempt_started"])
        for rank in range(ranks):
            lines = w.out("logs", "--rank", rank, job).splitlines()
            equal(len(set(lines)), len(lines), f"lines of rank {rank} that are there twice")
            numbers = [int(line.split()[1]) for line in lines]
            equal(sorted(set(numbers)), list(range(end)), f"what rank {rank} counted")
            check(len(numbers) < end + attempts, "only what was cut off is counted again")
            equal(read(run_dir(w, job), f"count.{rank}"), str(end).encode())
        got = points(w, job)
        equal([p for p in got if p != ("count", p[1], p[1] ** 2)], [], "values")
        equal(len({p[1] for p in got}), len(got), "values that are there twice")
        lost = end - len(got)
        check(lost == 0 or (kills.done["recorder"] > recorders or attempts > 1) and lost < end // 2, lost, "values were lost")
        with open(os.path.join(run_dir(w, job), "metrics.csv")) as f:
            steps = [int(r["step"]) for r in csv.DictReader(f)]
        equal(steps, sorted(set(steps)), "rows of metrics.csv")
        of_jobs(w, job)
    print(f"# {sum(kills.done.values())} kills in {jobs} jobs: {dict(kills.done)}", flush=True)


MPI = """
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int rank, size, sum = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d: %d\\n", rank, size, sum);
    fflush(stdout);
    while (argc > 1 && access(argv[1], F_OK) != 0)
        usleep(10000);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
"""


def mpich(w):
    """A program of MPICH's finds its ranks, and leaves by MPI_Finalize, also when ltd was away in between."""
    compiler = shutil.which("mpicc.mpich") or shutil.which("mpicc")
    if not compiler or b"MPICH" not in subprocess.run([compiler, "-show"], capture_output=True).stdout.upper():
        raise Skipped("no MPICH compiler")
    binary = os.path.join(w.dir, "ranks")
    subprocess.run([compiler, "-o", binary, w.file("ranks.c", MPI)], check=True)
    w.ltd()
    job = w.out("submit", "-q", "--nproc", "3", "--", binary)
    w.wait_done(job, code=0)
    equal([w.out("logs", job, "--rank", r) for r in range(3)], [f"rank {r} of 3: 3" for r in range(3)])
    job = w.out("submit", "-q", "--nproc", "2", "--", binary, os.path.join(w.dir, "go"))
    wait_for(lambda: [w.out("logs", job, "--rank", r) for r in range(2)] == [f"rank {r} of 2: 1" for r in range(2)], "both ranks")
    w.kill_daemon()
    touch(w, "go")
    w.ltd()
    w.wait_done(job, code=0)
    equal(w.status(job)["attempt"], 1)


# torch 2.13 leaves by abort() now and then when a rank has one processor ("terminate called without an active
# exception", under torchrun and by hand, too): _exit is before that.
GLOO = """
import os, sys, torch
import torch.distributed as dist
dist.init_process_group("gloo")
rank, n = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(8, 4)
y = x.sum(1, keepdim=True)
for step in range(5):
    optimizer.zero_grad()
    loss = ((model(x[rank::n]) - y[rank::n]) ** 2).mean()
    loss.backward()
    optimizer.step()
    if rank == 0:
        os.write(int(os.environ["LTD_METRICS_FD"]), f"LTD_METRIC loss {loss.item()} {step}\\n".encode())
print(rank, [round(p.item(), 5) for p in model.parameters().__next__().flatten()])
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)
"""


def torch_with_gloo(w):
    """A script for torchrun runs as it is: env:// finds the others, the ranks end with the same weights."""
    if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode:
        raise Skipped("no torch")
    w.ltd()
    job = w.out("submit", "-q", "--nproc", "2", "--", PYTHON, w.file("train.py", GLOO))
    w.wait_done(job, code=0)
    weights = [w.out("logs", job, "--rank", r).split(" ", 1) for r in range(2)]
    equal([x[0] for x in weights], ["0", "1"])
    equal(weights[0][1], weights[1][1])
    equal([m["step"] for m in w.jsonl("metrics", job)], list(range(5)))


run([a_program_is_a_job, where_and_with_what_it_runs, a_file_of_a_command, secrets_stay_in_their_files, what_cant_be_run_is_refused,
     gone_between_the_checks_and_the_start, retries_with_the_attempt_in_the_environment, resumed, ends_by_a_signal, stopped, a_stop_reaches_its_children, deaf_to_sigterm,
     time_limit, cancelled, forks_and_daemonises, daemonises_and_loses_its_shim, orphans_are_reaped, logs_without_end, binary_garbage, closes_everything,
     daemon_killed, metrics_of_a_command, the_example_of_the_page, metrics_again_after_a_retry, early_stopping, floods_of_metrics, metrics_on_a_full_disk, the_recorder_is_killed,
     several_ranks, output_of_several_ranks, several_ranks_on_a_terminal, several_ranks_after_a_kill, a_new_attempt_of_several_ranks,
     more_ranks_than_are_followed, warnings_are_said, one_rank_fails, killed_at_random, ranks_are_stopped_together, mpich, torch_with_gloo], make)
