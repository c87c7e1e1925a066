/* trim.c - how much of a rank's output is kept
 *
 * A log is a file that the rank writes itself (docs/decisions/0003-logs-are-files.md), so a program that
 * prints without end would fill the disk. Once a second what is more than job.resources.log_size is
 * cut off at the front, by a hole: the file's offsets, and with them every cursor, stay what they
 * were, only the disk gets its blocks back. Readers are told by read.c where data begin. Some slack is left,
 * so that this is rare. A file system that can't make holes is named once.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/file.h"
#include "sys/log.h"

#define KEPT_BYTES (1ull << 30)
#define ALIGN (64u << 10) /* whole blocks of any file system */
#define EVERY_TICKS (1000 / LT_NODE_TICK_MS)

struct cut {
    char *path;
    uint64_t keep;
};

struct lt_node_trim {
    struct lt_node *node;
    uv_work_t work;
    bool busy, closed;
    bool told; /* that it can't be done; set on the thread pool, one work at a time */
    unsigned ticks;
    struct cut *cuts;
    size_t n, cap;
};

struct lt_node_trim *lt_node_trim_new(struct lt_node *n)
{
    struct lt_node_trim *t = lt_calloc(1, sizeof *t);

    t->node = n;
    t->work.data = t;
    return t;
}

static void drop_cuts(struct lt_node_trim *t)
{
    for (size_t i = 0; i < t->n; i++)
        lt_free(t->cuts[i].path);
    t->n = 0;
}

static void free_trim(struct lt_node_trim *t)
{
    drop_cuts(t);
    lt_free(t->cuts);
    lt_free(t);
}

void lt_node_trim_close(struct lt_node_trim *t)
{
    t->closed = true;
    if (!t->busy)
        free_trim(t);
}

/* ---- on the thread pool */

static int cut(const struct cut *c, struct lt_error *err)
{
    struct stat st;
    int fd, rc;

    if (stat(c->path, &st) < 0 || (uint64_t)st.st_blocks * 512 <= c->keep + c->keep / 4 + 4 * ALIGN ||
        (uint64_t)st.st_size < c->keep + ALIGN)
        return 0;
    fd = lt_file_open(c->path, O_WRONLY, 0, err);
    if (fd < 0)
        return fd;
    rc = lt_file_cut_front(fd, (off_t)(((uint64_t)st.st_size - c->keep) / ALIGN * ALIGN), err);
    close(fd);
    return rc < 0 ? lt_error_prefix(err, "%s", c->path) : 0;
}

static void work(uv_work_t *w)
{
    struct lt_node_trim *t = w->data;
    struct lt_error err = {0};

    for (size_t i = 0; i < t->n; i++) {
        if (cut(&t->cuts[i], &err) == 0 || t->told)
            continue;
        t->told = true;
        lt_warning("agent: logs can't be kept to their size: %s", err.text);
    }
}

/* ---- on the loop */

static void done(uv_work_t *w, int status)
{
    struct lt_node_trim *t = w->data;
    struct lt_node *n = t->node;

    (void)status;
    t->busy = false;
    drop_cuts(t);
    if (t->closed)
        free_trim(t);
    lt_node_release(n);
}

static uint64_t kept_of(const Lt__V1__JobSpec *s)
{
    const Lt__V1__Job *job = !s                                              ? NULL
                             : s->kind_case == LT__V1__JOB_SPEC__KIND_PLAN    ? s->plan->job
                             : s->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND ? s->command->job
                             : s->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION
                                 ? s->evaluation->job
                                 : NULL;
    const Lt__V1__Size *own = job && job->resources ? job->resources->log_size : NULL;

    return own && own->has_bytes ? own->bytes : KEPT_BYTES;
}

static void add(struct lt_node_trim *t, const struct lt_rank *r)
{
    static const char *const streams[] = {"out", "err"};

    for (size_t i = 0; i < LT_ARRAY_LEN(streams); i++) {
        LT_GROW(t->cuts, t->n, t->cap);
        t->cuts[t->n++] = (struct cut){
            .path = lt_format("%s/logs/%u/%u.%s", r->spec->run_dir, r->spec->attempt, r->spec->rank,
                              streams[i]),
            .keep = kept_of(r->spec->spec),
        };
    }
}

void lt_node_trim_tick(struct lt_node_trim *t, bool last)
{
    void *p;

    if (t->busy || (!last && ++t->ticks % EVERY_TICKS))
        return;
    for (size_t i = 0; lt_map_next(t->node->ranks, &i, NULL, &p);) {
        struct lt_rank *r = p;

        if (r->state == LT_RANK_RUNNING || (r->state == LT_RANK_ENDED && !r->trimmed))
            add(t, r);
        r->trimmed = r->state == LT_RANK_ENDED;
    }
    if (t->n == 0)
        return;
    t->busy = true;
    lt_node_hold(t->node);
    uv_queue_work(t->node->loop, &t->work, work, done);
}
