"""What a job may have left behind when it is over: processes, folders, control groups, sockets, shared memory, half-written files.
nothing_left() is looked at at the end of every world of these tests."""
import glob
import os
import signal
import stat

from harness import Failed, alive, check, equal, wait_for


def mapped(names):
    """Those of /dev/shm that a process has in its memory: other tests of this machine may run beside this one."""
    found = set()
    for path in glob.glob("/proc/[0-9]*/maps") if names else []:
        try:
            with open(path) as f:
                text = f.read()
        except OSError:
            continue
        found |= {name for name in names if "/dev/shm/" + name in text}
    return found


def segments():
    """Shared memory of this machine that nobody uses: names of ours and MPICH's, and System V segments."""
    with open("/proc/sysvipc/shm") as f:
        unattached = [line.split()[1] for line in f.readlines()[1:] if line.split()[6] == "0"]
    names = {f for f in os.listdir("/dev/shm") if f.startswith(("mpich_", "ucx_", "lt-", "ltd"))}
    return names - mapped(names) | set(unattached)


def no_segments_left():
    """What is there for a moment, of another test's ranks that begin, isn't left."""
    try:
        wait_for(lambda: not segments() - before, "shared memory", patience=10)
    except Failed:
        raise Failed(f"shared memory is left: {segments() - before}") from None


before = segments()


def processes(*words):
    """Those that have any of these words in their environment or arguments, and this one's ancestors not: {pid: arguments}."""
    found, me = {}, os.getpid()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/cmdline", "rb") as g:
                arguments = g.read()
                if pid != me and any(word.encode() in f.read() + arguments for word in words) and alive(pid):
                    found[pid] = arguments.decode(errors="replace").replace("\0", " ")
        except OSError:
            pass
    return found


def carriers(job):
    """Processes of any of the job's ranks."""
    return processes(f"LT_TOKEN={job}.")


def groups(job):
    return glob.glob(f"/sys/fs/cgroup/**/ltd-{job}.*", recursive=True)


def files(folder, wanted):
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if wanted(os.path.join(at, name))]


def is_socket(path):
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def half_written(path):
    name = os.path.basename(path)
    return name.endswith(".tmp") or ".tmp." in name


def of_jobs(w, *jobs):
    """Of jobs that are over, while ltd goes on."""
    folder = os.path.join(w.state, "node", "attempts")
    attempts = lambda: [n for n in (os.listdir(folder) if os.path.isdir(folder) else []) if n.rsplit(".", 2)[0] in jobs]  # noqa: E731
    for what, left in [("processes", lambda: {job: carriers(job) for job in jobs if carriers(job)}),
                       ("control groups", lambda: [g for job in jobs for g in groups(job)]),
                       ("folders of attempts", attempts), ("shared memory", lambda: segments() - before)]:
        try:
            wait_for(lambda: not left(), what)
        except Failed:
            raise Failed(f"{what} of {jobs} are left: {left()}") from None


def end_all(w):
    """Jobs that a test left running are over, too."""
    jobs = w.json("ps", "--all")["jobs"]
    for job in [j["id"] for j in jobs if j["state"] != "done"]:
        w.ctl("cancel", job, code=None)
        w.ctl("watch", job, code=None)
    return [j["id"] for j in jobs]


def nothing_left(w):
    """Of a world whose ltd answers: its jobs are ended, then looked for; ltd ends in order, and is looked for."""
    daemons = [d for d in w.daemons if d.poll() is None]
    if not daemons or w.ctl("ps", code=None).returncode:
        return
    of_jobs(w, *end_all(w))
    for d in daemons:
        d.send_signal(signal.SIGTERM)
    for d in daemons:
        equal(d.wait(timeout=60), 0, "ltd's exit code")
    for p in w.children:
        if p.poll() is None:
            p.kill()
        p.wait()
    wait_for(lambda: not processes(f"HOME={w.dir}\0", w.dir), "processes of this world to be gone")
    left = files(w.dir, is_socket) + [f for d in (w.state, w.runs) for f in files(d, half_written)]
    check(not left, "left behind:", left)
