/* submit.c - a plan becomes a job; durable when this is answered
 *
 * wire decode → level 1 → (evaluation: parent's plan and checkpoint) → core → log → reply. The hash
 * is that of the spec as it was sent, so that a repeated request finds its job although `best` has
 * moved on, or the parent was removed, meanwhile: who has asked so before is looked up first.
 */
#include <errno.h>
#include "daemon/rpc/common.h"
#include "lt/v1/plan.pb-c.h"

/* What only a new job needs: what its spec takes from others. The files of an evaluation's plan are
 * its parent's. */
static int complete(struct lt_rpc_call *call, Lt__V1__JobSpec *spec, const char **parent)
{
    const Lt__V1__JobFold *fold = NULL;
    int rc = lt_call_fill(call, spec, parent);

    if (rc == 0 && spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION) {
        fold = lt_call_job(call, *parent);
        rc = fold ? 0 : -ENOENT;
    }
    return rc == 0 ? lt_call_files(call, spec, fold ? fold->spec : NULL) : rc;
}

static void handle(struct lt_rpc_call *call, ProtobufCMessage *m)
{
    const Lt__V1__SubmitRequest *q = (const Lt__V1__SubmitRequest *)m;
    struct lt_coord_submission s = {
        .request_id = q->request_id, .uid = lt_rpc_call_peer(call)->uid, .spec = q->spec};
    const Lt__V1__JobFold *known;
    char hash[65];

    if (lt_call_validate(call, q->spec) < 0 || lt_call_requested(call, q->request_id, &known) < 0)
        return;
    lt_coord_spec_hash(q->spec, hash);
    s.spec_hash = hash;
    if (known)
        s.parent = known->parent;
    else if (complete(call, q->spec, &s.parent) < 0)
        return;
    lt_ask_submit(call, &s);
}

const struct lt_rpc_method lt_method_submit = {
    .path = "/lt.v1.Jobs/Submit",
    .kind = LT_RPC_UNARY,
    .in = &lt__v1__submit_request__descriptor,
    .out = &lt__v1__submit_response__descriptor,
    .msg = handle,
    .need = LT_RIGHT_SUBMIT,
    .closed = lt_ask_closed,
    .max_request = 4u << 20,
};
