/* metrics.c - the metrics database never has a hole that isn't known
 *
 * What it lacks is in the ranks' journals, and asked for again:
 *
 *   of an attempt that runs     with the welcome of its node: the journal comes again from where the
 *                               database ends (core/hello.c), before anything newer
 *   of one that ended           its journal in the run folder is read (fill.c), when the database
 *                               doesn't say that the attempt is whole
 *
 * An error of the database, or damage that a reader found, ends it for the turn: nothing is written
 * until it is mended, then every node's session begins anew and all jobs are looked at. Until a job
 * has all its values again, nobody is shown a part of them.
 */
#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/coord/internal.h"
#include "daemon/core/query.h"
#include "daemon/store/metrics.h"
#include "sys/clock.h"
#include "sys/log.h"

#define MEND_EVERY_MS 1000
#define NS_PER_MS UINT64_C(1000000)

/* ---- who is behind? */

static struct lt_coord_behind *behind_of(struct lt_coord *c, const char *job)
{
    struct lt_coord_behind *b = lt_map_get(c->behind, job);

    if (!b) {
        b = lt_calloc(1, sizeof *b);
        lt_map_set(c->behind, job, b);
    }
    return b;
}

/* Of the present attempt nothing is stored, though it runs. */
static int look_at_present(struct lt_coord *c, const Lt__V1__JobFold *f)
{
    for (size_t i = 0; !f->ended && i < f->n_ranks; i++) {
        const Lt__V1__RankFold *r = f->ranks[i];
        uint64_t stored;
        int rc;

        if (r->rank != 0 || r->exited || !r->started) /* others have no metrics */
            continue;
        rc = lt_metrics_offset(c->metrics, f->id, f->attempt, r->rank, &stored, NULL);
        if (rc < 0)
            return rc;
        if (stored == 0)
            behind_of(c, f->id)->awaited = true;
    }
    return 0;
}

static int look_at(struct lt_coord *c, const Lt__V1__JobFold *f)
{
    uint32_t whole, ended = f->ended ? f->attempt : f->attempt - 1;
    int rc = lt_metrics_whole(c->metrics, f->id, &whole, NULL);

    if (rc < 0)
        return rc;
    if (whole < ended)
        behind_of(c, f->id)->ended = ended;
    return look_at_present(c, f);
}

static void forget_again(struct lt_coord *c, size_t i)
{
    lt_free(c->again[i].job);
    c->again[i] = c->again[--c->n_again];
}

void lt_coord_metrics_look(struct lt_coord *c)
{
    const Lt__V1__JobFold *f;

    lt_coord_fill_drop(c);
    while (c->n_again)
        forget_again(c, 0);
    lt_map_free(c->behind);
    c->behind = lt_map_new(lt_free);
    for (size_t i = 0; c->core && (f = lt_core_next(c->core, &i));)
        if (f->attempt > 0 && look_at(c, f) < 0)
            return; /* it is to be mended first */
    if (lt_map_count(c->behind))
        lt_info("metrics of %zu job%s are filled in again from their ranks' journals",
                lt_map_count(c->behind), lt_map_count(c->behind) == 1 ? "" : "s");
    lt_coord_fill_next(c);
}

void lt_coord_metrics_done(struct lt_coord *c)
{
    lt_coord_fill_drop(c);
    while (c->n_again)
        forget_again(c, 0);
    lt_free(c->again);
    lt_map_free(c->behind);
}

int lt_coord_metrics_ready(struct lt_coord *c, const char *job, struct lt_error *err)
{
    const Lt__V1__JobFold *f;
    const char *node;

    if (lt_metrics_broken(c->metrics))
        return c->mend_failed
                   ? lt_error_set(err, -EIO, "the metrics can't be read: %s",
                                  lt_metrics_broken(c->metrics))
                   : 0;
    for (size_t i = 0; i < c->n_again; i++)
        if (lt_str_eq(c->again[i].job, job))
            return 0;
    if (!lt_map_get(c->behind, job))
        return 1;
    if (!c->core || lt_core_find(c->core, job, &f, NULL) < 0)
        return 0;
    node = lt_core_job_node(c->core, f);
    return node && lt_core_session(c->core, node)
               ? 0
               : lt_error_set(err, -EHOSTUNREACH,
                              "the metrics of job %s are to be filled in again from its journals,"
                              " but node %s isn't connected",
                              f->id, node ? node : "(none)");
}

/* ---- what the turn brought */

/* The present attempt is over: nobody waits for its node any more. */
static void attempt_over(struct lt_coord *c, const char *job)
{
    struct lt_coord_behind *b = lt_map_get(c->behind, job);

    if (!b)
        return;
    b->awaited = false;
    if (!b->ended)
        lt_map_remove(c->behind, job);
}

void lt_coord_metrics_take(struct lt_coord *c, const struct lt_actions *todo)
{
    struct lt_error err = {0};
    bool any = false;
    int rc = 0;

    for (size_t i = 0; i < todo->len && rc == 0; i++) {
        const struct lt_action *a = &todo->items[i];

        if (a->kind != LT_DO_METRICS)
            continue;
        any = true;
        if (a->metrics)
            rc = lt_metrics_append(c->metrics, a->job, a->attempt, a->rank, a->end_offset,
                                   a->metrics, &err);
        else
            rc = lt_metrics_set_whole(c->metrics, a->job, a->attempt, &err);
        if (!a->metrics)
            attempt_over(c, a->job);
    }
    if (any && rc == 0)
        lt_metrics_flush(c->metrics, &err);
}

/* ---- journals that come again */

void lt_coord_metrics_hello(struct lt_coord *c, uint64_t session, const Lt__V1__Hello *m,
                            const uint64_t *stored)
{
    for (size_t i = 0; i < m->n_attempts; i++) {
        const Lt__V1__KnownAttempt *k = m->attempts[i];
        const Lt__V1__JobFold *f;

        if (!k->job || !c->core || lt_core_find(c->core, k->job, &f, NULL) < 0 ||
            f->attempt != k->attempt)
            continue;
        attempt_over(c, f->id); /* its node is here */
        if (k->rank != 0 || stored[i] > 0 || k->journal_offset == 0 || f->ended)
            continue;
        LT_GROW(c->again, c->n_again, c->cap_again);
        c->again[c->n_again++] = (struct lt_coord_again){.session = session,
                                                         .job = lt_strdup(f->id),
                                                         .attempt = k->attempt,
                                                         .rank = k->rank,
                                                         .until = k->journal_offset};
    }
    lt_coord_fill_next(c);
}

static void came(struct lt_coord *c, const char *job, uint32_t attempt, uint32_t rank,
                 uint64_t end_offset)
{
    for (size_t i = 0; job && i < c->n_again; i++) {
        const struct lt_coord_again *a = &c->again[i];

        if (a->attempt != attempt || a->rank != rank || end_offset < a->until ||
            !lt_str_eq(a->job, job))
            continue;
        forget_again(c, i);
        lt_coord_tell(c, job, LT_CHANGED_METRICS);
        return;
    }
}

void lt_coord_metrics_heard(struct lt_coord *c, const Lt__V1__AgentMessage *m)
{
    const Lt__V1__Records *all;

    if (c->n_again == 0)
        return;
    switch (m->message_case) {
    case LT__V1__AGENT_MESSAGE__MESSAGE_RECORD:
        came(c, m->record->job, m->record->attempt, m->record->rank, m->record->end_offset);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RECORDS:
        all = m->records;
        if (all->n_items)
            came(c, all->job, all->attempt, all->rank, all->items[all->n_items - 1]->end_offset);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE:
        came(c, m->rank_gone->job, m->rank_gone->attempt,
             m->rank_gone->exited ? m->rank_gone->exited->rank : 0, UINT64_MAX);
        break;
    default:
        break;
    }
}

void lt_coord_metrics_lost(struct lt_coord *c, uint64_t session)
{
    for (size_t i = 0; i < c->n_again;) {
        if (c->again[i].session != session) {
            i++;
            continue;
        }
        behind_of(c, c->again[i].job)->awaited = true;
        forget_again(c, i);
    }
}

/* ---- mending */

static void mend(struct lt_coord *c)
{
    struct lt_error err = {0};
    bool renewed;

    c->mended_ns = lt_clock_mono_ns();
    c->mend_failed = lt_metrics_mend(c->metrics, &renewed, &err) < 0;
    if (c->mend_failed) {
        lt_err("the metrics database can't be opened again: %s", err.text);
        return;
    }
    lt_info("the metrics database is %s", renewed ? "a new one" : "open again");
    lt_coord_agents_drop(c, "the metrics database lost its place; journals are sent again");
    lt_coord_metrics_look(c);
    lt_coord_tell(c, NULL, LT_CHANGED_METRICS);
}

static void on_mend(uv_timer_t *t)
{
    mend(t->data);
}

void lt_coord_metrics_care(struct lt_coord *c)
{
    uint64_t since = (lt_clock_mono_ns() - c->mended_ns) / NS_PER_MS;

    if (!lt_metrics_broken(c->metrics) || c->closing || uv_is_active((uv_handle_t *)&c->mend))
        return;
    lt_err("metrics: %s", lt_metrics_broken(c->metrics));
    uv_timer_start(&c->mend, on_mend,
                   c->mended_ns && since < MEND_EVERY_MS ? MEND_EVERY_MS - since : 0, 0);
}
