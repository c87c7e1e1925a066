/* explain.c - the first unmet need of a job, computed from what the scheduler itself looks at */
#include "daemon/core/query.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/core/state.h"
#include "proto/plan.h"

#define S(name) LT__V1__JOB_STATE__##name

struct question {
    const struct lt_core *core;
    const struct lt_job *job;
    const Lt__V1__JobFold *f;
    uint64_t mono_ns;
    struct lt_buf *out;
};

static size_t connected(const struct lt_core *core)
{
    const char *name;
    void *node;
    size_t n = 0;

    for (size_t i = 0; lt_map_next(core->nodes, &i, &name, &node);)
        n += ((const struct lt_node *)node)->session != 0;
    return n;
}

static void explain_checking(const struct question *q)
{
    if (q->job->check_text && q->job->check_text[0])
        lt_buf_printf(q->out, "Its plan and data are being checked: %s.", q->job->check_text);
    else if (q->job->check_session)
        lt_buf_str(q->out, "Its plan and data are being checked.");
    else if (connected(q->core))
        lt_buf_str(q->out,
                   "Its plan waits to be checked: the nodes are busy with other plans' checks.");
    else
        lt_buf_str(q->out, "Its plan waits to be checked: no node is connected.");
}

static void explain_held(const struct question *q)
{
    lt_buf_printf(q->out, "It is held on request; `ltctl release %s` queues it.", q->f->id);
}

static void print_need(const struct question *q, const struct lt_node *n)
{
    struct lt_need need = lt_need_on(q->f, n);
    char memory[32];

    lt_print_size(memory, sizeof memory, need.memory);
    lt_buf_printf(q->out, "It needs %u processor%s", need.cpus, need.cpus == 1 ? "" : "s");
    if (need.memory)
        lt_buf_printf(q->out, " and %s of memory", memory);
}

static void print_users(const struct question *q, const char *node)
{
    size_t n = 0;

    for (int s = S(RESERVED); s < S(DONE); s++)
        for (const struct lt_job *job = q->core->lists[s].first; job; job = job->next)
            if (lt_fold_holds_cores(job->fold) && lt_str_eq(job->fold->reserved->node, node))
                lt_buf_printf(q->out, "%s%s", n++ ? ", " : " (held by ", job->fold->id);
    if (n)
        lt_buf_char(q->out, ')');
}

static void print_room(const struct question *q, const struct lt_node *n)
{
    struct lt_use use = lt_use_of(q->core, n->name);
    uint64_t total = n->inventory->memory_bytes;
    char free_text[32], total_text[32];

    lt_print_size(free_text, sizeof free_text, total > use.memory ? total - use.memory : 0);
    lt_print_size(total_text, sizeof total_text, total);
    print_need(q, n);
    lt_buf_printf(q->out, "; node %s has %u of %u free", n->name,
                  n->inventory->cpus > use.cpus ? n->inventory->cpus - use.cpus : 0,
                  n->inventory->cpus);
    if (total && lt_need_on(q->f, n).memory)
        lt_buf_printf(q->out, " and %s of %s", free_text, total_text);
    print_users(q, n->name);
    lt_buf_char(q->out, '.');
}

/* How near a node is to being what the job needs; the nearest one is explained. */
enum fitness { NOTHING, ABSENT, TOO_SMALL, DRAINING, FULL, BEHIND, FREE };

static enum fitness fitness(const struct question *q, const struct lt_node *n)
{
    const struct lt_job *head = lt_queue_head(q->core);

    if (!n->session)
        return ABSENT;
    if (!lt_node_could(q->f, n))
        return TOO_SMALL;
    if (!lt_node_ready(q->core, n))
        return DRAINING;
    if (!lt_node_has_room(q->core, q->f, n))
        return FULL;
    return head && head != q->job && !lt_spares_head(q->core, q->f, n, head->fold) ? BEHIND : FREE;
}

static void explain_small(const struct question *q, const struct lt_node *n)
{
    struct lt_need need = lt_need_on(q->f, n);
    char has[32];

    if (q->f->first_isa && q->f->has_profile && !lt_str_eq(q->f->first_isa, n->inventory->isa)) {
        lt_buf_printf(
            q->out,
            "Its first attempt ran with %s, and the plan asks for the same bits; node %s has %s.",
            q->f->first_isa, n->name, n->inventory->isa ? n->inventory->isa : "something else");
        return;
    }
    print_need(q, n);
    lt_print_size(has, sizeof has, n->inventory->memory_bytes);
    lt_buf_printf(q->out, "; node %s has only %u", n->name, n->inventory->cpus);
    if (need.memory)
        lt_buf_printf(q->out, " and %s", has);
    lt_buf_str(q->out, ", and no other is connected that could take it.");
}

static void explain_queued(const struct question *q)
{
    const struct lt_job *head = lt_queue_head(q->core);
    const struct lt_node *nearest = NULL;
    enum fitness best = NOTHING;
    const char *name;
    void *node;

    for (size_t i = 0; lt_map_next(q->core->nodes, &i, &name, &node);) {
        enum fitness now = fitness(q, node);

        if (now > best) {
            best = now;
            nearest = node;
        }
    }
    switch (best) {
    case NOTHING:
        lt_buf_str(q->out, "No node is connected.");
        break;
    case ABSENT:
        lt_buf_printf(q->out, "No node is connected; %s was seen last.", nearest->name);
        break;
    case TOO_SMALL:
        explain_small(q, nearest);
        break;
    case DRAINING:
        lt_buf_printf(
            q->out,
            "Node %s is draining and takes no new work; `ltctl nodes undrain %s` changes that.",
            nearest->name, nearest->name);
        break;
    case FULL:
        print_room(q, nearest);
        break;
    case BEHIND:
        lt_buf_printf(
            q->out,
            "There is room on node %s, but starting now would delay job %s, which waits before it.",
            nearest->name, head->fold->id);
        break;
    case FREE:
        lt_buf_printf(q->out, "It starts on node %s now.", nearest->name);
        break;
    }
}

static void explain_waiting(const struct question *q)
{
    uint64_t at = q->job->retry_at_ns;
    const Lt__V1__JobFold *f = q->f;

    if (f->state == S(RECOVERING) && at > q->mono_ns)
        lt_buf_printf(q->out, "Attempt %u ended (%s); the next one starts in %u s.", f->attempt,
                      f->ended->reason ? f->ended->reason : lt_failure_class_name(f->ended->class_),
                      (unsigned)((at - q->mono_ns + LT_SECOND - 1) / LT_SECOND));
    else
        lt_buf_printf(q->out, "It waits for node %s, which is not connected.", f->reserved->node);
}

static void explain_ranks(const struct question *q)
{
    for (size_t i = 0; i < q->f->n_ranks; i++) {
        const Lt__V1__RankFold *r = q->f->ranks[i];
        const struct lt_node *n = lt_map_get(q->core->nodes, r->node);

        if (r->exited)
            continue;
        if (!n || !n->session) {
            lt_buf_printf(q->out, "Node %s is not connected; rank %u may still run there.", r->node,
                          r->rank);
            return;
        }
        if (q->f->state == S(STARTING) && !r->started) {
            lt_buf_printf(q->out, "Rank %u is being started on node %s.", r->rank, r->node);
            return;
        }
    }
    if (q->f->state == S(STOPPING))
        lt_buf_printf(q->out, "It was asked to end (%s), and has not yet.",
                      q->f->stop == LT__V1__STOP_KIND__STOP_CANCEL ? "cancel"
                      : q->f->stop == LT__V1__STOP_KIND__STOP_TIME ? "time limit"
                                                                   : "stop");
    else
        lt_buf_printf(q->out, "It needs nothing: it is %s.", lt_job_state_name(q->f->state));
}

static void explain_done(const struct question *q)
{
    lt_buf_printf(q->out, "It has ended: %s", lt_job_result_name(q->f->result));
    if (q->f->class_ != LT__V1__FAILURE_CLASS__CLASS_NONE)
        lt_buf_printf(q->out, " (%s)", lt_failure_class_name(q->f->class_));
    if (q->f->reason)
        lt_buf_printf(q->out, ", %s", q->f->reason);
    lt_buf_char(q->out, '.');
}

static void (*const explainers[LT_STATE_N])(const struct question *) = {
    [S(HELD_CHECKING)] = explain_checking, [S(HELD_USER)] = explain_held,
    [S(QUEUED)] = explain_queued,          [S(RESERVED)] = explain_waiting,
    [S(STARTING)] = explain_ranks,         [S(RUNNING)] = explain_ranks,
    [S(RECOVERING)] = explain_waiting,     [S(STOPPING)] = explain_ranks,
    [S(CLEANUP)] = explain_ranks,          [S(DONE)] = explain_done,
};

void lt_core_explain(const struct lt_core *core, const Lt__V1__JobFold *fold, uint64_t mono_ns,
                     struct lt_buf *out)
{
    struct question q = {core, lt_core_job(core, fold->id), fold, mono_ns, out};

    if (explainers[fold->state])
        explainers[fold->state](&q);
}
