/* order.c - when each node runs, for low peak memory
 *
 * List scheduling: of the nodes whose operands are there, the one that frees most (or needs least)
 * goes next, the earlier one among equals. Greed can lose, so the result is kept only when its peak
 * is lower than that of the order the graph came with; it isn't tried on graphs so long that
 * looking at all nodes that are ready, every time, takes seconds. Sizes are those of plain tensors:
 * the point is which tensors live together.
 *
 * A collective starts as soon as it can and is waited for when nothing else is left to do, the one
 * that was started first before the others: that is what hides it behind computation. A graph with
 * collectives is therefore always scheduled anew, by memory or, where that needs less, by the order
 * it came with. Deterministic: all ranks must start the same collectives in the same order.
 */
#include "engine/graph/pass.h"

#include <errno.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

#define GREEDY_NODES_MAX 8000

struct order {
    const struct lt_graph *g;
    int64_t *bytes; /* of each value in the arena; 0 elsewhere */
    int *uses;      /* readers left; outputs of the program have one that never goes away */
    struct lt_deps deps;
    int *waits;             /* node: how many it still waits for */
    int *user_first, *user; /* node → those that wait for it */
    int *turn;              /* node: when it was scheduled */
};

static void sizes(struct order *o, const struct lt_binding *b)
{
    const struct lt_graph *g = o->g;

    o->bytes = lt_calloc((size_t)g->n_values + 1, sizeof *o->bytes);
    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind == LT_VALUE_NODE && g->values[v].alias == LT_NONE)
            o->bytes[v] = (int64_t)lt_type_bytes(&g->values[v].type, b);
}

/* Readers of each value's bytes. */
static int *reads(const struct lt_graph *g)
{
    int *uses = lt_graph_uses(g);

    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            uses[g->nodes[i].in[k]] -= lt_op_shape_only(g->nodes[i].op, k);
    return uses;
}

/* What running node i adds to live memory when it is over. */
static int64_t growth(const struct order *o, int i)
{
    const struct lt_node *n = &o->g->nodes[i];
    int64_t sum = 0;

    for (int k = 0; k < n->n_out; k++)
        sum += o->uses[n->out[k]] ? o->bytes[n->out[k]] : 0;
    for (int k = 0; k < n->n_in; k++) {
        int times = 0;

        if (lt_op_shape_only(n->op, k))
            continue;
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] == n->in[k] && !lt_op_shape_only(n->op, j))
                times += j < k ? n->n_in : 1; /* an operand given twice is freed once */
        if (times == o->uses[n->in[k]])
            sum -= o->bytes[n->in[k]];
    }
    return sum;
}

static int64_t outputs_bytes(const struct order *o, int i)
{
    int64_t sum = 0;

    for (int k = 0; k < o->g->nodes[i].n_out; k++)
        sum += o->bytes[o->g->nodes[i].out[k]];
    return sum;
}

static void run_node(struct order *o, int i, int64_t *live, int64_t *peak)
{
    *peak = LT_MAX(*peak, *live + outputs_bytes(o, i));
    *live += growth(o, i);
    for (int k = 0; k < o->g->nodes[i].n_in; k++)
        o->uses[o->g->nodes[i].in[k]] -= !lt_op_shape_only(o->g->nodes[i].op, k);
}

static int64_t peak_of(struct order *o, const int *order, int n)
{
    int64_t live = 0, peak = 0;

    o->uses = reads(o->g);
    for (int i = 0; i < n; i++)
        run_node(o, order ? order[i] : i, &live, &peak);
    lt_free(o->uses);
    return peak;
}

static void users_init(struct order *o)
{
    int n = o->g->n_nodes;
    int *at = lt_calloc((size_t)n + 1, sizeof *at);

    o->waits = lt_calloc((size_t)n + 1, sizeof *o->waits);
    o->user_first = lt_calloc((size_t)n + 2, sizeof *o->user_first);
    o->user = lt_calloc((size_t)o->deps.first[n] + 1, sizeof *o->user);
    for (int k = 0; k < o->deps.first[n]; k++)
        o->user_first[o->deps.node[k] + 1]++;
    for (int i = 0; i < n; i++) {
        o->user_first[i + 1] += o->user_first[i];
        at[i] = o->user_first[i];
    }
    for (int i = 0; i < n; i++) {
        o->waits[i] = o->deps.first[i + 1] - o->deps.first[i];
        for (int k = o->deps.first[i]; k < o->deps.first[i + 1]; k++)
            o->user[at[o->deps.node[k]]++] = i;
    }
    lt_free(at);
}

/* Starts first, waits last. */
static int urgency(const struct order *o, int i)
{
    static const int by_kind[] = {[LT_OP_COMM_START] = 0,
                                  [LT_OP_COMM_NONE] = 1,
                                  [LT_OP_COMM_WAIT] = 2};

    return by_kind[o->g->nodes[i].op->collective];
}

/* Among equals: the earlier node; of waits, that whose collective was started first. */
static int precedence(const struct order *o, int i)
{
    const struct lt_node *n = &o->g->nodes[i];

    return n->op->collective == LT_OP_COMM_WAIT ? o->turn[o->g->values[n->in[0]].node] : i;
}

static int best_ready(const struct order *o, const int *ready, int n_ready, bool by_memory)
{
    int best = -1, urgent = 0;
    int64_t least = 0;

    for (int r = 0; r < n_ready; r++) {
        int u = urgency(o, ready[r]);
        int64_t grows = by_memory && u == 1 ? growth(o, ready[r]) : 0;

        if (best >= 0 && u > urgent)
            continue;
        if (best < 0 || u < urgent || grows < least ||
            (grows == least && precedence(o, ready[r]) < precedence(o, ready[best]))) {
            best = r;
            least = grows;
            urgent = u;
        }
    }
    return best;
}

static int schedule(struct order *o, int *order, bool by_memory)
{
    int n = o->g->n_nodes, n_ready = 0, done = 0;
    int *ready = lt_calloc((size_t)n + 1, sizeof *ready);
    int64_t live = 0, peak = 0;

    o->uses = reads(o->g);
    o->turn = lt_calloc((size_t)n + 1, sizeof *o->turn);
    users_init(o);
    for (int i = 0; i < n; i++)
        if (!o->waits[i])
            ready[n_ready++] = i;
    while (n_ready) {
        int r = best_ready(o, ready, n_ready, by_memory), i = ready[r];

        ready[r] = ready[--n_ready];
        o->turn[i] = done;
        order[done++] = i;
        run_node(o, i, &live, &peak);
        for (int k = o->user_first[i]; k < o->user_first[i + 1]; k++)
            if (--o->waits[o->user[k]] == 0)
                ready[n_ready++] = o->user[k];
    }
    lt_free(ready);
    lt_free(o->uses);
    lt_free(o->turn);
    lt_free(o->waits);
    lt_free(o->user_first);
    lt_free(o->user);
    return done;
}

static bool has_collectives(const struct lt_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op->collective)
            return true;
    return false;
}

/* Both orders, and the one with the lower peak; the graph's own where it is no worse. */
static int choose(struct order *o, struct lt_graph *g, bool collectives, struct lt_error *err)
{
    size_t n = (size_t)g->n_nodes + 1;
    int *order = lt_calloc(n, sizeof *order), *as_is = NULL;
    bool small = g->n_nodes <= GREEDY_NODES_MAX;
    int done = g->n_nodes;

    if (small)
        done = schedule(o, order, true);
    if (collectives) {
        as_is = lt_calloc(n, sizeof *as_is);
        done = LT_MIN(done, schedule(o, as_is, false));
    }
    if (done == g->n_nodes && small && peak_of(o, order, done) < peak_of(o, as_is, done))
        lt_graph_permute(g, order, done);
    else if (done == g->n_nodes && as_is)
        lt_graph_permute(g, as_is, done);
    lt_free(order);
    lt_free(as_is);
    return done == g->n_nodes
               ? 0
               : lt_error_set(err, -EINVAL, "graph %s: nodes wait for each other", g->name);
}

int lt_graph_order(struct lt_graph *g, const struct lt_binding *b, struct lt_error *err)
{
    bool collectives = has_collectives(g);
    struct order o = {.g = g};
    int rc = lt_graph_sort(g, err);

    if (rc < 0 || (g->n_nodes > GREEDY_NODES_MAX && !collectives))
        return rc;
    sizes(&o, b);
    lt_deps_init(&o.deps, g);
    rc = choose(&o, g, collectives, err);
    lt_deps_done(&o.deps);
    lt_free(o.bytes);
    return rc;
}
