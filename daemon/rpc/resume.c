/* resume.c - a new job that begins where another one's checkpoint is */
#include "base/arena.h"
#include "base/str.h"
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

/* Asked for before: answered from the job that came of it, its parent may be gone. What was named
 * by a beginning is named by it still; anything else is another request. */
static void again(struct lt_rpc_call *call, const Lt__V1__ResumeRequest *q,
                  const Lt__V1__JobFold *known, struct lt_coord_submission *s)
{
    const char *parent = known->parent ? known->parent : "";
    const char *job = q->job_id && lt_str_starts(parent, q->job_id) ? parent : q->job_id;
    const Lt__V1__TrainingPlan *plan = q->plan;
    char hash[65] = "";

    if (!plan && known->spec && known->spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN)
        plan = known->spec->plan;
    s->spec = known->spec;
    if (plan) {
        s->spec = spec_of(lt_rpc_call_arena(call), plan, job, q->checkpoint);
        lt_coord_spec_hash(s->spec, hash);
    }
    s->parent = known->parent;
    s->spec_hash = hash;
    lt_ask_submit(call, s);
}

static void anew(struct lt_rpc_call *call, const Lt__V1__ResumeRequest *q,
                 struct lt_coord_submission *s)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, q->job_id);
    Lt__V1__JobSpec *spec;
    char hash[65];

    if (!fold)
        return;
    if (!fold->spec || fold->spec->kind_case != LT__V1__JOB_SPEC__KIND_PLAN) {
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION, "job %s is no training job", fold->id);
        return;
    }
    spec = spec_of(lt_rpc_call_arena(call), q->plan ? q->plan : fold->spec->plan, fold->id,
                   q->checkpoint);
    if (lt_call_validate(call, spec) < 0 || lt_call_files(call, spec, fold->spec) < 0)
        return;
    lt_coord_spec_hash(spec, hash);
    if (lt_call_fill(call, spec, &s->parent) < 0)
        return;
    s->spec = spec;
    s->spec_hash = hash;
    lt_ask_submit(call, s);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__ResumeRequest *q = (const Lt__V1__ResumeRequest *)m;
    struct lt_coord_submission s = {.request_id = q->request_id,
                                    .uid = lt_rpc_call_peer(call)->uid};
    const Lt__V1__JobFold *known;

    if (lt_call_requested(call, q->request_id, &known) < 0)
        return;
    if (known)
        again(call, q, known, &s);
    else
        anew(call, q, &s);
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
