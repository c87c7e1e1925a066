#!/usr/bin/env python3
"""What README.md and docs/ point at is there: files and folders of this tree, decisions by their number, headings. TAP."""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(os.environ.get("LT_SOURCE_ROOT", pathlib.Path(__file__).resolve().parents[2]))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOPS = {p.name for p in ROOT.iterdir() if p.is_dir()} - {"build"}
ENDS = ["", ".c", ".h", ".py", "-*"]  # tests/node/test_agent, docs/decisions/0051


def anchors(page):
    """What a heading is called behind #."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}


def named(text):
    """Paths of this tree, without those that stand for any: engine/ops/NAME.c, daemon/core/*.c."""
    for path in re.findall(r"`([\w./-]+/[\w./-]*)(?:#[\w-]+)?`", text):
        if path.split("/")[0] in TOPS and not re.search("NAME|FILE|PID", path):
            yield path.rstrip("/")


def is_there(path):
    suite, _, test = path.partition("/")  # docs/faults.md: client/submit_is_idempotent; test_faults.py looks for the test
    return any(list(ROOT.glob(path + end)) for end in ENDS) or (ROOT / f"tests/e2e/test_{suite}.py").exists()


def problems(page):
    text = page.read_text()
    for path in named(text):
        if not is_there(path):
            yield f"there is no {path}"
    for number in re.findall(r"[Dd]ecisions? (\d{4})", text):
        if not list(ROOT.glob(f"docs/decisions/{number}-*.md")):
            yield f"there is no decision {number}"
    for name, anchor in re.findall(r"(?:\]\(|`)([\w./-]*)#([\w-]+)[)`]", text):
        target = ROOT / name if (ROOT / name).is_file() else page.parent / name if name else page
        if not target.is_file():
            yield f"there is no page {name}"
        elif anchor not in anchors(target):
            yield f"{name or 'this page'} has no heading {anchor}"


print(f"1..{len(PAGES)}")
failed = False
for i, page in enumerate(PAGES, 1):
    wrong = list(problems(page))
    failed = failed or bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} {i} - {page.relative_to(ROOT)}")
    for line in wrong:
        print(f"# {line}")
sys.exit(failed)
