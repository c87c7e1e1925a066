/* world.c - clock, chance, and what goes wrong */
#include "tests/core/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define FAULTS_LAST (1500 * SEC)
#define PATIENCE (4 * 3600 * SEC) /* after the last fault everything must have ended by then */

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014) */
static uint64_t next_random(struct sim *s)
{
    uint64_t z = s->rng += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_below(struct sim *s, uint64_t n)
{
    return next_random(s) % n;
}

uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high)
{
    return low + sim_below(s, high - low + 1);
}

bool sim_chance(struct sim *s, unsigned per_mille)
{
    return sim_below(s, 1000) < per_mille;
}

bool sim_fault(struct sim *s, unsigned per_mille)
{
    return sim_chance(s, per_mille) && !s->quiet;
}

static bool sooner(const struct task *a, const struct task *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct task *a, struct task *b)
{
    struct task t = *a;

    *a = *b;
    *b = t;
}

static void push(struct sim *s, struct task t)
{
    size_t i = s->n_heap;

    LT_GROW(s->heap, s->n_heap, s->cap_heap);
    s->heap[s->n_heap++] = t;
    for (; i && sooner(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&s->heap[i], &s->heap[(i - 1) / 2]);
}

void sim_at(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *arg, uint64_t n)
{
    push(s, (struct task){s->mono + delay_ns, s->order++, fn, arg, n, NULL});
}

void sim_at_owned(struct sim *s, uint64_t delay_ns, sim_fn *fn, void *arg, void (*drop)(void *))
{
    push(s, (struct task){s->mono + delay_ns, s->order++, fn, arg, 0, drop});
}

static struct task pop(struct sim *s)
{
    struct task first = s->heap[0];
    size_t i = 0;

    s->heap[0] = s->heap[--s->n_heap];
    for (;;) {
        size_t least = i, left = 2 * i + 1, right = left + 1;

        if (left < s->n_heap && sooner(&s->heap[left], &s->heap[least]))
            least = left;
        if (right < s->n_heap && sooner(&s->heap[right], &s->heap[least]))
            least = right;
        if (least == i)
            return first;
        swap(&s->heap[i], &s->heap[least]);
        i = least;
    }
}

void sim_fail(struct sim *s, const char *format, ...)
{
    va_list ap;

    if (s->failed)
        return;
    va_start(ap, format);
    vsnprintf(s->why, sizeof s->why, format, ap);
    va_end(ap);
    s->failed = true;
}

void sim_trace(struct sim *s, const char *format, ...)
{
    va_list ap;

    if (!s->trace)
        return;
    fprintf(stderr, "%10.3f ", (double)s->mono / (double)SEC);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

uint64_t sim_wall(const struct sim *s)
{
    return UINT64_C(1700000000) * SEC + (uint64_t)((int64_t)s->mono + s->wall_offset);
}

int sim_script_of(const Lt__V1__JobSpec *spec)
{
    const char *name = spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND ? spec->command->name
                       : spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN  ? spec->plan->name
                                                                         : spec->evaluation->plan->name;
    int script = 0;

    sscanf(name, "s%d", &script);
    return script;
}

/* A hello may come between a decision and its commit. */
uint32_t sim_cpus_of(const struct node *node)
{
    return node->told[0] > node->told[1] ? node->told[0] : node->told[1];
}

struct blob blob_of(const ProtobufCMessage *m)
{
    struct blob b = {.len = protobuf_c_message_get_packed_size(m)};

    b.data = lt_malloc(b.len);
    protobuf_c_message_pack(m, b.data);
    return b;
}

/* ---- faults */

static void reach_again(struct sim *s, void *arg, uint64_t n)
{
    struct node *node = arg;

    (void)n;
    node->unreachable = false;
    sim_trace(s, "%s is reachable again", node->name);
}

static void cut_off(struct sim *s, struct node *node)
{
    uint64_t length = sim_chance(s, 400) ? sim_between(s, 300, 600) : sim_between(s, 1, 40);

    sim_trace(s, "%s is cut off for %llu s", node->name, (unsigned long long)length);
    node->unreachable = true;
    if (node->link)
        link_break(s, node->link);
    sim_at(s, length * SEC, reach_again, node, 0);
}

static void disk_free_again(struct sim *s, void *arg, uint64_t n)
{
    (void)arg;
    (void)n;
    s->disk_full = false;
}

static void something_breaks(struct sim *s, void *arg, uint64_t n)
{
    struct node *node = &s->nodes[sim_below(s, SIM_NODES)];

    (void)arg;
    (void)n;
    if (s->quiet)
        return;
    switch (sim_below(s, 12)) {
    case 0:
        coord_crash(s, "killed");
        break;
    case 1:
    case 2:
        node_crash(s, node);
        break;
    case 3:
    case 4:
    case 5:
        if (node->link)
            link_break(s, node->link);
        break;
    case 6:
    case 7:
        cut_off(s, node);
        break;
    case 8:
        if (sim_chance(s, 100)) /* ended jobs are forgotten */
            s->wall_offset += (int64_t)(8 * 86400 * SEC);
        s->wall_offset += (int64_t)sim_below(s, 2 * 86400 * SEC) - (int64_t)(86400 * SEC);
        break;
    case 9:
        s->disk_full = true;
        sim_at(s, sim_between(s, 1, 30) * SEC, disk_free_again, NULL, 0);
        break;
    case 10:
        if (sim_chance(s, 250))
            node_wipe(s, node);
        break;
    default:
        for (size_t i = 0; i < node->n_attempts; i++)
            if (node->attempts[i]->running && sim_chance(s, 600))
                worker_die(s, node, node->attempts[i], LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE,
                           137, "killed");
    }
    sim_at(s, sim_between(s, 1, 90) * SEC, something_breaks, NULL, 0);
}

static void calm_down(struct sim *s, void *arg, uint64_t n)
{
    (void)arg;
    (void)n;
    s->quiet = true;
    s->quiet_ns = s->mono;
    s->disk_full = false;
    sim_trace(s, "the faults are over");
    if (!s->coord.core)
        sim_at(s, SEC, coord_start, NULL, s->coord.epoch);
    for (int i = 0; i < SIM_NODES; i++) {
        s->nodes[i].unreachable = false;
        s->nodes[i].cpus = s->nodes[i].all_cpus;
        if (s->nodes[i].link)
            link_break(s, s->nodes[i].link); /* it is told with the next hello */
    }
    client_wind_down(s);
}

/* ---- one history */

static void set_up(struct sim *s)
{
    s->shadow = lt_map_new(lt_free);
    s->mono = 1000 * SEC;
    for (int i = 0; i < SIM_NODES; i++) {
        struct node *node = &s->nodes[i];

        snprintf(node->name, sizeof node->name, "n%d", i);
        node->cpus = node->all_cpus = (uint32_t)sim_between(s, 1, 4);
        node->memory = sim_between(s, 4, 16) << 30;
        node->up = true;
        sim_at(s, sim_below(s, 5 * SEC), node_connect, node, node->life);
    }
    sim_at(s, 0, coord_start, NULL, 0);
    sim_at(s, SEC, client_act, NULL, 0);
    sim_at(s, 5 * SEC, something_breaks, NULL, 0);
    sim_at(s, FAULTS_LAST, calm_down, NULL, 0);
}

static void tear_down(struct sim *s)
{
    for (size_t i = 0; i < s->n_log; i++)
        lt_free(s->log[i].data);
    for (size_t i = 0; i < s->n_links; i++)
        lt_free(s->links[i]);
    for (int i = 0; i < SIM_NODES; i++) {
        for (size_t k = 0; k < s->nodes[i].n_attempts; k++)
            attempt_free(s->nodes[i].attempts[k]);
        lt_free(s->nodes[i].attempts);
    }
    for (; s->n_heap; s->n_heap--)
        if (s->heap[s->n_heap - 1].drop)
            s->heap[s->n_heap - 1].drop(s->heap[s->n_heap - 1].arg);
    lt_core_free(s->coord.core);
    lt_actions_done(&s->coord.pending);
    lt_free(s->snapshot.data);
    shadow_free(s);
    lt_free(s->lives);
    lt_free(s->links);
    lt_free(s->heap);
    lt_free(s->log);
}

static bool all_ended(struct sim *s)
{
    for (size_t i = 0; i < s->n_requests; i++)
        if (s->requests[i].waiting || !shadow_done(s, s->requests[i].job))
            return false;
    for (int i = 0; i < SIM_NODES; i++)
        if (s->nodes[i].n_attempts)
            return false;
    return s->quiet;
}

bool sim_run(uint64_t seed, bool trace, char why[512], uint64_t *steps)
{
    struct sim *s = lt_calloc(1, sizeof *s);
    bool ok;

    s->seed = seed;
    s->rng = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    s->trace = trace;
    set_up(s);
    while (!s->failed && s->n_heap && s->heap[0].at < FAULTS_LAST + PATIENCE && !all_ended(s)) {
        struct task t = pop(s);

        s->mono = t.at;
        t.fn(s, t.arg, t.n);
    }
    coord_settle(s);
    if (!s->failed)
        shadow_end(s);
    ok = !s->failed;
    memcpy(why, s->why, sizeof s->why);
    *steps += s->steps;
    tear_down(s);
    lt_free(s);
    return ok;
}
