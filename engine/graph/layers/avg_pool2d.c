/* avg_pool2d.c - nn.AvgPool2d */
#include "engine/graph/build.h"

static lt_id avg_pool2d_build(struct lt_build *b, const Lt__V1__Layer *l, lt_id x)
{
    const Lt__V1__AvgPool2d *p = l->avg_pool2d;
    int64_t k[2], s[2], pad[2];

    if (!p->n_kernel_size)
        return lt_build_problem(b, "give one value or [height, width], such as kernel_size: 2",
                                "kernel_size is missing");
    if (!lt_build_pair(b, "kernel_size", p->kernel_size, p->n_kernel_size, 1, 1, 1, k) ||
        !lt_build_pair(b, "stride", p->stride, p->n_stride, 1, k[0], k[1], s) ||
        !lt_build_pair(b, "padding", p->padding, p->n_padding, 0, 0, 0, pad))
        return LT_NONE;
    if (pad[0] > k[0] / 2 || pad[1] > k[1] / 2)
        return lt_build_problem(b, "padding is at most half of the kernel",
                                "padding [%lld, %lld] is too much", (long long)pad[0],
                                (long long)pad[1]);
    struct lt_attr attrs[] = {lt_attr_ints("kernel", k, 2), lt_attr_ints("stride", s, 2),
                              lt_attr_ints("padding", pad, 2),
                              lt_attr_int("ceil_mode", p->ceil_mode),
                              lt_attr_int("count_include_pad", p->count_include_pad)};

    return lt_build_node(b, "avg_pool2d", &x, 1, attrs, 5);
}

const struct lt_layer lt_layer_avg_pool2d = {LT__V1__LAYER__LAYER_AVG_POOL2D, "avg_pool2d",
                                             avg_pool2d_build};
