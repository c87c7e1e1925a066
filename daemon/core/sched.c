/* sched.c - which queued job starts where
 *
 * By priority, then by age. The first job that finds no room is the head; jobs behind it may start
 * only where the head would still fit once everything that held cores before it was queued is over:
 * a backfilled job may run for ever without delaying the head. Without known running times this is
 * all that can be promised, and it is kept without any.
 */
#include "daemon/core/state.h"

#include "base/map.h"
#include "base/str.h"

#define S(name) LT__V1__JOB_STATE__##name
#define MEMORY_MAX (UINT64_MAX / 4) /* more than there is; several of them can be added up */

static const Lt__V1__Resources *resources(const Lt__V1__JobFold *f)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);

    return job ? job->resources : NULL;
}

static bool shares_cores(const Lt__V1__JobFold *f)
{
    const Lt__V1__Resources *r = resources(f);

    return r && r->oversubscribe;
}

bool lt_may_crowd(const Lt__V1__JobFold *f)
{
    const Lt__V1__Resources *r = resources(f);

    return r && r->has_oversubscribe ? r->oversubscribe
                                     : f->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;
}

bool lt_shares_cpus(const Lt__V1__JobFold *f)
{
    return shares_cores(f) || lt_spec_ranks(f->spec) > f->reserved->cpus;
}

uint32_t lt_rank_share(uint32_t cpus, uint32_t i, uint32_t n)
{
    uint32_t share = cpus / n + (i < cpus % n);

    return LT_MAX(share, 1);
}

/* A later attempt must give the first one's bits: same instruction set, same number of threads. */
static bool bound_to_profile(const Lt__V1__JobFold *f)
{
    const Lt__V1__Trainer *trainer =
        f->spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? f->spec->plan->trainer : NULL;

    return f->has_profile &&
           (!trainer || trainer->reproducible == LT__V1__TRAINER__REPRODUCIBLE__strict);
}

uint64_t lt_all_ranks(uint64_t bytes, uint32_t ranks)
{
    return bytes < MEMORY_MAX / ranks ? bytes * ranks : MEMORY_MAX;
}

struct lt_need lt_need_on(const Lt__V1__JobFold *f, const struct lt_node *n)
{
    const Lt__V1__Resources *r = resources(f);
    struct lt_need need = {
        .memory = f->checked ? lt_all_ranks(f->checked->memory_bytes, lt_spec_ranks(f->spec)) : 0};

    if (r && r->memory && r->memory->has_bytes)
        need.memory = lt_all_ranks(r->memory->bytes, 1);
    if (bound_to_profile(f) && f->has_first_cpus)
        need.given = f->first_cpus;
    else if (r && r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT)
        need.given = (uint32_t)LT_MIN(r->cpus->count, UINT32_MAX);
    else
        need.given = n->inventory ? n->inventory->cpus : 0; /* auto: all of them */
    need.cpus = shares_cores(f) ? 0 : need.given;
    return need;
}

/* Reservations on a node made after event `since`. */
static struct lt_use use_since(const struct lt_core *core, const char *node, uint64_t since)
{
    struct lt_use use = {0};

    for (int s = S(RESERVED); s < S(DONE); s++)
        for (const struct lt_job *job = core->lists[s].first; job; job = job->next) {
            const Lt__V1__JobFold *f = job->fold;

            if (!lt_fold_holds_cores(f) || f->reserved_seq <= since ||
                !lt_str_eq(f->reserved->node, node))
                continue;
            use.cpus += shares_cores(f) ? 0 : f->reserved->cpus;
            use.memory += f->reserved->memory_bytes;
        }
    return use;
}

struct lt_use lt_use_of(const struct lt_core *core, const char *node)
{
    return use_since(core, node, 0);
}

/* A node that doesn't tell its memory is not asked for it. */
static bool fits(const struct lt_node *n, struct lt_use use, struct lt_need a, struct lt_need b)
{
    uint64_t memory = n->inventory->memory_bytes;

    return (uint64_t)use.cpus + a.cpus + b.cpus <= n->inventory->cpus &&
           (!memory || use.memory + a.memory + b.memory <= memory);
}

bool lt_node_could(const Lt__V1__JobFold *f, const struct lt_node *n)
{
    if (!n->inventory || !fits(n, (struct lt_use){0}, lt_need_on(f, n), (struct lt_need){0}))
        return false;
    if (lt_need_on(f, n).given < lt_spec_ranks(f->spec) && !lt_may_crowd(f))
        return false;
    return !bound_to_profile(f) || !f->first_isa || lt_str_eq(f->first_isa, n->inventory->isa);
}

bool lt_node_ready(const struct lt_core *core, const struct lt_node *n)
{
    return n->session && !lt_core_draining(core, n->name);
}

bool lt_node_has_room(const struct lt_core *core, const Lt__V1__JobFold *f, const struct lt_node *n)
{
    return lt_node_could(f, n) &&
           fits(n, lt_use_of(core, n->name), lt_need_on(f, n), (struct lt_need){0});
}

bool lt_place_holds(const struct lt_core *core, const Lt__V1__JobFold *f, const struct lt_node *n)
{
    return lt_node_could(f, n) && f->reserved->cpus <= lt_need_on(f, n).given &&
           fits(n, lt_use_of(core, n->name), (struct lt_need){0}, (struct lt_need){0});
}

bool lt_spares_head(const struct lt_core *core, const Lt__V1__JobFold *f, const struct lt_node *n,
                    const Lt__V1__JobFold *head)
{
    if (!lt_node_ready(core, n) || !lt_node_could(head, n))
        return true;
    return fits(n, use_since(core, n->name, head->queued_seq), lt_need_on(f, n),
                lt_need_on(head, n));
}

struct lt_job *lt_queue_head(const struct lt_core *core)
{
    return core->lists[S(QUEUED)].first;
}

/* Its files are likely there: the node of its last attempt, or of its parent's. */
static const char *home(const struct lt_core *core, const Lt__V1__JobFold *f)
{
    const struct lt_job *parent = f->parent ? lt_core_job(core, f->parent) : NULL;

    if (f->n_ranks)
        return f->ranks[0]->node;
    return parent && parent->fold->n_ranks ? parent->fold->ranks[0]->node : NULL;
}

/* At home if possible; else where the least is left over, so that large gaps stay. */
static struct lt_node *choose_node(const struct lt_core *core, const Lt__V1__JobFold *f,
                                   const Lt__V1__JobFold *head)
{
    struct lt_node *best = NULL;
    uint32_t best_left = UINT32_MAX;
    const char *at_home = home(core, f), *name;
    void *node;

    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);) {
        struct lt_node *n = node;
        uint32_t left;

        if (!lt_node_ready(core, n) || !lt_node_has_room(core, f, n) ||
            (head && !lt_spares_head(core, f, n, head)))
            continue;
        if (lt_str_eq(name, at_home))
            return n;
        left = n->inventory->cpus - lt_use_of(core, name).cpus - lt_need_on(f, n).cpus;
        if (!best || left < best_left) {
            best = n;
            best_left = left;
        }
    }
    return best;
}

static void reserve(struct lt_turn *t, struct lt_job *job, const struct lt_node *n)
{
    Lt__V1__Reserved r = LT__V1__RESERVED__INIT;
    Lt__V1__Event e = LT_EVENT_INIT;
    struct lt_need need = lt_need_on(job->fold, n);

    r.node = n->name;
    LT_SET(&r, cpus, need.given);
    LT_SET(&r, memory_bytes, need.memory);
    r.isa = n->inventory->isa;
    r.build = n->inventory->build;
    e.type_case = LT__V1__EVENT__TYPE_RESERVED;
    e.reserved = &r;
    if (job->fold->attempt)
        LT_SET(&e, attempt, job->fold->attempt);
    lt_emit(t, job->fold->id, &e);
}

void lt_schedule(struct lt_turn *t)
{
    struct lt_job *head = NULL, *next;

    t->core->reschedule = false;
    for (struct lt_job *job = t->core->lists[S(QUEUED)].first; job; job = next) {
        struct lt_node *n = choose_node(t->core, job->fold, head ? head->fold : NULL);

        next = job->next;
        if (n) {
            reserve(t, job, n);
            lt_job_advance(t, job);
        } else if (!head) {
            head = job;
        }
    }
}
