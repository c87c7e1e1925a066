/* core.c - one step: hand the input to its handler, then see what became possible
 *
 * Everything that could have changed is looked at by level, not by edge: a job is advanced until
 * its state asks for nothing more (due.c), then checks and the queue are served. So a step that was
 * cut short by a crash needs no special treatment: the next look does what was left.
 */
#include "daemon/core/core.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/core/state.h"

static void job_free(void *p)
{
    struct lt_job *job = p;

    for (size_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i].sample)
            lt__v1__sample__free_unpacked(job->ranks[i].sample, NULL);
    lt_free(job->ranks);
    lt_free(job->check_text);
    lt_fold_free(job->fold);
    lt_free(job);
}

static void node_free(void *p)
{
    struct lt_node *n = p;

    if (n->inventory)
        lt__v1__inventory__free_unpacked(n->inventory, NULL);
    lt_free(n->name);
    lt_free(n->version);
    lt_free(n);
}

struct lt_core *lt_core_new(void)
{
    struct lt_core *core = lt_calloc(1, sizeof *core);

    core->jobs = lt_map_new(job_free);
    core->requests = lt_map_new(NULL);
    core->nodes = lt_map_new(node_free);
    core->deadline_ns = LT_NEVER;
    core->reschedule = true;
    return core;
}

void lt_core_free(struct lt_core *core)
{
    if (!core)
        return;
    lt_map_free(core->requests);
    lt_map_free(core->jobs);
    lt_map_free(core->nodes);
    for (size_t i = 0; i < core->n_draining; i++)
        lt_free(core->draining[i]);
    lt_free(core->draining);
    lt_free(core);
}

/* ---- jobs and their lists */

struct lt_job *lt_core_job(const struct lt_core *core, const char *id)
{
    return lt_map_get(core->jobs, id);
}

static bool goes_before(const struct lt_job *a, const struct lt_job *b, Lt__V1__JobState state)
{
    int64_t pa = lt_fold_priority(a->fold), pb = lt_fold_priority(b->fold);

    if (state != LT__V1__JOB_STATE__QUEUED)
        return false;
    return pa != pb ? pa > pb : a->fold->submitted_seq < b->fold->submitted_seq;
}

static bool limited(const struct lt_job *job)
{
    return job->fold->has_started_ns && lt_spec_time_limit_s(job->fold->spec) > 0;
}

/* At the end, but for the queue: by priority, then by age. A job that comes back keeps its age. */
void lt_list_add(struct lt_core *core, struct lt_job *job)
{
    struct lt_list *l = &core->lists[job->fold->state];
    struct lt_job *after = l->last;

    while (after && goes_before(job, after, job->fold->state))
        after = after->prev;
    job->prev = after;
    job->next = after ? after->next : l->first;
    *(job->prev ? &job->prev->next : &l->first) = job;
    *(job->next ? &job->next->prev : &l->last) = job;
    l->count++;
    core->limited += job->fold->state == LT__V1__JOB_STATE__QUEUED && limited(job);
}

void lt_list_remove(struct lt_core *core, struct lt_list *l, struct lt_job *job)
{
    core->limited -= l == &core->lists[LT__V1__JOB_STATE__QUEUED] && limited(job);
    *(job->prev ? &job->prev->next : &l->first) = job->next;
    *(job->next ? &job->next->prev : &l->last) = job->prev;
    job->prev = job->next = NULL;
    l->count--;
}

static char *request_key(const Lt__V1__JobFold *f)
{
    return lt_format("%u/%s", f->uid, f->request_id ? f->request_id : "");
}

void lt_core_add(struct lt_core *core, Lt__V1__JobFold *fold)
{
    struct lt_job *job = lt_calloc(1, sizeof *job);
    char *key = request_key(fold);

    job->fold = fold;
    job->reached_step = fold->reached_step;
    lt_map_set(core->jobs, fold->id, job);
    lt_map_set(core->requests, key, job);
    lt_free(key);
    lt_job_reset_ranks(job);
    lt_list_add(core, job);
    job->changed = true;
}

void lt_core_drop(struct lt_core *core, struct lt_job *job)
{
    char *key = request_key(job->fold);
    char *id = lt_strdup(job->fold->id);

    lt_list_remove(core, &core->lists[job->fold->state], job);
    lt_map_remove(core->requests, key);
    lt_map_remove(core->jobs, id);
    lt_free(key);
    lt_free(id);
}

void lt_core_relist(struct lt_core *core, struct lt_job *job, Lt__V1__JobState before)
{
    if (job->fold->state == before)
        return;
    lt_list_remove(core, &core->lists[before], job);
    lt_list_add(core, job);
    job->retry_at_ns = job->missing_at_ns = 0;
    core->reschedule = core->reschedule || job->fold->state == LT__V1__JOB_STATE__QUEUED ||
                       job->fold->state == LT__V1__JOB_STATE__DONE;
}

void lt_job_reset_ranks(struct lt_job *job)
{
    for (size_t i = 0; i < job->n_ranks; i++)
        if (job->ranks[i].sample)
            lt__v1__sample__free_unpacked(job->ranks[i].sample, NULL);
    lt_free(job->ranks);
    job->n_ranks = job->fold->n_ranks;
    job->ranks = lt_calloc(job->n_ranks, sizeof *job->ranks);
}

/* ---- nodes */

struct lt_node *lt_core_node(struct lt_core *core, const char *name, uint64_t mono_ns)
{
    struct lt_node *n = lt_map_get(core->nodes, name);

    if (!n) {
        n = lt_calloc(1, sizeof *n);
        n->name = lt_strdup(name);
        n->lost_ns = mono_ns;
        lt_map_set(core->nodes, name, n);
    }
    return n;
}

struct lt_node *lt_core_node_of_session(const struct lt_core *core, uint64_t session)
{
    const char *name;
    void *node;

    for (size_t i = 0; session && lt_map_next(core->nodes, &i, &name, &node);)
        if (((struct lt_node *)node)->session == session)
            return node;
    return NULL;
}

bool lt_core_draining(const struct lt_core *core, const char *node)
{
    for (size_t i = 0; i < core->n_draining; i++)
        if (strcmp(core->draining[i], node) == 0)
            return true;
    return false;
}

void lt_core_set_draining(struct lt_core *core, const char *node, bool on)
{
    size_t kept = 0;

    for (size_t i = 0; i < core->n_draining; i++)
        if (strcmp(core->draining[i], node) == 0)
            lt_free(core->draining[i]);
        else
            core->draining[kept++] = core->draining[i];
    core->n_draining = kept;
    if (on) {
        core->draining = lt_realloc(core->draining, kept + 1, sizeof *core->draining);
        core->draining[core->n_draining++] = lt_strdup(node);
    }
    core->reschedule = true;
}

/* ---- the step */

static lt_input_fn *const handlers[LT_IN_N] = {
    [LT_IN_SUBMIT] = lt_on_submit,         [LT_IN_CANCEL] = lt_on_cancel,
    [LT_IN_STOP] = lt_on_stop,             [LT_IN_RELEASE] = lt_on_release,
    [LT_IN_CHECKPOINT] = lt_on_checkpoint, [LT_IN_REMOVE] = lt_on_remove,
    [LT_IN_DRAIN] = lt_on_drain,           [LT_IN_UNDRAIN] = lt_on_undrain,
    [LT_IN_AGENT] = lt_on_agent,           [LT_IN_AGENT_LOST] = lt_on_agent_lost,
    [LT_IN_TIMER] = lt_on_timer,
};

static bool input_valid(const struct lt_core_input *in)
{
    if ((unsigned)in->kind >= LT_IN_N)
        return false;
    if (in->kind <= LT_IN_REMOVE && !in->job)
        return false;
    if ((in->kind == LT_IN_DRAIN || in->kind == LT_IN_UNDRAIN) && !in->node)
        return false;
    if ((in->kind == LT_IN_AGENT || in->kind == LT_IN_AGENT_LOST) && !in->session)
        return false;
    if (in->kind == LT_IN_SUBMIT &&
        (!in->submit.spec || !in->submit.request_id || !in->submit.spec_hash))
        return false;
    return in->kind != LT_IN_AGENT || in->message;
}

/* Once per job; also of jobs that are no longer there. */
static void notify_changed(struct lt_turn *t, size_t first)
{
    size_t n = t->out->len;

    for (size_t i = first; i < n; i++) {
        struct lt_action *a = &t->out->items[i];
        struct lt_job *job =
            a->kind == LT_DO_APPEND && a->job ? lt_core_job(t->core, a->job) : NULL;

        if (job)
            lt_core_notify(t, job);
        else if (a->kind == LT_DO_APPEND && a->job)
            lt_action_add(t, LT_DO_NOTIFY, a->job);
    }
}

int lt_core_step(struct lt_core *core, const struct lt_core_input *in, uint64_t wall_ns,
                 uint64_t mono_ns, struct lt_actions *out)
{
    struct lt_turn t = {.core = core, .wall_ns = wall_ns, .mono_ns = mono_ns, .out = out};
    size_t first = out->len;

    if (!input_valid(in))
        return -EINVAL;
    if (mono_ns >= core->deadline_ns && in->kind != LT_IN_TIMER)
        lt_on_timer(&t, in); /* the next deadline is counted from now: nothing due may be skipped */
    handlers[in->kind](&t, in);
    lt_dispatch_checks(&t);
    if (core->reschedule)
        lt_schedule(&t);
    notify_changed(&t, first);
    core->deadline_ns = lt_next_deadline(core, wall_ns, mono_ns);
    return 0;
}

uint64_t lt_core_deadline(const struct lt_core *core)
{
    return core->deadline_ns;
}
