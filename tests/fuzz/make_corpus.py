#!/usr/bin/env python3
"""Writes the hand-made part of corpus/: small valid inputs and their nasty relatives.

Run from anywhere, with a build in build/ (or $LT_BUILD_ROOT) for the plans' encodings; files found by fuzzing lie beside these under other names and are left alone.
"""
import os
import pathlib
import random
import struct
import subprocess

root = pathlib.Path(__file__).resolve().parents[2]
build = pathlib.Path(os.environ.get("LT_BUILD_ROOT", root / "build"))
here = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    folder = here / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(payload):
    length = struct.pack("<I", len(payload))
    return length + struct.pack("<I", crc32c(length + payload)) + payload


def pmi():
    head = b"job=j attempt=1 generation=1 rank=1 seq="
    hello = b"ltpmi1 hello " + head + b"0 world=3 puts=1\n"
    put("pmi", "empty", b"")
    put("pmi", "lines", hello + b"ltpmi1 put " + head + b"1 key=k value=a=b\nltpmi1 get " + head + b"2 key=k\n"
        b"ltpmi1 barrier " + head + b"1\n")
    put("pmi", "init", b"cmd=init pmi_version=1 pmi_subversion=1\ncmd=get_maxes\ncmd=get_appnum\ncmd=get_my_kvsname\n" * 2)
    put("pmi", "put-get", b"cmd=put kvsname=x key=k value=v\ncmd=get kvsname=x key=PMI_process_mapping\ncmd=get kvsname=x key=k\n")
    put("pmi", "no-equals", b"hello\n" * 3)
    put("pmi", "no-newline", b"cmd=" + b"x" * 9000)
    put("pmi", "many-words", b"cmd=put " + b"a=b " * 40 + b"\n")
    put("pmi", "long-value", b"cmd=put key=k value=" + b"v" * 2000 + b"\n")
    put("pmi", "numbers", b"ltpmi1 hello job=j attempt=-1 generation=99999999999999999999 rank=1 seq=1 world=0 puts=0\n")


def env_file():
    put("env_file", "lines", "# a comment\n\nexport A=1\n  B=two words\nC=\nD=a=b\n")
    put("env_file", "empty", "")
    put("env_file", "no-equals", "A\n")
    put("env_file", "no-name", "=x\n")
    put("env_file", "bad-name", "A-B=1\n")
    put("env_file", "ours", "RANK=1\n")
    put("env_file", "nul", b"A=1\0\nB=2\n")
    put("env_file", "no-newline", "A=" + "x" * 5000)
    put("env_file", "crlf", "A=1\r\nB=2\r\n")


def token():
    put("token", "two", "# old\n" + "a" * 16 + "\n\n" + "b" * 512 + "\n")
    put("token", "empty", "")
    put("token", "comments", "# none\n\n")
    put("token", "short", "a" * 15 + "\n")
    put("token", "long", "a" * 513 + "\n")
    put("token", "space", "aaaaaaaa aaaaaaaaa\n")
    put("token", "crlf", "a" * 20 + "\r\n" + "b" * 20 + "\r")
    put("token", "bad-second", "a" * 20 + "\nshort\n")
    put("token", "nul", b"a" * 20 + b"\0" + b"a" * 20)


def journal():
    head = b"LTJ1" + struct.pack("<I", 1)
    good = head + record(b"one") + record(b"") + record(b"three" * 20)
    put("journal", "empty", b"")
    put("journal", "header", head)
    put("journal", "half-header", head[:5])
    put("journal", "version-2", b"LTJ1" + struct.pack("<I", 2) + record(b"x"))
    put("journal", "good", good)
    put("journal", "torn-length", good + b"\x05\x00")
    put("journal", "torn-payload", good + record(b"lost")[:-1])
    put("journal", "bad-crc-last", good[:-1] + b"?")
    put("journal", "bad-crc-middle", head + record(b"one")[:-1] + b"?" + record(b"two"))
    put("journal", "length-max", head + b"\xff\xff\xff\xff" + bytes(20))
    put("journal", "length-just-over", head + struct.pack("<I", (4 << 20) + 1) + bytes(20))
    put("journal", "zeros-behind", good + bytes(5000))
    put("journal", "zeros-then-record", good + bytes(64) + record(b"x"))
    put("journal", "all-zero", bytes(8))


def idx():
    def file(kind, dims, data):
        return bytes([0, 0, kind, len(dims)]) + b"".join(struct.pack(">I", d) for d in dims) + data

    put("idx", "labels", file(8, [4], bytes([0, 1, 2, 9])))
    put("idx", "images", file(8, [2, 3, 3], bytes(range(18))))
    put("idx", "four-dims", file(8, [1, 2, 2, 3], bytes(12)))
    put("idx", "empty", b"")
    put("idx", "no-samples", file(8, [0, 28, 28], b""))
    put("idx", "truncated", file(8, [2, 3, 3], bytes(17)))
    put("idx", "too-long", file(8, [2, 3, 3], bytes(19)))
    put("idx", "half-header", file(8, [2, 3, 3], b"")[:9])
    put("idx", "float", file(13, [2], bytes(8)))
    put("idx", "no-dims", file(8, [], b""))
    put("idx", "too-many-dims", file(8, [1] * 255, bytes(1)))
    put("idx", "huge", file(8, [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF], bytes(8)))
    put("idx", "overflow", file(8, [0x80000000, 0x80000000, 4], bytes(8)))
    put("idx", "zero-item", file(8, [5, 0, 28], b""))
    put("idx", "bad-magic", b"\x00\x01\x08\x01" + bytes(8))
    put("idx", "gzip", b"\x1f\x8b\x08\x00" + bytes(16))


PLAN = """name: n
seed: 1
model: {layers: [flatten, {linear: {out_features: 10}}]}
data:
  source: {idx: {dir: d}}
  train: {split: train, range: [0, 100], shuffle: true}
  val: {split: train, range: [100, 120]}
  batch_size: 8
  transforms: [scale]
step: {loss: cross_entropy, metrics: [accuracy]}
optimizer: {adam: {lr: 1.0e-3}}
trainer: {max_epochs: 2}
callbacks:
  - model_checkpoint: {monitor: val_loss, filename: "m-{epoch:02d}-{val_loss:.2f}"}
  - early_stopping: {monitor: val_loss}
loggers: [csv]
"""


def plan_text():
    put("plan_text", "plan.yaml", PLAN)
    put("plan_text", "command.yaml", "kind: command\nargv: [echo, hi]\n")
    put("plan_text", "empty", "")
    put("plan_text", "null", "null\n")
    put("plan_text", "list", "- a\n- b\n")
    put("plan_text", "two-documents", PLAN + "---\nname: m\n")
    put("plan_text", "duplicate-key", PLAN + "name: again\n")
    put("plan_text", "anchor", "name: &a x\nmodel: *a\n")
    put("plan_text", "billion-laughs", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nname: *c\n")
    put("plan_text", "tag", "name: !!python/object x\n")
    put("plan_text", "merge-key", "<<: {name: x}\n")
    put("plan_text", "misspelt", PLAN.replace("max_epochs", "max_epoch"))
    put("plan_text", "tab", "name:\n\t- x\n")
    put("plan_text", "deep", "name: " + "[" * 500 + "]" * 500 + "\n")
    put("plan_text", "deep-layers", "model: {layers: [" + "{sequential: {layers: [" * 40 + "]}}" * 40 + "]}\n")
    put("plan_text", "invalid-utf8", PLAN.encode().replace(b"name: n", b"name: \xff\xfe"))
    put("plan_text", "nul", PLAN.encode().replace(b"name: n", b'name: "a\\0b"'))
    put("plan_text", "raw-nul", PLAN.encode() + b"\0\0")
    put("plan_text", "utf16", PLAN.encode("utf-16"))
    put("plan_text", "bom", b"\xef\xbb\xbf" + PLAN.encode())
    put("plan_text", "norway", PLAN.replace("name: n", "name: no"))
    put("plan_text", "octal", PLAN.replace("seed: 1", "seed: 0o17"))
    put("plan_text", "float-for-int", PLAN.replace("batch_size: 8", "batch_size: 8.0"))
    put("plan_text", "negative", PLAN.replace("batch_size: 8", "batch_size: -8"))
    put("plan_text", "overflow", PLAN.replace("seed: 1", "seed: 99999999999999999999999"))
    put("plan_text", "nan", PLAN.replace("1.0e-3", ".nan"))
    put("plan_text", "hex-float", PLAN.replace("1.0e-3", "0x1p-10"))
    put("plan_text", "json", '{"name": "n", "model": {"layers": ["relu"]}, "trainer": {"max_epochs": 1e0}}')
    put("plan_text", "json-cut", '{"name": "n", "model": {"layers": [')
    put("plan_text", "two-members", "optimizer: {adam: {lr: 0.1}, sgd: {lr: 0.1}}\n")
    put("plan_text", "template", PLAN.replace("{val_loss:.2f}", "{val_loss:.2f"))
    put("plan_text", "template-width", PLAN.replace("{epoch:02d}", "{epoch:0999999999d}"))


def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(tag, wire, payload):
    return varint(tag << 3 | wire) + (varint(len(payload)) + payload if wire == 2 else payload)


def plan_wire():
    nested = b""
    for _ in range(200):
        nested = field(1, 2, nested)
    put("plan_wire", "empty", b"")
    put("plan_wire", "empty-member", field(1, 2, b""))
    put("plan_wire", "name", field(1, 2, field(1, 2, b"n")))
    put("plan_wire", "deep", nested)
    put("plan_wire", "group", b"\x0b" * 100)
    put("plan_wire", "end-group", b"\x0c")
    put("plan_wire", "tag-zero", b"\x00\x00")
    put("plan_wire", "long-varint", b"\x08" + b"\xff" * 11)
    put("plan_wire", "length-4gib", b"\x0a\xff\xff\xff\xff\x0f")
    put("plan_wire", "length-max", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    put("plan_wire", "cut", field(1, 2, field(1, 2, b"name"))[:-2])
    put("plan_wire", "unknown", field(1999, 2, b"x") + field(1998, 0, b"\x01"))
    put("plan_wire", "wrong-wire-type", field(1, 0, b"\x01") + field(2, 5, b"\x01\x02\x03\x04"))
    put("plan_wire", "invalid-utf8", field(1, 2, field(1, 2, b"\xff\xfe")))
    put("plan_wire", "nul-in-string", field(1, 2, field(1, 2, b"a\0b")))
    put("plan_wire", "both-members", field(1, 2, b"") + field(2, 2, b"") + field(3, 2, b""))
    put("plan_wire", "many-fields", field(1, 2, field(1, 2, b"x") * 3000))


def parse(data):
    """A message as a list of [tag, wire type, value]; a value is a number, bytes or such a list. None: not a message."""
    def number(at):
        v = shift = 0
        while True:
            v |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                return v, at

    at, fields = 0, []
    try:
        while at < len(data):
            key, at = number(at)
            tag, wire = key >> 3, key & 7
            if wire == 0:
                value, at = number(at)
            else:
                n, at = number(at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
                value, at = data[at:at + n], at + n
            if not 0 < tag < 200 or at > len(data):
                return None
            # a text that could be a message, too, is a text
            if wire == 2 and value and not all(32 <= c < 127 for c in value):
                value = parse(value) or value
            fields.append([tag, wire, value])
    except (IndexError, KeyError):
        return None
    return fields


def unparse(fields):
    out = b""
    for tag, wire, value in fields:
        if isinstance(value, list):
            value = unparse(value)
        out += field(tag, wire, varint(value) if wire == 0 else value)
    return out


def every(fields):
    for i, f in enumerate(fields):
        yield fields, i
        if isinstance(f[2], list):
            yield from every(f[2])


def mutate(rng, fields):
    """One place of a message changed, all lengths still right."""
    inside, i = rng.choice(list(every(fields)))
    tag, wire, value = inside[i]
    how = rng.choice(["drop", "twice", "tag", "wire", "value", "nest", "empty"])
    if how == "drop":
        del inside[i]
    elif how == "twice":
        inside.insert(i, [tag, wire, value])
    elif how == "tag":
        inside[i][0] = rng.choice([tag + 1, max(1, tag - 1), 19999, 536870911])
    elif how == "wire":
        inside[i][1:] = rng.choice([[0, 1], [1, bytes(8)], [5, b"\xff\xff\x7f\x7f"], [2, b"x"]])
    elif how == "nest":  # into itself: recursive messages grow, others meet unknown fields
        inside[i][1:] = [2, [[tag, 2, value if isinstance(value, (bytes, list)) else varint(value)]]]
    elif how == "empty":
        inside[i][1:] = [2, b""]
    elif wire == 0:
        inside[i][2] = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
    elif wire in (1, 5):
        code = "<d" if wire == 1 else "<f"
        inside[i][2] = struct.pack(code, rng.choice([0.0, -0.0, -1.0, float("nan"), float("inf"), 3e38, 5e-324]))
    else:
        inside[i][2] = rng.choice([b"\xc0\x80", b"\xed\xa0\x80", b"a\0b", b"{", b"x" * 300, "\U0001f600".encode() * 5])


# A layer inside a sequential inside a layer …; a plan's model is two levels down, each round is two more.
def nested_layers(rounds, tags):
    layer = field(tags["relu"], 2, b"")
    for _ in range(rounds):
        layer = field(tags["sequential"], 2, field(1, 2, layer))
    return field(tags["plan"], 2, field(tags["model"], 2, field(tags["layers"], 2, layer)))


def tags_of_plan():
    """Field numbers out of plan.proto, so that the corpus follows the schema."""
    text = (root / "proto/lt/v1/plan.proto").read_text() + (root / "proto/lt/v1/jobs.proto").read_text()

    def tag(message, name):
        body = text[text.index(f"message {message} {{"):]
        line = next(line for line in body.splitlines() if f" {name} = " in line)
        return int(line.split(f" {name} = ")[1].split(";")[0].split()[0])

    return {"plan": tag("JobSpec", "plan"), "model": tag("TrainingPlan", "model"), "layers": tag("Model", "layers"),
            "relu": tag("Layer", "relu"), "sequential": tag("Layer", "sequential")}


def plan_wire_from_examples():
    """What the examples look like on the wire, cut, and changed in one to three places; nestings around the limit of depth."""
    rng = random.Random(7)
    for path in sorted((root / "examples").glob("*.yaml")):
        whole = subprocess.run([build / "tests/fuzz/encode_plan", path], stdout=subprocess.PIPE, check=True).stdout
        assert unparse(parse(whole)) == whole
        put("plan_wire", f"{path.stem}", whole)
        for i in range(4):
            put("plan_wire", f"{path.stem}-cut-{i}", whole[:rng.randrange(len(whole))])
        for i in range(24):
            fields = parse(whole)
            for _ in range(1 + i % 3):
                mutate(rng, fields)
            put("plan_wire", f"{path.stem}-changed-{i:02}", unparse(fields))
        for i in range(4):
            spoilt = bytearray(whole)
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
            put("plan_wire", f"{path.stem}-bit-{i}", bytes(spoilt))
    tags = tags_of_plan()
    for rounds in (1, 12, 13, 14, 15, 100):
        put("plan_wire", f"layers-nested-{rounds:03}", nested_layers(rounds, tags))
    many = field(tags["layers"], 2, field(tags["relu"], 2, b""))
    put("plan_wire", "layers-many", field(tags["plan"], 2, field(tags["model"], 2, many * 2000)))


def safetensors():
    def file(header, data=b"", length=None):
        header = header if isinstance(header, bytes) else header.encode()
        return struct.pack("<Q", len(header) if length is None else length) + header + data

    def tensor(name, shape, begin, end, dtype="F32"):
        return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'

    one = "{" + tensor("w", [2, 2], 0, 16) + "}"
    put("safetensors", "one", file(one, bytes(range(16))))
    put("safetensors", "metadata", file('{"__metadata__":{"format":"pt"},' + tensor("b", [1], 0, 4) + "}   ", bytes(4)))
    put("safetensors", "two", file("{" + tensor("a", [1], 0, 4) + "," + tensor("b", [3], 4, 7, "U8") + "}", bytes(7)))
    put("safetensors", "reversed", file("{" + tensor("a", [1], 4, 8) + "," + tensor("b", [1], 0, 4) + "}", bytes(8)))
    put("safetensors", "scalar", file("{" + tensor("s", [], 0, 4) + "}", bytes(4)))
    put("safetensors", "empty-tensor", file("{" + tensor("e", [0, 3], 0, 0) + "}"))
    put("safetensors", "empty", b"")
    put("safetensors", "no-tensors", file("{}"))
    put("safetensors", "overlap", file("{" + tensor("a", [1], 0, 4) + "," + tensor("b", [1], 0, 4) + "}", bytes(8)))
    put("safetensors", "gap", file("{" + tensor("a", [1], 0, 4) + "," + tensor("b", [1], 8, 12) + "}", bytes(12)))
    put("safetensors", "behind", file(one, bytes(20)))
    put("safetensors", "truncated", file(one, bytes(15)))
    put("safetensors", "length-huge", file(one, bytes(16), 2**63))
    put("safetensors", "length-beyond", file(one, bytes(16), 1000))
    put("safetensors", "twice", file("{" + tensor("a", [1], 0, 4) + "," + tensor("a", [1], 4, 8) + "}", bytes(8)))
    put("safetensors", "shape-overflow", file("{" + tensor("a", [2**40, 2**40], 0, 0) + "}"))
    put("safetensors", "shape-negative", file("{" + tensor("a", [-1], 0, 4) + "}", bytes(4)))
    put("safetensors", "shape-fraction", file("{" + tensor("a", [1.5], 0, 6) + "}", bytes(6)))
    put("safetensors", "shape-many", file("{" + tensor("a", [1] * 100, 0, 4) + "}", bytes(4)))
    put("safetensors", "offsets-reversed", file("{" + tensor("a", [1], 4, 0) + "}", bytes(4)))
    put("safetensors", "offsets-huge", file("{" + tensor("a", [1], 2**64, 2**64 + 4) + "}", bytes(4)))
    put("safetensors", "dtype", file("{" + tensor("a", [1], 0, 4, "C128") + "}", bytes(4)))
    put("safetensors", "list", file("[]"))
    put("safetensors", "tensor-is-number", file('{"a":1}'))
    put("safetensors", "deep", file('{"a":' + "[" * 2000 + "]" * 2000 + "}"))
    put("safetensors", "nul-in-name", file("{" + tensor("a\\u0000b", [1], 0, 4) + "}", bytes(4)))
    put("safetensors", "control-in-name", file("{" + tensor("a\\n\\u0007\\\"", [1], 0, 4) + "}", bytes(4)))
    put("safetensors", "invalid-utf8", file(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)))


def metric_lines():
    put("metric_lines", "lines", "LTD_METRIC loss 0.5 1\nLTD_METRIC a/b.c-d:e@f -1e-3\r\n\n\tLTD_METRIC  x nan 18446744073709551615")
    put("metric_lines", "garbage", b"LTD_METRIC\nLTD_METRIC x\nLTD_METRIC x 1 2 3\nLTD_METRIC step 1\n\x00\xff\nLTD_METRIC x 0x1p3\n")
    put("metric_lines", "long", b"LTD_METRIC " + b"x" * 2000 + b" 1\nLTD_METRIC y 1" + b" " * 498 + b"\n" + b" " * 513 + b"\nLTD_METRIC z 1\n")
    put("metric_lines", "many", b"LTD_METRIC x 1\n" * 6000)


for make in (env_file, journal, idx, metric_lines, plan_text, plan_wire, plan_wire_from_examples, pmi, safetensors, token):
    make()
