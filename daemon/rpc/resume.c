/* resume.c - a new job that begins where another one's checkpoint is */
#include "base/arena.h"
#include "daemon/rpc/common.h"
#include "lt/v1/plan.pb-c.h"

/* A copy of the plan's top level with its `resume` set; the parts below are shared. */
static Lt__V1__JobSpec *spec_of(struct lt_arena *arena, const Lt__V1__TrainingPlan *plan,
                                const char *job, const char *checkpoint)
{
    Lt__V1__JobSpec *spec = lt_arena_alloc(arena, sizeof *spec);
    Lt__V1__TrainingPlan *copy = lt_arena_alloc(arena, sizeof *copy);
    Lt__V1__Resume *resume = lt_arena_alloc(arena, sizeof *resume);

    lt__v1__job_spec__init(spec);
    lt__v1__resume__init(resume);
    *copy = *plan;
    resume->job = (char *)job;
    resume->checkpoint = (char *)checkpoint;
    copy->resume = resume;
    spec->kind_case = LT__V1__JOB_SPEC__KIND_PLAN;
    spec->plan = copy;
    return spec;
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
    if (!fold->spec || fold->spec->kind_case != LT__V1__JOB_SPEC__KIND_PLAN) {
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION, "job %s is no training job", fold->id);
        return;
    }
    spec = spec_of(lt_rpc_call_arena(call), q->plan ? q->plan : fold->spec->plan, fold->id,
                   q->checkpoint);
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
