/* snapshot.c - host copies of the session's tensors */
#include "engine/train/snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/graph.h"
#include "engine/session/session.h"

struct lt_snapshot {
    struct lt_session *session;
    char *region;
    size_t bytes;
    int n;
    size_t *at; /* of each of the session's tensors */
    /* sorted; optimizer with the accumulators, and without */
    struct lt_tensor *model, *open, *closed;
    int n_model, n_open, n_closed;
    bool window_open;
};

static struct lt_tensor describe(const struct lt_snapshot *s, int i)
{
    const struct lt_tensor_info *info = lt_session_tensor(s->session, i);
    struct lt_tensor t = {info->name, info->dtype,          info->ndim,
                          {0},        s->region + s->at[i], info->bytes};

    memcpy(t.dim, info->dim, sizeof t.dim);
    return t;
}

static void sort_into_files(struct lt_snapshot *s)
{
    size_t room = (size_t)s->n + 1;

    s->model = lt_calloc(room, sizeof *s->model);
    s->open = lt_calloc(room, sizeof *s->open);
    s->closed = lt_calloc(room, sizeof *s->closed);
    for (int i = 0; i < s->n; i++) {
        enum lt_value_kind kind = lt_session_tensor(s->session, i)->kind;

        if (kind == LT_VALUE_PARAM || kind == LT_VALUE_BUFFER) {
            s->model[s->n_model++] = describe(s, i);
            continue;
        }
        s->open[s->n_open++] = describe(s, i);
        if (kind == LT_VALUE_OPTIM)
            s->closed[s->n_closed++] = describe(s, i);
    }
    lt_tensors_sort(s->model, s->n_model);
    lt_tensors_sort(s->open, s->n_open);
    lt_tensors_sort(s->closed, s->n_closed);
}

int lt_snapshot_new(struct lt_session *session, struct lt_snapshot **out, struct lt_error *err)
{
    LT_AUTO(lt_snapshot_free) struct lt_snapshot *s = lt_calloc(1, sizeof *s);
    void *p;

    s->session = session;
    s->n = lt_session_n_tensors(session);
    s->at = lt_calloc((size_t)s->n + 1, sizeof *s->at);
    for (int i = 0; i < s->n; i++) {
        s->at[i] = s->bytes;
        s->bytes += (lt_session_tensor(session, i)->bytes + 63) / 64 * 64;
    }
    p = mmap(NULL, s->bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
             -1, 0);
    if (p == MAP_FAILED)
        return lt_error_set(err, -ENOMEM, "no memory for the %zu bytes of a checkpoint's copy",
                            s->bytes);
    s->region = p;
    sort_into_files(s);
    *out = LT_TAKE(s);
    return 0;
}

void lt_snapshot_free(struct lt_snapshot *s)
{
    if (!s)
        return;
    if (s->region)
        munmap(s->region, s->bytes + 1);
    lt_free(s->at);
    lt_free(s->model);
    lt_free(s->open);
    lt_free(s->closed);
    lt_free(s);
}

size_t lt_snapshot_bytes(const struct lt_snapshot *s)
{
    return s->bytes;
}

int lt_snapshot_take(struct lt_snapshot *s, bool window_open, struct lt_error *err)
{
    s->window_open = window_open;
    for (int i = 0; i < s->n; i++) {
        if (lt_session_tensor(s->session, i)->kind == LT_VALUE_ACCUM && !window_open)
            continue;
        int rc = lt_session_read(s->session, i, s->region + s->at[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void lt_snapshot_content(const struct lt_snapshot *s, struct lt_checkpoint_content *out)
{
    out->model = s->model;
    out->n_model = s->n_model;
    out->optimizer = s->window_open ? s->open : s->closed;
    out->n_optimizer = s->window_open ? s->n_open : s->n_closed;
}
