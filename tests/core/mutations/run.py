#!/usr/bin/env python3
"""Each planted mutation of daemon/core must be found by the simulator within 1,000 seeds.

Applies every patch of this folder to a copy of the file it names, compiles that one file with the build's own
command, links it in front of the library that holds the original, and runs the simulator. TAP on stdout.
Usage: run.py SOURCE_ROOT BUILD_ROOT
"""
import glob
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

SEEDS = 1000


def compile_command(build, source):
    with open(os.path.join(build, "compile_commands.json")) as f:
        for entry in json.load(f):
            if os.path.realpath(os.path.join(entry["directory"], entry["file"])) == os.path.realpath(source):
                return shlex.split(entry["command"])
    raise SystemExit(f"{source} is not part of the build")


def link_command(build, objects, output):
    libs = [os.path.join(build, lib) for lib in
            ("liblt_daemon_core.a", "liblt_proto.a", "proto/liblt_proto_generated.a", "liblt_base.a")]
    return objects + ["-Wl,--start-group"] + libs + ["-Wl,--end-group", "-lprotobuf-c", "-lcmocka", "-lm", "-o", output]


def apply_patch(text, original):
    """Hunks by their content: line numbers may have moved."""
    for hunk in re.split(r"^@@.*\n", text, flags=re.M)[1:]:
        lines = [line for line in hunk.split("\n") if line]
        old = "".join(line[1:] + "\n" for line in lines if line[0] in " -")
        new = "".join(line[1:] + "\n" for line in lines if line[0] in " +")
        if original.count(old) != 1:
            raise SystemExit(f"a hunk no longer fits:\n{hunk}")
        original = original.replace(old, new)
    return original


def build_mutant(root, build, patch, folder):
    with open(patch) as f:
        text = f.read()
    name = re.search(r"^\+\+\+ b/(\S+)", text, re.M).group(1)
    source = os.path.join(folder, name)
    os.makedirs(os.path.dirname(source))
    with open(os.path.join(root, name)) as f, open(source, "w") as g:
        g.write(apply_patch(text, f.read()))
    command = compile_command(build, os.path.join(root, name))
    object_file = os.path.join(folder, "mutant.o")
    changed = []
    skip = False
    for word in command:
        if skip or word in ("-MD",):
            skip = False
            continue
        if word in ("-o", "-MF", "-MQ"):
            skip = True
            continue
        changed.append(source if os.path.realpath(os.path.join(build, word)) == os.path.realpath(os.path.join(root, name))
                       else word)
    subprocess.run(changed + ["-w", "-o", object_file], cwd=build, check=True)
    objects = glob.glob(os.path.join(build, "tests", "test_core_sim.p", "*.o"))
    mutant = os.path.join(folder, "mutant")
    sanitize = [w for w in command if w.startswith("-fsanitize")]
    compiler = list(itertools.takewhile(lambda w: not w.startswith("-"), command))
    subprocess.run(compiler + sanitize + link_command(build, [object_file] + objects, mutant), check=True)
    return mutant


def find(mutant):
    env = dict(os.environ, LT_SIM_SEEDS=str(SEEDS), LT_SIM_SEED="1")
    r = subprocess.run([mutant], env=env, capture_output=True, text=True)
    said = re.search(r"^seed (\d+): (.*)$", r.stderr, re.M)
    if r.returncode == 0:
        return None
    if said:
        return f"seed {said.group(1)}: {said.group(2)}"
    seed = re.search(r"LT_SIM_SEED=(\d+)", r.stderr)
    return f"seed {seed.group(1)}: an assertion of the core" if seed else None


def main():
    root, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    patches = sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "*.patch")))
    failed = 0
    print(f"1..{len(patches)}")
    for i, patch in enumerate(patches, 1):
        name = os.path.basename(patch)[:-len(".patch")]
        with tempfile.TemporaryDirectory() as folder:
            found = find(build_mutant(root, build, patch, folder))
        failed += found is None
        print(f"{'ok' if found else 'not ok'} {i} - {name}: {found or f'not found within {SEEDS} seeds'}", flush=True)
    return 1 if failed else 0


sys.exit(main())
