/* sample.c - what the ranks' shared pages say, for people: live values, never events */
#include <math.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/page.h"
#include "sys/rss.h"

static double bits_to_double(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static void fill(const struct lt_rank *r, Lt__V1__Sample *s)
{
    const struct lt_page *p = r->page;
    unsigned phase = atomic_load_explicit(&p->phase, memory_order_relaxed);

    lt__v1__sample__init(s);
    s->job = r->spec->job;
    s->has_attempt = s->has_rank = s->has_epoch = s->has_step = s->has_step_ms = true;
    s->has_memory_bytes = s->has_total_steps = s->has_total_epochs = s->has_loss = true;
    s->attempt = r->spec->attempt;
    s->rank = r->spec->rank;
    s->epoch = atomic_load_explicit(&p->epoch, memory_order_relaxed);
    s->step = atomic_load_explicit(&p->step, memory_order_relaxed);
    s->step_ms = (double)atomic_load_explicit(&p->step_ns, memory_order_relaxed) / 1e6;
    s->memory_bytes = atomic_load_explicit(&p->memory_bytes, memory_order_relaxed);
    s->total_steps = atomic_load_explicit(&p->total_steps, memory_order_relaxed);
    s->total_epochs = atomic_load_explicit(&p->total_epochs, memory_order_relaxed);
    s->loss = bits_to_double(atomic_load_explicit(&p->loss_bits, memory_order_relaxed));
    if (r->spec->spec && r->spec->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND) {
        s->phase = (char *)"running"; /* no more is known of a program that isn't ours */
        if (r->worker > 0)
            lt_rss_of(r->worker, &s->memory_bytes);
    } else {
        s->phase = (char *)lt_phase_names[phase < LT_PHASE_N ? phase : LT_PHASE_STARTING];
    }
}

void lt_rank_sample(const struct lt_rank *r)
{
    Lt__V1__Samples m = LT__V1__SAMPLES__INIT;
    Lt__V1__Sample sample, *list[] = {&sample};

    if (!r->page)
        return;
    fill(r, &sample);
    m.samples = list;
    m.n_samples = 1;
    lt_node_send(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES, &m);
}

void lt_node_sample(struct lt_node *n)
{
    size_t max = lt_map_count(n->ranks);
    Lt__V1__Samples m = LT__V1__SAMPLES__INIT;
    Lt__V1__Sample *samples, **list;
    void *p;

    if (!n->welcomed || max == 0)
        return;
    samples = lt_calloc(max, sizeof *samples);
    list = lt_calloc(max, sizeof *list);
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        const struct lt_rank *r = p;

        if (r->state != LT_RANK_RUNNING || !r->page)
            continue;
        fill(r, &samples[m.n_samples]);
        list[m.n_samples] = &samples[m.n_samples];
        m.n_samples++;
    }
    m.samples = list;
    if (m.n_samples && lt_node_out_empty(n)) /* records may fill the session for long: at most one
                                                waits before them */
        lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES, &m);
    lt_free(list);
    lt_free(samples);
}
