/* parallel.c - collectives: what ranks must tell each other for many to train as one
 *
 * Every strategy is the same mechanism: values are grouped into flat units, a unit's stage says
 * what of it is sharded over ranks, and the pass puts starts and waits of collectives around its
 * uses. Stage 0, which is all there is so far, shards nothing (DDP): gradients are all-reduced.
 *
 * Gradients are sums of weight * d loss over samples, and the update divides by the sum of weights:
 * sums over ranks are all that is needed. They form units in the order in which they become ready,
 * closed at a size (DDP's buckets: a small one first, so that communication begins early). What
 * lies in front of the units is the window's: with accumulation it is the accumulators that travel,
 * once per update. The sums of loss, weight and metrics travel together in float64, with the
 * numbers that ranks exchange to decide alike (input "exchange").
 *
 * In slices (`reproducible: elastic`) a rank brings one term of a sum for each of its slices. The
 * sum is made term by term in the slices' order, so it doesn't depend on who computed which.
 */
#include "engine/graph/passes/parallel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

#define BUCKET_BYTES (25u << 20) /* torch's bucket_cap_mb */
#define FIRST_BUCKET_BYTES (1u << 20)

lt_id lt_parallel_apply(struct lt_parallel *p, const char *op, const char *name, const lt_id *in,
                        int n_in, const struct lt_attr *attrs, int n_attrs)
{
    int node;

    if (p->rc < 0)
        return LT_NONE;
    node = lt_graph_add(p->g, lt_op_find(op), name, in, n_in, attrs, n_attrs, p->err);
    if (node < 0)
        p->rc = node;
    return node < 0 ? LT_NONE : p->g->nodes[node].out[0];
}

lt_id lt_parallel_in_slice(const struct lt_parallel *p, lt_id v, int s)
{
    return s && v < p->n_copied ? p->copy[s][v] : v;
}

/* ---- one unit ---- */

static lt_id flat_node(struct lt_parallel *p, const char *op, const char *what, const lt_id *in,
                       int n_in, int unit, int n_attrs)
{
    struct lt_attr attrs[] = {{.name = "unit", .kind = LT_ATTR_INT, .i = unit},
                              {.name = "slices", .kind = LT_ATTR_INT, .i = p->local}};
    char name[120];
    lt_id v;

    snprintf(name, sizeof name, "%s/%s", p->g->units[unit].name, what);
    v = lt_parallel_apply(p, op, name, in, n_in, attrs, n_attrs);
    if (v != LT_NONE)
        p->g->values[v].unit = unit + 1;
    return v;
}

static void parts(struct lt_parallel *p, int unit, lt_id flat, lt_id *out)
{
    static const struct lt_binding none = {{0}};
    int n = p->g->units[unit].n_members;

    for (int i = 0; i < n; i++) {
        enum lt_dtype dtype = p->g->values[p->g->units[unit].members[i]].type.dtype;
        size_t at = lt_unit_offset(p->g, unit, i, &none, lt_graph_plain_bytes, NULL);
        struct lt_attr attrs[] = {
            {.name = "unit", .kind = LT_ATTR_INT, .i = unit},
            {.name = "index", .kind = LT_ATTR_INT, .i = i},
            {.name = "offset", .kind = LT_ATTR_INT, .i = (int64_t)(at / lt_dtype_sizes[dtype])}};
        char name[120];

        snprintf(name, sizeof name, "%s/%d", p->g->units[unit].name, i);
        out[i] = lt_parallel_apply(p, "unit_part", name, &flat, 1, attrs, 3);
    }
}

static void reduce_unit(struct lt_parallel *p, const char *name, const lt_id *members,
                        const lt_id *values, int n, lt_id *out)
{
    lt_id in[LT_NODE_IN_MAX], flat;
    int unit = lt_graph_unit(p->g, name, LT_UNIT_REPLICATED, p->local, members, n);

    for (int s = 0; s < p->local; s++)
        for (int i = 0; i < n; i++)
            in[s * n + i] = lt_parallel_in_slice(p, values[i], s);
    flat = flat_node(p, "all_reduce_start", "start", in, n * p->local, unit, 2);
    flat = flat_node(p, "collective_wait", "wait", &flat, 1, unit, 1);
    parts(p, unit, flat, out);
}

void lt_parallel_reduce(struct lt_parallel *p, const char *name, const lt_id *values, int n,
                        lt_id *out)
{
    reduce_unit(p, name, values, values, n, out);
}

/* ---- gradients ---- */

struct reduced {
    lt_id param, grad, sum;
    int ready; /* the node that makes it */
    int64_t bytes;
};

/* (p, g, …) → p' … */
static bool is_update(const struct lt_graph *g, const struct lt_node *n)
{
    return !n->dead && n->op->cls == LT_OP_UPDATE && n->n_in > 1 && n->op->updates[0] == 1 &&
           g->values[n->in[0]].kind == LT_VALUE_PARAM;
}

static int by_ready(const void *x, const void *y)
{
    const struct reduced *a = x, *b = y;

    if (a->ready != b->ready)
        return a->ready < b->ready ? -1 : 1;
    return a->param < b->param ? -1 : a->param > b->param;
}

static int gradients_find(struct lt_parallel *p, struct reduced **out)
{
    static const struct lt_binding none = {{0}};
    struct lt_graph *g = p->g;
    struct reduced *r = lt_calloc((size_t)g->n_nodes + 1, sizeof *r);
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++) {
        const struct lt_node *u = &g->nodes[i];

        if (!is_update(g, u))
            continue;
        r[n++] = (struct reduced){.param = u->in[0],
                                  .grad = u->in[1],
                                  .ready = g->values[u->in[1]].node,
                                  .bytes = (int64_t)lt_type_bytes(&g->values[u->in[1]].type, &none)};
    }
    qsort(r, (size_t)n, sizeof *r, by_ready);
    *out = r;
    return n;
}

/* How many of n make the next unit. */
static int bucket(const struct lt_parallel *p, const struct reduced *r, int n, bool first)
{
    size_t cap = first ? FIRST_BUCKET_BYTES : BUCKET_BYTES, sum = 0;
    enum lt_dtype dtype = p->g->values[r->grad].type.dtype;
    int taken = 0;

    if (p->c->bucket_bytes)
        cap = first ? LT_MIN(p->c->bucket_bytes, (size_t)FIRST_BUCKET_BYTES) : p->c->bucket_bytes;
    while (taken < n && taken < LT_NODE_IN_MAX / p->local && sum < cap &&
           p->g->values[r[taken].grad].type.dtype == dtype)
        sum += (size_t)r[taken++].bytes;
    return taken;
}

/* The optimiser and the norm read sums; accumulators are emptied as before. */
static void gradients_replace(struct lt_parallel *p, const struct reduced *r, int n, int n_nodes)
{
    struct lt_graph *g = p->g;
    lt_id *sum_of = lt_malloc(((size_t)g->n_values + 1) * sizeof *sum_of);

    for (lt_id v = 0; v < g->n_values; v++)
        sum_of[v] = LT_NONE;
    for (int i = 0; i < n; i++)
        sum_of[r[i].grad] = r[i].sum;
    for (int i = 0; i < n_nodes; i++) {
        struct lt_node *node = &g->nodes[i];
        bool norm = !node->dead && !strcmp(node->op->name, "sum_squares");

        for (int k = norm ? 0 : 1; k < node->n_in && (norm || (is_update(g, node) && k == 1)); k++)
            if (sum_of[node->in[k]] != LT_NONE)
                node->in[k] = sum_of[node->in[k]];
    }
    lt_free(sum_of);
}

static void reduce_gradients(struct lt_parallel *p)
{
    struct reduced *r;
    int n = gradients_find(p, &r), n_nodes = p->g->n_nodes, units = 0;

    for (int at = 0; p->rc == 0 && at < n; units++) {
        lt_id params[LT_NODE_IN_MAX], grads[LT_NODE_IN_MAX], sums[LT_NODE_IN_MAX];
        int k = bucket(p, r + at, n - at, units == 0);
        char name[24];

        for (int i = 0; i < k; i++) {
            params[i] = r[at + i].param;
            grads[i] = r[at + i].grad;
        }
        snprintf(name, sizeof name, "grads%d", units);
        reduce_unit(p, name, params, grads, k, sums);
        for (int i = 0; i < k; i++)
            r[at + i].sum = sums[i];
        at += k;
    }
    if (p->rc == 0)
        gradients_replace(p, r, n, n_nodes);
    lt_free(r);
}

/* ---- sums of loss, weight, metrics, and what ranks exchange ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

/* Sums over samples. What else a program gives out (grad_norm, update.skipped) follows from sums. */
static bool is_sum(const struct lt_graph *g, const struct lt_output *o)
{
    const struct lt_value *v = &g->values[o->value];

    return v->type.dtype == LT_F64 && v->type.ndim == 0 &&
           (ends_with(o->name, ".sum") || ends_with(o->name, ".weight") ||
            !strcmp(o->name, "window.loss"));
}

static int sums_add(lt_id *sums, int n, lt_id v)
{
    for (int i = 0; i < n; i++)
        if (sums[i] == v)
            return n;
    sums[n] = v;
    return n + 1;
}

static lt_id exchange_input(struct lt_parallel *p, int s)
{
    struct lt_type t = {.dtype = LT_F64, .ndim = 1};
    struct lt_attr attrs[] = {{.name = "slices", .kind = LT_ATTR_INT, .i = p->local},
                              {.name = "index", .kind = LT_ATTR_INT, .i = s}};
    lt_id v = lt_graph_find(p->g, "exchange");
    char name[40];

    t.dim[0] = lt_dim_num((int64_t)p->c->exchange * p->local);
    if (v == LT_NONE)
        v = lt_graph_value(p->g, LT_VALUE_INPUT, "exchange", &t);
    if (p->local == 1)
        return v;
    snprintf(name, sizeof name, "exchange/%d", s);
    return lt_parallel_apply(p, "batch_slice", name, &v, 1, attrs, 2);
}

/* The rows of `exchange` stand for each other as the slices' values do. */
static void exchange_add(struct lt_parallel *p, lt_id *sums, int *n)
{
    lt_id rows[LT_NODE_IN_MAX] = {0};

    for (int s = 0; s < p->local; s++)
        rows[s] = exchange_input(p, s);
    for (int s = 1; s < p->local && p->rc == 0; s++) {
        p->copy[s] =
            lt_realloc(p->copy[s], (size_t)p->g->n_values + 1, sizeof *p->copy[s]);
        for (lt_id v = p->n_copied; v < p->g->n_values; v++)
            p->copy[s][v] = v == rows[0] ? rows[s] : v;
    }
    if (p->local > 1)
        p->n_copied = p->g->n_values;
    sums[(*n)++] = rows[0];
}

static void sums_replace(struct lt_parallel *p, const lt_id *sums, const lt_id *total, int n,
                         int n_nodes)
{
    struct lt_graph *g = p->g;

    for (int i = 0; i < n; i++) {
        for (int o = 0; o < g->n_outputs; o++)
            if (g->outputs[o].value == sums[i])
                g->outputs[o].value = total[i];
        for (int k = 0; k < n_nodes; k++)
            for (int in = 0;
                 in < g->nodes[k].n_in && !strcmp(g->nodes[k].op->name, "grad_scale"); in++)
                if (g->nodes[k].in[in] == sums[i])
                    g->nodes[k].in[in] = total[i];
    }
}

#define SUMS_MAX (4 * LT_NODE_IN_MAX)

static void reduce_sums(struct lt_parallel *p)
{
    lt_id sums[SUMS_MAX], total[SUMS_MAX];
    int n = 0, n_nodes = p->g->n_nodes, cap = LT_NODE_IN_MAX / p->local, units = 0;

    if (p->c->exchange)
        exchange_add(p, sums, &n);
    for (int i = 0; i < p->g->n_outputs && n < SUMS_MAX; i++)
        if (is_sum(p->g, &p->g->outputs[i]))
            n = sums_add(sums, n, p->g->outputs[i].value);
    for (int at = 0; at < n && p->rc == 0; at += cap) {
        char name[24];

        snprintf(name, sizeof name, "sums%d", units++);
        lt_parallel_reduce(p, name, sums + at, LT_MIN(cap, n - at), total + at);
    }
    if (p->rc < 0)
        return;
    sums_replace(p, sums, total, n, n_nodes);
    if (p->c->exchange)
        lt_graph_output(p->g, "exchange", total[0]);
}

/* ---- the pass ---- */

static void copies_free(struct lt_parallel *p)
{
    for (int s = 0; p->copy && s < p->local; s++)
        lt_free(p->copy[s]);
    lt_free(p->copy);
}

static bool has_batch_norm(const struct lt_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (!g->nodes[i].dead && !strcmp(g->nodes[i].op->name, "batch_norm"))
            return true;
    return false;
}

int lt_pass_parallel(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    int world = LT_MAX(c->world, 1), slices = LT_MAX(c->slices, 1);
    struct lt_parallel p = {
        .g = g, .c = c, .err = err, .target = LT_MAX(slices / world, 1), .local = 1};

    if (world == 1 && slices == 1)
        return 0;
    if (slices > 1 && slices % world)
        return lt_error_set(err, -EINVAL, "%d slices don't divide among %d ranks", slices, world);
    if (slices > 1 && !c->sync_batchnorm && has_batch_norm(g))
        return lt_error_set(err, -EINVAL,
                            "statistics of batch_norm over each rank's own samples depend on the "
                            "number of ranks: reproducible: elastic needs "
                            "trainer.sync_batchnorm: true");
    if (c->sync_batchnorm)
        lt_parallel_norms(&p);
    if (p.rc == 0 && p.target > 1)
        lt_parallel_unroll(&p);
    if (p.rc == 0 && c->update)
        reduce_gradients(&p);
    if (p.rc == 0 && c->reduce_sums)
        reduce_sums(&p);
    copies_free(&p);
    return p.rc < 0 ? p.rc : lt_graph_sort(g, err);
}
