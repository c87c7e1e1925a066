#!/usr/bin/env python3
"""summary.py LOGDIR - counts the cases of the last `meson test`; its last line is `N passed, N failed`.

Every TAP case counts. A program that ended badly without a failed case (a crash, a time limit, output cut
short) counts as one failed case. Before the count it says why each failed: what the test itself said of it, in so
few lines that the end of a long log is enough.
"""

import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

logs = pathlib.Path(sys.argv[1])
BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}


def cases_of(path):
    """Suite name → [passed, failed, skipped]; and the names of what failed."""
    counts = collections.defaultdict(lambda: [0, 0, 0])
    names = []
    for suite in ET.parse(path).iter("testsuite"):
        for case in suite.findall("testcase"):
            kinds = {child.tag for child in case}
            index = 1 if kinds & {"failure", "error"} else 2 if "skipped" in kinds else 0
            counts[suite.get("name")][index] += 1
            if index == 1:
                names.append(f"{suite.get('name')}: {case.get('name')}")
    return counts, names


def tests_of(path):
    """One object of meson's for each program."""
    return [json.loads(line) for line in path.read_text().splitlines()]


ALL_REASONS, REASON = 120, 60  # lines of all and of one; the end of the log that a reader sees may have 150


def reasons(row):
    """[(what failed, its lines)] of a program: behind each `not ok` the lines that begin with #; of one that ended badly
    without any, the end of its output."""
    found, case = [], None
    lines = row.get("stdout", "").splitlines()
    for line in lines:
        failed = re.match(r"not ok \d+(?: - )?(.*)", line)
        if failed:
            found.append((failed[1], case := []))
        elif line.startswith("#") and case is not None:
            case.append(line)
        elif re.match(r"ok \d", line):
            case = None
    if not found:
        found = [(row["result"].lower(), lines[-REASON // 2:])]
    return found, row.get("stderr", "").strip().splitlines()[-REASON // 3:]


def shortened(lines, limit):
    """Most of a test's reason is at the beginning, and what the daemon said last at the end."""
    lines = [line[:300] for line in lines if line.strip("# ")]
    if len(lines) <= limit:
        return lines
    last = limit // 3
    return lines[:limit - last - 1] + [f"# ... {len(lines) - limit + 1} lines are in the log"] + lines[-last:]


def explain(rows):
    told = []
    for row in rows:
        cases, errors = reasons(row)
        short = row["name"].split(" / ")[-1]
        told += [(f"{short}: {case}", lines) for case, lines in cases]
        told += [(f"{short}: stderr", errors)] if errors else []
    limit = max(min(REASON, ALL_REASONS // max(len(told), 1)), 6)
    for what, lines in told:
        print(f"why: {what}")
        for line in shortened(lines, limit):
            print("   ", line)


def main():
    try:
        # Under a wrapper the names are testlog-WRAPPER.*; ./dev removes those of earlier runs.
        counts, failed_names = cases_of(next(logs.glob("testlog*.junit.xml")))
        tests = tests_of(next(logs.glob("testlog*.json")))
    except (StopIteration, OSError, ET.ParseError, ValueError) as e:
        print(f"no test results in {logs}: {e}", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1
    passed, failed, skipped = (sum(c[i] for c in counts.values()) for i in range(3))
    for name, result in ((row["name"], row["result"]) for row in tests):
        # Suites are called `PROJECT:SUITE / NAME` or `NAME`, as meson's version has it.
        short = name.split(" / ")[-1]
        own = [c for suite, c in counts.items() if suite.split(" / ")[-1].split(".")[-1].endswith(short)]
        counted = any(c[1] for c in own) or any(f.endswith(short) for f in failed_names)
        if result in BAD and not counted:
            failed += 1
            failed_names.append(f"{short}: {result.lower()}")
    explain([row for row in tests if row["result"] in BAD])
    for name in failed_names:
        print(f"failed: {name}")
    if skipped:
        print(f"{skipped} skipped")
    if not tests:
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
