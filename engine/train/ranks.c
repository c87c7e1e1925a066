/* ranks.c - the numbers that travel with updates and evaluations, and what follows from them */
#include "engine/train/ranks.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"

#define TEXT_MAX (1u << 16)

/* ---- opening */

int lt_ranks_open(struct lt_trainer *t, uint64_t window, struct lt_error *err)
{
    struct lt_ranks *r = &t->ranks;
    int rc;

    r->comm = t->c->comm;
    r->rank = lt_comm_rank(r->comm);
    r->world = lt_comm_world(r->comm);
    rc = lt_shares_of(t->plan, r->world, &r->shares, err);
    if (rc < 0)
        return rc;
    r->many = r->world > 1 || r->shares.slices > 1;
    if (!r->many)
        return 0;
    if (window > (1u << 20) / (uint64_t)t->metrics.n)
        return lt_error_set(err, -EINVAL,
                            "trainer.accumulate_grad_batches: %llu are too many for several ranks",
                            (unsigned long long)window);
    r->n = LT_AGREED_BITS + 2 * t->metrics.n * (int)(window - 1);
    r->mine = lt_calloc((size_t)(r->n * r->shares.local), sizeof *r->mine);
    return 0;
}

void lt_ranks_close(struct lt_trainer *t)
{
    lt_free(t->ranks.mine);
    t->ranks.mine = NULL;
}

int lt_ranks_threads(struct lt_trainer *t, uint32_t *threads, struct lt_error *err)
{
    int64_t most = -(int64_t)*threads;
    int rc = 0;

    if (t->ranks.world > 1)
        rc = lt_comm_max_i64(t->ranks.comm, &most, 1, "threads", err);
    *threads = (uint32_t)-most;
    return rc;
}

/* ---- bits */

static bool time_over(const struct lt_trainer *t)
{
    return t->limits.max_seconds > 0 &&
           t->elapsed_before + (double)(lt_clock_mono_ns() - t->started_ns) * 1e-9 >=
               t->limits.max_seconds;
}

static bool validation_over_due(const struct lt_trainer *t)
{
    return t->limits.val_every_seconds > 0 &&
           (double)(lt_clock_mono_ns() - t->last_val_ns) * 1e-9 >= t->limits.val_every_seconds;
}

static uint32_t clock_bits(const struct lt_trainer *t)
{
    return (time_over(t) ? LT_AGREED_TIME_OVER : 0) |
           (validation_over_due(t) ? LT_AGREED_VALIDATE : 0);
}

uint32_t lt_ranks_here(const struct lt_trainer *t)
{
    uint32_t bits = t->c->commands ? t->c->commands(t->c->arg, &t->pos) : 0;

    if (!lt_ranks_first(&t->ranks)) /* SIGTERM, say; the rest is rank 0's */
        return bits & (LT_COMMAND_STOP | LT_COMMAND_CANCEL);
    return bits | clock_bits(t);
}

uint32_t lt_ranks_clock(struct lt_trainer *t)
{
    return t->ranks.many ? t->ranks.agreed : clock_bits(t);
}

uint32_t lt_ranks_commands(struct lt_trainer *t)
{
    uint32_t bits = t->ranks.agreed;

    if (!t->ranks.many)
        return t->c->commands ? t->c->commands(t->c->arg, &t->pos) : 0;
    t->ranks.agreed = 0;
    return bits;
}

/* ---- the exchange */

/* Places of a micro-batch's sums in a slice's numbers. */
static double *held(const struct lt_ranks *r, const struct lt_metrics *m, double *slice, int batch,
                    int quantity)
{
    (void)r;
    return slice + LT_AGREED_BITS + 2 * (batch * m->n + quantity);
}

void lt_ranks_offer(struct lt_trainer *t)
{
    struct lt_ranks *r = &t->ranks;
    uint32_t bits = r->many ? lt_ranks_here(t) : 0;

    for (int i = 0; r->many && i < LT_AGREED_BITS; i++)
        r->mine[i] = bits >> i & 1;
}

static void add_held(struct lt_trainer *t, double *totals)
{
    for (int b = 0; b < t->ranks.pending; b++)
        for (int q = 0; q < t->metrics.n; q++) {
            const double *sums = held(&t->ranks, &t->metrics, totals, b, q);

            lt_trainer_add(t, q, sums[0], sums[1]);
        }
    t->ranks.pending = 0;
    memset(t->ranks.mine, 0, (size_t)(t->ranks.n * t->ranks.shares.local) * sizeof *totals);
}

void lt_ranks_take(struct lt_trainer *t, const struct lt_bound *b)
{
    struct lt_ranks *r = &t->ranks;
    const double *totals;

    if (!r->many)
        return;
    totals = lt_session_value(t->session, b->exchange_out, NULL);
    r->agreed = 0;
    for (int i = 0; i < LT_AGREED_BITS; i++)
        r->agreed |= (uint32_t)(totals[i] > 0) << i;
    if (b == &t->step)
        add_held(t, (double *)(uintptr_t)totals);
}

void lt_ranks_hold(struct lt_trainer *t, const struct lt_bound *b)
{
    struct lt_ranks *r = &t->ranks;

    for (int s = 0; s < r->shares.local; s++)
        for (int q = 0; q < t->metrics.n; q++) {
            double *to = held(r, &t->metrics, r->mine + s * r->n, r->pending, q);
            const int *out = b->slice_out + 2 * (s * t->metrics.n + q);

            to[0] = lt_session_scalar(t->session, out[0]);
            to[1] = lt_session_scalar(t->session, out[1]);
        }
    r->pending++;
}

/* ---- what else must be the same */

static int merge_window(struct lt_trainer *t, struct lt_error *err)
{
    struct lt_ranks *r = &t->ranks;
    struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                        .dtype = LT_F64,
                        .terms = r->shares.local,
                        .name = "window",
                        .one = {.in = r->mine,
                                .out = r->mine,
                                .count = (size_t)r->n,
                                .stride = (size_t)r->n * sizeof *r->mine}};
    int rc;

    if (!lt_trainer_window_open(t))
        return 0;
    memset(r->mine, 0, LT_AGREED_BITS * sizeof *r->mine);
    rc = lt_comm_run(r->comm, &k, err);
    if (rc < 0)
        return rc;
    add_held(t, r->mine);
    return lt_session_merge(t->session, r->comm, err);
}

int lt_ranks_before_validation(struct lt_trainer *t, struct lt_error *err)
{
    int rc = t->ranks.many ? merge_window(t, err) : 0;

    if (rc == 0 && t->ranks.world > 1 && !t->t->sync_batchnorm)
        rc = lt_session_share_buffers(t->session, t->ranks.comm, err);
    return rc;
}

int lt_ranks_tell_u64(struct lt_trainer *t, uint64_t *n, struct lt_error *err)
{
    return t->ranks.world > 1
               ? lt_comm_broadcast(t->ranks.comm, n, sizeof *n, 0, "number", err)
               : 0;
}

int lt_ranks_tell(struct lt_trainer *t, char **text, struct lt_error *err)
{
    struct lt_ranks *r = &t->ranks;
    uint64_t n = lt_ranks_first(r) && *text ? strlen(*text) + 1 : 0;
    int rc;

    if (r->world == 1)
        return 0;
    rc = lt_ranks_tell_u64(t, &n, err);
    if (rc == 0 && n > TEXT_MAX)
        rc = lt_error_set(err, -EPROTO, "rank 0 tells %llu bytes", (unsigned long long)n);
    if (rc < 0)
        return rc;
    if (!lt_ranks_first(r)) {
        lt_free(*text);
        *text = n ? lt_calloc(1, (size_t)n) : NULL;
    }
    return n ? lt_comm_broadcast(r->comm, *text, (size_t)n, 0, "text", err) : 0;
}
