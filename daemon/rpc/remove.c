/* remove.c - an ended job leaves the list, and its run folder when that is asked for; the answer
 * names it
 *
 * The folder goes first: a job whose folder couldn't be removed is still there, and may be asked
 * for again. Others that begin at one of its checkpoints keep it as long as they haven't ended.
 */
#include <errno.h>
#include <string.h>
#include "base/mem.h"
#include "base/str.h"
#include "daemon/rpc/common.h"

struct removal {
    struct lt_rpc_call *call;
    char *job;
    uint64_t request, token; /* what is waited for; 0: that isn't */
};

static void answered(void *arg, const struct lt_coord_reply *r)
{
    struct removal *q = arg;
    Lt__V1__JobStatus status = LT__V1__JOB_STATUS__INIT;

    q->token = 0;
    if (r->status < 0) {
        lt_call_error(q->call, r->status, r->text);
        return;
    }
    status.id = (char *)r->job; /* it is gone by now */
    status.has_state = true;
    status.state = LT__V1__JOB_STATE__DONE;
    lt_rpc_reply(q->call, &status.base);
}

static void remove_job(struct removal *q)
{
    struct lt_core_input in = {.kind = LT_IN_REMOVE, .job = q->job};

    in.uid = lt_rpc_call_peer(q->call)->uid;
    q->token = lt_coord_input(lt_call_coord(q->call), &in, answered, q);
}

static void files_gone(void *arg, const Lt__V1__RunRemoved *done)
{
    struct removal *q = arg;

    q->request = 0;
    if (!done)
        lt_rpc_finish(q->call, LT_RPC_UNAVAILABLE, "the node went away; job %s is still there",
                      q->job);
    else if (done->error)
        lt_rpc_finish(q->call,
                      done->error == EPERM || done->error == EBUSY
                          ? LT_RPC_FAILED_PRECONDITION
                          : lt_rpc_code_of_errno(-(int)done->error),
                      "%s; job %s is still there",
                      done->reason ? done->reason : strerror((int)done->error), q->job);
    else
        remove_job(q);
}

/* A job to come that begins at a checkpoint of this one. */
static const Lt__V1__JobFold *needed_by(const struct lt_core *core, const Lt__V1__JobFold *fold)
{
    const Lt__V1__JobFold *other;

    for (size_t i = 0; (other = lt_core_next(core, &i));)
        if (other->state != LT__V1__JOB_STATE__DONE && lt_str_eq(other->parent, fold->id))
            return other;
    return NULL;
}

/* False: the call is ended. */
static bool may_go(struct lt_rpc_call *call, const Lt__V1__JobFold *fold)
{
    const Lt__V1__JobFold *other = needed_by(lt_call_core(call), fold);

    if (fold->state != LT__V1__JOB_STATE__DONE)
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                      "job %s can't be removed before it has ended", fold->id);
    else if (other)
        lt_rpc_finish(call, LT_RPC_FAILED_PRECONDITION,
                      "job %s begins at a checkpoint of job %s, whose files are needed until it ends",
                      other->id, fold->id);
    else
        return true;
    return false;
}

static void remove_files(struct removal *q, const Lt__V1__JobFold *fold)
{
    const char *node = lt_core_job_node(lt_call_core(q->call), fold);

    if (fold->attempt == 0) { /* it never had one */
        remove_job(q);
        return;
    }
    q->request = node ? lt_coord_remove_run(lt_call_coord(q->call), node, fold->id, fold->run_dir,
                                            files_gone, q)
                      : 0;
    if (!q->request)
        lt_rpc_finish(q->call, LT_RPC_UNAVAILABLE,
                      "node %s, which has the files of job %s, isn't connected",
                      node ? node : "(none)", fold->id);
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__RemoveRequest *r = (const Lt__V1__RemoveRequest *)m;
    const Lt__V1__JobFold *fold = lt_call_job(call, r->job_id);
    struct removal *q;

    if (!fold || (r->files && !may_go(call, fold)))
        return;
    q = lt_calloc(1, sizeof *q);
    q->call = call;
    q->job = lt_strdup(fold->id);
    lt_rpc_call_set(call, q);
    if (r->files)
        remove_files(q, fold);
    else
        remove_job(q);
}

static void closed(struct lt_rpc_call *call, bool cancelled)
{
    struct removal *q = lt_rpc_call_get(call);

    (void)cancelled;
    if (!q)
        return;
    lt_coord_request_cancel(lt_call_coord(call), q->request);
    if (q->token)
        lt_coord_forget(lt_call_coord(call), q->token);
    lt_free(q->job);
    lt_free(q);
}

const struct lt_rpc_method lt_method_remove = {
    .path = "/lt.v1.Jobs/Remove",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__remove_request__descriptor,
    .out = &lt__v1__job_status__descriptor,
    .msg = handle,
    .need = LT_RIGHT_CONTROL,
    .closed = closed,
};
