"""summary.py: whoever sees only the end of a log knows what failed and why."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "support"))
from harness import check, equal, run  # noqa: E402

TRACE = [f"# trace {i}" for i in range(30)]
LOG = [f"# log {i}" for i in range(70)]


def program(name, result, stdout, stderr="", cases=()):
    """What meson writes of one: its row, and its suite in the other file."""
    row = {"name": f"ltd:e2e / {name}", "result": result, "stdout": "\n".join(stdout) + "\n", "stderr": stderr}
    text = "".join(f'<testcase name="{c}">{"<failure/>" if bad else ""}</testcase>' for c, bad in cases)
    return row, f'<testsuite name="ltd.ltd:e2e / {name}">{text}</testsuite>'


def summary(w, *programs):
    """Exit code and lines."""
    folder = tempfile.mkdtemp(dir=w.dir)
    with open(os.path.join(folder, "testlog.json"), "w") as f:
        f.writelines(json.dumps(row) + "\n" for row, _ in programs)
    with open(os.path.join(folder, "testlog.junit.xml"), "w") as f:
        f.write("<testsuites>" + "".join(xml for _, xml in programs) + "</testsuites>")
    p = subprocess.run([sys.executable, os.path.join(HERE, "summary.py"), folder], capture_output=True, text=True)
    equal(p.stderr, "")
    return p.returncode, p.stdout.splitlines()


def good(name="good"):
    return program(name, "OK", ["1..1", "ok 1 - a", "# 1.00 s"], cases=[("1 - a", False)])


def all_passed(w):
    equal(summary(w, good(), good("other")), (0, ["2 passed, 0 failed"]))


def a_case_says_why(w):
    bad = program("gang", "ERROR", ["1..3", "ok 1 - a", "# 0.50 s", "not ok 2 - b", *TRACE, *LOG, "# 1.00 s", "ok 3 - c", "# 2.00 s"],
                  cases=[("1 - a", False), ("2 - b", True), ("3 - c", False)])
    code, lines = summary(w, good(), bad)
    equal((code, lines[-1], lines[-2]), (1, "3 passed, 1 failed", "failed: ltd.ltd:e2e / gang: 2 - b"))
    equal(lines[0], "why: gang: b")
    said = [line.strip() for line in lines[1:-2]]
    check(said[:30] == TRACE and said[-2] == LOG[-1] and len(said) == 60, said)
    check(not any("2.00 s" in line or "0.50 s" in line for line in said), "another case's lines")


def a_program_that_crashed(w):
    bad = program("faults", "ERROR", ["1..2", "ok 1 - a", "# the last words"], "Segmentation fault", cases=[("1 - a", False)])
    code, lines = summary(w, bad)
    equal((code, lines[-1], lines[-2]), (1, "1 passed, 1 failed", "failed: faults: error"))
    check("    # the last words" in lines and "    Segmentation fault" in lines, lines)


def many_that_failed(w):
    """All of them are in the last 150 lines."""
    bad = [program(f"test{i}", "ERROR", ["1..1", "not ok 1 - a", *TRACE, *LOG], cases=[("1 - a", True)]) for i in range(12)]
    _, lines = summary(w, *bad)
    check(len(lines) < 150 and all(f"why: test{i}: a" in lines for i in range(12)), lines)


run([all_passed, a_case_says_why, a_program_that_crashed, many_that_failed])
