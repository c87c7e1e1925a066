/* lower_layout.c - where every value lies
 *
 * One walk in order: each node says in which layout it wants its inputs and gives its outputs theirs; where a value
 * lies otherwise, a reorder is put between (shared by all that want the same). Images are channels-last, the
 * weights of linear layers turned, those of convolutions blocked as the forward implementation likes them. What
 * belongs to a parameter (moments, gradients) lies as it does. Persistent values keep what the first program on
 * this device gave them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/cpu/chain.h"
#include "engine/cpu/lower.h"
#include "engine/cpu/ops/conv.h"
#include "engine/cpu/ops/window.h"
#include "engine/graph/edit.h"

enum { PLAIN, LAST, TURNED };

const struct lt_op lt_cpu_op_reorder = {
    .name = "cpu_reorder", .cls = LT_OP_VIEW, .min_in = 1, .max_in = 1, .n_out = 1, .infer = lt_cpu_infer_same};

struct walk {
    struct lt_device *d;
    struct lt_graph *g;
    const struct lt_binding *b;
    lt_id *hint;          /* per value: the persistent value as which it would best lie; LT_NONE */
    struct lt_map *moved; /* "value/layout" → reordered value + 1 */
    int node;
    struct lt_error *err;
};

static struct lt_node *node_of(const struct walk *w)
{
    return &w->g->nodes[w->node];
}

static int layout(const struct walk *w, lt_id v)
{
    return w->g->values[v].layout;
}

static const struct lt_layout *shape_of(const struct walk *w, lt_id v)
{
    return &w->d->layouts[layout(w, v)];
}

static int ndim_of(const struct walk *w, lt_id v)
{
    return w->g->values[v].type.ndim;
}

static lt_id value_like(struct lt_graph *g, lt_id v, int node, int to)
{
    LT_GROW(g->values, g->n_values, g->cap_values);
    g->values[g->n_values] = (struct lt_value){
        .kind = LT_VALUE_NODE, .type = g->values[v].type, .node = node, .alias = LT_NONE, .layout = to};
    return g->n_values++;
}

/* v in another layout. */
static lt_id moved(struct walk *w, lt_id v, int to)
{
    struct lt_graph *g = w->g;
    struct lt_node n = {.op = &lt_cpu_op_reorder, .n_in = 1, .n_out = 1};
    char key[48];
    void *known;
    lt_id out;

    snprintf(key, sizeof key, "%d/%d", v, to);
    known = lt_map_get(w->moved, key);
    if (known)
        return (lt_id)((intptr_t)known - 1);
    n.name = lt_arena_format(g->arena, "%s/reorder%d", node_of(w)->name, (int)lt_map_count(w->moved));
    n.in = lt_arena_alloc(g->arena, sizeof *n.in);
    n.out = lt_arena_alloc(g->arena, sizeof *n.out);
    n.attrs = lt_arena_alloc(g->arena, sizeof *n.attrs);
    if (!n.name || !n.in || !n.out || !n.attrs)
        abort(); /* a graph's arena has no cap */
    out = value_like(g, v, g->n_nodes, to);
    n.in[0] = v;
    n.out[0] = out;
    LT_GROW(g->nodes, g->n_nodes, g->cap_nodes);
    g->nodes[g->n_nodes++] = n;
    lt_map_set(w->moved, key, (void *)(intptr_t)(out + 1));
    return out;
}

/* One channel, or one place per channel: plain and channels-last are the same bytes. */
static bool same_bytes(const struct walk *w, lt_id v, int to)
{
    int64_t d[LT_DIMS_MAX], s = 1;
    int n = lt_value_dims(w->g, w->b, v, d);

    if (layout(w, v) > LAST || to > LAST || n < 3)
        return false;
    for (int i = 2; i < n; i++)
        s *= d[i];
    return d[1] == 1 || s == 1;
}

static void want(struct walk *w, int i, int to)
{
    lt_id v = node_of(w)->in[i];

    if (layout(w, v) != to && !same_bytes(w, v, to))
        v = moved(w, v, to); /* moves g->nodes */
    node_of(w)->in[i] = v;
}

static void give(struct walk *w, int o, int to)
{
    if (o < node_of(w)->n_out)
        w->g->values[node_of(w)->out[o]].layout = to;
}

/* The value as it lies; what doesn't persist or has a layout already keeps it. */
static void place(struct walk *w, lt_id v, int to)
{
    struct lt_value *x = &w->g->values[v];

    if (lt_value_persists(x->kind) && !x->layout && !lt_map_get(w->d->persistent, x->name))
        x->layout = to;
}

static lt_id root_of(const struct walk *w, lt_id v)
{
    return w->g->values[v].alias != LT_NONE ? w->g->values[v].alias : v;
}

/* ---- rules */

static int rule_plain(struct walk *w)
{
    for (int i = 0; i < node_of(w)->n_in; i++)
        want(w, i, PLAIN);
    return 0;
}

static bool same_dims(const struct walk *w, lt_id a, lt_id b)
{
    int64_t x[LT_DIMS_MAX], y[LT_DIMS_MAX];
    int n = lt_value_dims(w->g, w->b, a, x), m = lt_value_dims(w->g, w->b, b, y);

    return n == m && !memcmp(x, y, (size_t)n * sizeof *x);
}

/* The layout of the first input of full size that isn't plain; others of full size follow. */
static int rule_chain(struct walk *w)
{
    lt_id out = node_of(w)->out[0];
    int to = PLAIN;
    bool broadcast = false;

    for (int i = 0; i < node_of(w)->n_in; i++) {
        lt_id v = node_of(w)->in[i];

        if (same_dims(w, v, out))
            to = to ? to : layout(w, v);
        else
            broadcast = broadcast || lt_value_count(w->g, w->b, v) != 1;
    }
    if (to != LAST && broadcast)
        to = PLAIN;
    for (int i = 0; i < node_of(w)->n_in; i++) {
        lt_id v = node_of(w)->in[i];

        if (same_dims(w, v, out))
            want(w, i, to);
        else if (layout(w, v) != LAST)
            want(w, i, PLAIN);
    }
    give(w, 0, to);
    return 0;
}

static int find(const struct walk *w, enum lt_layout_kind kind, int64_t c, int64_t s)
{
    return lt_layout_find(w->d, &(struct lt_layout){.kind = kind, .c = c, .s = s});
}

static int rule_linear(struct walk *w)
{
    lt_id x = node_of(w)->in[0], weight = node_of(w)->in[1];
    const struct lt_layout l = *shape_of(w, x);
    const struct lt_layout *k;

    if (lt_value_persists(w->g->values[weight].kind))
        place(w, weight, l.kind == LT_LAYOUT_FLAT ? find(w, LT_LAYOUT_TURNED_FLAT, l.c, l.s) : TURNED);
    k = shape_of(w, weight);
    if (k->kind == LT_LAYOUT_TURNED_FLAT && ndim_of(w, x) == 2) {
        want(w, 0, find(w, LT_LAYOUT_FLAT, k->c, k->s));
    } else {
        want(w, 0, PLAIN);
        if (k->kind != LT_LAYOUT_TURNED)
            want(w, 1, PLAIN);
    }
    for (int i = 2; i < node_of(w)->n_in; i++)
        want(w, i, PLAIN);
    return 0;
}

/* What layout the consumer of an output would like. */
static const struct lt_layout *hint_of(const struct walk *w, lt_id v)
{
    lt_id h = w->hint[v];

    return h == LT_NONE ? &w->d->layouts[PLAIN] : shape_of(w, h);
}

static int rule_matmul(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    lt_id x = n->in[0], y = n->in[1], out = n->out[0];
    bool flat2 = ndim_of(w, x) == 2 && ndim_of(w, y) == 2;
    struct lt_layout hint = *hint_of(w, out), lx = *shape_of(w, x), ly = *shape_of(w, y);
    bool ta = lt_node_int(n, "transpose_a"), tb = lt_node_int(n, "transpose_b");

    /* dx = dy w: the result is flat as the layer's input was */
    if (flat2 && !tb && ly.kind == LT_LAYOUT_TURNED_FLAT) {
        want(w, 0, lx.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
        give(w, 0, find(w, LT_LAYOUT_FLAT, ly.c, ly.s));
        return 0;
    }
    /* dw = dy' x: a flat input gives turned-flat weights */
    if (flat2 && ta && !tb && ly.kind == LT_LAYOUT_FLAT && hint.kind == LT_LAYOUT_TURNED_FLAT && hint.c == ly.c &&
        hint.s == ly.s) {
        want(w, 0, PLAIN);
        give(w, 0, find(w, LT_LAYOUT_TURNED_FLAT, ly.c, ly.s));
        return 0;
    }
    want(w, 0, flat2 && lx.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    want(w, 1, flat2 && ly.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    give(w, 0, flat2 && hint.kind == LT_LAYOUT_TURNED ? TURNED : PLAIN);
    return 0;
}

/* The layout that a convolution's implementation takes for its weights: the one they have, if there is one for it. */
static int conv_weights(struct walk *w, const struct lt_conv_shape *s, enum lt_conv_kind kind, int have, int *out)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = NULL;
    LT_AUTO(lt_md_free) struct lt_md *own = NULL;
    struct lt_layout l = {.kind = LT_LAYOUT_BLOCKED};
    int rc;

    if (w->d->layouts[have].kind == LT_LAYOUT_BLOCKED && kind != LT_CONV_DATA) {
        own = lt_layout_md(w->d, have, 0, s->w_ndim, s->w);
        if (lt_conv_prim(s, kind, own, false, false, s->x[0], 1, &p, NULL) == 0) {
            *out = have;
            return 0;
        }
    }
    rc = lt_conv_prim(s, kind, NULL, false, false, s->x[0], 1, &p, w->err);
    if (rc < 0)
        return rc;
    l.md = (struct lt_md *)(uintptr_t)lt_prim_md(p, kind == LT_CONV_WEIGHTS ? LT_PRIM_DIFF_WEIGHTS : LT_PRIM_WEIGHTS);
    *out = lt_layout_find(w->d, &l);
    return 0;
}

static int rule_conv(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    struct lt_conv_shape s;
    int to = PLAIN, rc = 0;

    lt_conv_shape(w->d, w->g, w->b, n, n->in[0], n->in[1], n->out[0], &s);
    if (!lt_conv_is_empty(&s))
        rc = conv_weights(w, &s, LT_CONV_FORWARD, layout(w, n->in[1]), &to);
    if (rc < 0)
        return rc;
    place(w, n->in[1], to);
    want(w, 0, LAST);
    want(w, 1, to);
    if (node_of(w)->n_in > 2)
        want(w, 2, PLAIN);
    give(w, 0, LAST);
    return 0;
}

static int rule_conv_dx(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    struct lt_conv_shape s;
    int to = PLAIN, rc = 0;

    lt_conv_shape(w->d, w->g, w->b, n, n->out[0], n->in[1], n->in[0], &s);
    if (!lt_conv_is_empty(&s))
        rc = conv_weights(w, &s, LT_CONV_DATA, layout(w, n->in[1]), &to);
    if (rc < 0)
        return rc;
    want(w, 0, LAST);
    want(w, 1, to);
    give(w, 0, LAST);
    return 0;
}

static int rule_conv_dw(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    lt_id hint = w->hint[n->out[0]];
    struct lt_conv_shape s;
    int to = PLAIN, rc;

    lt_conv_shape(w->d, w->g, w->b, n, n->in[1], n->out[0], n->in[0], &s);
    rc = conv_weights(w, &s, LT_CONV_WEIGHTS, hint == LT_NONE ? PLAIN : layout(w, hint), &to);
    if (rc < 0)
        return rc;
    want(w, 0, LAST);
    want(w, 1, LAST);
    give(w, 0, to);
    return 0;
}

static bool only_read_by_gradients(const struct walk *w, lt_id v)
{
    for (int i = 0; i < w->g->n_nodes; i++)
        for (int k = 0; !w->g->nodes[i].dead && k < w->g->nodes[i].n_in; k++)
            if (w->g->nodes[i].in[k] == v && strcmp(w->g->nodes[i].op->name, "max_pool2d_grad") != 0 &&
                w->g->nodes[i].op != &lt_cpu_op_max_pool_grad)
                return false;
    for (int i = 0; i < w->g->n_outputs; i++)
        if (w->g->outputs[i].value == v)
            return false;
    return true;
}

static int rule_max_pool(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    struct lt_window_shape win = lt_window_shape(n);
    bool byte = win.kernel[0] * win.kernel[1] <= 255 && n->n_out > 1 && only_read_by_gradients(w, n->out[1]);

    want(w, 0, LAST);
    give(w, 0, LAST);
    give(w, 1, byte ? find(w, LT_LAYOUT_INDEX8, 0, 0) : LAST);
    return 0;
}

/* dy, index, [gate] */
static int rule_max_pool_grad(struct walk *w)
{
    want(w, 0, LAST);
    if (shape_of(w, node_of(w)->in[1])->kind != LT_LAYOUT_INDEX8)
        want(w, 1, LAST);
    if (node_of(w)->n_in > 2)
        want(w, 2, LAST);
    give(w, 0, LAST);
    return 0;
}

static int rule_avg_pool(struct walk *w)
{
    want(w, 0, LAST);
    give(w, 0, LAST);
    return 0;
}

/* The first `images` inputs of three dimensions and more are channels-last, and so is the first output. */
static int rule_batch_norm(struct walk *w)
{
    bool image = ndim_of(w, node_of(w)->in[0]) > 2;
    int images = strcmp(node_of(w)->op->name, "batch_norm_grad") ? 1 : 2;

    for (int i = 0; i < node_of(w)->n_in; i++)
        want(w, i, image && i < images ? LAST : PLAIN);
    give(w, 0, image ? LAST : PLAIN);
    return 0;
}

/* A channels-last input is reduced as it lies when what remains is in order, or keeps its four dimensions. */
static int rule_reduce(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    lt_id x = n->in[0];
    int ndim = ndim_of(w, x), count = 0;
    unsigned gone = 0;
    const int64_t *axes = lt_node_ints(n, "axes", &count);
    bool keep = lt_node_int(n, "keepdims"), tail;

    if (layout(w, x) != LAST)
        return rule_plain(w);
    for (int i = 0; i < count; i++)
        gone |= 1u << (axes[i] < 0 ? axes[i] + ndim : axes[i]);
    if (!count)
        gone = (1u << ndim) - 1;
    tail = gone >> 2 == (1u << (ndim - 2)) - 1; /* all of h, w: n, c remain, in order */
    if (!tail && !(gone & 2u) && !keep)
        return rule_plain(w);
    give(w, 0, keep && !tail && !(gone & 2u) ? LAST : PLAIN);
    return 0;
}

static int rule_reshape(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    lt_id x = n->in[0], y = n->out[0];
    int64_t a[LT_DIMS_MAX], b[LT_DIMS_MAX], s = 1;
    int na = lt_value_dims(w->g, w->b, x, a), nb = lt_value_dims(w->g, w->b, y, b);
    struct lt_layout l = *shape_of(w, x);

    if (na == nb && !memcmp(a, b, (size_t)na * sizeof *a)) {
        give(w, 0, layout(w, x));
        return 0;
    }
    if (l.kind == LT_LAYOUT_LAST && nb == 2 && a[0] == b[0]) {
        for (int i = 2; i < na; i++)
            s *= a[i];
        give(w, 0, a[1] == 1 || s == 1 ? PLAIN : find(w, LT_LAYOUT_FLAT, a[1], s));
        return 0;
    }
    if (l.kind == LT_LAYOUT_FLAT && nb > 2 && a[0] == b[0] && b[1] == l.c) {
        give(w, 0, LAST);
        return 0;
    }
    want(w, 0, PLAIN);
    return 0;
}

static int rule_dropout(struct walk *w)
{
    enum lt_layout_kind k = shape_of(w, node_of(w)->in[0])->kind;

    if (k != LT_LAYOUT_LAST && k != LT_LAYOUT_FLAT)
        return rule_plain(w);
    for (int o = 0; o < node_of(w)->n_out; o++)
        give(w, o, layout(w, node_of(w)->in[0]));
    return 0;
}

/* p, g, then scalars, then states; the states lie as p does. */
static int rule_update(struct walk *w)
{
    const struct lt_node *n = node_of(w);
    int to = layout(w, root_of(w, n->in[0]));

    for (int o = 0; o < n->n_out; o++) {
        int i = n->op->updates[o] - 1;

        place(w, root_of(w, n->in[i]), to);
    }
    want(w, 1, to);
    for (int o = 0; o < node_of(w)->n_out; o++) {
        int i = node_of(w)->op->updates[o] - 1, own = layout(w, root_of(w, node_of(w)->in[i]));

        give(w, o, own);
    }
    return 0;
}

/* acc (, g): lies as the parameter "NAME" of "grad/NAME" does. */
static int rule_accumulate(struct walk *w)
{
    lt_id acc = root_of(w, node_of(w)->in[0]);
    int to = layout(w, acc);

    if (node_of(w)->n_in > 1)
        want(w, 1, to);
    give(w, 0, to);
    return 0;
}

/* Order doesn't matter to them, and padding is 0. */
static int rule_any(struct walk *w)
{
    (void)w;
    return 0;
}

static const struct {
    const char *op;
    int (*rule)(struct walk *w);
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
    {"batch_norm_eval", rule_batch_norm},
    {"batch_norm_grad", rule_batch_norm},
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
    {"cpu_reorder", rule_any},
};

static int rule_apply(struct walk *w)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(rules); i++)
        if (!strcmp(rules[i].op, node_of(w)->op->name))
            return rules[i].rule(w);
    return rule_plain(w);
}

/* ---- before and after the walk */

/* What earlier programs gave persistent values. */
static void recall(struct walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++) {
        struct lt_value *x = &w->g->values[v];
        void *known = lt_value_persists(x->kind) ? lt_map_get(w->d->persistent, x->name) : NULL;

        x->layout = known ? (int)((intptr_t)known - 1) : PLAIN;
    }
}

/* "grad/1.weight", "exp_avg/1.weight" lie as "1.weight". */
static void follow_parameters(struct walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++) {
        struct lt_value *x = &w->g->values[v];
        const char *slash = x->name && x->kind > LT_VALUE_BUFFER ? strchr(x->name, '/') : NULL;
        lt_id p = slash ? lt_graph_find(w->g, slash + 1) : LT_NONE;

        if (p != LT_NONE && lt_value_persists(w->g->values[p].kind) &&
            lt_shape_eq(&x->type, &w->g->values[p].type))
            place(w, v, layout(w, p));
    }
}

/* (p or acc, g, …) → p' … */
static bool is_update(const struct lt_node *n)
{
    return !n->dead && n->n_in > 1 && n->op->cls == LT_OP_UPDATE && n->op->updates[0] == 1;
}

static void hints(struct walk *w)
{
    for (lt_id v = 0; v < w->g->n_values; v++)
        w->hint[v] = LT_NONE;
    for (int i = 0; i < w->g->n_nodes; i++) {
        const struct lt_node *n = &w->g->nodes[i];

        if (is_update(n))
            w->hint[n->in[1]] = root_of(w, n->in[0]);
    }
}

/* Parameters get their layouts in the forward pass, long before the first state or gradient asks for them. */
static bool wants_states(const struct lt_node *n)
{
    return n->op->cls == LT_OP_UPDATE || !strcmp(n->op->name, "conv2d_dw") ||
           !strcmp(n->op->name, "cpu_conv2d_dw_bias") || !strcmp(n->op->name, "matmul");
}

int lt_cpu_layouts(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b, struct lt_error *err)
{
    struct walk w = {.d = d, .g = g, .b = b, .err = err};
    int n_nodes = g->n_nodes, rc = 0;

    w.hint = lt_malloc(((size_t)g->n_values + 1) * sizeof *w.hint);
    w.moved = lt_map_new(NULL);
    recall(&w);
    hints(&w);
    for (w.node = 0; !rc && w.node < n_nodes; w.node++) {
        if (node_of(&w)->dead)
            continue;
        if (wants_states(node_of(&w)))
            follow_parameters(&w);
        rc = rule_apply(&w);
        if (rc < 0)
            lt_error_prefix(err, "%s (%s)", node_of(&w)->name, node_of(&w)->op->name);
    }
    w.node = n_nodes - 1;
    for (int i = 0; !rc && i < g->n_outputs; i++)
        if (layout(&w, g->outputs[i].value) != PLAIN && !same_bytes(&w, g->outputs[i].value, PLAIN))
            g->outputs[i].value = moved(&w, g->outputs[i].value, PLAIN);
    lt_free(w.hint);
    lt_map_free(w.moved);
    return rc;
}
