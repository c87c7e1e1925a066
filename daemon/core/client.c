/* client.c - what people ask for: a wish becomes an event, then a reply, then what follows
 *
 * Repeating a wish is harmless: what was already asked for is answered as if it were new, without
 * an event.
 */
#include "daemon/core/state.h"
#include "daemon/core/query.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto/plan.h"

#define S(name) LT__V1__JOB_STATE__##name

static struct lt_job *known_request(const struct lt_core *core, uint32_t uid,
                                    const char *request_id)
{
    char *key = lt_format("%u/%s", uid, request_id);
    struct lt_job *job = lt_map_get(core->requests, key);

    lt_free(key);
    return job;
}

const Lt__V1__JobFold *lt_core_requested(const struct lt_core *core, uint32_t uid,
                                         const char *request_id)
{
    const struct lt_job *job = known_request(core, uid, request_id);

    return job ? job->fold : NULL;
}

static bool request_valid(struct lt_turn *t, const struct lt_core_input *in)
{
    const struct lt_submit *s = &in->submit;
    const struct lt_job *known = known_request(t->core, in->uid, s->request_id);

    if (!s->request_id[0]) {
        lt_reply(t, in->token, -EINVAL, NULL,
                 "request_id is missing: make one, unique for each submission");
        return false;
    }
    if (known && lt_str_eq(known->fold->spec_hash, s->spec_hash) &&
        lt_str_eq(known->fold->parent, s->parent)) {
        lt_reply(t, in->token, 0, known->fold->id, NULL);
        return false;
    }
    if (known) {
        lt_reply(t, in->token, -EEXIST, known->fold->id,
                 "request %s has already submitted another plan as job %s", s->request_id,
                 known->fold->id);
        return false;
    }
    if (!in->job[0] || lt_core_job(t->core, in->job)) {
        lt_reply(t, in->token, -EAGAIN, NULL, "job id %s is taken", in->job);
        return false;
    }
    return true;
}

void lt_on_submit(struct lt_turn *t, const struct lt_core_input *in)
{
    const struct lt_submit *s = &in->submit;
    Lt__V1__Submitted submitted = LT__V1__SUBMITTED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (!request_valid(t, in))
        return;
    submitted.request_id = (char *)s->request_id;
    LT_SET(&submitted, uid, in->uid);
    submitted.spec = (Lt__V1__JobSpec *)s->spec;
    submitted.spec_hash = (char *)s->spec_hash;
    submitted.run_dir = (char *)s->run_dir;
    submitted.parent = (char *)s->parent;
    e.type_case = LT__V1__EVENT__TYPE_SUBMITTED;
    e.submitted = &submitted;
    lt_emit(t, in->job, &e);
    lt_reply(t, in->token, 0, in->job, NULL);
}

/* The job, or NULL after a reply that says why not. */
static struct lt_job *named(struct lt_turn *t, const struct lt_core_input *in)
{
    struct lt_error err = {0};
    struct lt_job *job = lt_core_match(t->core, in->job, &err);

    if (!job)
        lt_reply(t, in->token, err.code, NULL, "%s", err.text);
    return job;
}

static void not_now(struct lt_turn *t, const struct lt_core_input *in, const struct lt_job *job,
                    const char *what)
{
    const Lt__V1__JobFold *f = job->fold;

    if (f->state == S(DONE))
        lt_reply(t, in->token, -EBUSY, f->id, "job %s %s: it has ended: %s", f->id, what,
                 lt_job_result_name(f->result));
    else
        lt_reply(t, in->token, -EBUSY, f->id, "job %s %s: it is %s", f->id, what,
                 lt_job_state_name(f->state));
}

static void wish(struct lt_turn *t, const struct lt_core_input *in, Lt__V1__StopKind kind,
                 Lt__V1__JobResult result, Lt__V1__Event *e)
{
    struct lt_job *job = named(t, in);

    if (!job)
        return;
    if (job->fold->state == S(DONE) && job->fold->result != result) {
        not_now(t, in, job, "can't be ended");
        return;
    }
    if (job->fold->state != S(DONE) && job->fold->stop < kind) {
        if (job->fold->attempt)
            LT_SET(e, attempt, job->fold->attempt);
        lt_emit(t, job->fold->id, e);
    }
    lt_reply(t, in->token, 0, job->fold->id, NULL);
    lt_job_advance(t, job);
}

void lt_on_cancel(struct lt_turn *t, const struct lt_core_input *in)
{
    Lt__V1__CancelRequested asked = LT__V1__CANCEL_REQUESTED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    LT_SET(&asked, uid, in->uid);
    e.type_case = LT__V1__EVENT__TYPE_CANCEL_REQUESTED;
    e.cancel_requested = &asked;
    wish(t, in, LT__V1__STOP_KIND__STOP_CANCEL, LT__V1__JOB_RESULT__CANCELLED, &e);
}

void lt_on_stop(struct lt_turn *t, const struct lt_core_input *in)
{
    Lt__V1__StopRequested asked = LT__V1__STOP_REQUESTED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    LT_SET(&asked, uid, in->uid);
    e.type_case = LT__V1__EVENT__TYPE_STOP_REQUESTED;
    e.stop_requested = &asked;
    wish(t, in, LT__V1__STOP_KIND__STOP_USER, LT__V1__JOB_RESULT__STOPPED, &e);
}

void lt_on_release(struct lt_turn *t, const struct lt_core_input *in)
{
    Lt__V1__Released released = LT__V1__RELEASED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    struct lt_job *job = named(t, in);
    bool waits;

    if (!job)
        return;
    waits = job->fold->state == S(HELD_USER) ||
            (job->fold->state == S(HELD_CHECKING) && lt_spec_hold(job->fold->spec));
    if (!waits && !job->fold->released) {
        not_now(t, in, job, "isn't held");
        return;
    }
    e.type_case = LT__V1__EVENT__TYPE_RELEASED;
    e.released = &released;
    if (waits && !job->fold->released)
        lt_emit(t, job->fold->id, &e);
    lt_reply(t, in->token, 0, job->fold->id, NULL);
    lt_job_advance(t, job);
}

void lt_on_checkpoint(struct lt_turn *t, const struct lt_core_input *in)
{
    Lt__V1__CheckpointRequested requested = LT__V1__CHECKPOINT_REQUESTED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    struct lt_job *job = named(t, in);

    if (!job)
        return;
    if (job->fold->spec && job->fold->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND) {
        lt_reply(t, in->token, -EBUSY, job->fold->id,
                 "job %s is a command: what it saves, and when, is its own affair", job->fold->id);
        return;
    }
    if (job->fold->state != S(RUNNING)) {
        not_now(t, in, job, "has nothing to save");
        return;
    }
    e.type_case = LT__V1__EVENT__TYPE_CHECKPOINT_REQUESTED;
    e.checkpoint_requested = &requested;
    LT_SET(&e, attempt, job->fold->attempt);
    if (!job->fold->checkpoint_wanted) {
        for (size_t i = 0; i < job->n_ranks; i++)
            job->ranks[i].checkpoint_session = 0;
        lt_emit(t, job->fold->id, &e);
    }
    lt_reply(t, in->token, 0, job->fold->id, NULL);
    lt_job_advance(t, job);
}

void lt_on_remove(struct lt_turn *t, const struct lt_core_input *in)
{
    Lt__V1__Removed removed = LT__V1__REMOVED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    struct lt_job *job = named(t, in);
    char *id;

    if (!job)
        return;
    if (job->fold->state != S(DONE)) {
        not_now(t, in, job, "can't be removed before it has ended");
        return;
    }
    id = lt_strdup(job->fold->id);
    e.type_case = LT__V1__EVENT__TYPE_REMOVED;
    e.removed = &removed;
    lt_emit(t, id, &e);
    lt_reply(t, in->token, 0, id, NULL);
    lt_free(id);
}

static void drain(struct lt_turn *t, const struct lt_core_input *in, bool on)
{
    Lt__V1__NodeDrained drained = LT__V1__NODE_DRAINED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (!lt_map_get(t->core->nodes, in->node) && !lt_core_draining(t->core, in->node)) {
        lt_reply(t, in->token, -ENOENT, NULL, "no node %s was seen", in->node);
        return;
    }
    drained.node = (char *)in->node;
    LT_SET(&drained, active, on);
    e.type_case = LT__V1__EVENT__TYPE_NODE_DRAINED;
    e.node_drained = &drained;
    if (lt_core_draining(t->core, in->node) != on)
        lt_emit(t, NULL, &e);
    lt_reply(t, in->token, 0, NULL, NULL);
    lt_advance_active(t);
}

void lt_on_drain(struct lt_turn *t, const struct lt_core_input *in)
{
    drain(t, in, true);
}

void lt_on_undrain(struct lt_turn *t, const struct lt_core_input *in)
{
    drain(t, in, false);
}
