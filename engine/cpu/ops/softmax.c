/* softmax.c - softmax and log-softmax over any axis */
#include "engine/cpu/program.h"

static int softmax_build(struct lt_build *b, bool log, bool grad)
{
    struct lt_softmax *s = lt_build_args(b, sizeof *s);
    int64_t d[LT_DIMS_MAX], axis = lt_node_int(b->n, "axis");
    int n = lt_build_dims(b, b->n->out[0], d);
    double ns;

    if (axis < 0)
        axis += n;
    s->log = log;
    s->a = s->r = s->c = 1;
    for (int i = 0; i < n; i++)
        if (i < axis)
            s->a *= d[i];
        else if (i == axis)
            s->r = d[i];
        else
            s->c *= d[i];
    lt_build_in(b, 0, grad ? &s->dy : &s->x);
    if (grad)
        lt_build_in(b, 1, &s->x);
    lt_build_out(b, 0, &s->out);
    ns = (double)(s->a * s->r * s->c) * 0.7;
    if (s->c == 1) {
        s->c = s->r;
        lt_build_kernel(b, grad ? LT_KERN_softmax_grad_rows : LT_KERN_softmax_rows, s,
                        s->c ? s->a : 0, ns);
    } else {
        lt_build_kernel(b, grad ? LT_KERN_softmax_grad_cols : LT_KERN_softmax_cols, s,
                        s->c && s->r ? s->a : 0, ns);
    }
    return 0;
}

static int plain_build(struct lt_build *b)
{
    return softmax_build(b, false, false);
}

static int log_build(struct lt_build *b)
{
    return softmax_build(b, true, false);
}

static int plain_grad_build(struct lt_build *b)
{
    return softmax_build(b, false, true);
}

static int log_grad_build(struct lt_build *b)
{
    return softmax_build(b, true, true);
}

const struct lt_builder lt_builders_softmax[] = {{.op = "softmax", .build = plain_build},
                                                 {.op = "log_softmax", .build = log_build},
                                                 {.op = "softmax_grad", .build = plain_grad_build},
                                                 {.op = "log_softmax_grad", .build = log_grad_build},
                                                 {0}};
