/* merge.c - what ranks have of their own becomes one: open windows, buffers
 *
 * Every rank, and every slice of it, holds gradients of its own until the update adds them up. For a
 * checkpoint they are added up early: what is saved is the whole, wherever training goes on from
 * it, and the run that saved goes on from the same numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/session/session_in.h"

/* Slice `slice` of an accumulator, by its name; NULL: there is none. */
static struct lt_stored *slice_of(struct lt_session *s, const struct lt_stored *t, int slice)
{
    const char *slash = strchr(t->info.name, '/');
    size_t head = slash ? (size_t)(slash - t->info.name) : strlen(t->info.name);
    char name[400];
    intptr_t i;

    snprintf(name, sizeof name, "%.*s@%d%s", (int)head, t->info.name, slice, slash ? slash : "");
    i = (intptr_t)lt_map_get(s->by_name, slice ? name : t->info.name);
    return i ? &s->tensors[i - 1] : NULL;
}

static bool is_first(const struct lt_stored *t)
{
    return t->info.kind == LT_VALUE_ACCUM && !memchr(t->info.name, '@', strcspn(t->info.name, "/"));
}

static int merge_one(struct lt_session *s, const struct lt_stored *t, struct lt_comm *comm,
                     char *room, struct lt_error *err)
{
    int local = s->shares.local, rc;
    struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                        .dtype = t->info.dtype,
                        .terms = local,
                        .name = t->info.name,
                        .one = {.in = room, .out = room, .stride = t->device_bytes}};

    k.one.count = t->device_bytes / lt_dtype_sizes[t->info.dtype];
    for (int i = 0; i < local; i++)
        memcpy(room + (size_t)i * t->device_bytes, lt_tensor_data(s, slice_of(s, t, i)),
               t->device_bytes);
    rc = lt_comm_run(comm, &k, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < local; i++)
        memset(lt_tensor_data(s, slice_of(s, t, i)), 0, t->device_bytes);
    if (lt_comm_rank(comm) == 0)
        memcpy(lt_tensor_data(s, t), room, t->device_bytes);
    return 0;
}

int lt_session_merge(struct lt_session *s, struct lt_comm *comm, struct lt_error *err)
{
    size_t need = 1;
    char *room;
    int rc = 0;

    for (int i = 0; i < s->n_tensors; i++)
        if (is_first(&s->tensors[i]))
            need = LT_MAX(need, s->tensors[i].device_bytes * (size_t)s->shares.local);
    room = s->arena_mapped >= need ? s->arena : s->c.backend->alloc(s->device, need, err);
    if (!room)
        return -ENOMEM;
    s->last = NULL; /* the arena is overwritten */
    for (int i = 0; i < s->n_tensors && rc == 0; i++)
        if (is_first(&s->tensors[i]))
            rc = merge_one(s, &s->tensors[i], comm, room, err);
    if (room != s->arena)
        s->c.backend->release(s->device, room, need);
    return rc;
}

int lt_session_share_buffers(struct lt_session *s, struct lt_comm *comm, struct lt_error *err)
{
    int rc = 0;

    for (int i = 0; i < s->n_tensors && rc == 0; i++) {
        const struct lt_stored *t = &s->tensors[i];

        if (t->info.kind == LT_VALUE_BUFFER)
            rc = lt_comm_broadcast(comm, lt_tensor_data(s, t), t->device_bytes, 0, t->info.name,
                                   err);
    }
    return rc;
}

void lt_session_clear(struct lt_session *s)
{
    for (int i = 0; i < s->n_tensors; i++)
        if (s->tensors[i].info.kind == LT_VALUE_ACCUM)
            memset(lt_tensor_data(s, &s->tensors[i]), 0, s->tensors[i].device_bytes);
}
