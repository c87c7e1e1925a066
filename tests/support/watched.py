#!/usr/bin/env python3
"""watched.py TEST... - runs a test under a sanitizer; what any of its processes reports turns it red.

A report in a daemon, a shim or a worker ends that process, and a test may want its end, or not look at it. So none
is told by exit codes or logs: every process writes its report into one folder (log_path of gcc's sanitizers;
`--log-file=%q{LT_REPORTS}/%p` of valgrind), and whatever lies there afterwards is printed, and is a failure.
"""
import os
import subprocess
import sys
import tempfile


NO_FINDINGS = ("WARNING: valgrind ignores", "Unable to get registers from thread",  # UCX's huge pages; a thread that just ends
               # openat2(2), which an older valgrind answers with ENOSYS, as an older kernel would
               "unhandled amd64-linux syscall: 437", "You may be able to write your own handler", "README_MISSING_SYSCALL",
               "Nevertheless we consider this a bug", "it at http://valgrind.org/support/bug_reports")


def main():
    with tempfile.TemporaryDirectory(prefix="ltd-reports-") as folder:
        env = {**os.environ, "LT_REPORTS": folder}
        for tool in ("ASAN", "LSAN", "TSAN"):
            name = tool + "_OPTIONS"
            env[name] = ":".join(filter(None, [env.get(name), f"log_path={folder}/{tool.lower()}"]))
        code = subprocess.call(sys.argv[1:], env=env)
        found = 0
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), errors="replace") as f:
                lines = [line for line in f.read().splitlines() if not any(n in line for n in NO_FINDINGS)]
            found += bool(lines)
            for line in lines:
                print("#", line)
        if found:
            print(f"# {found} sanitizer reports")
        return code if code or not found else 99


sys.exit(main())
