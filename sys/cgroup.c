/* cgroup.c - both versions behind one object; the difference is a row of file names
 *
 * Control files are written plainly, not through sys/file.h: they are no files that survive anything.
 */
#include "sys/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/paths.h"

#define SELF_CHILD "ltd-main"
#define TEXT_MAX (1u << 20)
#define KILL_ROUNDS 100
#define KILL_PAUSE_NS 1000000

const char *const lt_cgroup_kind_names[LT_CGROUP_KIND_N] = {"none", "cgroup1", "cgroup2"};

static const struct {
    const char *limit, *swap, *events, *no_limit;
} names[LT_CGROUP_KIND_N] = {
    [LT_CGROUP_V1] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control", "-1"},
    [LT_CGROUP_V2] = {"memory.max", "memory.swap.max", "memory.events", "max"},
};

struct lt_cgroup {
    char *dir;
    enum lt_cgroup_kind kind;
};

static int put(const char *dir, const char *file, const char *text)
{
    LT_AUTO(lt_free) char *path = lt_path_join(dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n;
    int rc;

    if (fd < 0)
        return -errno;
    n = write(fd, text, strlen(text));
    rc = n < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int get(const char *dir, const char *file, struct lt_buf *out)
{
    LT_AUTO(lt_free) char *path = lt_path_join(dir, file);
    int rc = lt_file_read(path, TEXT_MAX, out, NULL);

    if (rc == 0)
        lt_buf_reserve(out, 0); /* a NUL even behind nothing */
    return rc;
}

/* Is `word` in the comma- or blank-separated list? */
static bool listed(const char *list, const char *word, const char *separators)
{
    size_t n = strlen(word);

    while (*list) {
        size_t len = strcspn(list, separators);

        if (len == n && memcmp(list, word, n) == 0)
            return true;
        list += len;
        list += strspn(list, separators);
    }
    return false;
}

/* Our group's path in the hierarchy: from lines "4:memory:/a/b", version 2's is "0::/a/b". */
static char *own_path(const char *controller)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[4096], *found = NULL;

    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

        if (!path)
            continue;
        *path++ = '\0';
        list++;
        path[strcspn(path, "\n")] = '\0';
        if (controller ? listed(list, controller, ",") : !*list)
            found = lt_strdup(path);
    }
    if (f)
        fclose(f);
    return found;
}

/* Where the hierarchy is mounted, and which of its folders stands there (containers see a part).
 * A line: "35 31 0:32 ROOT POINT OPTIONS … - TYPE SOURCE SUPER_OPTIONS". */
static bool mount_of(const char *controller, char **point, char **root)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        char r[1024], p[1024], type[64], super[1024];
        const char *rest = strstr(line, " - ");

        if (!rest || sscanf(line, "%*s %*s %*s %1023s %1023s", r, p) != 2 ||
            sscanf(rest, " - %63s %*s %1023s", type, super) != 2)
            continue;
        found = controller ? lt_str_eq(type, "cgroup") && listed(super, controller, ",")
                           : lt_str_eq(type, "cgroup2");
        if (found) {
            *point = lt_strdup(p);
            *root = lt_strdup(r);
        }
    }
    if (f)
        fclose(f);
    return found;
}

/* NULL: not mounted, or our group isn't below what is mounted. */
static char *group_dir(const char *controller)
{
    LT_AUTO(lt_free) char *path = own_path(controller);
    LT_AUTO(lt_free) char *point = NULL;
    LT_AUTO(lt_free) char *root = NULL;
    LT_AUTO(lt_free) char *dir = NULL;
    const char *below = path;

    if (!path || !mount_of(controller, &point, &root))
        return NULL;
    if (!lt_str_eq(root, "/") && lt_str_starts(path, root))
        below = path + strlen(root);
    dir = lt_str_eq(below, "/") || !*below ? lt_strdup(point)
                                           : lt_path_join(point, below + (*below == '/'));
    return lt_file_exists(dir) ? LT_TAKE(dir) : NULL;
}

char *lt_cgroup_own_dir(const char *controller, enum lt_cgroup_kind *kind)
{
    char *dir = group_dir(NULL);
    LT_BUF_AUTO controllers = {0};

    if (dir && get(dir, "cgroup.controllers", &controllers) == 0 &&
        listed(controllers.data, controller, " \n")) {
        *kind = LT_CGROUP_V2;
        return dir;
    }
    lt_free(dir);
    dir = group_dir(controller);
    *kind = dir ? LT_CGROUP_V1 : LT_CGROUP_NONE;
    return dir;
}

/* Where children go. Version 2: the group that we were started in, even after we moved into SELF_CHILD. */
static char *parent_dir(enum lt_cgroup_kind *kind)
{
    char *dir = lt_cgroup_own_dir("memory", kind);

    if (dir && *kind == LT_CGROUP_V2 && lt_str_ends(dir, "/" SELF_CHILD)) {
        char *up = lt_path_dirname(dir);

        lt_free(dir);
        dir = up;
    }
    return dir;
}

static bool only_we_are_in(const char *dir)
{
    LT_BUF_AUTO procs = {0};

    return get(dir, "cgroup.procs", &procs) == 0 && procs.data &&
           strtol(procs.data, NULL, 10) == getpid() && strchr(procs.data, '\n') &&
           strchr(procs.data, '\n')[1] == '\0';
}

/* Version 2: children get the memory controller only from a parent without processes. */
static int enable_memory(const char *dir)
{
    LT_AUTO(lt_free) char *self = lt_path_join(dir, SELF_CHILD);
    int rc = put(dir, "cgroup.subtree_control", "+memory");

    if (rc != -EBUSY || !only_we_are_in(dir))
        return rc;
    if (mkdir(self, 0755) < 0 && errno != EEXIST)
        return -errno;
    rc = put(self, "cgroup.procs", "0");
    return rc < 0 ? rc : put(dir, "cgroup.subtree_control", "+memory");
}

static int set_limit(const struct lt_cgroup *g, uint64_t bytes)
{
    char text[32];
    int rc;

    if (bytes)
        snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    else
        snprintf(text, sizeof text, "%s", names[g->kind].no_limit);
    rc = put(g->dir, names[g->kind].limit, text);
    /* No swap on top, where swap is accounted at all: version 1 limits the sum, version 2 swap itself. */
    if (rc == 0 && bytes)
        put(g->dir, names[g->kind].swap, g->kind == LT_CGROUP_V1 ? text : "0");
    return rc;
}

int lt_cgroup_create(const char *name, uint64_t memory_bytes, struct lt_cgroup **out,
                     struct lt_error *err)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = lt_calloc(1, sizeof *g);
    LT_AUTO(lt_free) char *parent = parent_dir(&g->kind);
    int rc = 0;

    if (!parent)
        return lt_error_set(err, -ENOTSUP, "no memory cgroup is mounted");
    if (g->kind == LT_CGROUP_V2)
        rc = enable_memory(parent);
    if (rc == 0) {
        g->dir = lt_path_join(parent, name);
        rc = mkdir(g->dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
    }
    if (rc < 0)
        return lt_error_set(err, -ENOTSUP, "no group can be made in %s: %s", parent, strerror(-rc));
    rc = set_limit(g, memory_bytes);
    if (rc < 0) {
        rmdir(g->dir);
        return lt_error_set(err, rc == -EBUSY ? -EBUSY : -ENOTSUP, "memory limit of %s: %s", g->dir,
                            strerror(-rc));
    }
    *out = LT_TAKE(g);
    return 0;
}

enum lt_cgroup_kind lt_cgroup_probe(void)
{
    LT_AUTO(lt_cgroup_free) struct lt_cgroup *g = NULL;
    LT_AUTO(lt_free) char *name = lt_format("ltd-probe-%d", (int)getpid());

    if (lt_cgroup_create(name, 1u << 30, &g, NULL) < 0)
        return LT_CGROUP_NONE;
    lt_cgroup_remove(g, NULL);
    return g->kind;
}

int lt_cgroup_open(const char *dir, struct lt_cgroup **out, struct lt_error *err)
{
    struct lt_cgroup *g;
    enum lt_cgroup_kind kind = LT_CGROUP_NONE;

    for (int k = LT_CGROUP_V1; k < LT_CGROUP_KIND_N; k++) {
        LT_AUTO(lt_free) char *limit = lt_path_join(dir, names[k].limit);

        if (lt_file_exists(limit))
            kind = (enum lt_cgroup_kind)k;
    }
    if (kind == LT_CGROUP_NONE)
        return lt_error_set(err, -ENOENT, "%s: no memory cgroup", dir);
    g = lt_calloc(1, sizeof *g);
    g->dir = lt_strdup(dir);
    g->kind = kind;
    *out = g;
    return 0;
}

const char *lt_cgroup_dir(const struct lt_cgroup *g)
{
    return g->dir;
}

int lt_cgroup_add(struct lt_cgroup *g, pid_t pid, struct lt_error *err)
{
    char text[16];
    int rc;

    snprintf(text, sizeof text, "%d", (int)pid);
    rc = put(g->dir, "cgroup.procs", text);
    return rc < 0 ? lt_error_set(err, rc, "process %s into %s: %s", text, g->dir, strerror(-rc)) : 0;
}

uint64_t lt_cgroup_oom_kills(const struct lt_cgroup *g)
{
    LT_BUF_AUTO text = {0};
    const char *p;

    if (get(g->dir, names[g->kind].events, &text) < 0)
        return 0;
    p = strstr(text.data, "\noom_kill ");
    return p ? strtoull(p + strlen("\noom_kill "), NULL, 10) : 0;
}

/* Signals whoever is listed now; how many were. */
static int kill_listed(const struct lt_cgroup *g)
{
    LT_BUF_AUTO procs = {0};
    int n = 0;

    if (get(g->dir, "cgroup.procs", &procs) < 0)
        return 0;
    for (char *p = procs.data; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        long pid = strtol(p, NULL, 10);

        if (pid > 0 && pid != getpid()) {
            kill((pid_t)pid, SIGKILL);
            n++;
        }
    }
    return n;
}

int lt_cgroup_kill_now(struct lt_cgroup *g)
{
    return put(g->dir, "cgroup.kill", "1") == 0 ? 0 : kill_listed(g);
}

int lt_cgroup_kill(struct lt_cgroup *g, struct lt_error *err)
{
    for (int i = 0; i < KILL_ROUNDS; i++) {
        if (lt_cgroup_kill_now(g) == 0)
            return 0;
        nanosleep(&(struct timespec){0, KILL_PAUSE_NS}, NULL);
    }
    return lt_error_set(err, -EBUSY, "%s: processes remain", g->dir);
}

bool lt_cgroup_empty(const struct lt_cgroup *g)
{
    LT_BUF_AUTO procs = {0};

    return get(g->dir, "cgroup.procs", &procs) < 0 || procs.len == 0;
}

int lt_cgroup_remove(struct lt_cgroup *g, struct lt_error *err)
{
    if (rmdir(g->dir) < 0 && errno != ENOENT)
        return lt_error_set(err, -errno, "rmdir %s: %s", g->dir, strerror(errno));
    return 0;
}

void lt_cgroup_free(struct lt_cgroup *g)
{
    if (!g)
        return;
    lt_free(g->dir);
    lt_free(g);
}
