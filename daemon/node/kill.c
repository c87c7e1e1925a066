/* kill.c - SIGKILL for everything of a rank
 *
 * The worker by its identity, its cgroup, and every process of ours whose environment holds the
 * attempt's token (LT_TOKEN, set by the shim): what a rank started and detached is found, too.
 * A process that is just becoming another program shows none, and what we kill may have forked since we looked:
 * we look until nothing is found, for a moment at most.
 */
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/attempt.h"
#include "sys/cgroup.h"
#include "sys/file.h"

#define ENVIRON_MAX (1u << 20)
#define LOOKS 200
#define LOOK_PAUSE_NS 1000000

enum carries {
    NO,
    YES,
    NOT_YET, /* inside execve: it has no environment, and no arguments either */
};

static int read_of(pid_t pid, const char *file, struct lt_buf *text)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/%s", (int)pid, file);

    return lt_file_read(path, ENVIRON_MAX, text, NULL);
}

static bool has_program(pid_t pid) /* kernel threads and zombies don't */
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/exe", (int)pid);
    char c;

    return readlink(path, &c, 1) >= 0;
}

static enum carries without_environment(pid_t pid)
{
    LT_BUF_AUTO text = {0}, again = {0};

    if (read_of(pid, "cmdline", &text) < 0)
        return NO;
    if (text.len == 0)
        return has_program(pid) ? NOT_YET : NO;
    return read_of(pid, "environ", &again) == 0 && again.len ? NOT_YET : NO; /* it came meanwhile */
}

static enum carries carries(pid_t pid, const char *token)
{
    LT_BUF_AUTO text = {0};
    size_t n = strlen(token) + 1; /* with its NUL: the whole entry */

    if (read_of(pid, "environ", &text) < 0)
        return NO;
    if (text.len == 0)
        return without_environment(pid);
    return text.len >= n && memmem(text.data, text.len, token, n) ? YES : NO;
}

/* One look at all processes; false: another is needed. */
static bool kill_carriers(const struct lt_rank *r, const char *token)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;
    bool done = true;

    while (d && (e = readdir(d))) {
        pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;
        enum carries how = pid > 1 && pid != getpid() && pid != r->shim ? carries(pid, token) : NO;

        done = done && how == NO;
        if (how == YES)
            kill(pid, SIGKILL);
    }
    if (d)
        closedir(d);
    return done;
}

void lt_rank_kill_all(struct lt_rank *r)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    LT_AUTO(lt_free) char *token = lt_format("LT_TOKEN=%s", r->name);
    struct lt_identity worker;

    if (r->state == LT_RANK_STARTING && !r->spawned) /* its folder is being made, on another thread: nothing runs */
        return;
    if (lt_attempt_read_identity(r->dir, "worker", &worker, NULL) == 0 &&
        lt_identity_alive(&worker))
        kill(worker.pid, SIGKILL);
    if (r->spec->cgroup && r->spec->cgroup[0] && lt_cgroup_open(r->spec->cgroup, &g, NULL) == 0)
        lt_cgroup_kill(g, NULL);
    for (int i = 0; i < LOOKS && !kill_carriers(r, token); i++)
        nanosleep(&(struct timespec){0, LOOK_PAUSE_NS}, NULL);
}
