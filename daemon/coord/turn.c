/* turn.c - one turn of the loop is one commit
 *
 * Order within a flush: all events of the turn in one append; metrics (their database has no say in
 * anything); then what the core wanted done, in its order, the watchers among it. Between step and
 * flush the core is ahead of the log; lt_coord_core() flushes first, so nothing that isn't durable
 * is shown to anybody.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "daemon/coord/internal.h"
#include "daemon/core/query.h"
#include "daemon/store/metrics.h"
#include "daemon/store/store.h"
#include "sys/clock.h"
#include "sys/log.h"

static struct lt_coord_waiter *waiter(struct lt_coord *c, uint64_t token)
{
    for (size_t i = 0; i < c->n_waiters; i++)
        if (c->waiters[i].token == token)
            return &c->waiters[i];
    return NULL;
}

static void drop_waiter(struct lt_coord *c, struct lt_coord_waiter *w)
{
    size_t i = (size_t)(w - c->waiters);

    memmove(w, w + 1, (c->n_waiters - i - 1) * sizeof *w);
    c->n_waiters--;
}

static void reply(struct lt_coord *c, uint64_t token, const struct lt_coord_reply *r)
{
    struct lt_coord_waiter *w = waiter(c, token), copy;

    if (!w)
        return;
    copy = *w;
    drop_waiter(c, w);
    if (copy.fn)
        copy.fn(copy.arg, r);
}

void lt_coord_step(struct lt_coord *c, const struct lt_core_input *in)
{
    int rc;

    if (c->broken.code || !c->core)
        return;
    rc = lt_core_step(c->core, in, lt_clock_wall_ns(), lt_clock_mono_ns(), &c->actions);
    c->stepped = true;
    if (rc < 0)
        lt_err("the core refused an input of kind %d: %s", (int)in->kind, strerror(-rc));
}

uint64_t lt_coord_input(struct lt_coord *c, struct lt_core_input *in, lt_coord_reply_fn *fn,
                        void *arg)
{
    struct lt_coord_waiter *w;

    LT_GROW(c->waiters, c->n_waiters, c->cap_waiters);
    w = &c->waiters[c->n_waiters++];
    *w = (struct lt_coord_waiter){.token = ++c->last_token, .fn = fn, .arg = arg};
    in->token = w->token;
    if (c->broken.code || !c->core)
        w->refused = c->refusals = true;
    else
        lt_coord_step(c, in);
    return in->token;
}

void lt_coord_forget(struct lt_coord *c, uint64_t token)
{
    struct lt_coord_waiter *w = waiter(c, token);

    if (w)
        w->fn = NULL;
}

/* Answers waiters with the store's error: all of them, or those that never reached the core. */
static void refuse_waiters(struct lt_coord *c, bool all)
{
    struct lt_coord_reply r = {.status = c->broken.code, .job = "", .text = c->broken.text};

    for (size_t i = 0; i < c->n_waiters;) {
        if (!all && !c->waiters[i].refused)
            i++;
        else
            reply(c, c->waiters[i].token, &r);
    }
}

/* What people read when they are refused. */
static void say_remedy(struct lt_error *broken)
{
    size_t n = strlen(broken->text);

    if (broken->code == -ENOSPC)
        snprintf(broken->text + n, sizeof broken->text - n,
                 "; ltd takes no new work until there is room again, running jobs go on");
}

static void broke(struct lt_coord *c, const struct lt_error *why)
{
    struct lt_error err = {0};

    lt_err("nothing can be stored: %s", why->text);
    c->broken = *why;
    if (!c->broken.code)
        c->broken.code = -EIO;
    say_remedy(&c->broken);
    lt_actions_done(&c->actions);
    refuse_waiters(c, true);
    lt_coord_agents_drop(c, c->broken.text);
    if (lt_coord_rebuild(c, &err) < 0) /* the core is ahead of the log */
        lt_err("%s", err.text);
    lt_coord_probe_later(c);
}

/* All events of the turn. */
static int append(struct lt_coord *c, struct lt_error *err)
{
    struct lt_store_event *events = lt_calloc(c->actions.len + 1, sizeof *events);
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < c->actions.len; i++) {
        const struct lt_action *a = &c->actions.items[i];

        if (a->kind == LT_DO_APPEND)
            events[n++] = (struct lt_store_event){
                .seq = a->seq, .job = a->job ? a->job : "", .data = a->data, .len = a->len};
    }
    if (n > 0)
        rc = lt_store_append(c->store, events, n, err);
    lt_free(events);
    return rc;
}

/* A job that is told about and isn't there has been removed. */
static void forget_removed(struct lt_coord *c, const char *job)
{
    const Lt__V1__JobFold *fold;
    struct lt_error err = {0};

    if (lt_core_find(c->core, job, &fold, NULL) == 0)
        return;
    lt_map_remove(c->behind, job);
    if (lt_store_forget(c->store, job, &err) < 0 || lt_metrics_forget(c->metrics, job, &err) < 0)
        lt_warning("job %s: %s", job, err.text);
    lt_coord_blobs_sweep_soon(c);
}

static void act(struct lt_coord *c, const struct lt_action *a)
{
    switch (a->kind) {
    case LT_DO_SEND:
        lt_coord_agent_send(c, a->session, a->data, a->len);
        break;
    case LT_DO_REPLY:
        reply(c, a->token,
              &(struct lt_coord_reply){.status = a->status,
                                       .job = a->job ? a->job : "",
                                       .text = a->text ? a->text : ""});
        break;
    case LT_DO_CLOSE:
        lt_coord_agent_drop(c, a->session, a->text);
        break;
    case LT_DO_NOTIFY:
        forget_removed(c, a->job);
        lt_coord_tell(c, a->job, LT_CHANGED_STATUS);
        break;
    case LT_DO_APPEND:
        lt_coord_tell(c, a->job, LT_CHANGED_EVENTS);
        break;
    case LT_DO_METRICS:
        lt_coord_tell(c, a->job, LT_CHANGED_METRICS);
        break;
    case LT_DO_N:
        break;
    }
}

static void snapshot(struct lt_coord *c)
{
    struct lt_error err = {0};
    uint8_t *data;
    size_t len;

    if (c->actions.len > 0 || lt_store_since_snapshot(c->store) < LT_STORE_SNAPSHOT_EVERY)
        return;
    lt_core_snapshot(c->core, &data, &len);
    if (lt_store_snapshot_save(c->store, lt_core_last_seq(c->core), data, len, &err) < 0)
        lt_warning("snapshot: %s", err.text);
    lt_free(data);
}

/* Acts on what is durable now. Callbacks may give new inputs: those belong to the next turn. */
static void act_all(struct lt_coord *c)
{
    struct lt_actions todo = c->actions;

    memset(&c->actions, 0, sizeof c->actions);
    lt_coord_metrics_take(c, &todo);
    for (size_t i = 0; i < todo.len; i++)
        act(c, &todo.items[i]);
    lt_actions_done(&todo);
}

void lt_coord_flush(struct lt_coord *c)
{
    struct lt_error err = {0};

    if (c->flushing || c->closing)
        return;
    c->flushing = true;
    if (c->refusals) {
        c->refusals = false;
        refuse_waiters(c, false);
    }
    if (c->actions.len > 0) {
        if (append(c, &err) == 0) {
            act_all(c);
            snapshot(c);
        } else {
            broke(c, &err);
        }
        c->stepped = true;
    }
    if (c->stepped)
        lt_coord_arm(c);
    c->stepped = false;
    c->flushing = false;
    lt_coord_metrics_care(c);
}
