"""docs/tutorial*.md are played as they stand: each command of their ```console blocks is run, and must say what the page says.

Blocks run one after the other in one shell, in a home of their own where ~/ltd is this tree. What differs between runs has
fixed stand-ins on the page: the home, ids of jobs and of processes (in order of appearance), the node's name. What else differs is left out of the
comparison: numbers with a decimal point, times, and ends of lines that tell of speed. ```console numbers: no number is
compared; ```console any: nothing is, as it depends on the machine. A command fails only if `echo $?` follows it.
<!-- wait: CONDITION --> is what a reader's slowness does.

test_tutorial.py --write [PAGE…] writes the pages anew with what the commands say now.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from harness import SOURCE, Failed, Skipped, World, check, run, wait_for  # noqa: E402

PAGES = {"tutorial_says_what_happens": "tutorial.md", "ranks_say_what_happens": "tutorial-ranks.md",
         "commands_say_what_happens": "tutorial-commands.md"}
HOME = "/home/you"
JOBS = ["m4k7q2xz", "t9b3w6hd", "c8v5n1pr", "g2f6j9sk", "w7d4x3bm", "h5r8t2qc", "n3z6k1vg", "b9p4s7wf", "x1c5h8jd", "q6m3v9tn"]
PIDS = [str(4101 + i) for i in range(40)]


class TutorialWorld(World):
    """Without XDG variables: everything lies where it does for a person, below ~."""

    def __init__(self):
        super().__init__()
        for name in ("STATE", "DATA", "CACHE"):
            del self.env[f"XDG_{name}_HOME"]
        self.state = os.path.join(self.dir, ".local", "state", "ltd")
        self.env["PATH"] = self.path + ":" + self.env["PATH"]
        os.symlink(SOURCE, os.path.join(self.dir, "ltd"))


class Shell:
    """One bash that lives through the page; stdout and stderr of its commands are one stream, no terminal."""

    END = "__end_of_output__"

    def __init__(self, w):
        self.w = w
        self.bash = subprocess.Popen(["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, env=w.env, cwd=w.dir, text=True)
        w.children.append(self.bash)
        self.names = {os.path.join(w.dir, "rt"): "/run/user/1000", w.dir: HOME, os.uname().nodename: "node1"}
        for program, place in (("ltd", "bin"), ("ltctl", "bin"), ("lt-shim", "libexec/ltd"), ("lt-worker", "libexec/ltd"),
                               ("lt-recorder", "libexec/ltd")):
            self.names[w.program(program)] = f"{HOME}/ltd/build/stage/{place}/{program}"
        self.jobs, self.pids, self.known_pids = list(JOBS), list(PIDS), {}

    def command(self, text):
        """Exit code and output."""
        self.bash.stdin.write(f"{text}\n__status=$?; printf '\\n%s %d\\n' {self.END} $__status; (exit $__status)\n")
        self.bash.stdin.flush()
        lines = []
        for line in self.bash.stdout:
            if line.startswith(self.END):
                if lines and lines[-1] == "\n":
                    lines.pop()
                elif lines:
                    lines[-1] = lines[-1].rstrip("\n")
                out = "".join(lines)
                return int(line.split()[1]), self.stand_ins(out if not out or out.endswith("\n") else out + "\n")
            lines.append(line)
        raise Failed(f"the shell ended at {text}:\n{''.join(lines)}")

    def stand_ins(self, text):
        known = subprocess.run([self.w.program("ltctl"), "ps", "-a", "-q"], capture_output=True, text=True, env=self.w.env)
        for job in known.stdout.split():
            if job not in self.names:
                self.names[job] = self.jobs.pop(0)
        text = re.sub(rf"\b(pid |{re.escape(os.uname().nodename)} +)(\d+)\b", self.pid_stand_in, text)
        for real, name in self.names.items():
            text = re.sub(rf"(?<![\w-]){re.escape(real)}(?![\w-])", name, text)
        return text

    def pid_stand_in(self, found):
        """Of a pid behind the word, or behind the node's name in a table, whose columns stay where they are."""
        if found[2] not in self.known_pids:
            self.known_pids[found[2]] = self.pids.pop(0)
        pid = self.known_pids[found[2]]
        return f"pid {pid}" if found[1] == "pid " else "node1" + pid.rjust(len(found[0]) - len("node1"))


def compared(text, kind):
    """What of an output is compared."""
    if kind == "any":
        return ""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "TIME", text)
    text = re.sub(r"\d+(\.\d+)? s  \d+ steps/s", "SPEED", text)
    text = re.sub(r"\b\d+[smh]$", "AGE", text, flags=re.M)
    text = re.sub(r"\d+(\.\d+)? ms a step", "SPEED", text)
    text = re.sub(r"[\d.e+]+(?= +[\d.]+ ([KMGT]i)?B$)", "SPEED", text, flags=re.M)  # of a rank, before its memory
    text = re.sub(r"\d+(\.\d+)? ([KMGT]i)?B\b", "SIZE", text)
    text = re.sub(r"\d*\.\d+(e[-+]?\d+)?|\b\d+e[-+]?\d+\b", "REAL", text)
    if kind == "numbers":
        text = re.sub(r"\d+( processor)?s?\b|\d+", r"NUMBER\1", text)
    return re.sub(r" +", " ", text)


def parts(page):
    """(kind, lines) of the page: kind None is prose, "wait" a condition, else the kind of a block."""
    prose, block, kind = [], None, None
    for line in page.splitlines():
        if block is None and re.match(r"```console\b", line):
            yield None, prose + [line]
            prose, block, kind = [], [], line[len("```console"):].strip() or "plain"
        elif block is not None and line == "```":
            yield kind, block
            prose, block = [line], None
        elif block is not None:
            block.append(line)
        else:
            prose.append(line)
            condition = re.match(r"<!-- wait: (.*) -->$", line)
            if condition:
                yield None, prose
                yield "wait", [condition[1]]
                prose = []
    yield None, prose


def commands(block):
    """(command lines, expected output lines) of a block; a command goes on in lines that begin with `> `."""
    found = []
    for line in block:
        if line.startswith("$ "):
            found.append(([line], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line)
        else:
            check(found, "a block begins with a command:", line)
            found[-1][1].append(line)
    return found


def play(w, name, write=False):
    """Runs the page; returns it with the outputs of now."""
    shell, result, differences = Shell(w), [], []
    with open(os.path.join(SOURCE, "docs", name)) as f:
        page = list(parts(f.read()))
    for kind, lines in page:
        if kind is None:
            result += lines
            continue
        if kind == "wait":
            wait_for(lambda: shell.command(f"{lines[0]} >/dev/null 2>&1")[0] == 0, lines[0], pause=0.05)
            continue
        todo = commands(lines)
        for at, (command, expected) in enumerate(todo):
            code, out = shell.command("\n".join(line[2:] for line in command))
            asked = at + 1 < len(todo) and todo[at + 1][0] == ["$ echo $?"]
            if code and not asked and command != ["$ echo $?"]:
                raise Failed(f"{command}: exit {code}\n{out}")
            result += command + out.splitlines()
            if compared("\n".join(expected), kind) != compared("\n".join(out.splitlines()), kind):
                differences.append("\n".join([*command, "--- the page says", *expected, "--- now", *out.splitlines(), ""]))
    if not write and differences:
        raise Failed(f"test_tutorial.py --write {name} writes docs/{name} anew:\n" + "\n".join(differences))
    return "\n".join(result) + "\n"


def test_of(test, page):
    def played(w):
        if page == "tutorial-ranks.md" and len(os.sched_getaffinity(0)) < 2:
            raise Skipped("two ranks need two processors")
        play(w, page)
    played.__name__ = test
    return played


def write_anew(page):
    world = TutorialWorld()
    try:
        new = play(world, page, write=True)
    finally:
        world.close()
    with open(os.path.join(SOURCE, "docs", page), "w") as f:
        f.write(new)


if sys.argv[1:2] == ["--write"]:
    for name in sys.argv[2:] or PAGES.values():
        write_anew(name)
else:
    run([test_of(*t) for t in PAGES.items()], TutorialWorld)
