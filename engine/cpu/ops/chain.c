/* chain.c - chains of pointwise operators, as `lower` wrote them down */
#include <string.h>
#include "engine/cpu/chain.h"
#include "engine/cpu/program.h"

static enum lt_chain_load load_of(enum lt_dtype t)
{
    switch (t) {
    case LT_U8:
    case LT_BOOL:
        return LT_LOAD_U8;
    case LT_I32:
        return LT_LOAD_I32;
    case LT_I64:
        return LT_LOAD_I64;
    case LT_F64:
        return LT_LOAD_F64;
    case LT_BF16:
        return LT_LOAD_BF16;
    default:
        return LT_LOAD_F32;
    }
}

/* The order in which the outputs' elements are stored: dimension order[i] comes i-th. */
static void storage_order(const struct lt_build *b, int layout, int ndim, int *order)
{
    enum lt_layout_kind k = b->d->layouts[layout].kind;
    int n = 0;

    for (int i = 0; i < ndim; i++)
        if (k != LT_LAYOUT_LAST || i != 1)
            order[n++] = i;
    if (k == LT_LAYOUT_LAST)
        order[n] = 1;
    if (k == LT_LAYOUT_TURNED) {
        order[0] = 1;
        order[1] = 0;
    }
}

/* Strides of an input over the outputs' dimensions, 0 where it is broadcast; in storage order. */
static void strides_over(const struct lt_build *b, lt_id v, int ndim, const int *order,
                         int64_t *strides)
{
    int64_t dims[LT_DIMS_MAX], own[LT_DIMS_MAX], spread[LT_DIMS_MAX] = {0};
    int n = lt_build_dims(b, v, dims);

    lt_layout_strides(b->d, lt_build_layout(b, v), n, dims, own);
    for (int i = 0; i < n; i++)
        spread[ndim - n + i] = dims[i] == 1 ? 0 : own[i];
    for (int i = 0; i < ndim; i++)
        strides[i] = spread[order[i]];
}

/* Neighbouring dimensions that every input walks as one become one. */
static void merge_dims(struct lt_chain *c)
{
    for (int i = c->ndim - 2; i >= 0; i--) {
        bool one = true;

        for (int k = 0; k < c->n_in; k++)
            one = one && c->in[k].stride[i] == c->in[k].stride[i + 1] * c->dim[i + 1];
        if (!one)
            continue;
        c->dim[i] *= c->dim[i + 1];
        for (int k = 0; k < c->n_in; k++)
            c->in[k].stride[i] = c->in[k].stride[i + 1];
        c->ndim--;
        memmove(&c->dim[i + 1], &c->dim[i + 2], (size_t)(c->ndim - i - 1) * sizeof *c->dim);
        for (int k = 0; k < c->n_in; k++)
            memmove(&c->in[k].stride[i + 1], &c->in[k].stride[i + 2],
                    (size_t)(c->ndim - i - 1) * sizeof *c->dim);
    }
}

static void input_classify(struct lt_chain *c, struct lt_chain_input *in)
{
    bool scalar = true, direct = true;
    int64_t expect = 1;

    for (int i = c->ndim - 1; i >= 0; i--) {
        if (c->dim[i] == 1)
            continue;
        scalar = scalar && in->stride[i] == 0;
        direct = direct && in->stride[i] == expect;
        expect *= c->dim[i];
    }
    in->how = scalar ? LT_IN_SCALAR : direct ? LT_IN_DIRECT : LT_IN_STRIDED;
}

static double cost_of(const struct lt_chain *c)
{
    static const double slow[LT_CHAIN_CODE_N] = {
        [LT_CHAIN_GELU] = 1.5,      [LT_CHAIN_GELU_TANH] = 1.5,
        [LT_CHAIN_TANH] = 1,        [LT_CHAIN_SIGMOID] = 0.8,
        [LT_CHAIN_EXP] = 0.6,       [LT_CHAIN_LOG] = 0.8,
        [LT_CHAIN_GELU_GRAD] = 2.5, [LT_CHAIN_GELU_TANH_GRAD] = 2.5,
        [LT_CHAIN_DIV] = 0.3,       [LT_CHAIN_SQRT] = 0.3,
    };
    double per = 0.1 * (c->n_in + c->n_out) / 2;

    for (int i = 0; i < c->n_code; i++)
        per += 0.05 + slow[c->code[i].code];
    return per * (double)c->total;
}

static int chain_build(struct lt_build *b)
{
    struct lt_chain *c = lt_build_args(b, sizeof *c);
    lt_id out = b->n->out[0];
    int64_t dims[LT_DIMS_MAX];
    int order[LT_DIMS_MAX] = {0}, layout = lt_build_layout(b, out);
    int ndim = lt_build_dims(b, out, dims);
    enum lt_layout_kind kind = b->d->layouts[layout].kind;
    bool flat = kind != LT_LAYOUT_PLAIN && kind != LT_LAYOUT_LAST && kind != LT_LAYOUT_TURNED;

    lt_chain_decode(b->n, c);
    c->store = load_of(lt_build_dtype(b, out));
    b->real = c->store == LT_LOAD_F64 ? sizeof(double) : sizeof(float);
    c->total = kind == LT_LAYOUT_BLOCKED
                   ? (int64_t)(lt_layout_bytes(b->d, layout, &b->g->values[out].type, b->b) /
                               lt_dtype_sizes[lt_build_dtype(b, out)])
                   : lt_build_count(b, out);
    storage_order(b, layout, ndim, order);
    c->ndim = flat || !ndim ? 1 : ndim;
    c->dim[0] = c->total;
    for (int i = 0; !flat && i < ndim; i++)
        c->dim[i] = dims[order[i]];
    for (int i = 0; i < c->n_in; i++) {
        lt_id v = b->n->in[i];
        int64_t count = lt_build_count(b, v);

        c->in[i].load = load_of(lt_build_dtype(b, v));
        if (flat)
            c->in[i].stride[0] = count == 1 ? 0 : 1; /* lower lets in only equals and scalars */
        else
            strides_over(b, v, ndim, order, c->in[i].stride);
        lt_build_in(b, i, &c->in[i].data);
    }
    merge_dims(c);
    for (int i = 0; i < c->n_in; i++)
        input_classify(c, &c->in[i]);
    for (int i = 0; i < c->n_out; i++)
        lt_build_out(b, i, &c->out[i]);
    lt_build_kernel(b, LT_KERN_chain, c, lt_pieces(c->total, LT_TILE), cost_of(c));
    return 0;
}

const struct lt_builder lt_builders_chain[] = {{.op = "cpu_chain", .build = chain_build, .any_type = true}, {0}};
