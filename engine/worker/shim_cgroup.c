/* shim_cgroup.c - cgroups by their files
 *
 * `dir` is a whole path: in a v2 tree (cgroup.kill, memory.events) or in a v1 memory hierarchy (memory.oom_control).
 */
#include "engine/worker/shim_cgroup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#define CGROUP_FILE_MAX (1u << 20)

static int write_word(const char *dir, const char *file, const char *word)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, file);
    FILE *f = fopen(path, "we");
    int bad;

    if (!f)
        return -errno;
    bad = fputs(word, f) < 0;
    return fclose(f) != 0 || bad ? -EIO : 0;
}

int lt_shim_cgroup_enter(const char *dir, struct lt_error *err)
{
    int rc = write_word(dir, "cgroup.procs", "0");

    return rc < 0 ? lt_error_set(err, rc, "cgroup %s: %s", dir, strerror(-rc)) : 0;
}

void lt_shim_cgroup_kill(const char *dir)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/cgroup.procs", dir);
    LT_BUF_AUTO list = {0};

    if (write_word(dir, "cgroup.kill", "1") == 0)
        return;
    if (lt_file_read(path, CGROUP_FILE_MAX, &list, NULL) < 0 || !list.data)
        return;
    for (char *save = NULL, *w = strtok_r(list.data, "\n", &save); w; w = strtok_r(NULL, "\n", &save)) {
        pid_t pid = (pid_t)strtol(w, NULL, 10);

        if (pid > 1 && pid != getpid())
            kill(pid, SIGKILL);
    }
}

/* The number behind `oom_kill ` in a file of such lines. */
static uint64_t oom_count(const char *dir, const char *file)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, file);
    LT_BUF_AUTO text = {0};
    const char *at;

    if (lt_file_read(path, CGROUP_FILE_MAX, &text, NULL) < 0 || !text.data)
        return 0;
    at = strstr(text.data, "oom_kill ");
    return at ? strtoull(at + strlen("oom_kill "), NULL, 10) : 0;
}

/* Calls count on our own cgroup of each hierarchy that has a memory controller. */
static uint64_t own_oom_kills(void)
{
    LT_BUF_AUTO text = {0};
    uint64_t sum = 0;

    if (lt_file_read("/proc/self/cgroup", CGROUP_FILE_MAX, &text, NULL) < 0 || !text.data)
        return 0;
    for (char *save = NULL, *w = strtok_r(text.data, "\n", &save); w; w = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(w, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        LT_AUTO(lt_free) char *dir = NULL;

        if (!path)
            continue;
        *path++ = 0;
        if (controllers[1] == 0) {
            dir = lt_format("/sys/fs/cgroup%s", path);
            sum += oom_count(dir, "memory.events");
        } else if (strcmp(controllers + 1, "memory") == 0) {
            dir = lt_format("/sys/fs/cgroup/memory%s", path);
            sum += oom_count(dir, "memory.oom_control");
        }
    }
    return sum;
}

uint64_t lt_shim_oom_kills(const char *dir)
{
    if (!dir || !dir[0])
        return own_oom_kills();
    return oom_count(dir, "memory.events") + oom_count(dir, "memory.oom_control");
}

unsigned lt_shim_kill_children(void)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/self/task/%d/children", (int)getpid());
    LT_BUF_AUTO list = {0};
    unsigned n = 0;

    if (lt_file_read(path, CGROUP_FILE_MAX, &list, NULL) < 0 || !list.data)
        return 0;
    for (char *save = NULL, *w = strtok_r(list.data, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
        kill((pid_t)strtol(w, NULL, 10), SIGKILL);
        n++;
    }
    return n;
}
