/* kill.c - SIGKILL for everything of a rank
 *
 * The worker by its identity, its cgroup, and every process of ours whose environment holds the
 * attempt's token (LT_TOKEN, set by the shim): what a rank started and detached is found, too.
 */
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/attempt.h"
#include "sys/cgroup.h"
#include "sys/file.h"

#define ENVIRON_MAX (1u << 20)

static bool carries(pid_t pid, const char *token)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/environ", (int)pid);
    LT_BUF_AUTO text = {0};
    size_t n = strlen(token) + 1; /* with its NUL: the whole entry */

    return lt_file_read(path, ENVIRON_MAX, &text, NULL) == 0 && text.len >= n &&
           memmem(text.data, text.len, token, n);
}

static void kill_carriers(const struct lt_rank *r)
{
    LT_AUTO(lt_free) char *token = lt_format("LT_TOKEN=%s", r->name);
    DIR *d = opendir("/proc");
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;

        if (pid > 1 && pid != getpid() && pid != r->shim && carries(pid, token))
            kill(pid, SIGKILL);
    }
    if (d)
        closedir(d);
}

void lt_rank_kill_all(struct lt_rank *r)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    struct lt_identity worker;

    if (lt_attempt_read_identity(r->dir, "worker", &worker, NULL) == 0 &&
        lt_identity_alive(&worker))
        kill(worker.pid, SIGKILL);
    if (r->spec->cgroup && r->spec->cgroup[0] && lt_cgroup_open(r->spec->cgroup, &g, NULL) == 0)
        lt_cgroup_kill(g, NULL);
    kill_carriers(r);
}
