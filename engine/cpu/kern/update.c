/* update.c - adam and sgd over many tensors in one pass; sums of squares
 *
 * Formulas: torch.optim's single-tensor implementations; bias corrections are made in double, once
 * a call.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <math.h>

/* Gradient as the update sees it: scaled, clamped, turned round, with coupled weight decay. */
struct grad_rule {
    vf scale, clip, decay;
    bool clamp, turn, couple;
};

static struct grad_rule grad_rule_make(const struct lt_update *u)
{
    return (struct grad_rule){
        .scale = vset((lt_real)*u->scale),
        .clip = vset((lt_real)u->clip_value),
        .decay = vset((lt_real)u->weight_decay),
        .clamp = u->clip_value > 0,
        .turn = u->maximize,
        .couple = u->weight_decay != 0 && !u->decoupled,
    };
}

LT_INLINE vf grad_of(const struct grad_rule *r, vf g, vf p)
{
    g = g * r->scale;
    if (r->clamp)
        g = vmin(r->clip, vmax(vneg(r->clip), g));
    if (r->turn)
        g = vneg(g);
    if (r->couple)
        g = vfma(p, r->decay, g);
    return g;
}

/* m / (sqrt(v) * c + eps). With AVX-512 from the 14-bit estimates and one Newton step each, within
 * 2 ulp: a vector's square root and division would take longer than its way from the cache. */
LT_INLINE vf adam_ratio(vf m, vf v, vf c, vf eps)
{
#if defined LT_AVX512 && !defined LT_REAL64
    vf y, d, r;

    v = vmin(vset(0x1.fffffep127f), v);
    y = _mm512_maskz_rsqrt14_ps(_mm512_cmp_ps_mask(v, vzero(), _CMP_NLE_UQ), v);
    y = y * vfnma(vset(0.5f) * v * y, y, vset(1.5f));
    d = vfma(v * y, c, eps);
    r = _mm512_rcp14_ps(d);
    r = r * vfnma(d, r, vset(2.0f));
    return m * r;
#else
    return m / vfma(vsqrt(v), c, eps);
#endif
}

struct adam_rule {
    struct grad_rule grad;
    vf b1, b2, c2, eps, step, keep; /* b1 = 1 - beta1, c2 = 1 - beta2 */
    vf inv_bc2;                     /* 1 / sqrt(1 - beta2^t) */
};

LT_INLINE void adam_block(const struct adam_rule *r, lt_real *p, const lt_real *g, lt_real *m, lt_real *v,
                          lt_real *vmaximum, int64_t n, bool plain)
{
    VLOOP(i, k, n, {
        vf P = vldn(p + i, k), G = vldn(g + i, k), M = vldn(m + i, k), V = vldn(v + i, k), D;

        if (plain)
            G = G * r->grad.scale;
        else
            G = grad_of(&r->grad, G, P);
        M = vfma(G - M, r->b1, M);
        V = vfma(G * G, r->c2, V * r->b2);
        vstn(m + i, M, k);
        vstn(v + i, V, k);
        D = V;
        if (!plain) {
            P = P * r->keep;
            if (vmaximum) {
                D = vmax(vldn(vmaximum + i, k), V);
                vstn(vmaximum + i, D, k);
            }
        }
        vstn(p + i, vfnma(r->step, adam_ratio(M, D, r->inv_bc2, r->eps), P), k);
    });
}

/* The tensor of a unit, looked for from `t` on. */
LT_INLINE int tensor_of(const struct lt_update *u, int t, int64_t unit)
{
    while (t + 1 < u->n_tensors && u->t[t + 1].first <= unit)
        t++;
    return t;
}

void LT_K(adam)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_update *u = args;
    double bc1, bc2;
    struct adam_rule r = {.grad = grad_rule_make(u)};
    bool plain;
    int t = 0;

    if (isnan(*u->scale))
        return;
    bc1 = 1 - pow(u->beta1, (double)*u->step);
    bc2 = 1 - pow(u->beta2, (double)*u->step);
    r.b1 = vset((lt_real)(1 - u->beta1));
    r.b2 = vset((lt_real)u->beta2);
    r.c2 = vset((lt_real)(1 - u->beta2));
    r.eps = vset((lt_real)u->eps);
    r.step = vset((lt_real)(*u->lr / bc1));
    r.inv_bc2 = vset((lt_real)(1 / sqrt(bc2)));
    r.keep = vset(u->decoupled ? (lt_real)(1 - *u->lr * u->weight_decay) : 1);
    plain = !r.grad.clamp && !r.grad.turn && u->weight_decay == 0;
    for (int64_t unit = begin; unit < end; unit++) {
        const struct lt_update_tensor *x = &u->t[t = tensor_of(u, t, unit)];
        int64_t at = (unit - x->first) * LT_UPDATE_BLOCK;
        int64_t n = x->n - at < LT_UPDATE_BLOCK ? x->n - at : LT_UPDATE_BLOCK;

        if (plain && !x->s3)
            adam_block(&r, x->p + at, x->g + at, x->s1 + at, x->s2 + at, NULL, n, true);
        else
            adam_block(&r, x->p + at, x->g + at, x->s1 + at, x->s2 + at, x->s3 ? x->s3 + at : NULL,
                       n, false);
    }
}

/* buf is torch's momentum buffer: the first update copies the gradient into it. */
LT_INLINE void sgd_block(const struct lt_update *u, const struct grad_rule *r, lt_real *p,
                         const lt_real *g, lt_real *buf, int64_t n)
{
    bool first = u->step && *u->step == 1;
    vf mu = vset((lt_real)u->momentum), keep = vset((lt_real)(1 - u->dampening));
    vf lr = vset((lt_real)*u->lr);

    VLOOP(i, k, n, {
        vf P = vldn(p + i, k), G = grad_of(r, vldn(g + i, k), P);

        if (buf) {
            vf B = vpick(first, G, vfma(vldn(buf + i, k), mu, G * keep));

            vstn(buf + i, B, k);
            G = vpick(u->nesterov, vfma(B, mu, G), B);
        }
        vstn(p + i, vfnma(lr, G, P), k);
    });
}

void LT_K(sgd)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_update *u = args;
    struct grad_rule r = grad_rule_make(u);
    int t = 0;

    if (isnan(*u->scale))
        return;
    for (int64_t unit = begin; unit < end; unit++) {
        const struct lt_update_tensor *x = &u->t[t = tensor_of(u, t, unit)];
        int64_t at = (unit - x->first) * LT_UPDATE_BLOCK;
        int64_t n = x->n - at < LT_UPDATE_BLOCK ? x->n - at : LT_UPDATE_BLOCK;

        sgd_block(u, &r, x->p + at, x->g + at, x->s1 ? x->s1 + at : NULL, n);
    }
}

void LT_K(sum_squares)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_squares *s = args;
    int t = 0;

    for (int64_t unit = begin; unit < end; unit++) {
        const struct lt_squares_tensor *x;
        const lt_real *p;
        int64_t at, n;
        vd sum = vd_zero();

        while (t + 1 < s->n_tensors && s->t[t + 1].first <= unit)
            t++;
        x = &s->t[t];
        at = (unit - x->first) * LT_SQUARES_BLOCK;
        n = x->n - at < LT_SQUARES_BLOCK ? x->n - at : LT_SQUARES_BLOCK;
        p = x->x + at;
        VLOOP(i, k, n, { sum = vd_add_square(sum, vldn(p + i, k)); });
        s->out[unit] = vd_sum(sum);
    }
}
