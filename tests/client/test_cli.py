"""ltctl against a real ltd, with a worker that follows a script (tests/node/fake_worker.c: the plan's name)."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import BUILD, SOURCE, World, alive, check, equal, run, wait_for

PLAN = """name: {name}
model:
  layers:
    - flatten
    - linear: {{out_features: 10}}
data:
  source: {{idx: {{dir: /nowhere}}}}
  train: {{split: train}}
  batch_size: 32
step: {{loss: cross_entropy}}
optimizer: {{adam: {{lr: 1.0e-3}}}}
trainer: {{max_epochs: 1}}
"""


def make():
    return World(worker=os.path.join(BUILD, "tests", "node", "fake_worker"))


def plan(w, script):
    return w.file(script.replace(" ", "-") + ".yaml", PLAN.format(name=script))


def run_log(w, job, stream="out"):
    with open(os.path.join(w.runs, job, "logs", "1", f"0.{stream}"), "rb") as f:
        return f.read()


# ---- what needs no daemon

def usage_errors_exit_2_and_suggest(w):
    for args, expected in [
        (["submot"], "did you mean `submit`"), (["ps", "--al"], "did you mean --all"), (["ps", "-o", "xml"], "table|json|jsonl|yaml"),
        (["logs"], "too few arguments"), (["status", "a", "b"], "one argument too many"), (["logs", "--rank", "x", "j"], "whole number or all"),
        (["run", "--rank", "-1", "--", "true"], "whole number or all"), (["resume", "--rank", "1", "j"], "add --follow"),
        (["watch", "--timeout", "soon", "j"], "such as 90s"), (["run", "--set"], "needs a value"), (["help", "nonsense"], "no verb"),
        (["run", "python", "a.py"], "behind `--`: ltctl run -- python a.py"), (["submit", "a.py", "--lr", "1"], "behind `--`: ltctl submit -- a.py --lr"),
        (["run", "mpi", "-x"], "behind `--`: ltctl run -- mpi -x"), (["run", "a.yaml", "--lr", "1"], "unknown option --lr; `ltctl help run`"),
        (["plan"], "plan check"), (["completion", "ksh"], "bash, zsh and fish"),
    ]:
        p = w.ctl(*args, code=2)
        check(expected in p.stderr, args, p.stderr)
        equal(p.stdout, "", args)
    equal(w.ctl(code=2).stdout, "")


def nothing_reachable_exits_7_and_says_what_to_do(w):
    p = w.ctl("ps", code=7)
    check("ltctl ps: no daemon" in p.stderr and "`ltctl run`" in p.stderr, p.stderr)
    check("--socket" in w.ctl("ps", "--socket", "/dev/null", code=7).stderr)


def every_problem_of_a_plan_with_its_place(w):
    text = PLAN.format(name="x").replace("batch_size: 32", "batch_size: 0").replace("lr:", "lrr:").replace("flatten", "flaten")
    path = w.file("bad.yaml", text)
    for verb in (["run"], ["submit"], ["submit", "-q"], ["plan", "check"], ["plan", "show"]):
        p = w.ctl(*verb, path, code=3)
        equal(p.stdout, "", verb)
        check(re.search(rf"{re.escape(path)}:4:\d+: .*flaten.*did you mean `flatten`", p.stderr), p.stderr)
        check(re.search(r":11:\d+: .*lrr", p.stderr), p.stderr)
        check("batch_size" in p.stderr, p.stderr)
    w.ctl("submit", os.path.join(w.dir, "none.yaml"), code=4)
    check(not os.path.exists(w.socket), "a daemon was started for a plan that can't be")


def a_program_that_is_taken_for_a_plan(w):
    path = w.file("train.py", "import sys\nfor x in sys.argv: print(x)\n")
    p = w.ctl("run", path, code=3)
    check(f"is no plan; a program stands behind `--`: ltctl run -- {path}" in p.stderr, p.stderr)


def plan_show_keeps_the_hash(w):
    path = plan(w, "x")
    shown = w.file("shown.yaml", w.out("plan", "show", path))
    check("max_steps: -1" in w.out("plan", "show", path), "defaults are filled in")
    equal(w.out("plan", "show", "--hash", shown), w.out("plan", "show", "--hash", path))
    as_json = w.file("shown.json", w.out("plan", "show", "-o", "json", path))
    equal(json.load(open(as_json))["name"], "x")
    equal(w.out("plan", "show", "--hash", as_json), w.out("plan", "show", "--hash", path))
    check(w.out("plan", "show", "--hash", "--set", "seed=3", path) != w.out("plan", "show", "--hash", path))
    equal(w.out("plan", "show", "--hash", "-", stdin=open(path).read(), cwd=w.dir), w.out("plan", "show", "--hash", path))


def plan_check_shows_the_workers_answer(w):
    check("memory" in w.out("plan", "check", plan(w, "good")))
    check(w.json("plan", "check", plan(w, "good"))["memory_bytes"] > 0)
    p = w.ctl("plan", "check", plan(w, "bad"), code=3)
    check("model.layers[3]: shapes don't fit" in p.stderr, p.stderr)
    check("signal 9" in w.ctl("plan", "check", plan(w, "crash"), code=1).stderr)


def docs_are_current(w):
    with open(os.path.join(SOURCE, "docs", "cli.md")) as f:
        equal(w.ctl("help", "--markdown").stdout, f.read(), "docs/cli.md (make it anew: ltctl help --markdown > docs/cli.md)")


def every_verb_has_a_page(w):
    overview = w.out("help")
    names = re.findall(r"^  (\S+(?: \S+)?)  +\S", overview, re.M)
    check(len(names) >= 25, names)
    for name in names:
        page = w.out("help", *name.split())
        check(page.startswith(f"usage: ltctl {name}"), page)
        equal(w.out(*name.split(), "--help"), page, name)


def completion_scripts_are_shell(w):
    for shell in ("bash", "zsh"):
        subprocess.run(["bash", "-n"], input=w.out("completion", shell), text=True, check=True)
    check("submit" in w.out("completion", "fish"))
    script = w.out("completion", "bash") + '\nCOMP_WORDS=(ltctl su); COMP_CWORD=1; _ltctl; echo "${COMPREPLY[*]}"'
    equal(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip(), "submit")


# ---- with a daemon

def run_writes_exactly_the_files_bytes(w):
    w.ltd()
    p = w.ctl("run", plan(w, "print finish"))
    equal((p.stdout, p.stderr), ("hello\n", "oops\n"))
    job = w.out("ps", "--all", "-q")
    p = w.ctl("logs", job)
    equal((p.stdout, p.stderr), ("hello\n", "oops\n"))
    equal(w.ctl("logs", "--tail", 0, job).stdout, "")


def exit_codes_follow_the_job(w):
    w.ltd()
    w.ctl("run", plan(w, "finish"), code=0)
    p = w.ctl("run", plan(w, "fail"), code=100)
    check("class data: label out of range" in p.stderr and "ltctl events" in p.stderr, p.stderr)
    job = w.submit(plan(w, "step wait"))
    w.wait_state(job, "running")
    w.ctl("submit", "--wait", "--timeout", "0.2s", plan(w, "hang"), code=9)
    w.ctl("stop", job)
    w.ctl("watch", job, code=107)
    w.ctl("logs", "-f", job, code=107)
    job = w.submit(plan(w, "wait"), "--set", "job.resources.oversubscribe=true")
    for other in w.out("ps", "-q").split():
        w.ctl("cancel", other)
    w.ctl("watch", job, code=103)


def infrastructure_failure_exits_106(w):
    w.ltd()
    job = w.submit(plan(w, "hang"), "--set", "job.retries.infrastructure=0")
    w.wait_state(job, "running")
    os.kill(w.worker(job)[0], signal.SIGKILL)
    w.ctl("watch", job, code=106)


def refused_jobs_hide(w):
    w.ltd()
    for verb in ("submit", "run"):
        p = w.ctl(verb, plan(w, "bad"), code=3)
        check("bad.yaml" in p.stderr and "model.layers[3]: shapes don't fit" in p.stderr, p.stderr)
    equal(w.ctl("submit", "-q", plan(w, "bad"), code=3).stdout, "")
    equal(w.out("ps", "-q"), "")
    job = w.out("ps", "--all", "-q").split()[0]
    w.ctl("logs", "-f", job, code=3)
    s = w.status(job)
    equal((s["state"], s["result"]), ("done", "refused"))
    equal(s["problems"][0]["path"], "model.layers[3]")


def what_does_not_exist_exits_4(w):
    w.ltd()
    for verb in ("status", "logs", "cancel", "stop", "watch", "events", "metrics", "checkpoints", "explain", "release", "resume", "rm", "test"):
        p = w.ctl(verb, "nosuchjob", code=4)
        check("nosuchjob" in p.stderr and p.stderr.startswith(f"ltctl {verb}: "), p.stderr)
    job = w.submit(plan(w, "finish"), "--wait")
    w.ctl("download", job, "best", os.path.join(w.dir, "x"), code=4)
    w.ctl("metrics", "--plot", "nothing", job, code=4)


def status_has_the_promised_fields(w):
    w.ltd()
    job = w.submit(plan(w, "step step step wait"))
    s = wait_for(lambda: (lambda s: s["step"] == 3 and s)(w.status(job)), "three steps")
    for key in ("id", "name", "state", "result", "attempt", "generation", "epoch", "step", "best", "run_dir", "ranks"):
        check(key in s, key)
    equal(s["run_dir"], os.path.join(w.runs, job))
    equal(s["ranks"][0]["pid"], w.worker(job)[0])
    for key in ("rank", "node", "pid", "state", "phase", "step", "step_ms", "memory"):
        check(key in s["ranks"][0], key)
    check(w.status(job[:5])["id"] == job, "a beginning is enough")
    w.ctl("cancel", job)
    w.ctl("watch", job, code=103)
    equal(w.status(job)["step"], 3, "an ended job keeps its values")


def every_form_of_output(w):
    w.ltd()
    job = w.submit(plan(w, "step finish"), "--wait")
    for args in (["ps", "--all"], ["status", job], ["events", job], ["metrics", job], ["checkpoints", job], ["nodes"], ["top", "--all"]):
        check(w.out(*args), args)
        equal(json.loads(w.out(*args, "-o", "json"))["version"], 1, args)
        check(w.out(*args, "-o", "yaml").startswith("version: 1"), args)
        for line in w.out(*args, "-o", "jsonl").splitlines():
            json.loads(line)
    types = [e["type"] for e in w.events(job)]
    equal(types[0], "submitted")
    equal(types[-1], "done")
    check(types.index("attempt_started") < types.index("rank_exited"), types)


def hold_and_release(w):
    w.ltd()
    job = w.submit(plan(w, "finish"), "--hold")
    equal(w.status(job)["state"], "held(user)")
    check("release" in w.out("explain", job), w.out("explain", job))
    w.ctl("release", job)
    w.ctl("watch", job, code=0)
    w.ctl("rm", job)
    w.ctl("status", job, code=4)


def one_waits_for_the_others_cores(w):
    w.ltd()
    first = w.submit(plan(w, "wait"))
    second = w.submit(plan(w, "finish"))
    equal(w.status(second)["state"], "queued")
    check("processor" in w.out("explain", second) and first in w.out("explain", second), w.out("explain", second))
    w.ctl("stop", first)
    w.ctl("watch", second, code=0)


# ---- embedded daemon, lost daemon

def run_starts_a_daemon_and_says_so(w):
    p = w.ctl("run", plan(w, "print finish"))
    equal(p.stdout, "hello\n")
    check("started a daemon for you" in p.stderr, p.stderr)
    equal(len(w.out("ps", "--all", "-q").split()), 1)


def an_embedded_one_comes_back_for_any_verb(w):
    job = w.ctl("run", plan(w, "print finish")) and w.out("ps", "--all", "-q").strip()
    w.kill_daemon()
    p = w.ctl("logs", job)
    equal(p.stdout, "hello\n")
    check("started a daemon for you" in p.stderr, p.stderr)
    w.kill_daemon()
    by_hand = w.ltd(wait=False)
    wait_for(lambda: not os.path.exists(os.path.join(w.state, "embedded")), "the mark to be removed")
    by_hand.terminate()  # who ends it wants none
    wait_for(lambda: w.ctl("ps", code=None).returncode == 7, "nobody to answer")


def ltd_socket_is_where_it_listens(w):
    socket = os.path.join(w.dir, "own.sock")
    w.ctl("run", plan(w, "finish"), env={"LTD_SOCKET": socket})
    check(os.path.exists(socket) and not os.path.exists(w.socket))
    equal(len(w.out("ps", "--all", "-q", "--socket", socket).split()), 1)


def following_survives_kill_9_of_ltd(w):
    f = w.popen("run", plan(w, "lines"))
    job = wait_for(lambda: w.ctl("ps", "-q", code=None).stdout.strip(), "the job")
    w.wait_state(job, "running")
    worker = w.worker(job)
    for _ in range(3):
        at = len(run_log(w, job))
        wait_for(lambda: len(run_log(w, job)) > at + 500, "more lines")
        w.kill_daemon()
        check(alive(worker), "the worker died with the daemon")
    wait_for(lambda: w.ctl("ps", "-q", code=None).stdout.strip() == job, "the daemon to be back")
    equal(w.worker(job), worker, "another worker")
    w.ctl("stop", job)
    out, _ = f.communicate(timeout=60)
    equal(f.returncode, 107)
    equal(out, run_log(w, job), "bytes of the follower and of the file")
    lines = out.split(b"\n")
    equal(lines[:-1], [b"line %d" % i for i in range(len(lines) - 1)])
    equal([e["type"] for e in w.events(job)].count("attempt_started"), 1)


def ctrl_c_detaches(w):
    w.ltd()
    f = w.popen("run", plan(w, "lines"))
    f.stdout.readline()
    f.send_signal(signal.SIGINT)
    _, err = f.communicate(timeout=60)
    equal(f.returncode, 130)
    job = w.out("ps", "-q")
    check(f"ltctl logs -f {job}".encode() in err and f"ltctl cancel {job}".encode() in err, err)
    w.wait_state(job, "running")


def ctrl_c_cancels_when_asked_to(w):
    w.ltd()
    f = w.popen("run", "--on-interrupt=cancel", plan(w, "lines"))
    f.stdout.readline()
    f.send_signal(signal.SIGINT)
    f.communicate(timeout=60)
    equal(f.returncode, 103)


def progress_on_a_terminal_only(w):
    w.ltd()
    p = plan(w, "print step step finish")
    code, shown = w.on_terminal("run", p)
    equal(code, 0, shown)
    check("\033[K" in shown and "hello\r\n" in shown, repr(shown))
    code, shown = w.on_terminal("run", p, env={"TERM": "dumb"})
    check("\033" not in shown, repr(shown))
    code, shown = w.on_terminal("run", p, env={"NO_COLOR": "1"})
    check("\033[32m" not in shown, repr(shown))
    q = w.ctl("run", p)
    check("\033" not in q.stdout + q.stderr)


def a_reader_that_goes_away_ends_quietly(w):
    w.ltd()
    f = w.popen("run", plan(w, "lines"))
    f.stdout.readline()
    f.stdout.close()
    _, err = f.stderr.read(), f.wait(timeout=60)
    equal(f.returncode, -signal.SIGPIPE)
    w.wait_state(w.out("ps", "-q"), "running")


def second_daemon_is_refused(w):
    first = w.ltd()
    second = w.ltd(wait=False)
    equal(second.wait(timeout=60), 1)
    check(str(first.pid) in w.log(), w.log())
    w.ctl("ps")


if __name__ == "__main__":
    run([usage_errors_exit_2_and_suggest, nothing_reachable_exits_7_and_says_what_to_do, every_problem_of_a_plan_with_its_place, a_program_that_is_taken_for_a_plan,
         plan_show_keeps_the_hash, plan_check_shows_the_workers_answer, docs_are_current, every_verb_has_a_page,
         completion_scripts_are_shell, run_writes_exactly_the_files_bytes, exit_codes_follow_the_job,
         infrastructure_failure_exits_106, refused_jobs_hide, what_does_not_exist_exits_4, status_has_the_promised_fields,
         every_form_of_output, hold_and_release, one_waits_for_the_others_cores, run_starts_a_daemon_and_says_so, an_embedded_one_comes_back_for_any_verb,
         ltd_socket_is_where_it_listens, following_survives_kill_9_of_ltd, ctrl_c_detaches, ctrl_c_cancels_when_asked_to,
         progress_on_a_terminal_only, a_reader_that_goes_away_ends_quietly, second_daemon_is_refused], make=make)
