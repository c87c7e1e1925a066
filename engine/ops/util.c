/* util.c - see util.h */
#include "engine/ops/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"

double lt_get(const struct lt_operand *o, int64_t i)
{
    return lt_dtype_load(o->dtype, o->data, i);
}

void lt_set(const struct lt_operand *o, int64_t i, double v)
{
    lt_dtype_store(o->dtype, o->data, i, v);
}

int64_t lt_get_int(const struct lt_operand *o, int64_t i)
{
    return o->dtype == LT_I64 ? ((const int64_t *)o->data)[i] : (int64_t)lt_get(o, i);
}

int lt_refuse(const struct lt_node *n, struct lt_error *err, const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return lt_error_set(err, -EINVAL, "%s: %s", n->op->name, text);
}

int lt_infer_same(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                  struct lt_type *out, struct lt_error *err)
{
    (void)g, (void)n, (void)err;
    out[0] = in[0];
    return 0;
}

int lt_infer_result(const struct lt_node *n, enum lt_dtype operands, struct lt_type *out,
                    struct lt_error *err)
{
    const char *name = lt_node_str(n, "dtype");

    out->dtype = operands;
    if (!*name)
        return 0;
    if (operands != LT_BF16 || strcmp(name, "float32") != 0)
        return lt_refuse(n, err, "dtype: float32 of bfloat16 operands, not %s of %s", name,
                         lt_dtype_names[operands]);
    out->dtype = LT_F32;
    return 0;
}

bool lt_bias_fits(enum lt_dtype operands, enum lt_dtype bias)
{
    return bias == operands || (operands == LT_BF16 && bias == LT_F32);
}

int lt_check_same(const struct lt_node *n, const struct lt_type *should, const struct lt_type *is,
                  const char *what, struct lt_error *err)
{
    char a[LT_TYPE_TEXT], b[LT_TYPE_TEXT];

    if (lt_type_eq(should, is))
        return 0;
    lt_type_print(a, sizeof a, should);
    lt_type_print(b, sizeof b, is);
    return lt_refuse(n, err, "%s must be %s, not %s", what, a, b);
}

int lt_check_float(const struct lt_node *n, const struct lt_type *is, const char *what,
                   struct lt_error *err)
{
    char text[LT_TYPE_TEXT];

    lt_type_print(text, sizeof text, is);
    return lt_dtype_is_float(is->dtype)
               ? 0
               : lt_refuse(n, err, "%s must be floating, not %s", what, text);
}

int lt_check_word(const struct lt_node *n, const char *attr, const char *const *words,
                  struct lt_error *err)
{
    const char *is = lt_node_str(n, attr);

    for (; *words; words++)
        if (!strcmp(is, *words))
            return 0;
    return lt_refuse(n, err, "%s can't be '%s'", attr, is);
}

int lt_infer_same_float(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                        struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    return lt_check_float(n, &in[0], "the input", err);
}

int lt_infer_pair(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                  struct lt_type *out, struct lt_error *err)
{
    (void)g;
    out[0] = in[0];
    return lt_check_same(n, &in[0], &in[1], "the second input", err);
}

int lt_infer_same_second(const struct lt_graph *g, const struct lt_node *n,
                         const struct lt_type *in, struct lt_type *out, struct lt_error *err)
{
    (void)g, (void)n, (void)err;
    out[0] = in[1];
    out[0].dtype = in[0].dtype;
    return 0;
}

int lt_infer_broadcast(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                       struct lt_type *out, struct lt_error *err)
{
    const struct lt_type *a = &in[0], *b = &in[1];
    int ndim = LT_MAX(a->ndim, b->ndim);
    char ta[128], tb[128];

    (void)g;
    out[0] = (struct lt_type){.dtype = a->dtype, .ndim = ndim};
    if (a->dtype != b->dtype)
        return lt_refuse(n, err, "operands are %s and %s; both must have one dtype",
                         lt_dtype_names[a->dtype], lt_dtype_names[b->dtype]);
    for (int i = 1; i <= ndim; i++) {
        struct lt_dim da = i <= a->ndim ? a->dim[a->ndim - i] : lt_dim_num(1);
        struct lt_dim db = i <= b->ndim ? b->dim[b->ndim - i] : lt_dim_num(1);

        if (lt_dim_eq(da, lt_dim_num(1)))
            out[0].dim[ndim - i] = db;
        else if (lt_dim_eq(db, lt_dim_num(1)) || lt_dim_eq(da, db))
            out[0].dim[ndim - i] = da;
        else {
            lt_type_print(ta, sizeof ta, a);
            lt_type_print(tb, sizeof tb, b);
            return lt_refuse(n, err, "shapes %s and %s do not broadcast", ta, tb);
        }
    }
    return 0;
}

struct lt_type lt_scalar_type(enum lt_dtype dtype)
{
    return (struct lt_type){.dtype = dtype, .ndim = 0};
}

int lt_axis(const struct lt_node *n, int64_t axis, int ndim, struct lt_error *err)
{
    if (axis < -ndim || axis >= ndim)
        return lt_refuse(n, err, "axis %lld is outside a tensor of %d dimensions", (long long)axis,
                         ndim);
    return (int)(axis < 0 ? axis + ndim : axis);
}

static bool has_attr(const struct lt_op *op, const char *name)
{
    for (const struct lt_attr_spec *s = op->attrs; s && s->name; s++)
        if (!strcmp(s->name, name))
            return true;
    return false;
}

int lt_op_emit(struct lt_graph *g, const struct lt_node *like, const char *suffix,
               const char *op_name, const lt_id *in, int n_in, const struct lt_attr *attrs,
               int n_attrs, lt_id *out, struct lt_error *err)
{
    const struct lt_op *op = lt_op_find(op_name);
    struct lt_attr all[16];
    int n = 0, node;
    const char *name;

    for (int i = 0; i < n_attrs && n < (int)LT_ARRAY_LEN(all); i++)
        all[n++] = attrs[i];
    for (int i = 0; like && i < like->n_attrs && n < (int)LT_ARRAY_LEN(all); i++) {
        bool given = false;

        for (int j = 0; j < n_attrs; j++)
            given |= !strcmp(attrs[j].name, like->attrs[i].name);
        if (!given && has_attr(op, like->attrs[i].name))
            all[n++] = like->attrs[i];
    }
    name = lt_arena_format(g->arena, "%s/%s", like && like->name ? like->name : op_name, suffix);
    node = lt_graph_add(g, op, name, in, n_in, all, n, err);
    if (node < 0)
        return node;
    *out = g->nodes[node].out[0];
    return 0;
}

int lt_op_only_first(const struct lt_node *n, const lt_id *dout, struct lt_error *err)
{
    for (int o = 1; o < n->n_out; o++)
        if (dout[o] != LT_NONE)
            return lt_refuse(n, err, "the loss depends on output %d, which has no gradient", o);
    return 0;
}

int lt_op_emit_sum_to(struct lt_graph *g, const struct lt_node *n, const char *suffix, lt_id v,
                      lt_id like, lt_id *out, struct lt_error *err)
{
    lt_id in[] = {v, like};

    if (lt_shape_eq(&g->values[v].type, &g->values[like].type)) {
        *out = v;
        return 0;
    }
    return lt_op_emit(g, n, suffix, "sum_to", in, 2, NULL, 0, out, err);
}

int64_t lt_broadcast_index(const struct lt_operand *o, const struct lt_operand *full, int64_t flat)
{
    int64_t index = 0, stride = 1;

    for (int i = 1; i <= full->ndim; i++) {
        int64_t d = full->dim[full->ndim - i], at = flat % d;

        flat /= d;
        if (i > o->ndim)
            continue;
        if (o->dim[o->ndim - i] != 1)
            index += at * stride;
        stride *= o->dim[o->ndim - i];
    }
    return index;
}

struct lt_span lt_span_of(const struct lt_operand *o, int axis)
{
    struct lt_span s = {1, o->dim[axis], 1};

    for (int i = 0; i < axis; i++)
        s.outer *= o->dim[i];
    for (int i = axis + 1; i < o->ndim; i++)
        s.inner *= o->dim[i];
    return s;
}

int lt_ref_unary(const struct lt_kernel_args *k, double (*f)(double))
{
    for (int64_t i = 0; i < k->out[0].count; i++)
        lt_set(&k->out[0], i, f(lt_get(&k->in[0], i)));
    return 0;
}

int lt_ref_binary(const struct lt_kernel_args *k, double (*f)(double, double))
{
    for (int64_t i = 0; i < k->out[0].count; i++) {
        double a = lt_get(&k->in[0], lt_broadcast_index(&k->in[0], &k->out[0], i));
        double b = lt_get(&k->in[1], lt_broadcast_index(&k->in[1], &k->out[0], i));

        lt_set(&k->out[0], i, f(a, b));
    }
    return 0;
}

int lt_ref_copy(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    if (k->out[0].data == k->in[0].data || !k->out[0].count)
        return 0;
    if (k->out[0].dtype == k->in[0].dtype) /* whole numbers beyond 2^53 too */
        memcpy(k->out[0].data, k->in[0].data,
               (size_t)k->out[0].count * lt_dtype_sizes[k->out[0].dtype]);
    else
        for (int64_t i = 0; i < k->out[0].count; i++)
            lt_set(&k->out[0], i, lt_get(&k->in[0], i));
    return 0;
}
