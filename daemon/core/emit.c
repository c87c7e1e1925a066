/* emit.c - events and messages into actions
 *
 * An event is packed first and applied from its packed form, exactly as a replay will do it: the
 * live fold and the replayed one can't differ by a field that was set without being written.
 */
#include "daemon/core/state.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

void lt_actions_done(struct lt_actions *a)
{
    for (size_t i = 0; i < a->len; i++) {
        lt_free(a->items[i].job);
        lt_free(a->items[i].text);
        lt_free(a->items[i].data);
        if (a->items[i].metrics)
            lt__v1__metric_values__free_unpacked(a->items[i].metrics, NULL);
    }
    lt_free(a->items);
    memset(a, 0, sizeof *a);
}

struct lt_action *lt_action_add(struct lt_turn *t, enum lt_action_kind kind, const char *job)
{
    struct lt_action *a;

    LT_GROW(t->out->items, t->out->len, t->out->cap);
    a = &t->out->items[t->out->len++];
    memset(a, 0, sizeof *a);
    a->kind = kind;
    a->job = job ? lt_strdup(job) : NULL;
    return a;
}

static void pack_into(struct lt_action *a, const ProtobufCMessage *m)
{
    a->len = protobuf_c_message_get_packed_size(m);
    a->data = lt_malloc(a->len);
    protobuf_c_message_pack(m, a->data);
}

void lt_emit(struct lt_turn *t, const char *job, Lt__V1__Event *e)
{
    struct lt_action *a = lt_action_add(t, LT_DO_APPEND, job);
    int rc;

    LT_SET(e, seq, t->core->last_seq + 1);
    LT_SET(e, time_ns, t->wall_ns);
    e->job = a->job;
    a->seq = e->seq;
    pack_into(a, &e->base);
    rc = lt_core_replay(t->core, a->data, a->len, NULL);
    assert(rc == 0); /* a mistake of ours: never write what can't be read back */
    (void)rc;
}

void lt_send(struct lt_turn *t, uint64_t session, Lt__V1__CoordinatorMessage *m)
{
    struct lt_action *a = lt_action_add(t, LT_DO_SEND, NULL);

    a->session = session;
    pack_into(a, &m->base);
}

void lt_reply(struct lt_turn *t, uint64_t token, int status, const char *job, const char *format,
              ...)
{
    struct lt_action *a;
    char text[512];
    va_list ap;

    if (!token)
        return;
    a = lt_action_add(t, LT_DO_REPLY, job);
    a->token = token;
    a->status = status;
    if (format) {
        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        a->text = lt_strdup(text);
    }
}

void lt_core_notify(struct lt_turn *t, struct lt_job *job)
{
    if (!job->changed)
        return;
    job->changed = false;
    lt_action_add(t, LT_DO_NOTIFY, job->fold->id);
}
