/* coord.c - a coordinator that keeps core.h's contract and may die at every action
 *
 * Steps are gathered and committed together; actions are carried out in order, each append becoming
 * durable by itself. A crash between any two of them loses the rest. A failed append does the same
 * to the core, but the process lives: it comes back when the disk does.
 */
#include "tests/core/sim/sim.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static void log_push(struct sim *s, const struct lt_action *a)
{
    Lt__V1__Event *e = lt__v1__event__unpack(NULL, a->len, a->data);

    if (!e || e->seq != s->n_log + 1 || a->seq != e->seq) {
        sim_fail(s, "event %llu appended as number %zu", (unsigned long long)a->seq, s->n_log + 1);
    } else {
        struct blob b = {lt_malloc(a->len), a->len};

        memcpy(b.data, a->data, a->len);
        LT_GROW(s->log, s->n_log, s->cap_log);
        s->log[s->n_log++] = b;
        shadow_append(s, e);
        if (e->job)
            client_react(s, e);
    }
    if (e)
        lt__v1__event__free_unpacked(e, NULL);
}

static void go_down(struct sim *s, uint64_t delay_ns)
{
    lt_core_free(s->coord.core);
    s->coord.core = NULL;
    s->coord.commit_due = false;
    s->coord.epoch++;
    lt_actions_done(&s->coord.pending);
    for (size_t i = 0; i < s->n_links; i++)
        link_break(s, s->links[i]);
    sim_at(s, delay_ns, coord_start, NULL, s->coord.epoch);
}

void coord_crash(struct sim *s, const char *why)
{
    if (!s->coord.core)
        return;
    sim_trace(s, "coordinator down: %s", why);
    go_down(s, sim_between(s, 100 * MS, s->quiet ? SEC : 30 * SEC));
}

static struct link *link_of(struct sim *s, uint64_t session)
{
    for (size_t i = s->n_links; i-- > 0;)
        if (s->links[i]->session == session)
            return s->links[i];
    return NULL;
}

static void carry_send(struct sim *s, const struct lt_action *a)
{
    Lt__V1__CoordinatorMessage *m = lt__v1__coordinator_message__unpack(NULL, a->len, a->data);
    struct link *l = link_of(s, a->session);
    struct blob b = {lt_malloc(a->len), a->len};

    memcpy(b.data, a->data, a->len);
    if (!m || !l)
        sim_fail(s, "a message that can't be sent");
    else
        shadow_send(s, l, m);
    if (l && l->epoch == s->coord.epoch)
        link_send(s, l, true, b);
    else
        lt_free(b.data);
    if (m)
        lt__v1__coordinator_message__free_unpacked(m, NULL);
}

static void carry_out(struct sim *s, const struct lt_action *a)
{
    switch (a->kind) {
    case LT_DO_APPEND:
        log_push(s, a);
        break;
    case LT_DO_SEND:
        carry_send(s, a);
        break;
    case LT_DO_REPLY:
        client_reply(s, a);
        break;
    case LT_DO_METRICS:
        shadow_metrics(s, a);
        break;
    case LT_DO_CLOSE:
        if (link_of(s, a->session))
            link_break(s, link_of(s, a->session));
        break;
    default:
        break;
    }
}

static struct blob snapshot_of(const struct lt_core *core)
{
    struct blob b;

    lt_core_snapshot(core, &b.data, &b.len);
    return b;
}

/* The durable log, from its beginning or from the last snapshot on. */
static struct lt_core *replay(struct sim *s, bool from_snapshot)
{
    struct lt_core *core = lt_core_new();
    struct lt_error err = {0};
    size_t i = 0;

    if (from_snapshot && s->snapshot.data) {
        if (lt_core_restore(core, s->snapshot.data, s->snapshot.len, &err) < 0)
            sim_fail(s, "restore: %s", err.text);
        i = s->snapshot_seq;
    }
    for (; i < s->n_log && !s->failed; i++)
        if (lt_core_replay(core, s->log[i].data, s->log[i].len, &err) < 0)
            sim_fail(s, "replay: %s", err.text);
    return core;
}

static void compare(struct sim *s, const struct lt_core *a, const struct lt_core *b,
                    const char *what)
{
    struct blob x = snapshot_of(a), y = snapshot_of(b);

    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
        sim_fail(s, "%s: the folds differ (%zu and %zu bytes)", what, x.len, y.len);
    lt_free(x.data);
    lt_free(y.data);
}

static void check_replay(struct sim *s)
{
    struct lt_core *all = replay(s, false), *tail = replay(s, true);

    if (!s->failed)
        compare(s, all, tail, "replay and snapshot + tail");
    if (!s->failed && s->coord.core)
        compare(s, s->coord.core, all, "live and replay");
    lt_core_free(all);
    lt_core_free(tail);
}

static void keep_snapshot(struct sim *s)
{
    lt_free(s->snapshot.data);
    s->snapshot = snapshot_of(s->coord.core);
    s->snapshot_seq = lt_core_last_seq(s->coord.core);
}

static void arm(struct sim *s);

static void timer(struct sim *s, void *arg, uint64_t epoch)
{
    struct lt_core_input in = {.kind = LT_IN_TIMER};

    (void)arg;
    if (epoch != s->coord.epoch || !s->coord.core)
        return;
    s->coord.armed_ns = UINT64_MAX;
    if (s->mono >= lt_core_deadline(s->coord.core))
        coord_input(s, &in);
    else
        arm(s);
}

static void arm(struct sim *s)
{
    uint64_t at = lt_core_deadline(s->coord.core);

    if (at >= s->coord.armed_ns)
        return;
    if (at < s->mono)
        at = s->mono;
    s->coord.armed_ns = at;
    sim_at(s, at - s->mono + (sim_fault(s, 200) ? sim_below(s, 3 * SEC) : 0), timer, NULL,
           s->coord.epoch);
}

static void commit(struct sim *s, unsigned crash_per_mille)
{
    struct lt_actions *p = &s->coord.pending;

    s->coord.commit_due = false;
    for (size_t i = 0; i < p->len && !s->failed; i++) {
        if (p->items[i].kind == LT_DO_APPEND && s->disk_full) {
            sim_trace(s, "coordinator: disk full");
            go_down(s, SEC);
            return;
        }
        if (sim_fault(s, crash_per_mille)) {
            coord_crash(s, "between two actions");
            return;
        }
        carry_out(s, &p->items[i]);
    }
    lt_actions_done(p);
    if (sim_chance(s, 5))
        keep_snapshot(s);
    if (sim_chance(s, 10))
        check_replay(s);
}

static void commit_later(struct sim *s, void *arg, uint64_t epoch)
{
    (void)arg;
    if (epoch == s->coord.epoch && s->coord.core)
        commit(s, 3);
}

void coord_input(struct sim *s, struct lt_core_input *in)
{
    if (!s->coord.core || s->failed)
        return;
    s->steps++;
    if (lt_core_step(s->coord.core, in, sim_wall(s), s->mono, &s->coord.pending) < 0)
        sim_fail(s, "the core refused an input");
    arm(s);
    if (s->coord.pending.len && !s->coord.commit_due) {
        s->coord.commit_due = true;
        sim_at(s, sim_chance(s, 700) ? 0 : sim_below(s, 20 * MS), commit_later, NULL,
               s->coord.epoch);
    }
}

void coord_start(struct sim *s, void *arg, uint64_t epoch)
{
    struct lt_core_input in = {.kind = LT_IN_TIMER};

    (void)arg;
    if (epoch != s->coord.epoch || s->coord.core)
        return;
    if (s->disk_full) { /* the probe fails */
        sim_at(s, SEC, coord_start, NULL, epoch);
        return;
    }
    sim_trace(s, "coordinator up, %zu events", s->n_log);
    s->coord.core = replay(s, sim_chance(s, 500));
    s->coord.armed_ns = UINT64_MAX;
    coord_input(s, &in);
}

void coord_settle(struct sim *s)
{
    if (s->coord.core)
        commit(s, 0);
    if (!s->failed)
        check_replay(s);
}
