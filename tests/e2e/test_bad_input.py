"""Plans, data and bytes that can't be: exit 3, everything listed with path, reason and remedy, and no job or a REFUSED one."""
import gzip
import os
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import FASHION, check, equal, fields, make, plan, read, run

SPLITS = ("train", "t10k")


def idx(folder, n=200, label=lambda i: i % 10):
    """A small data set; returns its folder."""
    os.makedirs(folder)
    for split in SPLITS:
        with open(os.path.join(folder, split + "-images-idx3-ubyte"), "wb") as f:
            f.write(struct.pack(">IIII", 0x803, n, 28, 28) + bytes(i * 31 % 251 for i in range(784)) * n)
        with open(os.path.join(folder, split + "-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">II", 0x801, n) + bytes(label(i) for i in range(n)))
    return folder


def small(w, name, **replace):
    """The plan of the other tests over 200 samples of ours."""
    folder = os.path.join(w.dir, "data-good")
    if not os.path.isdir(folder):
        idx(folder)
    return plan(w, name, samples=150, **{"[59000, 60000]": "[150, 200]", **replace, FASHION: replace.pop(FASHION, folder)})


def problems(p):
    """(path, the rest) of what was said."""
    found = re.findall(r"^[^\n:]+\.yaml:(?:\d+:\d+:)? (?!warning)(?:([A-Za-z_][\w.\[\]]*): )?(.*)$", p.stderr, re.M)
    check(found, "no problem in", p.stderr)
    return found


def refused(w, path, expected, job=True, here=True):
    """`plan check` and `submit` both exit 3 and list exactly what is expected, (path, words, …) each.

    job: a REFUSED one stays. here: `plan check` sees it, too (it knows nothing of nodes)."""
    before = set(w.out("ps", "--all", "-q").split())
    w.ctl("plan", "check", path, code=3 if here else 0)
    p = w.ctl("submit", "-q", path, code=3)
    equal(p.stdout, "", "what -q prints of a refused plan")
    found = problems(p)
    check(len(found) == len(expected), f"{len(found)} problems instead of {len(expected)}:", p.stderr)
    for (where, text), (path_, *words) in zip(sorted(found), sorted(expected)):
        equal(where, path_, p.stderr)
        for word in words:
            check(word in text, f"no `{word}` in:", text)
        check("; " in text, "no remedy in:", text)
    new = set(w.out("ps", "--all", "-q").split()) - before
    equal(len(new), int(job), f"jobs made of {path}")
    check(not set(w.out("ps", "-q").split()) & new, "a refused job is hidden from plain ps")
    for j in new:
        equal((w.status(j)["state"], w.status(j)["result"]), ("done", "refused"), "state")
        equal(len(w.events(j, "refused")[0]["problems"]), len(expected), "problems of the event")
        equal(w.ctl("logs", "-f", j, code=None).returncode, 3, "logs -f of a refused job")
        equal(w.wait_done(j).returncode, 3, "watch of a refused job")


# ---- level 1: never submitted

def every_kind_of_wrong_field_at_once(w):
    w.ltd()
    refused(w, small(w, "wrong", **{
        "seed: 7": "seed: seven", "batch_size: 8": "batch_size: 0", "save_top_k": "save_topk", "lr: 1.0e-3": "lr: -1",
        "loss: cross_entropy": "loss: cross_entopy", "p: 0.2": "p: 1.5", "interval: epoch": "interval: era",
    }), [
        ("seed", "number"), ("data.batch_size", "0 is out of range", "from 1 to"),
        ("callbacks[0].model_checkpoint.save_topk", "unknown field of model_checkpoint", "did you mean `save_top_k`?"),
        ("optimizer.adam.lr", "out of range"), ("step.loss", "cross_entopy", "did you mean `cross_entropy`?"),
        ("model.layers[3].dropout.p", "out of range"), ("lr_scheduler.cosine_annealing.interval", "era", "step"),
        ("callbacks[1].learning_rate_monitor.logging_interval", "era", "step"),
    ], job=False)


def monitors_and_templates_name_metrics(w):
    w.ltd()
    refused(w, small(w, "monitor", **{"monitor: val_loss,": 'monitor: val_los, filename: "m-{epoch}-{val_accc:.2f}",'}), [
        ("callbacks[0].model_checkpoint.monitor", "`val_los`", "did you mean `val_loss`?"),
        ("callbacks[0].model_checkpoint.filename", "`val_accc`", "did you mean `val_acc`?"),
    ], job=False)


def contradictory_limits(w):
    w.ltd()
    refused(w, small(w, "limits", **{"max_epochs: 3,": "max_epochs: 3, min_epochs: 5, max_steps: 10, min_steps: 20,"}), [
        ("trainer.min_epochs", "5", "max_epochs 3"), ("trainer.min_steps", "20", "max_steps 10"),
    ], job=False)


def texts_out_of_all_bounds(w):
    """Length, depth, number and encoding: a short answer, and a quick one."""
    w.ltd()
    good = open(small(w, "bounds")).read()
    layer = "    - relu\n"
    check(good.count(layer) == 1, good)
    for what, text, expected in [
        ("a million layers", good.replace(layer, layer * 10**6), ("model.layers", "100000", "repeat")),
        ("a million repeats", good.replace(layer, "    - repeat: {times: 1000000, layers: [relu]}\n"), ("model.layers", "10000")),
        ("repeats of repeats", good.replace(layer, "    - " + "repeat: {times: 1000, layers: [{" * 6 + "relu: {}" + "}]}" * 6 + "\n"),
         ("model.layers", "10000")),
        ("a huge string", good.replace("name: bounds", f"name: \"{'x' * 5_000_000}\""), ("name", "5000000 bytes", "65536")),
        ("deep lists", good + "x: " + "[" * 100_000 + "]" * 100_000, ("", "deeper than")),
        ("deep layers", good.replace(layer, "    - " + "sequential: {layers: [{" * 200 + "relu: {}" + "}]}" * 200 + "\n"),
         ("", "deeper than")),
        ("invalid UTF-8", good.encode().replace(b"name: bounds", b"name: b\xff\xfeunds"), ("", "UTF-8", "0xff")),
        ("a NUL byte", good.encode().replace(b"name: bounds", b"name: b\0unds"), ("", "NUL")),
        ("nothing", "", ("", "empty")),
        ("an alias bomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", ("a", "anchor")),
        ("a key twice", good + "seed: 8\n", ("seed", "twice")),
    ]:
        path = os.path.join(w.dir, "bounds.yaml")
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        p = w.ctl("submit", path, code=3)
        found = problems(p)
        check(any(where == expected[0] and all(word in text for word in expected[1:]) for where, text in found), what, p.stderr[:2000])
        check(all("; " in text for _, text in found), what, "has no remedy:", p.stderr[:2000])
        check(len(p.stderr) < 4000, what, "gets a long answer:", len(p.stderr))
    with open(path, "wb") as f:  # 4 GiB, mostly holes
        f.write(good.encode() + b'# "')
        f.truncate(4 << 30)
    check("16777216" in w.ctl("submit", path, code=3).stderr)
    equal(w.out("ps", "--all", "-q"), "", "jobs")


def what_is_named_must_exist(w):
    w.ltd()
    for verb in (["run"], ["submit"], ["plan", "check"], ["plan", "show"]):
        check("no such file" in w.ctl(*verb, os.path.join(w.dir, "none.yaml"), code=4).stderr, verb)
    check("director" in w.ctl("submit", w.dir, code=3).stderr)
    for verb in ("status", "cancel", "stop", "logs", "events", "metrics", "checkpoints", "explain", "resume", "test", "release", "rm"):
        check("none" in w.ctl(verb, "none", code=4).stderr, verb)


# ---- levels 2 and 3: a REFUSED job

def data_and_weights_that_are_not_there(w):
    w.ltd()
    refused(w, small(w, "nowhere", **{FASHION: "/nowhere/data"}), [("data.source.idx.dir", "/nowhere/data", "no such folder")])
    refused(w, small(w, "weights", **{"model:\n": "model:\n  weights: none.safetensors\n"}), [
        ("model.weights", os.path.join(w.dir, "none.safetensors"), "No such file")], job=False)
    w.file("junk.safetensors", "these are no tensors")
    refused(w, small(w, "junk", **{"model:\n": "model:\n  weights: junk.safetensors\n"}), [("model.weights", "junk.safetensors")])


def shapes_that_do_not_fit(w):
    w.ltd()
    refused(w, small(w, "shapes", **{"    - flatten\n": "    - conv2d: {out_channels: 4, kernel_size: 3}\n    - relu\n"
                                     "    - conv2d: {out_channels: 8, kernel_size: 3, groups: 8}\n    - flatten\n"}), [
        ("model.layers[2].conv2d", "groups", "4")])
    refused(w, small(w, "kernel", **{"    - flatten\n": "    - conv2d: {out_channels: 4, kernel_size: 3}\n    - relu\n"
                                     "    - max_pool2d: {kernel_size: 99}\n    - flatten\n"}), [
        ("model.layers[2].max_pool2d", "99x99", "26x26")])


def labels_beyond_the_classes(w):
    w.ltd()
    folder = idx(os.path.join(w.dir, "labels"), label=lambda i: 12 if i in (5, 17) else i % 10)
    p = w.ctl("submit", small(w, "labels", **{FASHION: folder}), code=3)
    check(any(where == "data.source" and "sample 5 has label 12" in text for where, text in problems(p)), p.stderr)
    check(any(where.startswith("step.loss") and "n, 10" in text for where, text in problems(p)), p.stderr)
    job, = w.out("ps", "--all", "-q").split()
    equal(w.status(job)["result"], "refused")


def damaged_files(w):
    w.ltd()
    folder = idx(os.path.join(w.dir, "gz"))
    for split in SPLITS:
        path = os.path.join(folder, split + "-images-idx3-ubyte")
        data = bytearray(gzip.compress(read(path)))
        data[len(data) // 2] ^= 0xff
        with open(path + ".gz", "wb") as f:
            f.write(data)
        os.unlink(path)
    refused(w, small(w, "gz", **{FASHION: folder}), [
        ("data.source.idx.dir", split + "-images-idx3-ubyte.gz", "damaged gzip", "undamaged copy") for split in SPLITS])

    folder = idx(os.path.join(w.dir, "short"))
    for split in SPLITS:
        os.truncate(os.path.join(folder, split + "-images-idx3-ubyte"), 16 + 784 * 199 + 5)
    refused(w, small(w, "short", **{FASHION: folder}), [
        ("data.source.idx.dir", split + "-images-idx3-ubyte", "truncated", str(784 * 200), str(784 * 199 + 5)) for split in SPLITS])

    folder = idx(os.path.join(w.dir, "counts"))
    for split in SPLITS:
        with open(os.path.join(folder, split + "-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">II", 0x801, 7) + bytes(7))
    refused(w, small(w, "counts", **{FASHION: folder}), [
        ("data.source.idx.dir", split, "200", "7") for split in SPLITS])
    refused(w, small(w, "range", **{"[0, 150]": "[0, 201]", "[150, 200]": "[199, 202]"}), [
        ("data.train.range", "[0, 201]", "200 samples"), ("data.val.range", "[199, 202]", "200 samples")])


def more_than_the_node_has(w):
    w.ltd()
    refused(w, small(w, "memory", **{"out_features: 64": "out_features: 30000000"}), [
        ("data.batch_size", "training needs", "GiB", "the machine has", "node with more memory")])
    refused(w, small(w, "reserve", **{"every_n_steps: 1100}": "every_n_steps: 1100}, resources: {memory: 900TiB}"}), [
        ("job.resources.memory", "900", "has")], here=False)
    refused(w, small(w, "cpus", **{"every_n_steps: 1100}": "every_n_steps: 1100}, resources: {cpus: 4000}"}), [
        ("job.resources.cpus", "4000", "has")], here=False)


# ---- bytes

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def sub(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(value)


def look(w, data):
    """lt-worker --plan-only: (path, reason, remedy) of every problem; it always answers."""
    p = subprocess.run([w.program("lt-worker"), "--plan-only"], input=data, capture_output=True, env=w.env, timeout=60)
    equal(p.returncode, 0, p.stderr)
    got = [dict(fields(value)) for key, value in fields(p.stdout) if key == 2]
    return [tuple(g.get(k, b"").decode() for k in (1, 4, 5)) for g in got if g.get(6, 0) == 0]


def wire_bytes(w):
    """What no text can say, only a program's bytes: each is answered with a reason, by the checker and within its bounds."""
    w.ltd()
    job = w.submit(small(w, "wire"))
    equal(w.wait_done(job).returncode, 0)
    good = read(w.status(job)["run_dir"], "plan.pb")
    equal(look(w, good), [], "the plan as submitted")
    relu = sub(1, sub(3, b""))
    deep = sub(3, b"")
    for _ in range(5000):
        deep = sub(16, sub(1, deep))
    for what, extra, path, word in [
        ("an unknown enum", sub(9, number(21, 77)), "trainer.on_nonfinite", "77"),
        ("an unknown field", number(99, 1), "", "99"),
        ("an unknown field below", sub(9, sub(4000, b"abc")), "trainer", "4000"),
        ("invalid UTF-8", sub(1, b"na\xff\xfeme"), "name", "UTF-8"),
        ("a NUL in a string", sub(1, b"na\0me"), "", "NUL"),
        ("a million layers", sub(3, relu * 10**6), "", "fields"),
        ("a hundred thousand layers", sub(3, relu * 10**5), "model.layers", "10000"),
        ("a huge string", sub(1, b"x" * 5_000_000), "name", "65536"),
        ("deep nesting", sub(3, sub(1, deep)), "", "deep"),
        ("a wrong wire type", sub(9, sub(21, b"x")), "", "wire type"),
        ("a length beyond the end", b"\x0a\xff\xff\xff\xff\x0f", "", ""),
        ("half a varint", b"\xff", "", ""),
        ("a batch size beyond 64 bits", sub(4, b"\x30" + b"\xff" * 10), "", ""),
    ]:
        found = look(w, good + sub(1, extra))
        check(any(path in p and word in reason and reason for p, reason, _ in found), what, found[:5])
    check(look(w, b""), "nothing at all is no plan")
    check(look(w, bytes(range(256)) * 100), "junk is no plan")
    for at in range(0, len(good), 7):
        look(w, good[:at])
        check(True)


if __name__ == "__main__":
    run([every_kind_of_wrong_field_at_once, monitors_and_templates_name_metrics, contradictory_limits, texts_out_of_all_bounds,
         what_is_named_must_exist, data_and_weights_that_are_not_there, shapes_that_do_not_fit, labels_beyond_the_classes, damaged_files,
         more_than_the_node_has, wire_bytes], make)
