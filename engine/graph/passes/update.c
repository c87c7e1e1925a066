/* update.c - from gradients to new parameters
 *
 * An update minimises the sum of weight * loss over its whole window divided by the window's sum of
 * weights: gradients are sums, and one scalar (grad_scale) holds 1 / weight and the clip
 * coefficient, or NaN when the loss isn't finite, which leaves every parameter as it was.
 *
 * With accumulation each micro-batch adds to grad/NAME and to window.loss and window.weight; the
 * step that ends the window adds, updates, and sets them back to zero. The window's sums that a
 * step reports are values of its own, since those that persist are zero when it ends.
 */
#include "engine/graph/pass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/graph/op.h"
#include "engine/graph/optimizer.h"

struct update {
    struct lt_graph *g;
    const struct lt_pass_context *c;
    struct lt_error *err;
    struct lt_optimizer_use use;
    struct lt_gradient *grads;
    lt_id scale, lr, opt_step;
    int rc; /* first failure; adding stops there */
};

/* First output of a new node; LT_NONE once anything failed. */
static lt_id apply(struct update *u, const char *op, const char *name, const lt_id *in, int n_in,
                   const struct lt_attr *attrs, int n_attrs)
{
    int node;

    if (u->rc < 0)
        return LT_NONE;
    node = lt_graph_add(u->g, lt_op_find(op), name, in, n_in, attrs, n_attrs, u->err);
    if (node < 0)
        u->rc = node;
    return node < 0 ? LT_NONE : u->g->nodes[node].out[0];
}

static lt_id output_find(const struct lt_graph *g, const char *name)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (lt_str_eq(g->outputs[i].name, name))
            return g->outputs[i].value;
    return LT_NONE;
}

static lt_id input_scalar(struct lt_graph *g, const char *name, enum lt_dtype dtype)
{
    struct lt_type t = {.dtype = dtype};
    lt_id v = lt_graph_find(g, name);

    return v != LT_NONE ? v : lt_graph_value(g, LT_VALUE_INPUT, name, &t);
}

/* ---- the window ---- */

/* Sum of one batch scalar over the window. */
static lt_id window_sum(struct update *u, const char *name, lt_id batch)
{
    struct lt_type t = {.dtype = LT_F64};
    lt_id in[2], total;

    if (!u->c->accumulate)
        return batch;
    in[0] = lt_graph_value(u->g, LT_VALUE_ACCUM, name, &t);
    in[1] = batch;
    if (!u->c->update)
        return apply(u, "accumulate", name, in, 2, NULL, 0);
    total = apply(u, "add", name, in, 2, NULL, 0);
    apply(u, "zero", name, in, 1, NULL, 0);
    return total;
}

static void window_gradients(struct update *u)
{
    struct lt_graph *g = u->g;

    for (int i = 0; u->c->accumulate && u->rc == 0 && i < g->n_grads; i++) {
        struct lt_type t = g->values[u->grads[i].param].type;
        char name[300];
        lt_id in[2];

        snprintf(name, sizeof name, "grad/%s", g->values[u->grads[i].param].name);
        in[0] = lt_graph_value(g, LT_VALUE_ACCUM, name, &t);
        in[1] = u->grads[i].grad;
        u->grads[i].grad = apply(u, "accumulate", name, in, 2, NULL, 0);
    }
}

/* ---- the scale ---- */

/* Of all gradients; LT_NONE without gradients. */
static lt_id sum_of_squares(struct update *u)
{
    lt_id in[LT_NODE_IN_MAX], sum = LT_NONE;
    int n = 0;

    for (int i = 0; i < u->g->n_grads; i++) {
        in[n++] = u->grads[i].grad;
        if (n < LT_NODE_IN_MAX && i + 1 < u->g->n_grads)
            continue;
        lt_id part = apply(u, "sum_squares", "grad_norm", in, n, NULL, 0);
        lt_id both[2] = {sum, part};

        sum = sum == LT_NONE ? part : apply(u, "add", "grad_norm", both, 2, NULL, 0);
        n = 0;
    }
    return sum;
}

static void scale_make(struct update *u, lt_id loss, lt_id weight)
{
    const Lt__V1__Trainer *t = u->c->plan->trainer;
    double clip = t ? t->gradient_clip_val : 0;
    bool by_norm = clip > 0 && t->gradient_clip_algorithm == LT__V1__TRAINER__CLIP__norm;
    struct lt_attr attr = {.name = "clip_norm", .kind = LT_ATTR_FLOAT, .f = by_norm ? clip : 0};
    lt_id in[3] = {loss, weight, by_norm ? sum_of_squares(u) : LT_NONE};
    const struct lt_node *n;

    u->scale = apply(u, "grad_scale", "grad_scale", in, in[2] == LT_NONE ? 2 : 3, &attr, 1);
    if (u->rc < 0)
        return;
    n = &u->g->nodes[u->g->n_nodes - 1];
    if (in[2] != LT_NONE)
        lt_graph_output(u->g, "grad_norm", n->out[1]);
    lt_graph_output(u->g, "update.skipped", n->out[2]);
    if (clip > 0 && !by_norm)
        lt_optimizer_float(&u->use, "clip_value", clip);
}

/* ---- the update ---- */

static lt_id state_value(struct update *u, const char *state, lt_id param)
{
    struct lt_type t = u->g->values[param].type;
    char name[300];

    snprintf(name, sizeof name, "%s/%s", state, u->g->values[param].name);
    return lt_graph_value(u->g, LT_VALUE_OPTIM, name, &t);
}

static void parameter_update(struct update *u, const struct lt_gradient *gr)
{
    lt_id in[5 + LT_OPTIMIZER_STATES_MAX] = {gr->param, gr->grad};
    char name[300];
    int n = 2;

    for (int i = 0; i < u->use.n_states; i++)
        in[n++] = state_value(u, u->use.states[i], gr->param);
    in[n++] = u->lr;
    if (!u->use.without_opt_step)
        in[n++] = u->opt_step;
    in[n++] = u->scale;
    snprintf(name, sizeof name, "%s/%s", u->g->values[gr->param].name, u->use.op);
    apply(u, u->use.op, name, in, n, u->use.attrs, u->use.n_attrs);
    if (u->c->accumulate)
        apply(u, "zero", u->g->values[u->g->values[gr->grad].alias].name, &gr->grad, 1, NULL, 0);
}

static int optimizer_find(struct update *u)
{
    const Lt__V1__Optimizer *o = u->c->plan->optimizer;

    for (int i = 0; o && lt_optimizers[i]; i++)
        if (lt_optimizers[i]->kind == o->optimizer_case) {
            lt_optimizers[i]->use(o, &u->use);
            return 0;
        }
    return lt_error_set(u->err, -EINVAL, "the plan names no optimizer");
}

static void step_end(struct update *u, lt_id loss, lt_id weight)
{
    lt_graph_output(u->g, "window.loss", loss);
    lt_graph_output(u->g, "window.weight", weight);
    scale_make(u, loss, weight);
    u->lr = input_scalar(u->g, "lr", LT_F64);
    u->opt_step = input_scalar(u->g, "opt_step", LT_I64);
    for (int i = 0; u->rc == 0 && i < u->g->n_grads; i++)
        parameter_update(u, &u->grads[i]);
}

int lt_pass_update(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    struct update u = {.g = g, .c = c, .err = err, .grads = g->grads};
    lt_id loss, weight;

    if (g->loss == LT_NONE)
        return 0;
    u.rc = c->update ? optimizer_find(&u) : 0;
    if (u.rc < 0)
        return u.rc;
    loss = window_sum(&u, "window.loss", output_find(g, "loss.sum"));
    weight = window_sum(&u, "window.weight", output_find(g, "loss.weight"));
    window_gradients(&u);
    if (u.rc == 0 && c->update)
        step_end(&u, loss, weight);
    g->loss = LT_NONE; /* from here on only outputs and updates are wanted */
    g->n_grads = 0;
    return u.rc;
}
