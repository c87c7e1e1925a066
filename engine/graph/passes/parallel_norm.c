/* parallel_norm.c - batch norms over the samples of all ranks
 *
 * A batch norm becomes the sums of its statistics, each followed by a sum over ranks, and what is
 * computed from totals: two collectives forward (mean, then the squares around it), one backward.
 * Samples of weight 0 count on no rank. Gradients of gamma and beta stay this rank's own: they
 * travel with the others. Running statistics are updated once, from the totals.
 */
#include "engine/graph/passes/parallel.h"

#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

/* A batch norm that was replaced: what its gradient needs. */
struct norm {
    lt_id mean, invstd, total; /* mean: as the gradient still names it */
    lt_id new_mean, new_invstd;
};

static lt_id total_of(struct lt_parallel *p, const struct lt_node *n, const char *what, lt_id sum)
{
    char name[300];
    lt_id out = LT_NONE;

    if (p->rc < 0)
        return LT_NONE;
    snprintf(name, sizeof name, "%s/%s", n->name, what);
    lt_parallel_reduce(p, name, &sum, 1, &out);
    return out;
}

static lt_id apply(struct lt_parallel *p, const struct lt_node *n, const char *op, const lt_id *in,
                   int n_in, const struct lt_attr *attrs, int n_attrs)
{
    char name[300];

    snprintf(name, sizeof name, "%s/%s", n->name, op + strlen("batch_norm_"));
    return lt_parallel_apply(p, op, name, in, n_in, attrs, n_attrs);
}

/* x, running_mean, running_var, weight, [gamma, beta] → y, mean, invstd, running_mean', running_var' */
static void forward(struct lt_parallel *p, int i, struct norm *out)
{
    struct lt_graph *g = p->g;
    struct lt_node n = g->nodes[i];
    struct lt_attr eps = {.name = "eps", .kind = LT_ATTR_FLOAT, .f = lt_node_float(&n, "eps")},
                   momentum = {
                       .name = "momentum", .kind = LT_ATTR_FLOAT, .f = lt_node_float(&n, "momentum")};
    lt_id sums[3] = {n.in[0], n.in[3], LT_NONE}, in[5] = {n.in[0]}, run[4] = {n.in[1], n.in[2]}, y;
    const lt_id *made;

    sums[2] = total_of(p, &n, "mean", apply(p, &n, "batch_norm_sum", sums, 2, NULL, 0));
    in[1] = run[2] = sums[2];
    in[2] = run[3] = total_of(p, &n, "squares", apply(p, &n, "batch_norm_sum", sums, 3, NULL, 0));
    memcpy(in + 3, n.in + 4, (size_t)(n.n_in - 4) * sizeof *in);
    y = apply(p, &n, "batch_norm_apply", in, n.n_in - 1, &eps, 1);
    if (p->rc < 0)
        return;
    made = g->nodes[g->n_nodes - 1].out;
    *out = (struct norm){n.out[1], n.out[2], sums[2], made[1], made[2]};
    lt_graph_kill(g, i);
    lt_graph_replace(g, n.out[0], y, -1);
    if (apply(p, &n, "batch_norm_running", run, 4, &momentum, 1) == LT_NONE)
        return;
    made = g->nodes[g->n_nodes - 1].out;
    lt_graph_replace(g, n.out[3], made[0], -1);
    lt_graph_replace(g, n.out[4], made[1], -1);
}

/* dy, x, mean, invstd, weight, [gamma] → dx, dgamma, dbeta */
static void backward(struct lt_parallel *p, int i, const struct norm *norm)
{
    struct lt_graph *g = p->g;
    struct lt_node n = g->nodes[i];
    struct lt_attr dtype = {.name = "dtype",
                            .kind = LT_ATTR_STR,
                            .s = lt_dtype_names[g->values[n.out[1]].type.dtype]};
    lt_id in[8] = {n.in[0], n.in[1], norm->new_mean, norm->new_invstd, n.in[4], norm->total}, own;
    lt_id dx;
    const lt_id *made;

    own = apply(p, &n, "batch_norm_grad_sum", in, 4, NULL, 0);
    in[6] = total_of(p, &n, "total", own);
    if (n.n_in > 5)
        in[7] = n.in[5];
    dx = apply(p, &n, "batch_norm_sync_grad", in, n.n_in > 5 ? 8 : 7, NULL, 0);
    if (apply(p, &n, "batch_norm_params", &own, 1, &dtype, 1) == LT_NONE)
        return;
    made = g->nodes[g->n_nodes - 1].out;
    lt_graph_kill(g, i);
    lt_graph_replace(g, n.out[0], dx, -1);
    lt_graph_replace(g, n.out[1], made[0], -1);
    lt_graph_replace(g, n.out[2], made[1], -1);
}

static const struct norm *find(const struct norm *norms, int n, lt_id mean)
{
    for (int i = 0; i < n; i++)
        if (norms[i].mean == mean)
            return &norms[i];
    return NULL;
}

void lt_parallel_norms(struct lt_parallel *p)
{
    int n_nodes = p->g->n_nodes, n = 0;
    struct norm *norms = lt_calloc((size_t)n_nodes + 1, sizeof *norms);

    for (int i = 0; i < n_nodes && p->rc == 0; i++) {
        const struct lt_node *node = &p->g->nodes[i];
        bool grad = !strcmp(node->op->name, "batch_norm_grad");
        const struct norm *of = grad ? find(norms, n, node->in[2]) : NULL;

        if (node->dead)
            continue;
        if (!strcmp(node->op->name, "batch_norm"))
            forward(p, i, &norms[n++]);
        else if (of)
            backward(p, i, of);
    }
    lt_free(norms);
    if (p->rc == 0)
        p->rc = lt_graph_sort(p->g, p->err);
}
