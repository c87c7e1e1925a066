/* null.c - collectives that don't happen: counts, bytes, and what they would cost
 *
 * For worlds of any size in one process (with engine/null: what a step of 10,000 ranks sends). Each
 * result is what it would be if every rank had brought what this one did and the reduction were the
 * first argument: shapes and places are right, sums are not.
 *
 * Cost model: a message costs ALPHA seconds, a byte BETA; with W ranks and n bytes an all-reduce is
 * 2 (W-1) messages and 2 n (W-1)/W bytes (all-to-all and all-gather), either half of it one such
 * half; a broadcast and a barrier log2(W) messages. ALPHA and BETA are what MPICH measured between
 * processes of one machine (docs/collectives.md); they are for comparing plans, not for promises.
 */
#include <string.h>

#include "engine/comm/impl.h"

#define ALPHA 0.7e-6
#define BETA (1 / 3.0e9)

static int rounds(int world)
{
    int n = 0;

    while ((1 << n) < world)
        n++;
    return n;
}

static void add_cost(struct lt_comm *c, const struct lt_coll *k)
{
    double others = c->world - 1, n = (double)k->own.bytes, tree = rounds(c->world);
    double messages = others, bytes = 0;

    switch (k->kind) {
    case LT_COLL_ALL_REDUCE:
        messages = 2 * others;
        bytes = (1 + lt_coll_terms(k)) * n * others / c->world;
        break;
    case LT_COLL_REDUCE_SCATTER:
    case LT_COLL_ALL_TO_ALL:
        bytes = n * others / c->world;
        break;
    case LT_COLL_ALL_GATHER:
        bytes = n * others;
        break;
    case LT_COLL_BROADCAST:
        messages = tree;
        bytes = n * (tree > 0);
        break;
    default:
        messages = tree;
    }
    c->stats.cost_s += messages * ALPHA + bytes * BETA;
    c->stats.sent += (uint64_t)bytes;
}

static int null_begin(struct lt_comm *c, struct lt_coll *k)
{
    const struct lt_coll_part *p = lt_coll_parts(k);
    size_t size = lt_dtype_sizes[k->dtype], r = (size_t)c->rank;

    add_cost(c, k);
    for (size_t i = 0; i < lt_coll_n_parts(k) && k->kind != LT_COLL_BARRIER; i++, p++) {
        size_t bytes = p->count * size;

        if (k->kind == LT_COLL_ALL_GATHER) {
            for (size_t w = 0; w < (size_t)c->world && bytes; w++)
                memmove((char *)p->out + w * bytes, p->in, bytes);
        } else if (k->kind == LT_COLL_REDUCE_SCATTER) {
            if (bytes)
                memmove(p->out, (const char *)p->in + r * bytes, bytes);
        } else if (k->kind == LT_COLL_ALL_TO_ALL) {
            if (bytes)
                memmove(p->out, p->in, (size_t)c->world * bytes);
        } else if (bytes && p->out != p->in) {
            memcpy(p->out, p->in, bytes);
        }
    }
    return 1;
}

static int null_progress(struct lt_comm *c, struct lt_coll *k)
{
    (void)c, (void)k;
    return 1;
}

const struct lt_comm_impl lt_comm_null = {
    .name = "null", .begin = null_begin, .progress = null_progress};
