/* softmax.c - softmax, log-softmax and their gradients, over the last axis or an inner one */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/vmath.h"
#include "engine/cpu/kern/list.h"

LT_INLINE vf max_nan(vf a, vf x)
{
    return vsel(vnan(a), a, vmax(a, x));
}

static lt_real row_max(const lt_real *x, int64_t c)
{
    vf low = vset(-INFINITY), m = low;
    lt_real t[VW], r;

    VLOOP(i, k, c, { m = max_nan(m, vsel(vhead_m(k), vldn(x + i, k), low)); });
    vst(t, m);
    r = t[0];
    for (int i = 1; i < VW; i++)
        if (t[i] > r || isnan(t[i]))
            r = t[i];
    return r;
}

void LT_K(softmax_rows)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_softmax *s = args;

    for (int64_t row = begin; row < end; row++) {
        const lt_real *x = s->x + row * s->c;
        lt_real *y = s->out + row * s->c;
        vf m = vset(row_max(x, s->c)), sum = vzero();

        if (s->log) {
            lt_real log_sum;

            VLOOP(i, k, s->c, { sum = sum + vkeep(vhead_m(k), vexp(vldn(x + i, k) - m)); });
            log_sum = LT_LOG(vsum(sum));
            VLOOP(i, k, s->c, { vstn(y + i, vldn(x + i, k) - m - vset(log_sum), k); });
        } else {
            vf inverse;

            VLOOP(i, k, s->c, {
                vf e = vexp(vldn(x + i, k) - m);

                sum = sum + vkeep(vhead_m(k), e);
                vstn(y + i, e, k);
            });
            inverse = vset(1 / vsum(sum));
            VLOOP(i, k, s->c, { vstn(y + i, vldn(y + i, k) * inverse, k); });
        }
    }
}

void LT_K(softmax_cols)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_softmax *s = args;

    for (int64_t a = begin; a < end; a++)
        VLOOP(i, k, s->c, {
            const lt_real *x = s->x + a * s->r * s->c + i;
            lt_real *y = s->out + a * s->r * s->c + i;
            vf m = vset(-INFINITY);
            vf sum = vzero();

            for (int64_t r = 0; r < s->r; r++)
                m = max_nan(m, vldn(x + r * s->c, k));
            for (int64_t r = 0; r < s->r; r++) {
                vf e = vexp(vldn(x + r * s->c, k) - m);

                sum = sum + e;
                if (!s->log)
                    vstn(y + r * s->c, e, k);
            }
            if (s->log)
                sum = vlog(sum);
            else
                sum = vset(1) / sum;
            for (int64_t r = 0; r < s->r; r++)
                if (s->log)
                    vstn(y + r * s->c, vldn(x + r * s->c, k) - m - sum, k);
                else
                    vstn(y + r * s->c, vldn(y + r * s->c, k) * sum, k);
        });
}

/* softmax: dx = y (dy - sum(dy y)); log: dx = dy - exp(y) sum(dy). */
LT_INLINE vf softmax_dx(bool log, vf dy, vf y, vf sum)
{
    if (log)
        return vfnma(vexp(y), sum, dy);
    return y * (dy - sum);
}

void LT_K(softmax_grad_rows)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_softmax *s = args;

    for (int64_t row = begin; row < end; row++) {
        const lt_real *y = s->x + row * s->c, *dy = s->dy + row * s->c;
        lt_real *dx = s->out + row * s->c;
        vf sum = vzero();

        VLOOP(i, k, s->c, {
            vf d = vldn(dy + i, k);

            sum = vpick(s->log, sum + d, vfma(d, vldn(y + i, k), sum));
        });
        sum = vset(vsum(sum));
        VLOOP(i, k, s->c,
              { vstn(dx + i, softmax_dx(s->log, vldn(dy + i, k), vldn(y + i, k), sum), k); });
    }
}

void LT_K(softmax_grad_cols)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_softmax *s = args;

    for (int64_t a = begin; a < end; a++)
        VLOOP(i, k, s->c, {
            const lt_real *y = s->x + a * s->r * s->c + i;
            const lt_real *dy = s->dy + a * s->r * s->c + i;
            lt_real *dx = s->out + a * s->r * s->c + i;
            vf sum = vzero();

            for (int64_t r = 0; r < s->r; r++) {
                vf d = vldn(dy + r * s->c, k);

                sum = vpick(s->log, sum + d, vfma(d, vldn(y + r * s->c, k), sum));
            }
            for (int64_t r = 0; r < s->r; r++)
                vstn(dx + r * s->c,
                     softmax_dx(s->log, vldn(dy + r * s->c, k), vldn(y + r * s->c, k), sum), k);
        });
}
