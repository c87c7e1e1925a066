/* row.c - see row.h */
#include "engine/ops/row.h"

#include <math.h>

const struct lt_attr_spec lt_row_attrs[] = {LT_ATTR_INT_DEF("axis", -1), LT_ATTR_END};

int lt_row_infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int axis = lt_axis(n, lt_node_int(n, "axis"), in[0].ndim, err);

    return axis < 0 ? axis : lt_infer_same_float(g, n, in, out, err);
}

int lt_row_infer_pair(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                      struct lt_type *out, struct lt_error *err)
{
    int axis = lt_axis(n, lt_node_int(n, "axis"), in[0].ndim, err);

    return axis < 0 ? axis : lt_infer_pair(g, n, in, out, err);
}

static struct lt_span lines(const struct lt_kernel_args *k)
{
    const struct lt_operand *x = &k->in[0];

    return lt_span_of(x, lt_axis(k->node, lt_node_int(k->node, "axis"), x->ndim, NULL));
}

/* Flat index of the first element of line r. */
static int64_t line_start(const struct lt_span *s, int64_t r)
{
    return r / s->inner * s->len * s->inner + r % s->inner;
}

int lt_row_ref(const struct lt_kernel_args *k, double (*finish)(double, double))
{
    const struct lt_operand *x = &k->in[0];
    struct lt_span s = lines(k);

    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t start = line_start(&s, r);
        double top = -INFINITY, sum = 0;

        for (int64_t i = 0; i < s.len; i++)
            top = fmax(top, lt_get(x, start + i * s.inner));
        for (int64_t i = 0; i < s.len; i++)
            sum += exp(lt_get(x, start + i * s.inner) - top);
        for (int64_t i = 0; i < s.len; i++) {
            int64_t at = start + i * s.inner;

            lt_set(&k->out[0], at, finish(lt_get(x, at) - top, sum));
        }
    }
    return 0;
}

int lt_row_ref_grad(const struct lt_kernel_args *k, double (*part)(double, double),
                    double (*finish)(double, double, double))
{
    const struct lt_operand *dy = &k->in[0], *y = &k->in[1];
    struct lt_span s = lines(k);

    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t start = line_start(&s, r);
        double sum = 0;

        for (int64_t i = 0; i < s.len; i++)
            sum += part(lt_get(dy, start + i * s.inner), lt_get(y, start + i * s.inner));
        for (int64_t i = 0; i < s.len; i++) {
            int64_t at = start + i * s.inner;

            lt_set(&k->out[0], at, finish(lt_get(dy, at), lt_get(y, at), sum));
        }
    }
    return 0;
}
