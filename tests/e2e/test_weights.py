"""Weights travel with a plan: hashed, uploaded, brought to the node, trained from; and go when no job refers to them."""
import glob
import hashlib
import json
import os
import shutil
import signal
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import check, equal, make, plan, read, run, run_dir, wait_for
from test_bad_input import small

STILL = "1.0e-30"  # a learning rate that changes no bit of any weight


def blobs(w, role="coord"):
    return {os.path.basename(p): p for p in glob.glob(os.path.join(w.state, role, "blobs", "??", "*")) if "." not in os.path.basename(p)}


def address(path):
    return "sha256:" + hashlib.sha256(read(path)).hexdigest()


def first_val_loss(w, job):
    return [m["value"] for m in w.jsonl("metrics", job) if m["name"] == "val_loss"][0]


def source(w):
    """A trained model's file, and its loss."""
    job = w.submit(small(w, "source", **{"lr: 1.0e-3": "lr: 1.0e-2"}))
    equal(w.wait_done(job).returncode, 0)
    folder = os.path.join(w.dir, "source")
    w.ctl("download", job, "last", folder)
    shutil.move(os.path.join(folder, "model.safetensors"), os.path.join(w.dir, "w.safetensors"))
    return os.path.join(w.dir, "w.safetensors"), [m["value"] for m in w.jsonl("metrics", job) if m["name"] == "val_loss"][-1]


def made(w, path="w.safetensors", extra=0):
    """Weights of the small plan's first layer, with so many bytes of something else behind."""
    header = {"1.weight": {"dtype": "F32", "shape": [64, 784], "data_offsets": [0, 200704]}}
    if extra:
        header["other"] = {"dtype": "U8", "shape": [extra], "data_offsets": [200704, 200704 + extra]}
    text = json.dumps(header).encode()
    path = os.path.join(w.dir, path)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"\0" * 200704)
        f.truncate(8 + len(text) + 200704 + extra)
    return path


def starts_from(w, name, weights, **replace):
    return small(w, name, **{"model:\n": f"model:\n  weights: {weights}\n", "lr: 1.0e-3": "lr: " + STILL, **replace})


def uploaded_and_trained_from(w):
    """The client's file may go: the job has its content. The effect is the source's own loss."""
    w.ltd()
    path, loss = source(w)
    job = w.submit(starts_from(w, "child", "w.safetensors"), "--hold")
    where = address(path)
    os.unlink(path)
    w.ctl("release", job)
    equal(w.wait_done(job).returncode, 0)
    equal(first_val_loss(w, job), loss, "the loss of what was trained before")
    check(where in read(run_dir(w, job), "plan.yaml").decode(), "the plan names its content")
    check(any(e["field"] == "model.weights" and "4 of 4" in e["value"] for e in w.events(job, "resolved")), w.events(job, "resolved"))
    check(f"weights {where}: 4 of 4 tensors matched" in w.out("logs", job), "the log says so")
    child = w.out("resume", "-q", job, "--set", "trainer.max_epochs=4", "--set", "job.hold=false")
    equal(w.wait_done(child).returncode, 0)
    check(abs(w.json("test", job)["test_loss"]) > 0, "an evaluation of it runs, too")


def a_hash_is_of_the_content(w):
    a, b = made(w), made(w, "elsewhere.safetensors")
    one, two = starts_from(w, "one", a), starts_from(w, "two", b, **{"name: two": "name: one"})
    hashes = {w.out("plan", "show", "--hash", p) for p in (one, two)}
    equal(len(hashes), 1, "hashes of one content under two names")
    shown = w.ctl("plan", "show", one).stdout
    check(f'weights: "{address(a)}"' in shown, shown)
    w.file("shown.yaml", shown)
    equal(w.out("plan", "show", "--hash", os.path.join(w.dir, "shown.yaml")), hashes.pop(), "what is shown is the same plan")
    made(w, "elsewhere.safetensors", extra=1)
    check(w.out("plan", "show", "--hash", two) != w.out("plan", "show", "--hash", one), "another content is another plan")
    w.ctl("plan", "check", one)  # without a daemon, from the file itself
    p = w.ctl("plan", "check", os.path.join(w.dir, "shown.yaml"))
    check("warning" in p.stderr and "aren't checked here" in p.stderr, p.stderr)
    check(not os.path.exists(w.state), "no daemon was needed")


def the_same_file_travels_once(w):
    w.ltd()
    made(w)
    p = starts_from(w, "one", "w.safetensors")
    first = w.submit(p)
    equal(w.wait_done(first).returncode, 0)
    before = {role: {n: os.stat(f).st_ino for n, f in blobs(w, role).items()} for role in ("coord", "node")}
    equal([len(v) for v in before.values()], [1, 1], before)
    second = w.submit(p)
    equal(w.wait_done(second).returncode, 0)
    equal({role: {n: os.stat(f).st_ino for n, f in blobs(w, role).items()} for role in ("coord", "node")}, before, "the files")


def files_that_are_not_there_or_no_good(w):
    w.ltd()
    os.mkdir(os.path.join(w.dir, "folder"))
    nobody = "sha256:" + "0" * 64
    for weights, words in (("none.safetensors", "No such file"), ("folder", "is no file"), (nobody, "no such blob"),
                           ("sha256:abc", "isn't the address"), ("'node:w.safetensors'", "relative to")):
        p = w.ctl("submit", "-q", starts_from(w, "bad", weights), code=3)
        check("bad.yaml" in p.stderr or weights == nobody, p.stderr)
        check("model.weights" in p.stderr and words in p.stderr, p.stderr)
    equal(w.out("ps", "--all", "-q"), "", "jobs")
    junk = w.file("junk.safetensors", "these are no tensors")
    p = w.ctl("submit", "-q", starts_from(w, "junk", "junk.safetensors"), code=3)
    check(junk in p.stderr and "sha256:" not in p.stderr, "the file is called by its name:", p.stderr)
    check(w.status(w.out("ps", "--all", "-q"))["result"] == "refused")


def a_file_on_the_node_stays_there(w):
    w.ltd()
    path = made(w)
    job = w.submit(starts_from(w, "there", "node:" + path))
    equal(w.wait_done(job).returncode, 0)
    equal((blobs(w), blobs(w, "node")), ({}, {}), "blobs")
    check(f"weights node:{path}: 1 of 4" in w.out("logs", job), w.out("logs", job))
    os.unlink(path)
    p = w.ctl("submit", "-q", starts_from(w, "gone", "node:" + path), code=3)
    check("No such file" in p.stderr, p.stderr)


def killed_between_upload_and_submit(w):
    """kill -9 of the daemon while a client uploads, and again when the file is there: one job comes of it."""
    w.ltd()
    path = made(w, extra=64 << 20)
    coming = os.path.join(w.state, "coord", "blobs", "tmp", "*")
    client = w.popen("submit", "-q", starts_from(w, "big", "w.safetensors"), text=True)
    wait_for(lambda: glob.glob(coming) or blobs(w), "the upload to begin", pause=0)
    os.kill(client.pid, signal.SIGSTOP)
    w.kill_daemon()
    w.ltd()
    os.kill(client.pid, signal.SIGCONT)
    wait_for(lambda: blobs(w), "the upload to be over", pause=0)
    os.kill(client.pid, signal.SIGSTOP)
    w.kill_daemon()
    w.ltd()
    equal(glob.glob(coming), [], "what was left of the first upload")
    os.kill(client.pid, signal.SIGCONT)
    out, err = client.communicate(timeout=60)
    equal(client.returncode, 0, err)
    equal(w.out("ps", "--all", "-q"), out.strip(), "jobs")
    equal(list(blobs(w)), [address(path)[7:]])
    equal(w.wait_done(out.strip()).returncode, 0)


def a_damaged_copy_is_found_and_a_lost_one_fetched_again(w):
    w.ltd()
    made(w)
    p = starts_from(w, "one", "w.safetensors")
    held = w.submit(p, "--hold")
    w.kill_daemon()
    shutil.rmtree(os.path.join(w.state, "node", "blobs"))
    w.ltd()
    w.ctl("release", held)
    equal(w.wait_done(held).returncode, 0)
    (copy,), (mine,) = blobs(w).values(), blobs(w, "node").values()
    os.unlink(mine)
    with open(copy, "r+b") as f:
        f.seek(1000)
        f.write(b"\1")
    p = w.ctl("submit", "-q", starts_from(w, "two", "w.safetensors"), code=3)
    check("model.weights" in p.stderr and "damaged" in p.stderr, p.stderr)
    equal(blobs(w, "node"), {}, "what the node keeps of it")


def kept_while_a_job_refers_to_it(w):
    clock = w.file("clock", "0")
    env = {"LT_CLOCK_OFFSET_FILE": clock}
    w.ltd(env=env)
    made(w)
    p = starts_from(w, "one", "w.safetensors")
    one, two = w.submit(p), w.submit(p, "--set", "name=two")
    for job in (one, two):
        equal(w.wait_done(job).returncode, 0)
    os.unlink(os.path.join(w.dir, "w.safetensors"))

    def later(hours):
        w.kill_daemon()
        with open(clock, "w") as f:
            f.write(str(hours * 3600))
        w.ltd(env=env)
    later(2)
    w.ctl("rm", one)
    child = w.out("resume", "-q", two, "--set", "trainer.max_epochs=4")
    equal(w.wait_done(child).returncode, 0)
    w.ctl("rm", two)
    equal([len(blobs(w, r)) for r in ("coord", "node")], [1, 1], "the child needs it")
    later(4)
    equal([len(blobs(w, r)) for r in ("coord", "node")], [1, 1], "the child needs it, whatever the hour")
    w.ctl("rm", child)
    wait_for(lambda: not blobs(w) and not blobs(w, "node"), "what nobody needs to go")


if __name__ == "__main__":
    run([uploaded_and_trained_from, a_hash_is_of_the_content, the_same_file_travels_once, files_that_are_not_there_or_no_good,
         a_file_on_the_node_stays_there, killed_between_upload_and_submit, a_damaged_copy_is_found_and_a_lost_one_fetched_again,
         kept_while_a_job_refers_to_it], make)
