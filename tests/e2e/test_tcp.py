"""TCP for pipelines: addresses, tokens, and the examples of examples/ci as a runner would run them."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import Follower, SOURCE, World, check, equal, make, read, run, wait_for
from test_bad_input import small

TOKEN = "a-token-of-this-test"


def listen(w, address="127.0.0.1:0", **kwargs):
    """A daemon with TCP; returns its address and the token's file."""
    path = w.file("tokens", f"# of this test\n{TOKEN}\n")
    os.chmod(path, 0o600)
    w.ltd("--listen", address, "--token-file", path, **kwargs)
    return read(w.state, "listen").decode().strip(), path


def by_tcp(address, path):
    """Environment in which every call goes there, and to no socket."""
    return {"LTD_SERVER": address, "LTD_TOKEN_FILE": path}


def a_job_from_afar(w):
    """Everything that a pipeline does, with no other way to the daemon."""
    address, path = listen(w)
    check(f"ltd listens on {address}\n" in read(w.dir, "ltd.log").decode(), "the bound address is printed")
    check(re.fullmatch(r"127\.0\.0\.1:\d+", address) and not address.endswith(":0"), address)
    env = by_tcp(address, path)
    job = w.out("submit", "-q", small(w, "one"), env=env)
    equal(w.ctl("logs", "-f", job, env=env).returncode, 0)
    equal(w.ctl("run", small(w, "two"), "--server", address, "--token-file", path).returncode, 0)
    equal(w.json("status", job, env=env)["result"], "succeeded")
    equal(w.status(job).get("uid", 0), os.getuid(), "whom the token acts as")
    w.ctl("download", job, "last", os.path.join(w.dir, "model"), env=env)
    check("takes the token" in w.out("doctor", env=env))
    check(job in w.out("ps", "--all", "-q"), "the socket's users see it, too")


def who_gets_in(w):
    address, path = listen(w)
    wrong = w.file("wrong", TOKEN + "x\n")
    for args, code, words in (
            (["--server", address], 2, "wants a token"), (["--server", address, "--token-file", wrong], 5, "isn't one of"),
            (["--server", address, "--token-file", w.dir + "/none"], 4, "none"),
            (["--server", "10.0.0.1:7070", "--token-file", path], 2, "TLS"), (["--server", "nonsense", "--token-file", path], 2, "HOST:PORT"),
            (["--server", "127.0.0.1:1", "--token-file", path], 7, "--listen"), (["--token-file", path], 2, "--server"),
            (["--server", address, "--socket", w.socket], 2, "say one")):
        p = w.ctl("ps", *args, code=code)
        check(words in p.stderr and TOKEN not in p.stderr, args, p.stderr)
    p = w.ctl("doctor", "--server", address, "--token-file", wrong, code=1)
    check("BAD  daemon" in p.stdout, p.stdout)
    w.file("tokens", "another-one-instead\n")  # taken back while it runs
    w.ctl("ps", env=by_tcp(address, w.file("old", TOKEN + "\n")), code=5)
    w.ctl("ps", env=by_tcp(address, path))
    os.chmod(path, 0o640)
    w.ctl("ps", env=by_tcp(address, w.file("copy", "another-one-instead\n")), code=5)
    w.ctl("ps")


def how_it_is_told(w):
    """Flags that make no sense, and the same by file: nothing is ignored."""
    good = w.file("tokens", TOKEN + "\n")
    os.chmod(good, 0o600)
    open_to_all = w.file("open", TOKEN + "\n")
    os.chmod(open_to_all, 0o644)

    def fails(code, words, *args):
        p = subprocess.run([w.program("ltd"), *args], env=w.env, capture_output=True, text=True, timeout=60)
        check(p.returncode == code and words in p.stderr, args, p.returncode, p.stderr)
    fails(2, "go together", "--listen", "127.0.0.1:0")
    fails(2, "go together", "--token-file", good)
    fails(2, "coordinator's", "--role", "agent", "--coordinator", "/x", "--listen", "127.0.0.1:0", "--token-file", good)
    for address in ("0.0.0.0:7070", "[::]:0", "192.168.1.1:0", "somewhere.example:0"):
        fails(1, "TLS", "--listen", address, "--token-file", good)
    fails(1, "HOST:PORT", "--listen", "7070", "--token-file", good)
    fails(1, "chmod 600", "--listen", "127.0.0.1:0", "--token-file", open_to_all)
    fails(1, "urandom", "--listen", "127.0.0.1:0", "--token-file", w.dir + "/none")
    config = w.file("ltd.yaml", "listen: 127.0.0.1:0\ntoken_file: tokens\n")
    p = World.ltd(w, "--config", config)
    address = read(w.state, "listen").decode().strip()
    w.ctl("ps", env=by_tcp(address, good))
    fails(1, "in use", "--listen", address, "--token-file", good, "--socket", w.dir + "/other.sock", "--state-dir", w.dir + "/other")
    p.send_signal(signal.SIGTERM)
    p.wait()
    check(not os.path.exists(os.path.join(w.state, "listen")), "an address where nobody listens is not left")


def a_client_survives_kill_9(w):
    """The daemon comes back on its port; the follower sees each byte once."""
    address, path = listen(w)
    job = w.out("submit", "-q", small(w, "long", **{"max_epochs: 3": "max_epochs: 40"}), env=by_tcp(address, path))
    follower = Follower(w, "logs", "-f", job, env={**w.env, **by_tcp(address, path)}).connected()
    w.kill_daemon()
    equal(listen(w, address)[0], address)
    out = follower.end()
    equal(out, read(w.status(job)["run_dir"], "logs", "1", "0.out"), "the log's bytes")


# ---- examples/ci

def blocks(path, key):
    """The lists of commands under `key:` in a pipeline's file: one string each, with the step's `if:`."""
    with open(path) as f:
        lines = f.read().split("\n")
    found = []
    for i, line in enumerate(lines):
        m = re.match(rf"( *)(- )?{key}:\s*(.*?)\s*(#.*)?$", line)
        if not m or line.lstrip().startswith("#"):
            continue
        indent, value, body = len(m[1]), m[3], []
        for later in lines[i + 1:]:
            if later.strip() and len(later) - len(later.lstrip()) <= indent:
                break
            body.append(later.strip())
        condition = next((x.split(":", 1)[1].strip() for x in reversed(lines[max(0, i - 2):i]) if x.strip().startswith("if:")), "")
        if value and value != "|":
            found.append((condition, value))
        elif value == "|":
            found.append((condition, "\n".join(body)))
        else:
            found.append((condition, "\n".join(b[2:] if b.startswith("- ") else b for b in body if b)))
    return found


class Runner:
    """A folder with the plan, an environment, and bash -e for each step. GitLab adds pipefail, GitHub doesn't: what is tried
    here must fail without it."""

    def __init__(self, w, **env):
        self.w, self.n = w, getattr(w, "runners", 0) + 1
        w.runners = self.n
        self.dir = os.path.join(w.dir, f"checkout{self.n}")
        os.mkdir(self.dir)
        self.bin = os.path.join(w.dir, "tools")
        if not os.path.exists(self.bin):
            os.mkdir(self.bin)
            os.symlink(w.program("ltctl"), os.path.join(self.bin, "ltctl"))
        self.env = {k: v for k, v in w.env.items() if k != "XDG_RUNTIME_DIR"}  # no socket to be found
        self.env.update(PATH=self.bin + ":" + os.environ["PATH"], XDG_RUNTIME_DIR=self.dir, PLAN="plan.yaml", **env)

    def plan(self, path):
        shutil.copy(path, os.path.join(self.dir, "plan.yaml"))
        return self

    def step(self, commands):
        return subprocess.run(["bash", "-e", "-c", commands], cwd=self.dir, env=self.env, capture_output=True,
                              text=True, timeout=240)

    def json_of(self, name):
        return json.loads(read(self.dir, name))


def failing(w):
    """A plan whose loss stops being a number: exit 100."""
    return small(w, "diverges", **{"lr: 1.0e-3": "lr: 1.0e+30", "gradient_clip_val: 1.0": "gradient_clip_val: 0.0"})


def untested(w):
    """A plan that trains and has no test split: `ltctl test` is refused."""
    return small(w, "untested", **{"  test: {split: test}\n": ""})


def github_actions(w):
    address, _ = listen(w)
    path = os.path.join(SOURCE, "examples", "ci", "github-actions.yml")
    steps = blocks(path, "run")
    equal(len(steps), 5, steps)

    def pipeline(plan, cancelled_after=None):
        """Exit codes of the steps that ran; somebody cancels after so many."""
        r, status, codes = Runner(w, LTD_SERVER=address, RUNNER_TEMP=w.dir, GITHUB_RUN_ID="77", LTD_TOKEN=TOKEN), "success", []
        r.plan(plan).env["GITHUB_ENV"] = os.path.join(r.dir, "env")
        for condition, commands in steps:
            if (condition or "success()") != status + "()":
                continue
            codes.append(r.step(commands).returncode)
            if os.path.exists(r.env["GITHUB_ENV"]):
                r.env.update(line.split("=", 1) for line in read(r.env["GITHUB_ENV"]).decode().splitlines())
            status = "cancelled" if cancelled_after == len(codes) else "failure" if codes[-1] else status
        return r, codes

    r, codes = pipeline(small(w, "good"))
    equal(codes, [0, 0, 0, 0])
    check(os.path.exists(os.path.join(r.dir, "model", "model.safetensors")), "the model")
    check("test_acc" in r.json_of("test.json") and read(r.dir, "metrics.jsonl"), "figures")
    equal(w.status(r.env["JOB"])["name"], "ci-77")
    equal(os.stat(os.path.join(w.dir, "ltd-token")).st_mode & 0o777, 0o600)
    equal(pipeline(failing(w))[1], [0, 0, 100])
    equal(pipeline(untested(w))[1], [0, 0, 0, 3])
    equal(pipeline(small(w, "refused", **{"out_features: 10": "out_features: 5"}))[1], [0, 3])
    r, codes = pipeline(small(w, "long", **{"max_epochs: 3": "max_epochs: 100000"}), cancelled_after=2)
    equal(codes, [0, 0, 0])
    equal(w.wait_done(r.env["JOB"]).returncode, 103)


def gitlab_ci(w):
    address, token = listen(w)
    path = os.path.join(SOURCE, "examples", "ci", "gitlab-ci.yml")
    (_, script), = blocks(path, "script")
    (_, after), = blocks(path, "after_script")

    def pipeline(plan):
        r = Runner(w, LTD_SERVER=address, LTD_TOKEN_FILE=token, CI_PIPELINE_ID="78").plan(plan)
        code = r.step(script).returncode
        equal(r.step(after).returncode, 0, "after_script")
        return r, code

    r, code = pipeline(small(w, "good"))
    equal(code, 0)
    check(os.path.exists(os.path.join(r.dir, "model", "model.safetensors")), "the model")
    check("test_acc" in r.json_of("test.json") and read(r.dir, "metrics.jsonl"), "figures")
    equal(pipeline(failing(w))[1], 100)
    equal(pipeline(untested(w))[1], 3)
    equal(pipeline(small(w, "refused", **{"out_features: 10": "out_features: 5"}))[1], 3)
    r = Runner(w, LTD_SERVER=address, LTD_TOKEN_FILE=token, CI_PIPELINE_ID="79")
    r.plan(small(w, "long", **{"max_epochs: 3": "max_epochs: 100000"}))
    p = subprocess.Popen(["bash", "-e", "-c", script], cwd=r.dir, env=r.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True)
    wait_for(lambda: os.path.exists(os.path.join(r.dir, "job.env")) and read(r.dir, "job.env"), "the job's id")
    os.killpg(p.pid, signal.SIGTERM)  # somebody cancels the pipeline
    p.wait()
    equal(r.step(after).returncode, 0)
    equal(w.wait_done(read(r.dir, "job.env").decode().strip()[4:]).returncode, 103)


if __name__ == "__main__":
    run([a_job_from_afar, who_gets_in, how_it_is_told, a_client_survives_kill_9, github_actions, gitlab_ci], make)
