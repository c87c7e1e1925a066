/* norm.c - layer norm and batch norm, forward and backward
 *
 * Variances come from a second pass over centred values, not from sums of squares.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <math.h>

LT_INLINE vf or_set(const lt_real *p, int64_t i, int k, lt_real otherwise)
{
    return p ? vldn(p + i, k) : vset(otherwise);
}

void LT_K(layer_norm)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_layer_norm *a = args;
    lt_real inverse = 1 / (lt_real)a->c;

    for (int64_t row = begin; row < end; row++) {
        const lt_real *x = a->x + row * a->c;
        lt_real *y = a->y + row * a->c, mean, rstd;
        vf s = vzero(), q = vzero(), m, r;

        VLOOP(i, k, a->c, { s = s + vldn(x + i, k); });
        mean = vsum(s) * inverse;
        m = vset(mean);
        VLOOP(i, k, a->c, {
            vf d = vkeep(vhead_m(k), vldn(x + i, k) - m);

            q = vfma(d, d, q);
        });
        rstd = 1 / (lt_real)sqrt((double)(vsum(q) * inverse + (lt_real)a->eps));
        r = vset(rstd);
        VLOOP(i, k, a->c, {
            vf h = (vldn(x + i, k) - m) * r;

            if (a->gamma)
                h = vfma(h, vldn(a->gamma + i, k), or_set(a->beta, i, k, 0));
            vstn(y + i, h, k);
        });
        a->mean[row] = mean;
        a->rstd[row] = rstd;
    }
}

static void layer_norm_row(const struct lt_layer_norm *a, int64_t row, lt_real *dgamma, lt_real *dbeta)
{
    const lt_real *x = a->x + row * a->c, *dy = a->dy + row * a->c;
    lt_real *dx = a->y + row * a->c, inverse = 1 / (lt_real)a->c;
    vf m = vset(a->mean[row]), r = vset(a->rstd[row]), s1 = vzero(), s2 = vzero();

    VLOOP(i, k, a->c, {
        vf d = vldn(dy + i, k), h = (vldn(x + i, k) - m) * r, g = d * or_set(a->gamma, i, k, 1);

        s1 = s1 + vkeep(vhead_m(k), g);
        s2 = s2 + vkeep(vhead_m(k), g * h);
        if (dgamma)
            vstn(dgamma + i, vfma(d, h, vldn(dgamma + i, k)), k);
        if (dbeta)
            vstn(dbeta + i, vldn(dbeta + i, k) + d, k);
    });
    s1 = vset(vsum(s1) * inverse);
    s2 = vset(vsum(s2) * inverse);
    VLOOP(i, k, a->c, {
        vf h = (vldn(x + i, k) - m) * r, g = vldn(dy + i, k) * or_set(a->gamma, i, k, 1);

        vstn(dx + i, r * vfnma(h, s2, g - s1), k);
    });
}

void LT_K(layer_norm_grad)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_layer_norm *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * a->chunk, stop = row + a->chunk < a->rows ? row + a->chunk : a->rows;
        lt_real *dgamma = a->dgamma ? a->dgamma + unit * a->c : NULL;
        lt_real *dbeta = a->dbeta ? a->dbeta + unit * a->c : NULL;

        for (int64_t i = 0; i < a->c; i++) {
            if (dgamma)
                dgamma[i] = 0;
            if (dbeta)
                dbeta[i] = 0;
        }
        for (; row < stop; row++)
            layer_norm_row(a, row, dgamma, dbeta);
    }
}

LT_INLINE bool counts(const struct lt_batch_norm *a, int64_t row)
{
    return !a->weight || a->weight[row / a->rows_per_sample] != 0;
}

void LT_K(batch_norm_sums)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_batch_norm *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * a->chunk, stop = row + a->chunk < a->rows ? row + a->chunk : a->rows;
        lt_real *sum = a->sums + unit * a->c;

        VLOOP(i, k, a->c, {
            vf m = a->centred ? vldn(a->mean + i, k) : vzero();
            vf s = vzero();

            for (int64_t r = row; r < stop; r++) {
                vf x = vldn(a->x + r * a->c + i, k);

                if (!counts(a, r))
                    continue;
                x = x - m;
                s = vpick(a->centred, vfma(x, x, s), s + x);
            }
            vstn(sum + i, s, k);
        });
    }
}

void LT_K(batch_norm_apply)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_batch_norm *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * a->chunk, stop = row + a->chunk < a->rows ? row + a->chunk : a->rows;

        VLOOP(i, k, a->c, {
            vf m = vldn(a->mean + i, k), s = vldn(a->invstd + i, k);
            vf g = or_set(a->gamma, i, k, 1), b = or_set(a->beta, i, k, 0);

            for (int64_t r = row; r < stop; r++)
                vstn(a->y + r * a->c + i, vfma((vldn(a->x + r * a->c + i, k) - m) * s, g, b), k);
        });
    }
}

void LT_K(batch_norm_grad_sums)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_batch_norm *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * a->chunk, stop = row + a->chunk < a->rows ? row + a->chunk : a->rows;
        lt_real *sum = a->sums + unit * 2 * a->c;

        VLOOP(i, k, a->c, {
            vf m = vldn(a->mean + i, k), s = vldn(a->invstd + i, k), s1 = vzero(), s2 = vzero();

            for (int64_t r = row; r < stop; r++) {
                vf d = vldn(a->dy + r * a->c + i, k);

                s1 = s1 + d;
                s2 = vfma(d, (vldn(a->x + r * a->c + i, k) - m) * s, s2);
            }
            vstn(sum + i, s1, k);
            vstn(sum + a->c + i, s2, k);
        });
    }
}

/* dx = gamma invstd (dy - mean(dy) - xhat mean(dy xhat)); samples that did not count: gamma invstd
 * dy. */
void LT_K(batch_norm_grad_apply)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_batch_norm *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * a->chunk, stop = row + a->chunk < a->rows ? row + a->chunk : a->rows;

        VLOOP(i, k, a->c, {
            vf m = vldn(a->mean + i, k), s = vldn(a->invstd + i, k);
            vf g = or_set(a->gamma, i, k, 1) * s;
            vf d1 = vldn(a->shift + i, k), d2 = vldn(a->shift + a->c + i, k);

            for (int64_t r = row; r < stop; r++) {
                vf d = vldn(a->dy + r * a->c + i, k);

                if (counts(a, r)) {
                    vf h = (vldn(a->x + r * a->c + i, k) - m) * s;

                    d = vfnma(h, d2, d - d1);
                }
                vstn(a->y + r * a->c + i, g * d, k);
            }
        });
    }
}
