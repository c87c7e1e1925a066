#!/usr/bin/env python3
"""Holds the layer table of the design against the sources: who includes whom, what the pure part asks of
libc, and that every header compiles alone. TAP."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("LT_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("LT_BUILD_ROOT", ROOT / "build"))

LOW = ["base"]
IR = ["base", "proto", "engine/graph", "engine/ops"]
BACKEND = IR + ["sys", "engine", "engine/comm"]
ENGINE = BACKEND + ["engine/ref", "engine/null", "engine/cpu", "engine/data", "engine/session"]
DAEMON = ["base", "sys", "proto", "proto/text", "rpc"]
CONTROL = DAEMON + ["daemon/store", "daemon/core"]
# Folder: what its files may include beside their own folder.
MAY = {
    "base": [],
    "sys": LOW,
    "proto": LOW,
    "proto/text": LOW + ["proto"],
    "rpc": ["base", "sys", "proto"],
    "engine": LOW + ["engine/graph", "engine/ops"],
    "engine/graph": IR,
    "engine/ops": IR,
    "engine/comm": LOW + ["sys", "engine/graph"],
    "engine/comm/mpi": LOW + ["sys", "engine/graph", "engine/comm"],
    "engine/ref": BACKEND,
    "engine/null": BACKEND,
    "engine/cpu": BACKEND,
    "engine/data": BACKEND,
    "engine/session": BACKEND,
    "engine/train": ENGINE,
    "engine/worker": ENGINE + ["engine/train", "proto/text"],
    "daemon/core": ["base", "proto"],
    "daemon/store": DAEMON,
    "daemon/node": CONTROL,
    "daemon/coord": CONTROL,
    "daemon/rpc": CONTROL + ["daemon/coord"],
    "daemon/main": CONTROL + ["daemon/coord", "daemon/node", "daemon/rpc"],
    "client": ["base", "sys", "proto", "proto/text", "rpc"],
}
PURE = ["base", "proto", "daemon/core", "engine/graph", "engine/ops"]
# No clock, no file, no randomness: only what computes. System headers of the pure folders:
PURE_HEADERS = {
    "assert", "ctype", "errno", "float", "inttypes", "limits", "math", "stdalign", "stdarg", "stdbool", "stddef", "stdint",
    "stdio", "stdlib", "string", "tgmath", "protobuf-c/protobuf-c",
}
# Undefined symbols the pure objects may leave: memory, strings, formatting, libm, protobuf-c.
ALLOWED = re.compile(
    r"^(mem(cpy|move|set|cmp|chr|rchr|mem)|str(n?cmp|n?casecmp|n?len|r?chr|str|c?spn|pbrk|to(d|f|l|ul|ll|ull)|n?cpy|n?dup|tok_r)"
    r"|malloc|calloc|realloc|free|abort|v?snprintf|sscanf|__isoc(99|23)_(sscanf|strto(ul|ull|l|ll))|qsort|bsearch|abs"
    r"|__(mem(cpy|move|set)|v?snprintf|strcpy|strcat|stpcpy)_chk|__stack_chk_fail|__assert_fail|__errno_location"
    r"|__ctype_(b|toupper|tolower)_loc|toupper|tolower|_GLOBAL_OFFSET_TABLE_|__cpu_model|__cpu_indicator_init"
    r"|(sqrt|cbrt|exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|tan|tanh|sinh|cosh|atan|atan2|erf|erfc|floor|ceil|round"
    r"|trunc|rint|nearbyint|fabs|fmod|fmin|fmax|fma|ldexp|frexp|scalbn|hypot|lround|llround|lrint|nextafter|copysign"
    r"|isnan|isinf|isfinite|__isnan|__isinf|__finite|__fpclassify|__signbit)[fl]?"
    r"|protobuf_c_.*|__(asan|ubsan|tsan|gcov|sanitizer)_.*|__start_.*|__stop_.*)$")
# One sentence before abort() when memory is gone (base/mem.c).
EXCEPTIONS = {"base_mem.c.o": {"stderr", "fputs", "fwrite"}}

cases = 0
failed = 0


def case(name, problems):
    global cases, failed
    cases += 1
    failed += bool(problems)
    print(f"{'not ok' if problems else 'ok'} {cases} - {name}")
    for p in problems:
        print(f"# {p}")


def folder_of(path):
    """The table's row of a file or of an include: the longest folder that matches."""
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in MAY:
        parts.pop()
    return "/".join(parts)


def sources():
    for top in sorted({f.split("/")[0] for f in MAY}):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            yield str(path.relative_to(ROOT))


INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def check_includes():
    problems = []
    for path in sources():
        own = folder_of(path)
        for kind, name in INCLUDE.findall((ROOT / path).read_text()):
            if kind == "<":
                continue
            if name.startswith("lt/v1/"):
                target = "proto"
            elif "/" not in name:
                if not (ROOT / path).with_name(name).exists() and not name.endswith("_list.h") and name != "reflection_set.h":
                    problems.append(f'{path}: "{name}" isn\'t written from the root')
                continue
            else:
                target = folder_of(name)
            if target and target != own and target not in MAY[own]:
                problems.append(f"{path} includes {name}: {own} may not use {target}")
            if not target and not name.startswith("tests/"):
                problems.append(f"{path} includes {name}, which belongs to no layer")
            if name.startswith("tests/"):
                problems.append(f"{path} includes {name}: product code may not use tests")
    case("includes point down", problems)


def check_pure_headers():
    problems = []
    for path in sources():
        if folder_of(path) not in PURE:
            continue
        for kind, name in INCLUDE.findall((ROOT / path).read_text()):
            if kind == "<" and name.removesuffix(".h") not in PURE_HEADERS:
                problems.append(f"{path} includes <{name}>")
    case("pure folders include no system interface", problems)


def objects(folder):
    """The object files of a folder's library."""
    lib = "proto/../liblt_proto.a.p" if folder == "proto" else f"liblt_{folder.replace('/', '_')}.a.p"
    return sorted((BUILD / lib).resolve().glob("*.o"))


def undefined(path):
    out = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def check_purity():
    found = [o for f in PURE for o in objects(f)] + sorted((BUILD / "proto/liblt_proto_generated.a.p").glob("*.o"))
    if not found:
        case("pure part links alone", [f"no objects below {BUILD}"])
        return
    problems = []
    with tempfile.TemporaryDirectory() as tmp:
        whole = pathlib.Path(tmp) / "pure.o"
        subprocess.run(["ld", "-r", "-o", whole, *found], check=True)
        wanted = {s for s in undefined(whole) if not ALLOWED.match(s)}
    for o in found:
        for symbol in sorted(undefined(o) & wanted):
            if symbol not in EXCEPTIONS.get(o.name, set()):
                problems.append(f"{o.name} wants {symbol}")
    case("pure part asks only for memory, text and arithmetic", problems)


def check_headers():
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    words = next(shlex.split(c["command"]) for c in commands if c["file"].endswith("base/str.c"))
    start = next(i for i, w in enumerate(words) if w.startswith("-I"))
    flags = [w for w in words[start:words.index("-MD")] if not w.startswith(("-fsanitize", "-fdiagnostics"))]
    # Folders of other libraries' headers, whoever of us has them.
    flags += sorted({w for c in commands for w in shlex.split(c["command"]) if w.startswith("-I/usr/")} - set(flags))
    compiler = [w for w in words[:start] if "ccache" not in w]
    # Without a guard it is a table, to be included with its macros defined.
    headers = [p for p in sources() if p.endswith(".h") and "#ifndef LT_" in (ROOT / p).read_text()]
    problems = []
    for path in headers:
        # In the build folder, with the folder of generated headers that every user of them has, too.
        got = subprocess.run([*compiler, *flags, f"-I{BUILD}/proto", "-Wno-psabi", "-fsyntax-only", "-x", "c", "-include",
                              str(ROOT / path), "/dev/null"], cwd=BUILD, capture_output=True, text=True)
        if got.returncode:
            errors = [line for line in got.stderr.splitlines() if "error:" in line]
            problems.append(f"{path}: {errors[0] if errors else got.stderr}")
    case(f"each of {len(headers)} headers compiles alone", problems)


def check_words():
    """Every source stands in its folder's list, or it is dead."""
    problems = []
    known = set()
    for c in json.loads((BUILD / "compile_commands.json").read_text()):
        known.add(os.path.realpath(os.path.join(c["directory"], c["file"])))
    for path in sources():
        if path.endswith(".c") and str((ROOT / path).resolve()) not in known:
            problems.append(f"{path} is compiled by nobody")
    case("every source is compiled", problems)


def check_names():
    """A name that two libraries define breaks whoever links both."""
    owners = {}
    for folder in MAY:
        for o in objects(folder):
            out = subprocess.run(["nm", "-g", "--defined-only", o], capture_output=True, text=True, check=True).stdout
            for line in out.splitlines():
                kind, symbol = line.split()[-2:]
                if kind in "TDBRC" and not symbol.startswith("__"):
                    owners.setdefault(symbol, []).append(o.name)
    problems = [f"{symbol} is defined by {' and '.join(files)}" for symbol, files in sorted(owners.items()) if len(files) > 1]
    case("every external name has one owner", problems if owners else [f"no objects below {BUILD}"])


check_includes()
check_pure_headers()
check_purity()
check_names()
check_headers()
check_words()
print(f"1..{cases}")
sys.exit(failed > 0)
