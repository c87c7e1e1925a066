/* check_plan.c - levels 1 to 3 of checking, without a job: the last two on a node, by lt-worker
 * --plan-only */
#include "base/arena.h"
#include "base/mem.h"
#include "base/problem.h"
#include "daemon/rpc/common.h"
#include "proto/plan.h"

struct check {
    struct lt_rpc_call *call;
    uint64_t request;
};

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct check *k = lt_rpc_call_get(call);

    (void)cancelled;
    if (k)
        lt_coord_request_cancel(lt_call_coord(call), k->request);
    lt_free(k);
}

static void checked(void *arg, const Lt__V1__CheckDone *done)
{
    struct check *k = arg;
    Lt__V1__CheckPlanResponse r = LT__V1__CHECK_PLAN_RESPONSE__INIT;

    k->request = 0;
    if (!done) {
        lt_rpc_finish(k->call, LT_RPC_UNAVAILABLE,
                      "the node that checked the plan went away; try again");
        return;
    }
    r.n_problems = done->n_problems;
    r.problems = done->problems;
    r.cost = done->cost;
    r.report_json = done->report_json;
    lt_rpc_reply(k->call, &r.base);
}

/* What level 1 found, as the answer. */
static void reply_problems(struct lt_rpc_call *call, const struct lt_problems *problems)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__CheckPlanResponse r = LT__V1__CHECK_PLAN_RESPONSE__INIT;

    r.problems = lt_arena_alloc(arena, problems->len * sizeof(Lt__V1__Problem *));
    for (size_t i = 0; i < problems->len; i++) {
        const struct lt_problem *p = &problems->items[i];
        Lt__V1__Problem *m = lt_arena_alloc(arena, sizeof *m);

        lt__v1__problem__init(m);
        m->path = p->path;
        m->reason = p->reason;
        m->remedy = p->remedy;
        m->has_severity = true;
        m->severity =
            p->warning ? LT__V1__PROBLEM__SEVERITY__WARNING : LT__V1__PROBLEM__SEVERITY__ERROR;
        r.problems[r.n_problems++] = m;
    }
    lt_rpc_reply(call, &r.base);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    Lt__V1__JobSpec *spec = ((Lt__V1__CheckPlanRequest *)m)->spec;
    struct lt_problems problems = {0};
    struct check *k;
    const char *parent;
    size_t errors;

    if (!spec) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "spec is missing");
        return;
    }
    lt_plan_validate(spec, &problems);
    lt_call_check_files(call, spec, NULL, &problems);
    errors = problems.errors;
    if (errors > 0)
        reply_problems(call, &problems);
    lt_problems_done(&problems);
    if (errors > 0 || lt_call_fill(call, spec, &parent) < 0)
        return;
    k = lt_calloc(1, sizeof *k);
    k->call = call;
    lt_rpc_call_set(call, k);
    k->request = lt_coord_check(lt_call_coord(call), spec, checked, k);
    if (!k->request)
        lt_rpc_finish(call, LT_RPC_UNAVAILABLE,
                      "no node is connected that could check the plan; try again");
}

const struct lt_rpc_method lt_method_check_plan = {
    .path = "/lt.v1.Jobs/CheckPlan",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__check_plan_request__descriptor,
    .out = &lt__v1__check_plan_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
    .closed = closed,
    .max_request = 4u << 20,
};
