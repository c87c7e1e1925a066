/* conv.c - see conv.h */
#include "engine/ops/conv.h"

#include "base/mem.h"

const struct lt_attr_spec lt_conv_attrs[] = {
    LT_ATTR_INTS_OPT("stride"),   LT_ATTR_INTS_OPT("padding"), LT_ATTR_INTS_OPT("dilation"),
    LT_ATTR_INT_DEF("groups", 1), LT_ATTR_STR_DEF("act", ""),  LT_ATTR_RESULT,
    LT_ATTR_END,
};

int lt_conv_of(const struct lt_node *n, const struct lt_type *x, const struct lt_type *weight,
               struct lt_conv *c, struct lt_error *err)
{
    int64_t kernel[2];
    bool numbers = true;
    static const char *const acts[] = {"", "relu", NULL};
    int rc = lt_window_check_input(n, x, err);

    rc = rc ? rc : lt_check_word(n, "act", acts, err);
    rc = rc ? rc : lt_check_float(n, x, "the input", err);
    if (rc)
        return rc;
    for (int d = 0; weight->ndim == 4 && d < 4; d++)
        numbers &= weight->dim[d].sym == LT_SYM_NONE;
    if (weight->ndim != 4 || weight->dtype != x->dtype || !numbers)
        return lt_refuse(n, err,
                         "the weight must be [out, in / groups, kh, kw] of the input's dtype");
    kernel[0] = weight->dim[2].k;
    kernel[1] = weight->dim[3].k;
    rc = lt_window_of(n, kernel, &c->win, err);
    if (rc)
        return rc;
    c->n = 0;
    c->c = x->dim[1].k;
    c->h = x->dim[2].k;
    c->w = x->dim[3].k;
    c->o = weight->dim[0].k;
    c->groups = lt_node_int(n, "groups");
    if (c->groups < 1 || c->c % c->groups || c->o % c->groups)
        return lt_refuse(n, err,
                         "groups = %lld does not divide %lld input and %lld output channels",
                         (long long)c->groups, (long long)c->c, (long long)c->o);
    c->cg = c->c / c->groups;
    c->og = c->o / c->groups;
    if (weight->dim[1].k != c->cg)
        return lt_refuse(n, err, "the weight is for %lld input channels, the input has %lld",
                         (long long)(weight->dim[1].k * c->groups), (long long)c->c);
    c->oh = lt_window_out(&c->win, 0, c->h);
    c->ow = lt_window_out(&c->win, 1, c->w);
    if (c->oh < 1 || c->ow < 1)
        return lt_refuse(n, err, "a %lldx%lld kernel does not fit into %lldx%lld",
                         (long long)kernel[0], (long long)kernel[1], (long long)c->h,
                         (long long)c->w);
    return 0;
}

int lt_conv_check_dy(const struct lt_node *n, const struct lt_type *x, const struct lt_conv *c,
                     const struct lt_type *dy, struct lt_error *err)
{
    struct lt_type y = *x;

    y.dim[1] = lt_dim_num(c->o);
    y.dim[2] = lt_dim_num(c->oh);
    y.dim[3] = lt_dim_num(c->ow);
    return lt_check_same(n, &y, dy, "dy", err);
}

static struct lt_type type_of(const struct lt_operand *o)
{
    struct lt_type t = {.dtype = o->dtype, .ndim = o->ndim};

    for (int i = 0; i < o->ndim; i++)
        t.dim[i] = lt_dim_num(o->dim[i]);
    return t;
}

void lt_conv_of_operands(const struct lt_kernel_args *k, const struct lt_operand *x,
                         const struct lt_operand *weight, struct lt_conv *c)
{
    struct lt_type tx = type_of(x), tw = type_of(weight);

    tx.dtype = tw.dtype = LT_F32; /* infer has looked at them; one may only lend its shape */
    lt_conv_of(k->node, &tx, &tw, c, NULL);
    c->n = x->dim[0];
}

bool lt_conv_at(const struct lt_conv *c, int64_t oy, int64_t ox, int64_t i, int64_t j, int64_t *iy,
                int64_t *ix)
{
    *iy = oy * c->win.stride[0] - c->win.padding[0] + i * c->win.dilation[0];
    *ix = ox * c->win.stride[1] - c->win.padding[1] + j * c->win.dilation[1];
    return *iy >= 0 && *iy < c->h && *ix >= 0 && *ix < c->w;
}

int lt_conv_ref_grad(const struct lt_kernel_args *k, int x_in, int weight_in, bool by_weight)
{
    const struct lt_operand *dy = &k->in[0], *other = &k->in[1];
    double *sums = lt_calloc((size_t)k->out[0].count + 1, sizeof *sums);
    struct lt_conv c;
    int64_t taps, iy, ix;

    lt_conv_of_operands(k, &k->in[x_in], &k->in[weight_in], &c);
    taps = c.win.kernel[0] * c.win.kernel[1];
    for (int64_t f = 0; f < dy->count; f++) {
        int64_t ox = f % c.ow, oy = f / c.ow % c.oh, o = f / (c.ow * c.oh) % c.o,
                s = f / (c.ow * c.oh * c.o);

        for (int64_t ci = 0; ci < c.cg; ci++)
            for (int64_t t = 0; t < taps; t++) {
                int64_t at_w = (o * c.cg + ci) * taps + t, at_x;

                if (!lt_conv_at(&c, oy, ox, t / c.win.kernel[1], t % c.win.kernel[1], &iy, &ix))
                    continue;
                at_x = ((s * c.c + o / c.og * c.cg + ci) * c.h + iy) * c.w + ix;
                sums[by_weight ? at_w : at_x] +=
                    lt_get(dy, f) * lt_get(other, by_weight ? at_x : at_w);
            }
    }
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, sums[i]);
    lt_free(sums);
    return 0;
}

int lt_conv_infer_grad(const struct lt_node *n, const struct lt_type *in, int x_in, int weight_in,
                       struct lt_type *out, struct lt_error *err)
{
    struct lt_type x = in[x_in], weight = in[weight_in];
    struct lt_conv c;
    int rc;

    (x_in == 2 ? &x : &weight)->dtype = in[0].dtype; /* the last input only lends its shape */
    rc = lt_conv_of(n, &x, &weight, &c, err);
    out[0] = in[2];
    rc = rc ? rc : lt_infer_result(n, in[0].dtype, &out[0], err);
    return rc ? rc : lt_conv_check_dy(n, &x, &c, &in[0], err);
}

int64_t lt_conv_flops(const struct lt_graph *g, const struct lt_node *n, int x_in, int weight_in,
                      const struct lt_binding *b)
{
    struct lt_type x = g->values[n->in[x_in]].type, weight = g->values[n->in[weight_in]].type;
    struct lt_conv c;

    x.dtype = weight.dtype = LT_F32;
    lt_conv_of(n, &x, &weight, &c, NULL);
    return 2 * lt_dim_value(x.dim[0], b) * c.o * c.oh * c.ow * c.cg * c.win.kernel[0] *
           c.win.kernel[1];
}
