/* common.c - steps that many handlers share */
#include "daemon/rpc/common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/store/metrics.h"

struct lt_coord *lt_call_coord(const struct lt_rpc_call *call)
{
    return ((struct lt_service *)lt_rpc_call_context(call))->coord;
}

const struct lt_core *lt_call_core(struct lt_rpc_call *call)
{
    struct lt_coord *c = lt_call_coord(call);
    const struct lt_core *core = lt_coord_core(c);

    if (!core)
        lt_rpc_finish(call, LT_RPC_UNAVAILABLE, "the job log can't be read: %s",
                      lt_coord_broken(c));
    return core;
}

void lt_call_error(struct lt_rpc_call *call, int rc, const char *text)
{
    enum lt_rpc_code code =
        rc == -EALREADY || rc == -ESTALE ? LT_RPC_FAILED_PRECONDITION : lt_rpc_code_of_errno(rc);

    lt_rpc_finish(call, code, "%s", text && text[0] ? text : strerror(-rc));
}

const Lt__V1__JobFold *lt_call_job(struct lt_rpc_call *call, const char *job)
{
    const struct lt_core *core = lt_call_core(call);
    const Lt__V1__JobFold *fold;
    struct lt_error err = {0};
    int rc;

    if (!core)
        return NULL;
    if (!job || !job[0]) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "job_id is missing");
        return NULL;
    }
    rc = lt_core_find(core, job, &fold, &err);
    if (rc == 0)
        return fold;
    if (rc == -ENOENT)
        lt_rpc_finish(call, LT_RPC_NOT_FOUND, "there is no job %s; `ltctl ps --all` lists all",
                      job);
    else
        lt_call_error(call, rc, err.text);
    return NULL;
}

const Lt__V1__NodeStatus *lt_call_node(struct lt_rpc_call *call, const char *node,
                                       struct lt_arena *arena)
{
    const struct lt_core *core = lt_call_core(call);
    Lt__V1__NodesListResponse list = LT__V1__NODES_LIST_RESPONSE__INIT;

    if (!core)
        return NULL;
    lt_core_nodes(core, &list, arena);
    for (size_t i = 0; i < list.n_nodes; i++)
        if (lt_str_eq(list.nodes[i]->name, node))
            return list.nodes[i];
    lt_rpc_finish(call, LT_RPC_NOT_FOUND, "there is no node %s; `ltctl nodes` lists all",
                  node ? node : "without a name");
    return NULL;
}

/* ---- status ---- */

struct latest {
    Lt__V1__JobStatus *status;
    struct lt_arena *arena;
    size_t cap;
};

static int add_metric(void *arg, const struct lt_metric_point *p)
{
    struct latest *l = arg;
    Lt__V1__MetricValue *v = lt_arena_alloc(l->arena, sizeof *v);

    if (l->status->n_metrics == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        Lt__V1__MetricValue **more = lt_arena_alloc(l->arena, cap * sizeof(Lt__V1__MetricValue *));

        if (l->cap)
            memcpy(more, l->status->metrics, l->cap * sizeof *more);
        l->status->metrics = more;
        l->cap = cap;
    }
    lt__v1__metric_value__init(v);
    v->name = lt_arena_strdup(l->arena, p->name);
    v->has_value = true;
    v->value = p->value;
    l->status->metrics[l->status->n_metrics++] = v;
    return 0;
}

void lt_job_status(struct lt_coord *c, const Lt__V1__JobFold *fold, Lt__V1__JobStatus *out,
                   struct lt_arena *arena)
{
    struct latest latest = {.status = out, .arena = arena};

    lt__v1__job_status__init(out);
    lt_core_status(lt_coord_core(c), fold, out, arena);
    if (out->n_metrics == 0)
        lt_metrics_latest(lt_coord_metrics(c), fold->id, add_metric, &latest, NULL);
}

void lt_reply_status(struct lt_rpc_call *call, const char *job)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__JobFold *fold = lt_call_job(call, job);
    Lt__V1__JobStatus status;

    if (!fold)
        return;
    lt_job_status(lt_call_coord(call), fold, &status, arena);
    lt_rpc_reply(call, &status.base);
}

void lt_end_of(const Lt__V1__JobFold *fold, Lt__V1__End *out)
{
    lt__v1__end__init(out);
    out->has_result = true;
    out->result = LT__V1__JOB_RESULT__RESULT_NONE;
    if (!fold || fold->state != LT__V1__JOB_STATE__DONE)
        return;
    out->result = fold->result;
    out->has_class_ = true;
    out->class_ = fold->class_;
    out->reason = fold->reason;
}

/* ---- asking the core ---- */

struct ask {
    struct lt_rpc_call *call;
    void (*reply)(struct lt_rpc_call *call, const char *job);
    const char *node;
    uint64_t token;
};

static void answered(void *arg, const struct lt_coord_reply *r)
{
    struct ask *a = arg;

    a->token = 0;
    if (r->status < 0)
        lt_call_error(a->call, r->status, r->text);
    else
        a->reply(a->call, r->job);
}

static struct ask *ask_new(struct lt_rpc_call *call,
                           void (*reply)(struct lt_rpc_call *call, const char *job))
{
    struct ask *a = lt_calloc(1, sizeof *a);

    a->call = call;
    a->reply = reply;
    lt_rpc_call_set(call, a);
    return a;
}

void lt_ask(struct lt_rpc_call *call, struct lt_core_input *in,
            void (*reply)(struct lt_rpc_call *call, const char *job))
{
    struct ask *a = ask_new(call, reply);

    in->uid = lt_rpc_call_peer(call)->uid;
    a->token = lt_coord_input(lt_call_coord(call), in, answered, a);
}

static void reply_id(struct lt_rpc_call *call, const char *job)
{
    Lt__V1__SubmitResponse r = LT__V1__SUBMIT_RESPONSE__INIT;

    r.job_id = (char *)job;
    lt_rpc_reply(call, &r.base);
}

void lt_ask_submit(struct lt_rpc_call *call, const struct lt_coord_submission *s)
{
    struct ask *a = ask_new(call, reply_id);

    a->token = lt_coord_submit(lt_call_coord(call), s, answered, a);
}

void lt_ask_closed(struct lt_rpc_call *call, bool cancelled)
{
    struct ask *a = lt_rpc_call_get(call);

    (void)cancelled;
    if (a && a->token)
        lt_coord_forget(lt_call_coord(call), a->token);
    lt_free(a);
}

void lt_ask_control(struct lt_rpc_call *call, const ProtobufCMessage *m, enum lt_input_kind kind)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, ((const Lt__V1__JobRequest *)m)->job_id);
    struct lt_core_input in = {.kind = kind};

    if (!fold)
        return;
    in.job = fold->id;
    lt_ask(call, &in, lt_reply_status);
}

static void reply_node(struct lt_rpc_call *call, const char *job)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct ask *a = lt_rpc_call_get(call);
    const Lt__V1__NodeStatus *node = lt_call_node(call, a->node, arena);

    (void)job;
    if (node)
        lt_rpc_reply(call, &node->base);
}

void lt_ask_node(struct lt_rpc_call *call, const char *node, enum lt_input_kind kind)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_core_input in = {.kind = kind, .uid = lt_rpc_call_peer(call)->uid, .node = node};
    struct ask *a;

    if (!lt_call_node(call, node, arena))
        return;
    a = ask_new(call, reply_node);
    a->node = node; /* in the request, which lives as long as the call */
    a->token = lt_coord_input(lt_call_coord(call), &in, answered, a);
}
