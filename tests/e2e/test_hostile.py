"""Clients that stop reading, send half a frame or garbage, or come in thousands: others are answered, training goes on, ltd stays small."""
import os
import resource
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import PATIENCE, Failed, Follower, Page, check, equal, make, plan, run, wait_for

MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, DATA, RST, PING, CONTINUATION, WINDOW = 4, 1, 0, 3, 6, 9, 8


def frame(kind, payload=b"", flags=0, stream=0, length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field, never indexed, plain text (RFC 7541 6.2.3)."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(method, stream=1):
    return frame(HEADERS, literal(b":method", b"POST") + literal(b":scheme", b"http") + literal(b":path", b"/lt.v1.Jobs/" + method)
                 + literal(b":authority", b"localhost") + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers"),
                 4, stream)


def message(payload, length=None):
    return b"\0" + struct.pack(">I", len(payload) if length is None else length) + payload


HELLO = PREFACE + frame(SETTINGS)
RUDE = {
    "nothing": b"",
    "garbage": bytes(range(256)) * 64,
    "HTTP/1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half a preface": PREFACE[:9],
    "half a frame": HELLO + frame(HEADERS, b"abc", 4, 1, length=4000),
    "a frame of 16 MiB": HELLO + frame(DATA, b"", 0, 1, length=(1 << 24) - 1),
    "headers that never end": HELLO + frame(HEADERS, literal(b":method", b"POST"), 0, 1)
    + frame(CONTINUATION, literal(b"a", b"b") * 200, 0, 1) * 50,
    "a header bomb": HELLO + frame(HEADERS, b"\x40\x01a\x7f" + b"\xff\xff\xff\x07", 4, 1),
    "junk headers": HELLO + frame(HEADERS, b"\xff" * 200, 4, 1),
    "half a message": HELLO + call(b"Get") + frame(DATA, message(b"\x0a\x03", length=100), 0, 1),
    "a message of 4 GiB": HELLO + call(b"Submit") + frame(DATA, message(b"x" * 100, length=0xffffffff), 0, 1),
    "a message that is no message": HELLO + call(b"Submit") + frame(DATA, message(b"\xff" * 1000), 1, 1),
    "an unknown method": HELLO + call(b"Nonsense") + frame(DATA, message(b""), 1, 1),
    "a method of another kind": HELLO + call(b"Watch") + frame(DATA, message(b"") * 50, 0, 1),
    "streams upon streams": HELLO + b"".join(call(b"Watch", s) + frame(RST, struct.pack(">I", 8), 0, s) for s in range(1, 4001, 2)),
    "a thousand open calls": HELLO + b"".join(call(b"Watch", s) for s in range(1, 2001, 2)),
    "pings": HELLO + frame(PING, bytes(8)) * 20000,
    "settings": HELLO + frame(SETTINGS, struct.pack(">HI", 4, 0)) * 2000,
    "a window beyond all": HELLO + frame(WINDOW, struct.pack(">I", 0x7fffffff)) * 10,
}


def connect(w):
    s = socket.socket(socket.AF_UNIX)

    def connected():
        try:
            s.connect(w.socket)
            return True
        except BlockingIOError:  # more wait to be accepted than the kernel's list holds
            return False
    s.settimeout(PATIENCE)
    wait_for(connected, "a connection")
    return s


def listen(w, **kwargs):
    """A daemon that listens on TCP, too. Returns how to connect there."""
    path = w.file("tokens", "a-token-of-this-test\n")
    os.chmod(path, 0o600)
    w.ltd("--listen", "127.0.0.1:0", "--token-file", path, **kwargs)
    with open(os.path.join(w.state, "listen")) as f:
        host, port = f.read().strip().split(":")
    return lambda w: socket.create_connection((host, int(port)), PATIENCE)


def tell(s, data):
    """As much of it as the daemon takes: it may hang up in the middle."""
    s.settimeout(2)
    try:
        s.sendall(data)
    except OSError:
        pass


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        rows = dict(line.split(":", 1) for line in f)
    return sum(int(rows[k].split()[0]) * 1024 for k in ("RssAnon", "RssShmem"))


def bounded(grown, mib):
    """AddressSanitizer keeps what was freed, and shadows the rest."""
    check(grown < mib * MIB or os.environ.get("LT_SANITIZED"), f"ltd grew by {grown / MIB:.0f} MiB")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def training(w, **replace):
    job = w.submit(plan(w, "long", epochs=2000, **replace))
    wait_for(lambda: os.path.exists(os.path.join(w.attempt_dir(job), "page")), "the rank's page")
    page = Page(w.attempt_dir(job))
    wait_for(lambda: page.step > 0, "training")
    w.wait_state(job, "running")
    return job, page


def undisturbed(w, job, page):
    """Who asks is answered, with what is true now, and training goes on."""
    before = page.step
    equal(w.status(job)["state"], "running")
    check(job in w.out("ps", "-q"))
    wait_for(lambda: page.step > before + 50, "training to go on")
    wait_for(lambda: int(w.status(job)["step"]) > before, "a newer step in status")


def rude_bytes(w, connect=connect):
    w.daemons or w.ltd()
    job, page = training(w)
    pid = w.daemon_pid("coord")
    undisturbed(w, job, page)
    before, fds = memory(pid), descriptors(pid)
    held = []
    for what, data in RUDE.items():
        for _ in range(5):
            held.append(connect(w))
            tell(held[-1], data)
        try:
            undisturbed(w, job, page)
        except Exception as e:
            raise type(e)(f"after {what}: {e}")
    grown = memory(pid) - before  # of it most is free, and goes back to the system twice a minute
    bounded(grown, 300)
    for s in held:
        s.close()
    wait_for(lambda: descriptors(pid) <= fds + 3, "ltd to close what was left")
    undisturbed(w, job, page)
    print(f"# ltd grew by {grown / MIB:.1f} MiB, {(memory(pid) - before) / MIB:.1f} MiB of it stay", flush=True)
    p = w.ctl("cancel", job)
    equal(w.wait_done(job).returncode, 103, p.stderr)


def rude_bytes_over_tcp(w):
    """The same from anybody on this machine, without a token."""
    rude_bytes(w, listen(w))


def calls_without_end_over_tcp(w):
    calls_without_end(w, listen(w))


def connections_over_tcp_leave_the_sockets_room(w):
    """More connections than TCP has numbers for: the newest are dropped, the socket's users notice nothing."""
    tcp = listen(w, files=1024)
    job, page = training(w)
    pid = w.daemon_pid("coord")
    before, held = descriptors(pid), [tcp(w) for _ in range(400)]
    undisturbed(w, job, page)
    wait_for(lambda: "from TCP" in w.log(), "a line in the log")
    check(descriptors(pid) - before < 200, "TCP took", descriptors(pid) - before, "descriptors")
    check(w.log().count(" dropped") < 5, "a flood of connections became one of the log")
    local = [connect(w) for _ in range(100)]
    undisturbed(w, job, page)
    for s in held + local:
        s.close()
    wait_for(lambda: descriptors(pid) <= before + 3, "ltd to close what was left")
    late = tcp(w)
    tell(late, HELLO)
    check(late.recv(9), "TCP answers again")


def calls_without_end(w, connect=connect):
    """More and more calls on one connection, whose answers nobody reads: ltd hangs up, and has time for others."""
    w.daemons or w.ltd()
    job, page = training(w)
    pid = w.daemon_pid("coord")
    undisturbed(w, job, page)
    before, s, stream = memory(pid), connect(w), 1
    tell(s, HELLO)
    s.settimeout(PATIENCE)
    try:
        for _ in range(1000):
            s.sendall(b"".join(call(b"Watch", k) for k in range(stream, stream + 2000, 2)))
            stream += 2000
        raise Failed("ltd took all of them")
    except ConnectionError:
        pass
    undisturbed(w, job, page)
    grown = memory(pid) - before
    print(f"# {stream // 2} calls: {grown / MIB:.1f} MiB", flush=True)
    bounded(grown, 600)
    s.close()
    undisturbed(w, job, page)


def thousands_of_connections(w):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(2000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    w.ltd()
    job, page = training(w)
    pid = w.daemon_pid("coord")
    undisturbed(w, job, page)
    before, fds = memory(pid), descriptors(pid)
    held = []
    for i in range(count):
        held.append(connect(w))
        if i % 2:
            tell(held[-1], HELLO)
    undisturbed(w, job, page)
    grown = memory(pid) - before
    print(f"# {count} connections: {grown / MIB:.1f} MiB, {descriptors(pid) - fds} descriptors", flush=True)
    bounded(grown, 100)
    for s in held:
        s.close()
    wait_for(lambda: descriptors(pid) <= fds + 3, "ltd to close what was left")
    undisturbed(w, job, page)
    again = [connect(w) for _ in range(200)]
    undisturbed(w, job, page)
    for s in again:
        s.close()


def more_connections_than_descriptors(w):
    """At its limit ltd takes no more connections; the jobs don't notice, and when some leave it goes on."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    w.ltd(files=256)
    job, page = training(w)
    pid = w.daemon_pid("coord")
    undisturbed(w, job, page)
    held = [connect(w) for _ in range(300)]
    before = page.step
    wait_for(lambda: page.step > before + 200, "training to go on")
    check(w.log().count(" dropped") < 5, "a flood of connections became one of the log")
    for s in held:
        s.close()
    wait_for(lambda: w.ctl("ps", code=None).returncode == 0, "ltd to answer again")
    undisturbed(w, job, page)
    equal(w.daemon_pid("coord"), pid, "ltd is still the same process")
    equal(resource.getrlimit(resource.RLIMIT_NOFILE), limits)


def readers_that_stop(w):
    """Stopped in the middle of a stream of metrics; nobody waits for them, and when they go on they get every row."""
    w.ltd()
    job, page = training(w, batch=64, **{"log_every_n_steps: 100": "log_every_n_steps: 1"})
    pid = w.daemon_pid("coord")
    files = [open(os.path.join(w.dir, f"metrics-{i}"), "wb") for i in range(4)]
    readers = [w.popen("metrics", "-f", "-o", "jsonl", job, stdout=f) for f in files]
    logs = w.popen("logs", "-f", job)
    wait_for(lambda: all(os.path.getsize(f.name) > 1000 for f in files), "metrics")
    for p in readers + [logs]:
        p.send_signal(signal.SIGSTOP)
    before, step = memory(pid), page.step
    wait_for(lambda: page.step > step + 8000, "training to go on")
    undisturbed(w, job, page)
    grown = memory(pid) - before
    bounded(grown, 32)
    w.ctl("stop", job)
    equal(w.wait_done(job).returncode, 107)
    for p in readers + [logs]:
        p.send_signal(signal.SIGCONT)
    for p in readers:
        equal(p.wait(timeout=60), 0, "exit code of a reader")
    out, _ = logs.communicate(timeout=60)
    equal(logs.returncode, 107, "exit code of logs -f")
    check(out == open(os.path.join(w.status(job)["run_dir"], "logs", "1", "0.out"), "rb").read(), "each byte once")
    whole = w.ctl("metrics", "-o", "jsonl", job, text=False).stdout
    check(whole.count(b"\n") > 8000, whole.count(b"\n"))
    for f in files:
        f.close()
        with open(f.name, "rb") as g:
            check(g.read() == whole, "a reader that stopped misses rows")
    print(f"# {len(whole.splitlines())} rows, ltd grew by {grown / MIB:.1f} MiB", flush=True)


def readers_that_go_away(w):
    """kill -9 of followers leaves nothing behind."""
    w.ltd()
    job, page = training(w)
    pid = w.daemon_pid("coord")
    undisturbed(w, job, page)
    fds = descriptors(pid)  # perhaps with some of calls just made, which are about to be closed
    for _ in range(4):
        followers = [Follower(w, *verb, job).connected()
                     for verb in (["logs", "-f"], ["events", "-f"], ["metrics", "-f", "-o", "jsonl"], ["watch", "-o", "jsonl"])]
        for f in followers:
            equal(f.process.poll(), None, "a follower follows")
            f.process.kill()
            f.process.wait()
        wait_for(lambda: descriptors(pid) <= fds + 1, "their descriptors to be closed")
    undisturbed(w, job, page)


run([rude_bytes, rude_bytes_over_tcp, calls_without_end, calls_without_end_over_tcp,
     connections_over_tcp_leave_the_sockets_room, thousands_of_connections, more_connections_than_descriptors, readers_that_stop, readers_that_go_away], make)
