#!/usr/bin/env python3
"""summary.py LOGDIR - counts the cases of the last `meson test`; its last line is `N passed, N failed`.

Every TAP case counts. A program that ended badly without a failed case (a crash, a time limit, output cut
short) counts as one failed case.
"""

import collections
import json
import pathlib
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
    """[(name, result)], from one JSON object a line."""
    rows = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        rows.append((row["name"], row["result"]))
    return rows


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
    for name, result in tests:
        # Suites are called `PROJECT:SUITE / NAME` or `NAME`, as meson's version has it.
        short = name.split(" / ")[-1]
        own = [c for suite, c in counts.items() if suite.split(" / ")[-1].split(".")[-1].endswith(short)]
        counted = any(c[1] for c in own) or any(f.endswith(short) for f in failed_names)
        if result in BAD and not counted:
            failed += 1
            failed_names.append(f"{short}: {result.lower()}")
    for name in failed_names:
        print(f"failed: {name}")
    if skipped:
        print(f"{skipped} skipped")
    if not tests:
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
