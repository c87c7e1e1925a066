/* status.c - the fold with live samples over it, as clients see it */
#include "daemon/core/query.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/core/state.h"

#define S(name) LT__V1__JOB_STATE__##name

static const char *rank_state(const struct lt_core *core, const Lt__V1__JobFold *f,
                              const Lt__V1__RankFold *r)
{
    const struct lt_node *n = lt_map_get(core->nodes, r->node);

    if (r->exited || f->state == S(DONE))
        return "exited";
    if (!n || !n->session)
        return "unknown";
    return r->started ? "running" : "starting";
}

/* Of rank 0: what a person calls the job's position. */
static const Lt__V1__Sample *lead_sample(const struct lt_job *job)
{
    return job && job->n_ranks && job->fold->state != S(DONE) ? job->ranks[0].sample : NULL;
}

static Lt__V1__RankStatus *rank_status(const struct lt_core *core, const struct lt_job *job,
                                       const Lt__V1__JobFold *f, size_t i, struct lt_arena *arena)
{
    Lt__V1__RankStatus *s = lt_arena_alloc(arena, sizeof *s);
    const Lt__V1__Sample *live = job->ranks[i].sample;
    const Lt__V1__ProgressSaved *kept = i == 0 ? f->progress : f->ranks[i]->progress;

    lt__v1__rank_status__init(s);
    LT_SET(s, rank, f->ranks[i]->rank);
    s->node = f->ranks[i]->node;
    if (f->ranks[i]->pid)
        LT_SET(s, pid, f->ranks[i]->pid);
    s->state = (char *)rank_state(core, f, f->ranks[i]);
    if (live) {
        s->phase = live->phase;
        LT_SET(s, step, live->step);
        LT_SET(s, step_ms, live->step_ms);
        LT_SET(s, memory_bytes, live->memory_bytes);
    } else if (kept) {
        LT_SET(s, step, kept->step);
        LT_SET(s, step_ms, kept->step_ms);
        LT_SET(s, memory_bytes, kept->memory_bytes);
    }
    return s;
}

static void fill_position(const struct lt_job *job, const Lt__V1__JobFold *f,
                          Lt__V1__JobStatus *out)
{
    const Lt__V1__Sample *live = lead_sample(job);
    uint64_t step = LT_MAX(f->from_step, f->reached_step),
             epoch = f->progress ? f->progress->epoch : 0;

    if (f->finished && f->finished->has_epoch)
        epoch = f->finished->epoch;
    if (f->finished && f->finished->has_step)
        step = f->finished->step;
    if (live && !f->finished) {
        step = live->step;
        epoch = live->epoch;
    }
    LT_SET(out, step, step);
    LT_SET(out, epoch, epoch);
    if (job->n_ranks && job->ranks[0].sample) {
        LT_SET(out, total_steps, job->ranks[0].sample->total_steps);
        LT_SET(out, total_epochs, job->ranks[0].sample->total_epochs);
    } else if (f->progress) {
        LT_SET(out, total_steps, f->progress->total_steps);
        LT_SET(out, total_epochs, f->progress->total_epochs);
    }
}

static void fill_times(const Lt__V1__JobFold *f, Lt__V1__JobStatus *out)
{
    LT_SET(out, submitted_ns, f->submitted_ns);
    if (f->has_started_ns)
        LT_SET(out, started_ns, f->started_ns);
    if (f->has_ended_ns)
        LT_SET(out, ended_ns, f->ended_ns);
}

static void fill_best(const Lt__V1__JobFold *f, Lt__V1__JobStatus *out)
{
    for (size_t i = 0; i < f->n_checkpoints; i++)
        if (!f->checkpoints[i]->saved->recovery && f->checkpoints[i]->saved->best)
            out->best = f->checkpoints[i]->saved;
}

uint32_t lt_core_job_world(const Lt__V1__JobFold *f)
{
    return f->n_ranks ? (uint32_t)f->n_ranks : lt_spec_ranks(f->spec);
}

void lt_core_status(const struct lt_core *core, const Lt__V1__JobFold *f, Lt__V1__JobStatus *out,
                    struct lt_arena *arena)
{
    const struct lt_job *job = lt_core_job(core, f->id);

    lt__v1__job_status__init(out);
    out->id = f->id;
    out->name = (char *)lt_spec_name(f->spec);
    out->kind = (char *)lt_spec_kind(f->spec);
    LT_SET(out, uid, f->uid);
    LT_SET(out, state, f->state);
    LT_SET(out, result, f->result);
    LT_SET(out, class_, f->class_);
    out->reason = f->reason;
    LT_SET(out, attempt, f->attempt);
    LT_SET(out, generation, f->generation);
    LT_SET(out, world_size, lt_core_job_world(f));
    out->run_dir = f->run_dir;
    out->parent = f->parent;
    out->conditions = f->conditions;
    out->n_conditions = f->n_conditions;
    out->problems = f->refused ? f->problems : f->checked ? f->checked->warnings : NULL;
    out->n_problems = f->refused ? f->n_problems : f->checked ? f->checked->n_warnings : 0;
    out->ranks = lt_arena_alloc(arena, f->n_ranks * sizeof *out->ranks);
    for (; out->n_ranks < f->n_ranks; out->n_ranks++)
        out->ranks[out->n_ranks] = rank_status(core, job, f, out->n_ranks, arena);
    if (f->finished) {
        out->results = f->finished->values;
        out->n_results = f->finished->n_values;
    }
    fill_position(job, f, out);
    fill_times(f, out);
    fill_best(f, out);
}

/* ---- nodes */

static const char *node_state(const struct lt_core *core, const struct lt_node *n,
                              struct lt_use use)
{
    if (!n->session)
        return "unknown";
    if (!lt_core_draining(core, n->name))
        return "ready";
    return use.cpus || use.memory ? "draining" : "drained";
}

static void fill_jobs(const struct lt_core *core, const struct lt_node *n, Lt__V1__NodeStatus *out,
                      struct lt_arena *arena)
{
    size_t count = 0;

    for (int s = S(RESERVED); s < S(DONE); s++)
        count += core->lists[s].count;
    out->jobs = lt_arena_alloc(arena, count * sizeof *out->jobs);
    for (int s = S(RESERVED); s < S(DONE); s++)
        for (const struct lt_job *job = core->lists[s].first; job; job = job->next)
            if (lt_fold_holds_cores(job->fold) && lt_str_eq(job->fold->reserved->node, n->name))
                out->jobs[out->n_jobs++] = job->fold->id;
}

void lt_core_nodes(const struct lt_core *core, Lt__V1__NodesListResponse *out,
                   struct lt_arena *arena)
{
    const char *name;
    void *value;

    lt__v1__nodes_list_response__init(out);
    out->nodes = lt_arena_alloc(arena, lt_map_count(core->nodes) * sizeof *out->nodes);
    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &value);) {
        const struct lt_node *n = value;
        Lt__V1__NodeStatus *s = out->nodes[out->n_nodes++] = lt_arena_alloc(arena, sizeof *s);
        struct lt_use use = lt_use_of(core, name);

        lt__v1__node_status__init(s);
        s->name = n->name;
        s->state = (char *)node_state(core, n, use);
        s->inventory = n->inventory;
        s->version = n->version;
        if (n->inventory) {
            LT_SET(s, cpus_free, n->inventory->cpus > use.cpus ? n->inventory->cpus - use.cpus : 0);
            LT_SET(s, memory_free_bytes,
                   n->inventory->memory_bytes > use.memory ? n->inventory->memory_bytes - use.memory
                                                           : 0);
        }
        fill_jobs(core, n, s, arena);
    }
}

uint64_t lt_core_session(const struct lt_core *core, const char *node)
{
    const struct lt_node *n = node ? lt_map_get(core->nodes, node) : NULL;
    const char *name;
    void *value;

    if (node)
        return n ? n->session : 0;
    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &value);)
        if (((const struct lt_node *)value)->session)
            return ((const struct lt_node *)value)->session;
    return 0;
}

const char *lt_core_job_node(const struct lt_core *core, const Lt__V1__JobFold *f)
{
    const char *name;
    void *value;

    if (f->n_ranks)
        return f->ranks[0]->node;
    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &value);)
        if (((const struct lt_node *)value)->session)
            return name;
    return NULL;
}
