"""Small and read-only disks for tests: tmpfs in a mount namespace of this process and its children, gone with them."""
import ctypes
import errno
import os

from harness import Skipped

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REC, MS_PRIVATE = 1, 1 << 14, 1 << 18
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)
inside = False


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise Skipped(f"{name}: {os.strerror(code)}")


def enter():
    """A namespace in which we may mount; a user's own one, too, where the system allows that."""
    global inside
    if inside:
        return
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWNS | (CLONE_NEWUSER if uid else 0))
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
    # In a plain chroot nothing is mounted on /, and what we mount may be seen outside until we unmount it.
    if is_mounted("/"):
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    inside = True


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return any(line.split()[4] == path for line in f)


class Disk:
    """A disk of so many MiB at a path, until its `with` ends."""

    def __init__(self, path, mib, read_only=False):
        enter()
        self.path = path
        os.makedirs(path, exist_ok=True)
        call("mount", b"tmpfs", path.encode(), b"tmpfs", MS_RDONLY if read_only else 0, f"size={mib}m,mode=700".encode())
        self.filler = os.path.join(path, "filler")

    def fill(self):
        """To the last byte."""
        with open(self.filler, "ab", buffering=0) as f:
            for size in (1 << 16, 4096, 1):
                try:
                    while True:
                        f.write(bytes(size))
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise

    def make_room(self):
        os.unlink(self.filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.umount2(self.path.encode(), MNT_DETACH)
