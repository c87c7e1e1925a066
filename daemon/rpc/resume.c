/* resume.c - a new job that begins where another one's checkpoint is; of a command: that is told where the other one's
 * folder is */
#include "base/arena.h"
#include "base/str.h"
#include "daemon/rpc/common.h"
#include "lt/v1/plan.pb-c.h"

static Lt__V1__JobSpec *new_spec(struct lt_arena *arena, Lt__V1__JobSpec__KindCase kind)
{
    Lt__V1__JobSpec *spec = lt_arena_alloc(arena, sizeof *spec);

    lt__v1__job_spec__init(spec);
    spec->kind_case = kind;
    return spec;
}

static Lt__V1__Resume *new_resume(struct lt_arena *arena, const Lt__V1__JobFold *parent)
{
    Lt__V1__Resume *resume = lt_arena_alloc(arena, sizeof *resume);

    lt__v1__resume__init(resume);
    resume->job = parent->id;
    return resume;
}

/* A copy of the plan's top level with its `resume` set; the parts below are shared. */
static Lt__V1__JobSpec *of_plan(struct lt_arena *arena, const Lt__V1__JobFold *parent,
                                const Lt__V1__ResumeRequest *q)
{
    Lt__V1__JobSpec *spec = new_spec(arena, LT__V1__JOB_SPEC__KIND_PLAN);

    spec->plan = lt_arena_alloc(arena, sizeof *spec->plan);
    *spec->plan = q->plan ? *q->plan : *parent->spec->plan;
    spec->plan->resume = new_resume(arena, parent);
    spec->plan->resume->checkpoint = q->checkpoint;
    return spec;
}

static Lt__V1__JobSpec *of_command(struct lt_arena *arena, const Lt__V1__JobFold *parent,
                                   const Lt__V1__ResumeRequest *q)
{
    Lt__V1__JobSpec *spec = new_spec(arena, LT__V1__JOB_SPEC__KIND_COMMAND);

    spec->command = lt_arena_alloc(arena, sizeof *spec->command);
    *spec->command = q->command ? *q->command : *parent->spec->command;
    spec->command->resume = new_resume(arena, parent);
    return spec;
}

/* NULL: the call has ended. */
static Lt__V1__JobSpec *spec_of(struct lt_rpc_call *call, const Lt__V1__JobFold *parent,
                                const Lt__V1__ResumeRequest *q)
{
    unsigned kind = parent->spec ? parent->spec->kind_case : 0;

    if (kind == LT__V1__JOB_SPEC__KIND_PLAN && !q->command)
        return of_plan(lt_rpc_call_arena(call), parent, q);
    if (kind == LT__V1__JOB_SPEC__KIND_COMMAND && !q->plan && lt_str_eq(q->checkpoint, "last"))
        return of_command(lt_rpc_call_arena(call), parent, q);
    lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                  kind == LT__V1__JOB_SPEC__KIND_COMMAND
                      ? "job %s is a command: which of its checkpoints it goes on from is its own affair"
                      : "job %s is no training job, and no command",
                  parent->id);
    return NULL;
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__ResumeRequest *q = (const Lt__V1__ResumeRequest *)m;
    const Lt__V1__JobFold *fold = lt_call_job(call, q->job_id);
    struct lt_coord_submission s = {.request_id = q->request_id,
                                    .uid = lt_rpc_call_peer(call)->uid};
    Lt__V1__JobSpec *spec;
    char hash[65];

    if (!fold)
        return;
    if (!q->request_id || !q->request_id[0]) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT,
                      "request_id is missing: make one per submission");
        return;
    }
    spec = spec_of(call, fold, q);
    if (!spec)
        return;
    if (lt_call_validate(call, spec) < 0)
        return;
    lt_coord_spec_hash(spec, hash);
    if (lt_call_fill(call, spec, &s.parent) < 0)
        return;
    s.spec = spec;
    s.spec_hash = hash;
    lt_ask_submit(call, &s);
}

const struct lt_rpc_method lt_method_resume = {
    .path = "/lt.v1.Jobs/Resume",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__resume_request__descriptor,
    .out = &lt__v1__submit_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_SUBMIT,
    .closed = lt_ask_closed,
    .max_request = 4u << 20,
};
