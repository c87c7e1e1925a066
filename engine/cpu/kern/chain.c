/* chain.c - pointwise operators, one after the other over a tile that stays in the first-level
 * cache
 *
 * A small interpreter: decoding costs a few ns per instruction and tile. Each result goes to a
 * buffer of the tile, or straight to the output that keeps it.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/vmath.h"
#include "engine/cpu/kern/list.h"

#include <string.h>

#ifdef LT_REAL64
#define LT_LOAD_OWN LT_LOAD_F64
#else
#define LT_LOAD_OWN LT_LOAD_F32
#endif

typedef void chain_op(lt_real *d, const lt_real *a, const lt_real *b, lt_real imm, int64_t n);

#define OP1(name, expr)                                                                            \
    static void op_##name(lt_real *d, const lt_real *a, const lt_real *b, lt_real imm, int64_t n)  \
    {                                                                                              \
        vf c = vset(imm);                                                                          \
                                                                                                   \
        (void)b;                                                                                   \
        (void)c;                                                                                   \
        VLOOP(i, k, n, {                                                                           \
            vf x = vldn(a + i, k);                                                                 \
            vstn(d + i, expr, k);                                                                  \
        });                                                                                        \
    }
#define OP2(name, expr)                                                                            \
    static void op_##name(lt_real *d, const lt_real *a, const lt_real *b, lt_real imm, int64_t n)  \
    {                                                                                              \
        vf c = vset(imm);                                                                          \
                                                                                                   \
        (void)c;                                                                                   \
        VLOOP(i, k, n, {                                                                           \
            vf x = vldn(a + i, k), y = vldn(b + i, k);                                             \
            vstn(d + i, expr, k);                                                                  \
        });                                                                                        \
    }

OP1(copy, x)
OP1(relu, vmax(vzero(), x))
OP1(gelu, vgelu(x))
OP1(gelu_tanh, vgelu_tanh(x))
OP1(tanh, vtanh(x))
OP1(sigmoid, vsigmoid(x))
OP1(exp, vexp(x))
OP1(log, vlog(x))
OP1(sqrt, vsqrt(x))
OP1(neg, vneg(x))
#ifdef LT_REAL64
#define op_round op_copy /* nothing here is bfloat16 */
#else
OP1(round, vlow(x))
#endif
OP2(add, x + y)
OP2(sub, x - y)
OP2(mul, x *y)
OP2(div, x / y)
OP2(relu_grad, vkeep(vnle(y, vzero()), x))
OP2(gelu_grad, x *vgelu_slope(y))
OP2(gelu_tanh_grad, x *vgelu_tanh_slope(y))
OP2(tanh_grad, x *vfnma(y, y, vset(1)))
OP2(sigmoid_grad, x *(y *(vset(1) - y)))
OP2(mask, vsel(veq(y, vzero()), vzero(), x *c))

static void op_fill(lt_real *d, const lt_real *a, const lt_real *b, lt_real imm, int64_t n)
{
    vf c = vset(imm);

    (void)a;
    (void)b;
    VLOOP(i, k, n, { vstn(d + i, c, k); });
}

static chain_op *const ops[LT_CHAIN_CODE_N] = {
    [LT_CHAIN_COPY] = op_copy,
    [LT_CHAIN_RELU] = op_relu,
    [LT_CHAIN_GELU] = op_gelu,
    [LT_CHAIN_GELU_TANH] = op_gelu_tanh,
    [LT_CHAIN_TANH] = op_tanh,
    [LT_CHAIN_SIGMOID] = op_sigmoid,
    [LT_CHAIN_EXP] = op_exp,
    [LT_CHAIN_LOG] = op_log,
    [LT_CHAIN_SQRT] = op_sqrt,
    [LT_CHAIN_NEG] = op_neg,
    [LT_CHAIN_ADD] = op_add,
    [LT_CHAIN_SUB] = op_sub,
    [LT_CHAIN_MUL] = op_mul,
    [LT_CHAIN_DIV] = op_div,
    [LT_CHAIN_RELU_GRAD] = op_relu_grad,
    [LT_CHAIN_GELU_GRAD] = op_gelu_grad,
    [LT_CHAIN_GELU_TANH_GRAD] = op_gelu_tanh_grad,
    [LT_CHAIN_TANH_GRAD] = op_tanh_grad,
    [LT_CHAIN_SIGMOID_GRAD] = op_sigmoid_grad,
    [LT_CHAIN_MASK] = op_mask,
    [LT_CHAIN_FILL] = op_fill,
    [LT_CHAIN_ROUND] = op_round,
};

#define EACH(type)                                                                                 \
    for (int64_t i = 0; i < n; i++)                                                                \
    d[i] = (lt_real)((const type *)in->data)[at + i * stride]

#ifndef LT_REAL64
static void load_low(lt_real *d, const uint16_t *p, int64_t stride, int64_t n)
{
    if (stride == 1) {
        VLOOP(i, k, n, { vstn(d + i, vld_low(p + i, k), k); });
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)p[i * stride] << 16;

        memcpy(d + i, &u, sizeof u);
    }
}
#endif

/* n elements from `at` on, `stride` apart, as numbers. */
static void load(lt_real *d, const struct lt_chain_input *in, int64_t at, int64_t stride, int64_t n)
{
    if (in->load == LT_LOAD_OWN && stride == 1) {
        memcpy(d, (const lt_real *)in->data + at, (size_t)n * sizeof *d);
        return;
    }
    switch (in->load) {
    case LT_LOAD_F32:
        EACH(float);
        break;
    case LT_LOAD_U8:
        EACH(uint8_t);
        break;
    case LT_LOAD_I32:
        EACH(int32_t);
        break;
    case LT_LOAD_I64:
        EACH(int64_t);
        break;
    case LT_LOAD_F64:
        EACH(double);
        break;
    case LT_LOAD_BF16:
#ifndef LT_REAL64
        load_low(d, (const uint16_t *)in->data + at, stride, n);
#endif
        break;
    }
}

/* A result of n numbers to where it stays, in another type than it was computed in. */
static void store(const struct lt_chain *c, int out, int64_t at, const lt_real *v, int64_t n)
{
#ifdef LT_REAL64
    for (int64_t i = 0; i < n; i++)
        ((float *)c->out[out])[at + i] = (float)v[i];
#else
    uint16_t *p = (uint16_t *)c->out[out] + at;

    VLOOP(i, k, n, { vst_low(p + i, vld(v + i), k); });
#endif
}

/* Elements [at, at + n) of the iteration space, whose last dimension is walked in runs. */
static void load_strided(lt_real *d, const struct lt_chain *c, const struct lt_chain_input *in,
                         int64_t at, int64_t n)
{
    int64_t idx[LT_CHAIN_DIMS], from = 0, rest = at;
    int last = c->ndim - 1;

    for (int i = last; i >= 0; i--) {
        idx[i] = rest % c->dim[i];
        rest /= c->dim[i];
        from += idx[i] * in->stride[i];
    }
    while (n > 0) {
        int64_t run = c->dim[last] - idx[last];

        if (run > n)
            run = n;
        if (in->stride[last] == 0) {
            lt_real x;

            load(&x, in, from, 0, 1);
            op_fill(d, NULL, NULL, x, run);
        } else {
            load(d, in, from, in->stride[last], run);
        }
        d += run;
        n -= run;
        from -= idx[last] * in->stride[last];
        idx[last] = 0;
        for (int i = last - 1; i >= 0; i--) {
            from += in->stride[i];
            if (++idx[i] < c->dim[i])
                break;
            from -= idx[i] * in->stride[i];
            idx[i] = 0;
        }
    }
}

void LT_K(chain)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_chain *c = args;
    lt_real inputs[LT_CHAIN_INPUTS][LT_TILE] __attribute__((aligned(64)));
    lt_real temps[LT_CHAIN_LENGTH][LT_TILE] __attribute__((aligned(64)));
    const lt_real *val[LT_CHAIN_INPUTS + LT_CHAIN_LENGTH];

    for (int i = 0; i < c->n_in; i++)
        if (c->in[i].how == LT_IN_SCALAR) {
            lt_real x;

            load(&x, &c->in[i], 0, 0, 1);
            op_fill(inputs[i], NULL, NULL, x, LT_TILE);
            val[i] = inputs[i];
        }
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t at = tile * LT_TILE, n = c->total - at < LT_TILE ? c->total - at : LT_TILE;

        for (int i = 0; i < c->n_in; i++) {
            const struct lt_chain_input *in = &c->in[i];

            if (in->how == LT_IN_SCALAR)
                continue;
            if (in->how == LT_IN_DIRECT && in->load == LT_LOAD_OWN) {
                val[i] = (const lt_real *)in->data + at;
                continue;
            }
            val[i] = inputs[i];
            if (in->how == LT_IN_DIRECT)
                load(inputs[i], in, at, 1, n);
            else
                load_strided(inputs[i], c, in, at, n);
        }
        for (int j = 0; j < c->n_code; j++) {
            const struct lt_chain_instr *o = &c->code[j];
            bool direct = o->out >= 0 && c->store == LT_LOAD_OWN;
            lt_real *d = direct ? (lt_real *)c->out[o->out] + at : temps[j];

            ops[o->code](d, val[o->a], val[o->b], (lt_real)o->imm, n);
            val[c->n_in + j] = d;
            if (o->out >= 0 && !direct)
                store(c, o->out, at, d, n);
        }
    }
}
