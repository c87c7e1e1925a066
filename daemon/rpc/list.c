/* list.c - the jobs, in the order of submission; ended ones only when asked for
 *
 * Running ones have their metrics, which are few jobs' and in the database; who wants those of others
 * asks for the job.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "daemon/rpc/common.h"

#define JOBS_MAX 10000 /* the newest */

static bool wanted(const Lt__V1__JobFold *fold, bool all)
{
    return all || fold->state != LT__V1__JOB_STATE__DONE;
}

static size_t count(const struct lt_core *core, bool all)
{
    const Lt__V1__JobFold *fold;
    size_t n = 0;

    for (size_t i = 0; (fold = lt_core_next(core, &i));)
        n += wanted(fold, all);
    return n;
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const struct lt_core *core = lt_call_core(call);
    bool all = ((Lt__V1__ListRequest *)m)->all;
    Lt__V1__ListResponse r = LT__V1__LIST_RESPONSE__INIT;
    const Lt__V1__JobFold *fold;
    size_t skip;

    if (!core)
        return;
    skip = count(core, all);
    r.jobs = lt_arena_alloc(arena, (skip + 1) * sizeof(Lt__V1__JobStatus *));
    skip = skip > JOBS_MAX ? skip - JOBS_MAX : 0;
    for (size_t i = 0; (fold = lt_core_next(core, &i));) {
        Lt__V1__JobStatus *status;

        if (!wanted(fold, all) || (skip > 0 && skip--))
            continue;
        status = lt_arena_alloc(arena, sizeof *status);
        if (fold->state == LT__V1__JOB_STATE__RUNNING) {
            lt_job_status(lt_call_coord(call), fold, status, arena);
        } else {
            lt__v1__job_status__init(status);
            lt_core_status(core, fold, status, arena);
        }
        r.jobs[r.n_jobs++] = status;
    }
    lt_rpc_reply(call, &r.base);
}

const struct lt_rpc_method lt_method_list = {
    .path = "/lt.v1.Jobs/List",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__list_request__descriptor,
    .out = &lt__v1__list_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_READ,
};
