/* lower_rules.c - the layouts that each operator wants and gives */
#include "engine/cpu/lower_layout.h"

#include <stdint.h>
#include <string.h>
#include "base/error.h"
#include "engine/cpu/ops/conv.h"
#include "engine/cpu/ops/window.h"

static int ndim_of(const struct lt_walk *w, lt_id v)
{
    return w->g->values[v].type.ndim;
}

static int rule_plain(struct lt_walk *w)
{
    for (int i = 0; i < lt_walk_node(w)->n_in; i++)
        lt_walk_want(w, i, PLAIN);
    return 0;
}

static bool same_dims(const struct lt_walk *w, lt_id a, lt_id b)
{
    int64_t x[LT_DIMS_MAX], y[LT_DIMS_MAX];
    int n = lt_value_dims(w->g, w->b, a, x), m = lt_value_dims(w->g, w->b, b, y);

    return n == m && !memcmp(x, y, (size_t)n * sizeof *x);
}

/* A blocked layout is for one type. */
static bool of_one_type(const struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);

    for (int i = 0; i < n->n_in; i++)
        if (w->g->values[n->in[i]].type.dtype != w->g->values[n->out[0]].type.dtype)
            return false;
    return true;
}

/* The layout of the first input of full size that isn't plain; others of full size follow. */
static int rule_chain(struct lt_walk *w)
{
    lt_id out = lt_walk_node(w)->out[0];
    int to = PLAIN;
    bool broadcast = false;

    for (int i = 0; i < lt_walk_node(w)->n_in; i++) {
        lt_id v = lt_walk_node(w)->in[i];

        if (same_dims(w, v, out))
            to = to ? to : lt_walk_layout(w, v);
        else
            broadcast = broadcast || lt_value_count(w->g, w->b, v) != 1;
    }
    if ((to != LAST && broadcast) || (w->d->layouts[to].kind == LT_LAYOUT_BLOCKED && !of_one_type(w)))
        to = PLAIN;
    for (int i = 0; i < lt_walk_node(w)->n_in; i++) {
        lt_id v = lt_walk_node(w)->in[i];

        if (same_dims(w, v, out))
            lt_walk_want(w, i, to);
        else if (lt_walk_layout(w, v) != LAST)
            lt_walk_want(w, i, PLAIN);
    }
    lt_walk_give(w, 0, to);
    return 0;
}

static int find(const struct lt_walk *w, enum lt_layout_kind kind, int64_t c, int64_t s)
{
    return lt_layout_find(w->d, &(struct lt_layout){.kind = kind, .c = c, .s = s});
}

static int rule_linear(struct lt_walk *w)
{
    lt_id x = lt_walk_node(w)->in[0], weight = lt_walk_node(w)->in[1];
    const struct lt_layout l = *lt_walk_shape(w, x);
    const struct lt_layout *k;

    lt_walk_place_weight(w, weight,
                         l.kind == LT_LAYOUT_FLAT ? find(w, LT_LAYOUT_TURNED_FLAT, l.c, l.s)
                                                  : TURNED);
    k = lt_walk_shape(w, weight);
    if (k->kind == LT_LAYOUT_TURNED_FLAT && ndim_of(w, x) == 2) {
        lt_walk_want(w, 0, find(w, LT_LAYOUT_FLAT, k->c, k->s));
    } else {
        lt_walk_want(w, 0, PLAIN);
        if (k->kind != LT_LAYOUT_TURNED)
            lt_walk_want(w, 1, PLAIN);
    }
    for (int i = 2; i < lt_walk_node(w)->n_in; i++)
        lt_walk_want(w, i, PLAIN);
    return 0;
}

/* What layout the consumer of an output would like. */
static const struct lt_layout *hint_of(const struct lt_walk *w, lt_id v)
{
    lt_id h = w->hint[v];

    return h == LT_NONE ? &w->d->layouts[PLAIN] : lt_walk_shape(w, h);
}

static int rule_matmul(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    lt_id x = n->in[0], y = n->in[1], out = n->out[0];
    bool flat2 = ndim_of(w, x) == 2 && ndim_of(w, y) == 2;
    struct lt_layout hint = *hint_of(w, out), lx = *lt_walk_shape(w, x), ly = *lt_walk_shape(w, y);
    bool ta = lt_node_int(n, "transpose_a"), tb = lt_node_int(n, "transpose_b");

    /* dx = dy w: the result is flat as the layer's input was */
    if (flat2 && !tb && ly.kind == LT_LAYOUT_TURNED_FLAT) {
        lt_walk_want(w, 0, lx.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
        lt_walk_give(w, 0, find(w, LT_LAYOUT_FLAT, ly.c, ly.s));
        return 0;
    }
    /* dw = dy' x: a flat input gives turned-flat weights */
    if (flat2 && ta && !tb && ly.kind == LT_LAYOUT_FLAT && hint.kind == LT_LAYOUT_TURNED_FLAT &&
        hint.c == ly.c && hint.s == ly.s) {
        lt_walk_want(w, 0, PLAIN);
        lt_walk_give(w, 0, find(w, LT_LAYOUT_TURNED_FLAT, ly.c, ly.s));
        return 0;
    }
    lt_walk_want(w, 0, flat2 && lx.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    lt_walk_want(w, 1, flat2 && ly.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    lt_walk_give(w, 0, flat2 && hint.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    return 0;
}

/* The layout that a convolution's implementation takes for its weights: the one they have, if there
 * is one for it. */
static int conv_weights(struct lt_walk *w, const struct lt_conv_shape *s, enum lt_conv_kind kind,
                        int have, int *out)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = NULL;
    LT_AUTO(lt_md_free) struct lt_md *own = NULL;
    struct lt_layout l = {.kind = LT_LAYOUT_BLOCKED};
    int rc;

    if (w->d->layouts[have].kind == LT_LAYOUT_BLOCKED && kind != LT_CONV_DATA) {
        own = lt_layout_md(w->d, s->wt, have, 0, s->w_ndim, s->w);
        if (lt_md_dtype(own) == s->wt && lt_conv_prim(s, kind, own, false, false, s->x[0], 1, &p, NULL) == 0) {
            *out = have;
            return 0;
        }
    }
    rc = lt_conv_prim(s, kind, NULL, false, false, s->x[0], 1, &p, w->err);
    if (rc < 0)
        return rc;
    l.md = (struct lt_md *)(uintptr_t)lt_prim_md(p, kind == LT_CONV_WEIGHTS ? LT_PRIM_DIFF_WEIGHTS
                                                                            : LT_PRIM_WEIGHTS);
    *out = lt_layout_find(w->d, &l);
    return 0;
}

/* Over bfloat16: the parameter lies as its gradient does, and a reorder makes the rounded copy in
 * the layout that is wanted at once. */
static int weights_low(struct lt_walk *w, const struct lt_conv_shape *s, int to)
{
    lt_id v = lt_walk_node(w)->in[1], p = lt_walk_rounded(w, v);
    struct lt_conv_shape grad = *s;
    int own = PLAIN;

    if (p == LT_NONE)
        return 0;
    grad.wt = LT_F32;
    grad.xt = grad.yt = LT_BF16;
    if (conv_weights(w, &grad, LT_CONV_WEIGHTS, PLAIN, &own) == 0)
        lt_walk_place(w, p, own);
    v = lt_walk_moved_as(w, p, to, LT_BF16); /* moves the nodes */
    lt_walk_node(w)->in[1] = v;
    return 0;
}

static int rule_conv(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    struct lt_conv_shape s;
    int to = PLAIN, rc = 0;

    lt_conv_shape(w->d, w->g, w->b, n, n->in[0], n->in[1], n->out[0], &s);
    if (!lt_conv_is_empty(&s) && s.wt != LT_F64)
        rc = conv_weights(w, &s, LT_CONV_FORWARD, lt_walk_layout(w, n->in[1]), &to);
    if (!rc && s.wt == LT_BF16)
        rc = weights_low(w, &s, to);
    if (rc < 0)
        return rc;
    lt_walk_place_weight(w, lt_walk_node(w)->in[1], to);
    lt_walk_want(w, 0, LAST);
    lt_walk_want(w, 1, to);
    if (lt_walk_node(w)->n_in > 2)
        lt_walk_want(w, 2, PLAIN);
    lt_walk_give(w, 0, LAST);
    return 0;
}

static int rule_conv_dx(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    struct lt_conv_shape s;
    int to = PLAIN, rc = 0;

    lt_conv_shape(w->d, w->g, w->b, n, n->out[0], n->in[1], n->in[0], &s);
    if (!lt_conv_is_empty(&s) && s.wt != LT_F64)
        rc = conv_weights(w, &s, LT_CONV_DATA, lt_walk_layout(w, n->in[1]), &to);
    if (!rc && s.wt == LT_BF16)
        rc = weights_low(w, &s, to);
    if (rc < 0)
        return rc;
    lt_walk_want(w, 0, LAST);
    lt_walk_want(w, 1, to);
    lt_walk_give(w, 0, LAST);
    return 0;
}

static int rule_conv_dw(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    lt_id hint = w->hint[n->out[0]];
    struct lt_conv_shape s;
    int to = PLAIN, rc = 0;

    lt_conv_shape(w->d, w->g, w->b, n, n->in[1], n->out[0], n->in[0], &s);
    if (s.wt != LT_F64)
        rc = conv_weights(w, &s, LT_CONV_WEIGHTS, hint == LT_NONE ? PLAIN : lt_walk_layout(w, hint),
                          &to);
    if (rc < 0)
        return rc;
    lt_walk_want(w, 0, LAST);
    lt_walk_want(w, 1, LAST);
    lt_walk_give(w, 0, to);
    return 0;
}

static bool only_read_by_gradients(const struct lt_walk *w, lt_id v)
{
    for (int i = 0; i < w->g->n_nodes; i++)
        for (int k = 0; !w->g->nodes[i].dead && k < w->g->nodes[i].n_in; k++)
            if (w->g->nodes[i].in[k] == v &&
                strcmp(w->g->nodes[i].op->name, "max_pool2d_grad") != 0 &&
                w->g->nodes[i].op != &lt_cpu_op_max_pool_grad)
                return false;
    for (int i = 0; i < w->g->n_outputs; i++)
        if (w->g->outputs[i].value == v)
            return false;
    return true;
}

static int rule_max_pool(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    struct lt_window_shape win = lt_window_shape(n);
    bool byte = win.kernel[0] * win.kernel[1] <= 255 && n->n_out > 1 &&
                only_read_by_gradients(w, n->out[1]);

    lt_walk_want(w, 0, LAST);
    lt_walk_give(w, 0, LAST);
    lt_walk_give(w, 1, byte ? find(w, LT_LAYOUT_INDEX8, 0, 0) : LAST);
    return 0;
}

/* dy, index, [gate] */
static int rule_max_pool_grad(struct lt_walk *w)
{
    lt_walk_want(w, 0, LAST);
    if (lt_walk_shape(w, lt_walk_node(w)->in[1])->kind != LT_LAYOUT_INDEX8)
        lt_walk_want(w, 1, LAST);
    if (lt_walk_node(w)->n_in > 2)
        lt_walk_want(w, 2, LAST);
    lt_walk_give(w, 0, LAST);
    return 0;
}

static int rule_avg_pool(struct lt_walk *w)
{
    lt_walk_want(w, 0, LAST);
    lt_walk_give(w, 0, LAST);
    return 0;
}

/* The first `images` inputs of three dimensions and more are channels-last, and so is the first
 * output. */
static int rule_batch_norm(struct lt_walk *w)
{
    bool image = ndim_of(w, lt_walk_node(w)->in[0]) > 2;
    int images = strstr(lt_walk_node(w)->op->name, "_grad") ? 2 : 1;

    for (int i = 0; i < lt_walk_node(w)->n_in; i++)
        lt_walk_want(w, i, image && i < images ? LAST : PLAIN);
    lt_walk_give(w, 0, image && ndim_of(w, lt_walk_node(w)->out[0]) > 2 ? LAST : PLAIN);
    return 0;
}

/* A channels-last input is reduced as it lies when what remains is in order, or keeps its four
 * dimensions. */
static int rule_reduce(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    lt_id x = n->in[0];
    int ndim = ndim_of(w, x), count = 0;
    unsigned gone = 0;
    const int64_t *axes = lt_node_ints(n, "axes", &count);
    bool keep = lt_node_int(n, "keepdims"), tail;

    if (lt_walk_layout(w, x) != LAST)
        return rule_plain(w);
    for (int i = 0; i < count; i++)
        gone |= 1u << (axes[i] < 0 ? axes[i] + ndim : axes[i]);
    if (!count)
        gone = (1u << ndim) - 1;
    tail = gone >> 2 == (1u << (ndim - 2)) - 1; /* all of h, w: n, c remain, in order */
    if (!tail && !(gone & 2u) && !keep)
        return rule_plain(w);
    lt_walk_give(w, 0, keep && !tail && !(gone & 2u) ? LAST : PLAIN);
    return 0;
}

static int rule_reshape(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    lt_id x = n->in[0], y = n->out[0];
    int64_t a[LT_DIMS_MAX], b[LT_DIMS_MAX], s = 1;
    int na = lt_value_dims(w->g, w->b, x, a), nb = lt_value_dims(w->g, w->b, y, b);
    struct lt_layout l = *lt_walk_shape(w, x);

    if (na == nb && !memcmp(a, b, (size_t)na * sizeof *a)) {
        lt_walk_give(w, 0, lt_walk_layout(w, x));
        return 0;
    }
    if (l.kind == LT_LAYOUT_LAST && nb == 2 && a[0] == b[0]) {
        for (int i = 2; i < na; i++)
            s *= a[i];
        lt_walk_give(w, 0, a[1] == 1 || s == 1 ? PLAIN : find(w, LT_LAYOUT_FLAT, a[1], s));
        return 0;
    }
    if (l.kind == LT_LAYOUT_FLAT && nb > 2 && a[0] == b[0] && b[1] == l.c) {
        lt_walk_give(w, 0, LAST);
        return 0;
    }
    lt_walk_want(w, 0, PLAIN);
    return 0;
}

static int rule_dropout(struct lt_walk *w)
{
    enum lt_layout_kind k = lt_walk_shape(w, lt_walk_node(w)->in[0])->kind;

    if (k != LT_LAYOUT_LAST && k != LT_LAYOUT_FLAT)
        return rule_plain(w);
    for (int o = 0; o < lt_walk_node(w)->n_out; o++)
        lt_walk_give(w, o, lt_walk_layout(w, lt_walk_node(w)->in[0]));
    return 0;
}

/* p, g, then scalars, then states; the states lie as p does. */
static int rule_update(struct lt_walk *w)
{
    const struct lt_node *n = lt_walk_node(w);
    int to = lt_walk_layout(w, lt_walk_root(w, n->in[0]));

    for (int o = 0; o < n->n_out; o++) {
        int i = n->op->updates[o] - 1;

        lt_walk_place(w, lt_walk_root(w, n->in[i]), to);
    }
    lt_walk_want(w, 1, to);
    for (int o = 0; o < lt_walk_node(w)->n_out; o++) {
        int i = lt_walk_node(w)->op->updates[o] - 1,
            own = lt_walk_layout(w, lt_walk_root(w, lt_walk_node(w)->in[i]));

        lt_walk_give(w, o, own);
    }
    return 0;
}

/* acc (, g): lies as the parameter "NAME" of "grad/NAME" does. */
static int rule_accumulate(struct lt_walk *w)
{
    lt_id acc = lt_walk_root(w, lt_walk_node(w)->in[0]);
    int to = lt_walk_layout(w, acc);

    if (lt_walk_node(w)->n_in > 1)
        lt_walk_want(w, 1, to);
    lt_walk_give(w, 0, to);
    return 0;
}

/* Members travel as they lie. */
static int rule_start(struct lt_walk *w)
{
    const struct lt_unit *u = &w->g->units[lt_node_int(lt_walk_node(w), "unit")];

    for (int i = 0; i < lt_walk_node(w)->n_in; i++)
        lt_walk_want(w, i, lt_walk_layout(w, u->members[i % u->n_members]));
    return 0;
}

static int rule_part(struct lt_walk *w)
{
    const struct lt_unit *u = &w->g->units[lt_node_int(lt_walk_node(w), "unit")];

    lt_walk_give(w, 0, lt_walk_layout(w, u->members[lt_node_int(lt_walk_node(w), "index")]));
    return 0;
}

/* Order doesn't matter to them, and padding is 0. */
static int rule_any(struct lt_walk *w)
{
    (void)w;
    return 0;
}

static const struct {
    const char *op;
    int (*rule)(struct lt_walk *w);
} rules[] = {
    {"cpu_chain", rule_chain},
    {"linear", rule_linear},
    {"matmul", rule_matmul},
    {"conv2d", rule_conv},
    {"conv2d_dx", rule_conv_dx},
    {"conv2d_dw", rule_conv_dw},
    {"cpu_conv2d_dw_bias", rule_conv_dw},
    {"max_pool2d", rule_max_pool},
    {"max_pool2d_grad", rule_max_pool_grad},
    {"cpu_max_pool2d_grad", rule_max_pool_grad},
    {"avg_pool2d", rule_avg_pool},
    {"avg_pool2d_grad", rule_avg_pool},
    {"batch_norm", rule_batch_norm},
    {"batch_norm_batch", rule_batch_norm},
    {"batch_norm_eval", rule_batch_norm},
    {"batch_norm_grad", rule_batch_norm},
    {"batch_norm_sum", rule_batch_norm},
    {"batch_norm_apply", rule_batch_norm},
    {"batch_norm_grad_sum", rule_batch_norm},
    {"batch_norm_sync_grad", rule_batch_norm},
    {"reduce_sum", rule_reduce},
    {"reduce_mean", rule_reduce},
    {"reduce_max", rule_reduce},
    {"reduce_min", rule_reduce},
    {"reshape", rule_reshape},
    {"dropout", rule_dropout},
    {"adam", rule_update},
    {"adam_amsgrad", rule_update},
    {"sgd", rule_update},
    {"sgd_momentum", rule_update},
    {"accumulate", rule_accumulate},
    {"zero", rule_accumulate},
    {"sum_squares", rule_any},
    {"all_reduce_start", rule_start},
    {"collective_wait", rule_any},
    {"unit_part", rule_part},
    {"cpu_reorder", rule_any},
};

int lt_walk_rule(struct lt_walk *w)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(rules); i++)
        if (!strcmp(rules[i].op, lt_walk_node(w)->op->name))
            return rules[i].rule(w);
    return rule_plain(w);
}
