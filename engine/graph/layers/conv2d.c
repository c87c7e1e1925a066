/* conv2d.c - nn.Conv2d
 *
 * Weights and bias start uniform in ±1/sqrt(fan_in), fan_in = in_channels / groups * kernel height
 * * kernel width.
 */
#include <math.h>
#include "engine/graph/build.h"

struct conv {
    int64_t out, groups, kernel[2], stride[2], padding[2], dilation[2];
};

static bool conv_read(struct lt_build *b, const Lt__V1__Conv2d *p, struct conv *c)
{
    bool ok = true;

    c->out = (int64_t)p->out_channels;
    c->groups = (int64_t)p->groups;
    if (!p->has_out_channels || c->out < 1) {
        lt_build_problem(b, "give a number of channels, such as out_channels: 16",
                         "out_channels is missing");
        ok = false;
    }
    if (!p->n_kernel_size) {
        lt_build_problem(b, "give one value or [height, width], such as kernel_size: 3",
                         "kernel_size is missing");
        ok = false;
    }
    if (c->groups < 1 || c->out % c->groups) {
        lt_build_problem(b, "out_channels must be a multiple of groups",
                         "%lld channels can't be made by %lld groups", (long long)c->out,
                         (long long)c->groups);
        ok = false;
    }
    return lt_build_pair(b, "kernel_size", p->kernel_size, p->n_kernel_size, 1, 1, 1, c->kernel) &
           lt_build_pair(b, "stride", p->stride, p->n_stride, 1, 1, 1, c->stride) &
           lt_build_pair(b, "padding", p->padding, p->n_padding, 0, 0, 0, c->padding) &
           lt_build_pair(b, "dilation", p->dilation, p->n_dilation, 1, 1, 1, c->dilation) & ok;
}

static bool conv_fits(struct lt_build *b, lt_id x, const struct conv *c)
{
    const struct lt_type *t = lt_build_type(b, x);

    if (t->ndim != 4)
        lt_build_problem(b, "put `unflatten` before it, or take out the layer that flattens",
                         "expected 4-d input [n, channels, height, width], got %s",
                         lt_build_text(b, x));
    else if (t->dim[1].k % c->groups)
        lt_build_problem(b, "the input's channels must be a multiple of groups",
                         "%s has %lld channels for %lld groups", lt_build_text(b, x),
                         (long long)t->dim[1].k, (long long)c->groups);
    else
        return true;
    return false;
}

static lt_id conv2d_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    struct conv c;
    struct lt_init init = {LT_INIT_UNIFORM, 0, 0, NULL};
    int64_t dim[4];
    lt_id in[3] = {x, LT_NONE, LT_NONE};

    if (!conv_read(b, l->conv2d, &c) || x == LT_NONE || !conv_fits(b, x, &c))
        return LT_NONE;
    dim[0] = c.out;
    dim[1] = lt_build_type(b, x)->dim[1].k / c.groups;
    dim[2] = c.kernel[0];
    dim[3] = c.kernel[1];
    init.b = 1 / sqrt((double)dim[1] * (double)dim[2] * (double)dim[3]);
    init.a = -init.b;
    in[1] = lt_build_param(b, "weight", dim, 4, init);
    if (l->conv2d->bias)
        in[2] = lt_build_param(b, "bias", dim, 1, init);
    struct lt_attr attrs[] = {
        lt_attr_ints("stride", c.stride, 2), lt_attr_ints("padding", c.padding, 2),
        lt_attr_ints("dilation", c.dilation, 2), lt_attr_int("groups", c.groups)};

    return lt_build_node(b, "conv2d", in, l->conv2d->bias ? 3 : 2, attrs, 4);
}

const struct lt_layer lt_layer_conv2d = {LT__V1__LAYER__LAYER_CONV2D, "conv2d", conv2d_build};
