/* predictions.c - one file that all ranks write into
 *
 * Rank 0 makes it and gives it its name, behind a barrier each: nobody opens what an earlier attempt
 * left, and all rows are on the disk before the name is. A file of its own for each rank, put
 * together at the end, would be written twice; sending the rows to rank 0 would cost a collective
 * for each batch. Rows have one size, so a sample's place is its position times that.
 */
#include "engine/train/predictions.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/comm/comm.h"
#include "engine/data/loader.h"
#include "engine/train/ranks.h"
#include "sys/file.h"

struct lt_predictions {
    const struct lt_ranks *ranks;
    const char *dir;
    char *part;
    int fd;
    bool committed;
};

static int meet(const struct lt_ranks *r, struct lt_error *err)
{
    return r->world > 1 ? lt_comm_barrier(r->comm, err) : 0;
}

static int open_file(struct lt_predictions *p, struct lt_error *err)
{
    const bool first = lt_ranks_first(p->ranks);
    int rc = first ? lt_file_unlink(p->part, err) : meet(p->ranks, err);

    if (rc < 0)
        return rc;
    p->fd = lt_file_open(p->part, O_WRONLY | (first ? O_CREAT | O_EXCL : 0), 0644, err);
    if (p->fd < 0)
        return p->fd;
    return first ? meet(p->ranks, err) : 0;
}

int lt_predictions_open(const char *run_dir, const struct lt_ranks *ranks,
                        struct lt_predictions **out, struct lt_error *err)
{
    struct lt_predictions *p = lt_calloc(1, sizeof *p);
    int rc;

    p->ranks = ranks;
    p->dir = run_dir;
    p->part = lt_format("%s/.predictions.f32.part", run_dir);
    p->fd = -1;
    rc = open_file(p, err);
    if (rc < 0) {
        lt_predictions_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

int lt_predictions_write(struct lt_predictions *p, const struct lt_batch *b, const void *rows,
                         size_t bytes, struct lt_error *err)
{
    const struct lt_ranks *r = p->ranks;
    const uint64_t first = b->index * (uint64_t)r->shares.all;
    const size_t row = bytes / (size_t)b->n;
    int rc = 0;

    if (r->world == 1)
        return lt_file_pwrite(p->fd, rows, bytes, (off_t)(first * row), err);
    for (int64_t i = 0; i < b->n && rc == 0; i++) {
        uint64_t at = first + (uint64_t)(i * r->world + r->rank);

        if (b->weight[i] != 0) /* else a place-holder: this rank has no such sample */
            rc = lt_file_pwrite(p->fd, (const char *)rows + (size_t)i * row, row,
                                (off_t)(at * row), err);
    }
    return rc;
}

int lt_predictions_commit(struct lt_predictions *p, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/predictions.f32", p->dir);
    int rc = lt_file_sync(p->fd, err);

    if (rc == 0)
        rc = meet(p->ranks, err);
    if (rc == 0 && lt_ranks_first(p->ranks))
        rc = lt_file_rename(p->part, path, err);
    if (rc < 0)
        return rc;
    p->committed = true;
    return lt_ranks_first(p->ranks) ? lt_file_sync_dir(p->dir, err) : 0;
}

void lt_predictions_close(struct lt_predictions *p)
{
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    if (!p->committed && lt_ranks_first(p->ranks))
        lt_file_unlink(p->part, NULL);
    lt_free(p->part);
    lt_free(p);
}
