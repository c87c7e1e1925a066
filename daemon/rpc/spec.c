/* spec.c - what is done to a spec before it becomes a job */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/problem.h"
#include "daemon/rpc/common.h"
#include "daemon/store/blobs.h"
#include "proto/plan.h"

int lt_call_validate(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec)
{
    struct lt_rpc_status status = {.code = LT_RPC_INVALID_ARGUMENT};
    size_t errors;

    if (!spec) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT, "spec is missing");
        return -EINVAL;
    }
    lt_plan_validate(spec, &status.problems);
    errors = status.problems.errors;
    if (errors > 0) {
        snprintf(status.text, sizeof status.text, "the plan has %zu problem%s", errors,
                 errors == 1 ? "" : "s");
        lt_rpc_finish_status(call, &status);
    }
    lt_rpc_status_done(&status);
    return errors > 0 ? -EINVAL : 0;
}

/* Was the parent made with this very file? It is the parent's, then. */
static bool has_file(const Lt__V1__JobSpec *spec, const char *file)
{
    char **own;

    for (size_t i = 0; spec && (own = lt_plan_file(spec, i, NULL)); i++)
        if (strcmp(*own, file) == 0)
            return true;
    return false;
}

static void check_file(struct lt_rpc_call *call, const char *path, const char *file,
                       struct lt_problems *problems)
{
    const char *dir = lt_coord_blobs(lt_call_coord(call)), *hash = lt_file_hash(file);
    uint64_t size;

    if (lt_file_place(file) == LT_FILE_LOCAL)
        lt_problem_add(problems, path,
                       "hand in its content by Blobs.Put and write sha256:HASH (`ltctl` does that), "
                       "or node:/path for a file that lies on the node",
                       "%s: a path of the caller's says nothing here", file);
    else if (hash &&
             lt_blob_stat_owned(dir, hash, lt_rpc_call_peer(call)->uid, &size, NULL) < 0)
        lt_problem_add(problems, path, "hand in its content by Blobs.Put first",
                       "%s: there is no such blob, or it is somebody else's", file);
}

void lt_call_check_files(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec,
                         const Lt__V1__JobSpec *parent, struct lt_problems *problems)
{
    const char *path;
    char **file;

    for (size_t i = 0; (file = lt_plan_file(spec, i, &path)); i++)
        if (!has_file(parent, *file))
            check_file(call, path, *file, problems);
}

int lt_call_files(struct lt_rpc_call *call, const Lt__V1__JobSpec *spec,
                  const Lt__V1__JobSpec *parent)
{
    struct lt_rpc_status status = {.code = LT_RPC_INVALID_ARGUMENT};
    int rc = 0;

    lt_call_check_files(call, spec, parent, &status.problems);
    if (status.problems.errors > 0) {
        snprintf(status.text, sizeof status.text, "the plan names what isn't here");
        lt_rpc_finish_status(call, &status);
        rc = -ENOENT;
    }
    lt_rpc_status_done(&status);
    return rc;
}

int lt_call_requested(struct lt_rpc_call *call, const char *request_id,
                      const Lt__V1__JobFold **known)
{
    const struct lt_core *core;

    if (!request_id || !request_id[0]) {
        lt_rpc_finish(call, LT_RPC_INVALID_ARGUMENT,
                      "request_id is missing: make one per submission");
        return -EINVAL;
    }
    core = lt_call_core(call);
    if (!core)
        return -EIO;
    *known = lt_core_requested(core, lt_rpc_call_peer(call)->uid, request_id);
    return 0;
}

const char *lt_call_checkpoint(struct lt_rpc_call *call, const Lt__V1__JobFold *fold,
                               const char *name, uint64_t *step)
{
    struct lt_arena *arena = lt_rpc_call_arena(call);
    const Lt__V1__CheckpointSaved *saved;
    struct lt_error err = {0};
    const char *path;
    int rc =
        lt_core_find_checkpoint(fold, name && name[0] ? name : NULL, arena, &path, &saved, &err);

    if (rc == 0 && step)
        *step = saved->step;
    if (rc == 0)
        return path[0] == '/' ? path : lt_arena_format(arena, "%s/%s", fold->run_dir, path);
    if (rc == -ENOENT)
        lt_rpc_finish(call, LT_RPC_NOT_FOUND, "%s", err.text);
    else
        lt_call_error(call, rc, err.text);
    return NULL;
}

/* The training job that a spec goes on from; NULL: the call has ended. */
static const Lt__V1__JobFold *parent_of(struct lt_rpc_call *call, const char *job)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, job);

    if (!fold || (fold->spec && fold->spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN))
        return fold;
    lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                  "job %s has no model: only a training job can be evaluated or resumed", fold->id);
    return NULL;
}

static int fill_resume(struct lt_rpc_call *call, Lt__V1__Resume *r, const char **parent)
{
    const Lt__V1__JobFold *fold = parent_of(call, r->job);

    r->path = fold ? (char *)lt_call_checkpoint(call, fold, r->checkpoint, &r->step) : NULL;
    if (!r->path)
        return -ENOENT;
    r->has_step = true;
    r->job = fold->id;
    *parent = fold->id;
    return 0;
}

/* Queued as the plan is: its ranks need its processors. But whoever asks for it wants it to run. */
static Lt__V1__Job *job_of(struct lt_rpc_call *call, const Lt__V1__TrainingPlan *plan)
{
    Lt__V1__Job *job = plan->job ? lt_arena_alloc(lt_rpc_call_arena(call), sizeof *job) : NULL;

    if (!job)
        return NULL;
    *job = *plan->job;
    job->hold = job->has_hold = false;
    return job;
}

static int fill_evaluation(struct lt_rpc_call *call, Lt__V1__Evaluation *e, const char **parent)
{
    const Lt__V1__JobFold *fold = parent_of(call, e->parent);

    e->path = fold ? (char *)lt_call_checkpoint(call, fold, e->checkpoint, NULL) : NULL;
    if (!e->path)
        return -ENOENT;
    if (!e->plan)
        e->plan = fold->spec->plan; /* borrowed until the input is given, in this very turn */
    if (!e->job)
        e->job = job_of(call, e->plan);
    e->parent = fold->id;
    *parent = fold->id;
    return 0;
}

static int fill_command(struct lt_rpc_call *call, Lt__V1__Resume *r, const char **parent)
{
    const Lt__V1__JobFold *fold = lt_call_job(call, r->job);

    if (!fold)
        return -ENOENT;
    if (!fold->spec || fold->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND) {
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION, "job %s is no command", fold->id);
        return -EINVAL;
    }
    r->path = fold->run_dir;
    r->job = fold->id;
    *parent = fold->id;
    return 0;
}

int lt_call_fill(struct lt_rpc_call *call, Lt__V1__JobSpec *spec, const char **parent)
{
    *parent = NULL;
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION)
        return fill_evaluation(call, spec->evaluation, parent);
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN && spec->plan->resume)
        return fill_resume(call, spec->plan->resume, parent);
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND && spec->command->resume)
        return fill_command(call, spec->command->resume, parent);
    return 0;
}
