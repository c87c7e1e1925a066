/* vmath.h - exp, log, tanh, sigmoid, erf on vectors, each within a few units in the last place
 *
 * exp, log, tanh: the reductions and polynomials of Cephes (S. Moshier, single precision); erf: a
 * minimax fit on two intervals (N. Juffa). Results below the normal range are 0, as denormals are
 * flushed on every thread. NaN, infinities and signed zeros go through as in C. Over doubles they are
 * the C library's, lane by lane.
 */
#ifndef LT_CPU_VMATH_H
#define LT_CPU_VMATH_H

#include <math.h>
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/vec.h"

#ifdef LT_REAL64
#define LANES(name, fn)                                                                            \
    LT_INLINE vf name(vf x)                                                                        \
    {                                                                                              \
        double t[VW];                                                                              \
                                                                                                   \
        vst(t, x);                                                                                 \
        for (int i = 0; i < VW; i++)                                                               \
            t[i] = fn(t[i]);                                                                       \
        return vld(t);                                                                             \
    }
LANES(vexp, exp)
LANES(vlog, log)
LANES(vtanh, tanh)
LANES(verf, erf)
#undef LANES
#else
/* x * 2^n for integral n in [-250, 250], in two steps that cannot overflow before the result does.
 */
LT_INLINE vf vscale(vf x, vf n)
{
#ifdef LT_AVX512
    return _mm512_scalef_ps(x, n);
#else
    vi e = vf2i(n), half = vsar(e, 1), rest = visub(e, half);

    x = x * vi_as_f(vshl(viadd(half, viset(127)), 23));
    return x * vi_as_f(vshl(viadd(rest, viset(127)), 23));
#endif
}

LT_INLINE vf vexp(vf x)
{
    vf n, r, p;

    x = vmax(vset(-150.0f), vmin(vset(150.0f), x));
    n = vround(x * vset(1.44269504088896341f));
    r = vfnma(n, vset(0.693359375f), x);
    r = vfnma(n, vset(-2.12194440e-4f), r);
    p = vset(1.9875691500e-4f);
    p = vfma(p, r, vset(1.3981999507e-3f));
    p = vfma(p, r, vset(8.3334519073e-3f));
    p = vfma(p, r, vset(4.1665795894e-2f));
    p = vfma(p, r, vset(1.6666665459e-1f));
    p = vfma(p, r, vset(5.0000001201e-1f));
    p = vfma(p, r * r, r) + vset(1.0f);
    return vsel(vnan(x), x, vscale(p, n));
}

LT_INLINE vf vlog(vf x)
{
    vi bits = vf_as_i(x);
    vf e = vi2f(visub(vshr(bits, 23), viset(126)));
    vf m = vi_as_f(vior(viand(bits, viset(0x007fffff)), viset(0x3f000000))); /* [0.5, 1) */
    vm low = vgt(vset(0.707106781186547524f), m);
    vf z, p, r;

    e = vsel(low, e - vset(1.0f), e);
    m = vsel(low, m + m, m) - vset(1.0f);
    z = m * m;
    p = vset(7.0376836292e-2f);
    p = vfma(p, m, vset(-1.1514610310e-1f));
    p = vfma(p, m, vset(1.1676998740e-1f));
    p = vfma(p, m, vset(-1.2420140846e-1f));
    p = vfma(p, m, vset(1.4249322787e-1f));
    p = vfma(p, m, vset(-1.6668057665e-1f));
    p = vfma(p, m, vset(2.0000714765e-1f));
    p = vfma(p, m, vset(-2.4999993993e-1f));
    p = vfma(p, m, vset(3.3333331174e-1f));
    p = p * m * z;
    p = vfma(e, vset(-2.12194440e-4f), p);
    p = vfnma(vset(0.5f), z, p);
    r = vfma(e, vset(0.693359375f), m + p);
    r = vsel(veq(x, vset(INFINITY)), x, r);
    r = vsel(vgt(vset(0x1p-126f), vabs(x)), vset(-INFINITY), r);
    return vsel(vor_m(vnan(x), vgt(vset(-0x1p-127f), x)), vset(NAN), r);
}

LT_INLINE vf vtanh(vf x)
{
    vf a = vabs(x), z = x * x;
    vf p = vset(-5.70498872745e-3f), big;

    p = vfma(p, z, vset(2.06390887954e-2f));
    p = vfma(p, z, vset(-5.37397155531e-2f));
    p = vfma(p, z, vset(1.33314422036e-1f));
    p = vfma(p, z, vset(-3.33332819422e-1f));
    p = vfma(p * z, x, x);
    big = vset(1.0f) - vset(2.0f) / (vexp(a + a) + vset(1.0f));
    return vsel(vgt(a, vset(0.625f)), vsign_of(big, x), p);
}

LT_INLINE vf verf(vf x)
{
    vf t = vabs(x), s = x * x, r, u, p;

    r = vfma(vset(-0x1.220000p-16f), t, vset(0x1.91cfb2p-12f));
    u = vfma(vset(-0x1.fd1438p-9f), t, vset(0x1.8d6342p-6f));
    r = vfma(r, s, u);
    r = vfma(r, t, vset(-0x1.b55cb8p-4f));
    r = vfma(r, t, vset(-0x1.450aa0p-1f));
    r = vfma(r, t, vset(-0x1.079d0cp-3f));
    r = vfma(r, t, vneg(t));
    r = vsign_of(vset(1.0f) - vexp(r), x);
    r = vsel(vgt(t, vset(8.0f)), vsign_of(vset(1.0f), x), r);
    p = vset(-0x1.38e000p-11f);
    p = vfma(p, s, vset(0x1.471a58p-8f));
    p = vfma(p, s, vset(-0x1.b691b2p-6f));
    p = vfma(p, s, vset(0x1.ce1c44p-4f));
    p = vfma(p, s, vset(-0x1.812700p-2f));
    p = vfma(p, s, vset(0x1.06eba8p-3f));
    p = vfma(p, x, x);
    return vsel(vgt(t, vset(0.927734375f)), r, p);
}
#endif

LT_INLINE vf vsigmoid(vf x)
{
    return vset(1.0f) / (vset(1.0f) + vexp(vneg(x)));
}

#define LT_SQRT_HALF ((lt_real)0.70710678118654752440)
#define LT_INV_SQRT_2PI ((lt_real)0.39894228040143267794)
#define LT_GELU_K ((lt_real)0.79788456080286535588) /* sqrt(2 / pi) */
#define LT_GELU_C ((lt_real)0.044715)

LT_INLINE vf vgelu(vf x)
{
    vf half = vset(0.5f) * x;

    return vfma(half, verf(x * vset(LT_SQRT_HALF)), half);
}

LT_INLINE vf vgelu_slope(vf x) /* Phi(x) + x phi(x) */
{
    vf cdf = vfma(vset(0.5f), verf(x * vset(LT_SQRT_HALF)), vset(0.5f));
    vf pdf = vset(LT_INV_SQRT_2PI) * vexp(vset(-0.5f) * x * x);

    return vfma(x, pdf, cdf);
}

LT_INLINE vf vgelu_tanh(vf x)
{
    vf inner = vset(LT_GELU_K) * vfma(vset(LT_GELU_C) * x * x, x, x), half = vset(0.5f) * x;

    return vfma(half, vtanh(inner), half);
}

LT_INLINE vf vgelu_tanh_slope(vf x)
{
    vf x2 = x * x, t = vtanh(vset(LT_GELU_K) * vfma(vset(LT_GELU_C) * x2, x, x));
    vf inner = vset(LT_GELU_K) * vfma(vset(3 * LT_GELU_C), x2, vset(1.0f));
    vf left = vfma(vset(0.5f), t, vset(0.5f));

    return vfma(vset(0.5f) * x * vfnma(t, t, vset(1.0f)), inner, left);
}

#endif
