/* fault.c - counting and failing; what a power cut keeps is in powercut.c */
#include "tests/support/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sys/file.h"
#include "tests/support/powercut.h"

enum mode { OFF, FAIL_ONCE, DIE, EXIT, FULL };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static enum mode mode;
static unsigned count, at;
static int code;
static bool fired;
static uint64_t room;

/* One operation begins: -errno to fail it with, 0 to do it. *partly: bytes to write first all the same. */
static int begin(size_t n, size_t *partly)
{
    unsigned now;
    int rc = 0;

    pthread_mutex_lock(&mutex);
    now = count++;
    *partly = n;
    if (mode == FULL && n > room) {
        *partly = (size_t)room;
        room = 0;
        fired = true;
        rc = -ENOSPC;
    } else if (mode == FULL) {
        room -= n;
    } else if ((mode == FAIL_ONCE || mode == EXIT) && now == at) {
        *partly = n / 2;
        fired = true;
        rc = mode == EXIT ? -EIO : -code;
    } else if (mode == DIE && now >= at) {
        *partly = fired ? 0 : n / 2;
        fired = true;
        rc = -EIO;
    }
    pthread_mutex_unlock(&mutex);
    return rc;
}

/* The failing operation is over. */
static int failed(int rc)
{
    if (mode == EXIT)
        _exit(code);
    return rc;
}

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

static int hook_open(const char *path, int flags, mode_t m)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(open(path, flags, m));
}

static ssize_t hook_pwrite(int fd, const void *buf, size_t n, off_t where)
{
    size_t partly;
    int rc = begin(n, &partly);
    ssize_t done = 0;

    if (partly)
        done = where < 0 ? write(fd, buf, partly) : pwrite(fd, buf, partly, where);
    if (done < 0)
        return -errno;
    if (rc < 0 && mode == FULL && done > 0) /* a short write first; the caller comes back for the rest */
        return done;
    return rc < 0 ? failed(rc) : done;
}

static int hook_fsync(int fd)
{
    size_t partly;
    int rc = begin(0, &partly);

    if (rc < 0)
        return failed(rc);
    lt_powercut_synced(fd); /* the model needs no real sync, which would only be slow */
    return 0;
}

static int hook_rename(const char *from, const char *to)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(rename(from, to));
}

static int hook_unlink(const char *path)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(unlink(path));
}

static int hook_rmdir(const char *path)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(rmdir(path));
}

static int hook_mkdir(const char *path, mode_t m)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(mkdir(path, m));
}

static int hook_ftruncate(int fd, off_t size)
{
    size_t partly;
    int rc = begin(0, &partly);

    return rc < 0 ? failed(rc) : result(ftruncate(fd, size));
}

static const struct lt_file_hooks table = {
    .open = hook_open,
    .pwrite = hook_pwrite,
    .fsync = hook_fsync,
    .fdatasync = hook_fsync,
    .rename = hook_rename,
    .unlink = hook_unlink,
    .rmdir = hook_rmdir,
    .mkdir = hook_mkdir,
    .ftruncate = hook_ftruncate,
};

static void arm(enum mode m, unsigned k, int c)
{
    pthread_mutex_lock(&mutex);
    mode = m;
    at = k;
    code = c;
    if (m != OFF) {
        count = 0;
        fired = false;
    }
    pthread_mutex_unlock(&mutex);
    lt_file_set_hooks(&table);
}

void lt_fault_fail_at(unsigned k, int error)
{
    arm(FAIL_ONCE, k, error);
}

void lt_fault_die_at(unsigned k)
{
    arm(DIE, k, 0);
}

void lt_fault_exit_at(unsigned k, int status)
{
    arm(EXIT, k, status);
}

void lt_fault_disk_full(uint64_t bytes)
{
    room = bytes;
    arm(FULL, 0, 0);
}

bool lt_fault_fired(void)
{
    return fired;
}

unsigned lt_fault_count(void)
{
    return count;
}

void lt_fault_off(void)
{
    arm(OFF, 0, 0);
}

void lt_fault_track(const char *dir)
{
    lt_powercut_begin(dir);
    lt_fault_off();
}

void lt_fault_power_cut(uint32_t seed)
{
    lt_powercut_happen(seed);
}

void lt_fault_remove(void)
{
    lt_fault_off();
    lt_powercut_end();
    lt_file_set_hooks(NULL);
}
