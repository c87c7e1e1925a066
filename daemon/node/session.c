/* session.c - the conversation with the coordinator: hello, what it asks for, and starting over
 *
 * A new session begins with every attempt this node knows; once welcomed, journals are sent from
 * their acknowledged offset. All requests are idempotent, so whichever side was lost may simply ask
 * again.
 */
#include <string.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "rpc/session.h"
#include "sys/log.h"

static void fill_known(const struct lt_rank *r, Lt__V1__KnownAttempt *k)
{
    lt__v1__known_attempt__init(k);
    k->job = r->spec->job;
    k->has_attempt = k->has_generation = k->has_rank = k->has_running = k->has_journal_offset =
        true;
    k->attempt = r->spec->attempt;
    k->generation = r->spec->generation;
    k->rank = r->spec->rank;
    k->has_pid = r->worker > 0;
    k->pid = (uint32_t)r->worker;
    k->running = r->state != LT_RANK_ENDED;
    k->journal_offset = r->acked;
}

static void on_opened(void *arg)
{
    struct lt_node *n = arg;
    size_t max = lt_map_count(n->ranks);
    Lt__V1__KnownAttempt *known = lt_calloc(max + 1, sizeof *known);
    Lt__V1__KnownAttempt **list = lt_calloc(max + 1, sizeof *list);
    Lt__V1__Hello hello = LT__V1__HELLO__INIT;
    void *p;

    n->open = true;
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        const struct lt_rank *r = p;

        if (r->state == LT_RANK_STARTING)
            continue; /* it will be answered, or asked for again */
        fill_known(r, &known[hello.n_attempts]);
        list[hello.n_attempts] = &known[hello.n_attempts];
        hello.n_attempts++;
    }
    hello.node = n->name;
    hello.version = (char *)LT_VERSION;
    hello.inventory = n->inventory;
    hello.attempts = list;
    hello.blobs = lt_node_blobs_list(n->blobs, &hello.n_blobs);
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_HELLO, &hello);
    for (size_t i = 0; i < hello.n_blobs; i++)
        lt_free(hello.blobs[i]);
    lt_free(hello.blobs);
    lt_free(list);
    lt_free(known);
}

static uint64_t stored_of(const struct lt_rank *r, const Lt__V1__Welcome *w)
{
    for (size_t i = 0; i < w->n_stored; i++)
        if (w->stored[i]->attempt == r->spec->attempt && w->stored[i]->rank == r->spec->rank &&
            w->stored[i]->job && strcmp(w->stored[i]->job, r->spec->job) == 0)
            return w->stored[i]->offset;
    return UINT64_MAX;
}

static void on_welcome(struct lt_node *n, const void *payload)
{
    const Lt__V1__Welcome *w = payload;
    void (*ready)(void *) = n->on_ready;
    void *r;

    lt_info("agent %s: joined the coordinator, version %s", n->name, w->version ? w->version : "?");
    n->welcomed = true;
    n->takes_records = w->takes_records;
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);)
        lt_rank_tail_again(r, stored_of(r, w));
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &r);)
        lt_still_tell_again(r);
    lt_node_blobs_welcomed(n->blobs);
    n->on_ready = NULL;
    if (ready)
        ready(n->user);
}

static void on_check(struct lt_node *n, const void *payload)
{
    lt_node_check(n->checks, payload);
}

static void on_start(struct lt_node *n, const void *payload)
{
    lt_rank_start(n, payload);
}

static void on_signal(struct lt_node *n, const void *payload)
{
    const Lt__V1__SignalRank *m = payload;
    struct lt_rank *r = m->job ? lt_rank_find(n, m->job, m->attempt, m->rank) : NULL;

    if (r && r->spec->generation == m->generation)
        lt_rank_signal(r, m->signal);
}

static void on_ack(struct lt_node *n, const void *payload)
{
    const Lt__V1__RecordAck *m = payload;
    struct lt_rank *r = m->job ? lt_rank_find(n, m->job, m->attempt, m->rank) : NULL;

    if (r)
        lt_rank_acked(r, m->offset);
}

static void on_forget(struct lt_node *n, const void *payload)
{
    const Lt__V1__ForgetAttempt *m = payload;
    void *p;

    for (size_t i = 0; m->job && lt_map_next(n->ranks, &i, NULL, &p);) {
        struct lt_rank *r = p;

        if (r->spec->attempt != m->attempt || strcmp(r->spec->job, m->job) != 0)
            continue;
        if (r->state == LT_RANK_ENDED) /* else it is killed first, and this comes again */
            lt_rank_forget(r);
    }
}

static void on_read(struct lt_node *n, const void *payload)
{
    lt_node_read(n->reads, payload);
}

static void on_blob_chunk(struct lt_node *n, const void *payload)
{
    lt_node_blob_chunk(n->blobs, payload);
}

static void on_drop_blobs(struct lt_node *n, const void *payload)
{
    lt_node_blobs_drop(n->blobs, payload);
}

static void on_remove_run(struct lt_node *n, const void *payload)
{
    lt_node_remove_run(n, payload);
}

static void (*const handlers[])(struct lt_node *n, const void *payload) = {
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_WELCOME] = on_welcome,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK] = on_check,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_START] = on_start,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_SIGNAL] = on_signal,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_RECORD_ACK] = on_ack,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET] = on_forget,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_READ] = on_read,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_BLOB_CHUNK] = on_blob_chunk,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_DROP_BLOBS] = on_drop_blobs,
    [LT__V1__COORDINATOR_MESSAGE__MESSAGE_REMOVE_RUN] = on_remove_run,
};

static void on_message(void *arg, const ProtobufCMessage *base)
{
    const Lt__V1__CoordinatorMessage *m = (const Lt__V1__CoordinatorMessage *)base;
    unsigned kind = m->message_case;

    if (kind < LT_ARRAY_LEN(handlers) && handlers[kind])
        handlers[kind](arg, m->welcome); /* all members are pointers in one union */
}

static void on_writable(void *arg)
{
    struct lt_node *n = arg;

    if (lt_node_flush(n))
        lt_node_tail_all(n);
}

static void on_closed(void *arg, const struct lt_rpc_status *why)
{
    struct lt_node *n = arg;

    lt_info("agent %s: session with the coordinator ended: %s", n->name,
            why->text[0] ? why->text : lt_rpc_code_name(why->code));
    n->open = n->welcomed = false;
    n->sessions++;
    lt_node_out_drop(n);
    lt_node_reads_drop(n->reads);
}

int lt_node_connect(struct lt_node *n, struct lt_rpc_loop *loop, const char *target,
                    struct lt_error *err)
{
    const struct lt_rpc_session_config c = {
        .loop = loop,
        .target = target,
        .method = "/lt.v1.Agent/Session",
        .in = &lt__v1__coordinator_message__descriptor,
        .arg = n,
        .opened = on_opened,
        .message = on_message,
        .writable = on_writable,
        .closed = on_closed,
    };

    return lt_rpc_session_open(&c, &n->session, err);
}
