/* check.c - levels 2 and 3 of a plan's checks: which node is asked, and what its answer means
 *
 * A node gets half as many checks at a time as it has processors (they scan data and compile graphs
 * beside training). The question is soft: when the node goes before it answered, another one is
 * asked. The answer is an event.
 */
#include "daemon/core/state.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define CHECKING LT__V1__JOB_STATE__HELD_CHECKING

static unsigned check_limit(const struct lt_node *n)
{
    uint32_t cpus = n->inventory ? n->inventory->cpus : 1;

    return cpus > 3 ? cpus / 2 : 1;
}

/* The one with the fewest questions; draining nodes only when there is no other. */
static struct lt_node *pick_node(const struct lt_core *core)
{
    struct lt_node *best = NULL;
    const char *name;
    void *node;

    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);) {
        struct lt_node *n = node;

        if (!n->session || n->checks >= check_limit(n))
            continue;
        if (!best || (lt_core_draining(core, best->name) && !lt_core_draining(core, name)) ||
            (n->checks < best->checks &&
             lt_core_draining(core, best->name) == lt_core_draining(core, name)))
            best = n;
    }
    return best;
}

void lt_dispatch_checks(struct lt_turn *t)
{
    struct lt_job *job = t->core->lists[CHECKING].first;
    struct lt_node *n;

    for (; job && (n = pick_node(t->core)); job = job->next) {
        Lt__V1__CheckRequest c = LT__V1__CHECK_REQUEST__INIT;
        Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

        if (job->check_session)
            continue;
        c.job = job->fold->id;
        c.spec = job->fold->spec;
        m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK;
        m.check = &c;
        lt_send(t, n->session, &m);
        job->check_session = n->session;
        n->checks++;
    }
}

static struct lt_job *asked(struct lt_turn *t, struct lt_node *node, const char *id)
{
    struct lt_job *job = id ? lt_core_job(t->core, id) : NULL;

    return job && job->fold->state == CHECKING && job->check_session == node->session ? job : NULL;
}

void lt_on_check_progress(struct lt_turn *t, struct lt_node *node, const Lt__V1__CheckProgress *m)
{
    struct lt_job *job = asked(t, node, m->job);

    if (!job)
        return;
    lt_fold_string(&job->check_text, m->text ? m->text : "");
    job->changed = true;
    lt_core_notify(t, job);
}

struct largest {
    const struct lt_node *cpus, *memory;
};

static struct largest largest_nodes(const struct lt_core *core)
{
    struct largest l = {0};
    const char *name;
    void *node;

    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);) {
        const struct lt_node *n = node;

        if (!n->inventory)
            continue;
        if (!l.cpus || n->inventory->cpus > l.cpus->inventory->cpus)
            l.cpus = n;
        if (!l.memory || n->inventory->memory_bytes > l.memory->inventory->memory_bytes)
            l.memory = n;
    }
    return l;
}

static void add_problem(Lt__V1__Refused *r, const char *path, const char *remedy, char *reason)
{
    Lt__V1__Problem *p = lt_malloc(sizeof *p);

    lt__v1__problem__init(p);
    p->path = lt_strdup(path);
    p->reason = reason;
    p->remedy = lt_strdup(remedy);
    r->problems = lt_realloc(r->problems, r->n_problems + 1, sizeof *r->problems);
    r->problems[r->n_problems++] = p;
}

/* What the plan needs, of all ranks together, against what it said itself and the largest node. */
static void check_memory(const Lt__V1__JobFold *f, const struct lt_node *largest, uint64_t needed,
                         Lt__V1__Refused *refused)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);
    const Lt__V1__Resources *r = job ? job->resources : NULL;
    uint64_t limit = r && r->memory && r->memory->has_bytes ? r->memory->bytes : 0;
    uint64_t memory = LT_MAX(limit, needed);
    char need[32], have[32];

    lt_print_size(need, sizeof need, memory);
    if (limit && needed > limit) {
        lt_print_size(need, sizeof need, needed);
        lt_print_size(have, sizeof have, limit);
        add_problem(
            refused, "job.resources.memory", "a larger limit, or a smaller batch_size or model",
            lt_format("the plan needs %s (%llu bytes) of memory, but may use %s (%llu bytes)", need,
                      (unsigned long long)needed, have, (unsigned long long)limit));
    } else if (largest && largest->inventory->memory_bytes &&
               memory > largest->inventory->memory_bytes) {
        lt_print_size(have, sizeof have, largest->inventory->memory_bytes);
        add_problem(refused, "job.resources.memory",
                    "a smaller batch_size or model, or a node with more memory",
                    lt_format("the plan needs %s (%llu bytes) of memory; the largest node, %s, has "
                              "%s (%llu bytes)",
                              need, (unsigned long long)memory, largest->name, have,
                              (unsigned long long)largest->inventory->memory_bytes));
    }
}

static const char *ranks_path(const Lt__V1__JobFold *f)
{
    return f->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND ? "nproc" : "trainer.devices";
}

static void check_cpus(const Lt__V1__JobFold *f, const struct lt_node *largest,
                       Lt__V1__Refused *refused)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);
    const Lt__V1__Resources *r = job ? job->resources : NULL;
    bool count = r && r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT;
    uint32_t ranks = lt_spec_ranks(f->spec), has = largest->inventory->cpus;

    if (count && r->cpus->count > has) {
        add_problem(refused, "job.resources.cpus", "auto, or at most what a node has",
                    lt_format("%llu processors are asked for; the largest node, %s, has %u",
                              (unsigned long long)r->cpus->count, largest->name, has));
        return;
    }
    if (lt_may_crowd(f) || ranks <= (count ? r->cpus->count : has))
        return;
    add_problem(refused, ranks_path(f),
                count && ranks <= has ? "more job.resources.cpus, or fewer ranks"
                                      : "fewer ranks, or job.resources.oversubscribe: true",
                count ? lt_format("%u ranks on %llu processors", ranks,
                                  (unsigned long long)r->cpus->count)
                      : lt_format("%u ranks, but the largest node, %s, has %u processors", ranks,
                                  largest->name, has));
}

/* A program's ranks may do anything, so more of them than processors are let in, and that is said. */
static char *crowded(const struct lt_core *core, const Lt__V1__JobFold *f)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);
    const Lt__V1__Resources *r = job ? job->resources : NULL;
    const struct lt_node *largest = largest_nodes(core).cpus;
    uint32_t ranks = lt_spec_ranks(f->spec);
    uint64_t cpus = largest ? largest->inventory->cpus : UINT32_MAX;

    if (r && r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT)
        cpus = r->cpus->count;
    if ((r && r->oversubscribe) || ranks <= cpus)
        return NULL;
    return lt_format("%u ranks take turns on %llu processor%s", ranks, (unsigned long long)cpus,
                     cpus == 1 ? "" : "s");
}

/* The same bits need the same number of ranks as the job had that this one goes on from. */
static void check_ranks(const struct lt_core *core, const Lt__V1__JobFold *f,
                        Lt__V1__Refused *refused)
{
    uint32_t parents;
    const Lt__V1__Trainer *t =
        f->spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? f->spec->plan->trainer : NULL;

    if (!lt_other_ranks(core, f, &parents) ||
        (t && t->reproducible != LT__V1__TRAINER__REPRODUCIBLE__strict))
        return;
    add_problem(refused, "trainer.devices", "as many devices, or trainer.reproducible: relaxed",
                lt_format("%u rank%s, but job %s ran on %u: the bits would be others",
                          lt_spec_ranks(f->spec), lt_spec_ranks(f->spec) == 1 ? "" : "s",
                          f->parent, parents));
}

/* The largest by one measure may be too small by the other. */
static void check_both(const struct lt_core *core, const Lt__V1__JobFold *f, uint64_t memory,
                       Lt__V1__Refused *refused)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);
    const Lt__V1__Resources *r = job ? job->resources : NULL;
    uint64_t cpus = lt_may_crowd(f) ? 1 : lt_spec_ranks(f->spec);
    char need[32];
    const char *name;
    void *node;

    if (r && r->memory && r->memory->has_bytes)
        memory = r->memory->bytes;
    if (r && r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT)
        cpus = r->cpus->count;
    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);) {
        const Lt__V1__Inventory *has = ((const struct lt_node *)node)->inventory;

        if (has && has->cpus >= cpus && (!has->memory_bytes || has->memory_bytes >= memory))
            return;
    }
    lt_print_size(need, sizeof need, memory);
    add_problem(refused, "job.resources", "less of one of them, or a larger node",
                lt_format("%llu processors and %s of memory: no node has both",
                          (unsigned long long)cpus, need));
}

static void check_size(const struct lt_core *core, const Lt__V1__JobFold *f,
                       const Lt__V1__Checked *cost, Lt__V1__Refused *refused)
{
    struct largest l = largest_nodes(core);
    uint64_t memory = lt_all_ranks(cost->memory_bytes, lt_spec_ranks(f->spec));

    check_memory(f, l.memory, memory, refused);
    if (l.cpus)
        check_cpus(f, l.cpus, refused);
    if (l.cpus && refused->n_problems == 0)
        check_both(core, f, memory, refused);
    check_ranks(core, f, refused);
}

static void emit_refused(struct lt_turn *t, const struct lt_job *job, Lt__V1__Refused *refused)
{
    Lt__V1__Event e = LT_EVENT_INIT;

    e.type_case = LT__V1__EVENT__TYPE_REFUSED;
    e.refused = refused;
    lt_emit(t, job->fold->id, &e);
}

static void emit_checked(struct lt_turn *t, const struct lt_job *job, const struct lt_node *node,
                         const Lt__V1__CheckDone *m)
{
    Lt__V1__Checked checked = LT__V1__CHECKED__INIT;
    Lt__V1__Problem more = LT__V1__PROBLEM__INIT, **warnings;
    Lt__V1__Event e = LT_EVENT_INIT;

    if (m->cost)
        checked = *m->cost;
    checked.node = node->name;
    if (checked.n_warnings == 0) {
        checked.warnings = m->problems;
        checked.n_warnings = m->n_problems;
    }
    warnings = lt_calloc(checked.n_warnings + 1, sizeof *warnings);
    for (size_t i = 0; i < checked.n_warnings; i++)
        warnings[i] = checked.warnings[i];
    checked.warnings = warnings;
    more.reason = crowded(t->core, job->fold);
    if (more.reason) {
        more.path = (char *)ranks_path(job->fold);
        more.remedy = (char *)"fewer ranks, or job.resources.oversubscribe: true, if that is meant";
        LT_SET(&more, severity, LT__V1__PROBLEM__SEVERITY__WARNING);
        warnings[checked.n_warnings++] = &more;
    }
    e.type_case = LT__V1__EVENT__TYPE_CHECKED;
    e.checked = &checked;
    lt_emit(t, job->fold->id, &e);
    lt_free(more.reason);
    lt_free(warnings);
}

static bool has_errors(const Lt__V1__CheckDone *m)
{
    for (size_t i = 0; i < m->n_problems; i++)
        if (m->problems[i]->severity == LT__V1__PROBLEM__SEVERITY__ERROR)
            return true;
    return false;
}

void lt_on_check_done(struct lt_turn *t, struct lt_node *node, const Lt__V1__CheckDone *m)
{
    struct lt_job *job = asked(t, node, m->job);
    const Lt__V1__Checked none = LT__V1__CHECKED__INIT;
    Lt__V1__Refused *own;

    if (node->checks)
        node->checks--;
    if (!job)
        return;
    own = lt_malloc(sizeof *own);
    lt__v1__refused__init(own);
    check_size(t->core, job->fold, m->cost ? m->cost : &none, own);
    if (has_errors(m)) {
        Lt__V1__Refused told = LT__V1__REFUSED__INIT;

        told.problems = m->problems;
        told.n_problems = m->n_problems;
        emit_refused(t, job, &told);
    } else if (own->n_problems) {
        emit_refused(t, job, own);
    } else {
        emit_checked(t, job, node, m);
    }
    lt__v1__refused__free_unpacked(own, NULL);
    lt_job_advance(t, job);
}
