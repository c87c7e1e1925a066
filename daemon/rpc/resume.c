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

static Lt__V1__Resume *new_resume(struct lt_arena *arena, const char *job)
{
    Lt__V1__Resume *resume = lt_arena_alloc(arena, sizeof *resume);

    lt__v1__resume__init(resume);
    resume->job = (char *)(uintptr_t)job;
    return resume;
}

/* A copy of the plan's top level with its `resume` set; the parts below are shared. */
static Lt__V1__JobSpec *of_plan(struct lt_arena *arena, const Lt__V1__TrainingPlan *plan,
                                const char *job, const char *checkpoint)
{
    Lt__V1__JobSpec *spec = new_spec(arena, LT__V1__JOB_SPEC__KIND_PLAN);

    spec->plan = lt_arena_alloc(arena, sizeof *spec->plan);
    *spec->plan = *plan;
    spec->plan->resume = new_resume(arena, job);
    spec->plan->resume->checkpoint = (char *)(uintptr_t)checkpoint;
    return spec;
}

static Lt__V1__JobSpec *of_command(struct lt_arena *arena, const Lt__V1__Command *command,
                                   const char *job)
{
    Lt__V1__JobSpec *spec = new_spec(arena, LT__V1__JOB_SPEC__KIND_COMMAND);

    spec->command = lt_arena_alloc(arena, sizeof *spec->command);
    *spec->command = *command;
    spec->command->resume = new_resume(arena, job);
    return spec;
}

/* What q asks for when `of` is what it goes on from; NULL: kinds that don't go together. */
static Lt__V1__JobSpec *spec_of(struct lt_arena *arena, const Lt__V1__JobSpec *of,
                                const Lt__V1__ResumeRequest *q, const char *job)
{
    unsigned kind = of ? of->kind_case : 0;

    if (kind == LT__V1__JOB_SPEC__KIND_PLAN && !q->command)
        return of_plan(arena, q->plan ? q->plan : of->plan, job, q->checkpoint);
    if (kind == LT__V1__JOB_SPEC__KIND_COMMAND && !q->plan && lt_str_eq(q->checkpoint, "last"))
        return of_command(arena, q->command ? q->command : of->command, job);
    return NULL;
}

/* Asked for before: answered from the job that came of it, its parent may be gone. What was named
 * by a beginning is named by it still; anything else is another request. */
static void again(struct lt_rpc_call *call, const Lt__V1__ResumeRequest *q,
                  const Lt__V1__JobFold *known, struct lt_coord_submission *s)
{
    const char *parent = known->parent ? known->parent : "";
    const char *job = q->job_id && lt_str_starts(parent, q->job_id) ? parent : q->job_id;
    Lt__V1__JobSpec *spec = spec_of(lt_rpc_call_arena(call), known->spec, q, job);
    char hash[65] = "";

    if (spec)
        lt_coord_spec_hash(spec, hash);
    s->spec = spec ? spec : known->spec;
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
    spec = spec_of(lt_rpc_call_arena(call), fold->spec, q, fold->id);
    if (!spec) {
        bool command = fold->spec && fold->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;

        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                      command ? "job %s is a command: which of its checkpoints it goes on from is "
                                "its own affair"
                              : "job %s is no training job, and no command",
                      fold->id);
        return;
    }
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
