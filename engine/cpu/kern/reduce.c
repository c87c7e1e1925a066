/* reduce.c - sums, maxima and minima over rows or columns; relu's gradient with the bias gradient;
 * argmax
 *
 * Sums over columns of long matrices are made of pieces of rows; the builder sums the pieces'
 * results with a second call. Maxima and minima of anything with a NaN are NaN.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <math.h>

LT_INLINE vf combine(enum lt_reduce_kind kind, vf a, vf x)
{
    if (kind == LT_REDUCE_SUM)
        return a + x;
    if (kind == LT_REDUCE_MAX)
        return vsel(vnan(a), a, vmax(a, x)); /* vmax gives x when x is NaN */
    return vsel(vnan(a), a, vmin(a, x));
}

LT_INLINE lt_real start_of(enum lt_reduce_kind kind)
{
    return kind == LT_REDUCE_SUM ? 0 : kind == LT_REDUCE_MAX ? -INFINITY : INFINITY;
}

static lt_real lanes(enum lt_reduce_kind kind, vf a)
{
    lt_real t[VW], r;

    if (kind == LT_REDUCE_SUM)
        return vsum(a);
    vst(t, a);
    r = t[0];
    for (int i = 1; i < VW; i++)
        if (isnan(t[i]) || (!isnan(r) && (kind == LT_REDUCE_MAX ? t[i] > r : t[i] < r)))
            r = t[i];
    return r;
}

/* Four accumulators, so that the latency of the additions is hidden. */
LT_INLINE lt_real reduce_row(enum lt_reduce_kind kind, const lt_real *x, int64_t c)
{
    vf none = vset(start_of(kind)), s[4] = {none, none, none, none};
    int64_t i = 0;

    for (; i + 4 * VW <= c; i += 4 * VW)
        for (int j = 0; j < 4; j++)
            s[j] = combine(kind, s[j], vld(x + i + j * VW));
    for (; i < c; i += VW) {
        int k = c - i < VW ? (int)(c - i) : VW;

        s[0] = combine(kind, s[0], vsel(vhead_m(k), vldn(x + i, k), none));
    }
    return lanes(kind, combine(kind, combine(kind, s[0], s[1]), combine(kind, s[2], s[3])));
}

LT_INLINE void rows_of(const struct lt_reduce *r, enum lt_reduce_kind kind, int64_t begin,
                       int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        int64_t at = i % r->parts * r->chunk, n = r->r - at < r->chunk ? r->r - at : r->chunk;
        lt_real v = reduce_row(kind, r->x + i / r->parts * r->r + at, n);

        r->out[i] = kind == LT_REDUCE_SUM ? v * (lt_real)r->scale : v;
    }
}

void LT_K(reduce_rows)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_reduce *r = args;

    if (r->kind == LT_REDUCE_SUM)
        rows_of(r, LT_REDUCE_SUM, begin, end);
    else if (r->kind == LT_REDUCE_MAX)
        rows_of(r, LT_REDUCE_MAX, begin, end);
    else
        rows_of(r, LT_REDUCE_MIN, begin, end);
}

/* out[0 … n) = over `rows` rows of x, `ld` apart; n is at most 4 vectors. */
LT_INLINE void columns(enum lt_reduce_kind kind, const lt_real *x, int64_t rows, int64_t ld,
                       lt_real *out, int64_t n, lt_real scale)
{
    vf none = vset(start_of(kind));

    if (n == 4 * VW) {
        vf s[4] = {none, none, none, none};

        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < 4; j++)
                s[j] = combine(kind, s[j], vld(x + r * ld + j * VW));
        for (int j = 0; j < 4; j++)
            vst(out + j * VW, vpick(kind == LT_REDUCE_SUM, s[j] * vset(scale), s[j]));
        return;
    }
    VLOOP(i, k, n, {
        vf s = none;

        for (int64_t r = 0; r < rows; r++)
            s = combine(kind, s, vldn(x + r * ld + i, k));
        vstn(out + i, vpick(kind == LT_REDUCE_SUM, s * vset(scale), s), k);
    });
}

LT_INLINE void cols_of(const struct lt_reduce *r, enum lt_reduce_kind kind, int64_t begin,
                       int64_t end)
{
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t block = unit % r->blocks, part = unit / r->blocks % r->parts;
        int64_t a = unit / r->blocks / r->parts, row = part * r->chunk;
        int64_t rows = r->r - row < r->chunk ? r->r - row : r->chunk;
        int64_t from = block * r->width, n = r->c - from < r->width ? r->c - from : r->width;
        const lt_real *x = r->x + (a * r->r + row) * r->c;
        lt_real *out = r->out + (a * r->parts + part) * r->c;

        for (int64_t i = from; i < from + n; i += 4 * VW) {
            int64_t m = from + n - i < 4 * VW ? from + n - i : 4 * VW;

            columns(kind, x + i, rows, r->c, out + i, m, (lt_real)r->scale);
        }
    }
}

void LT_K(reduce_cols)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_reduce *r = args;

    if (r->kind == LT_REDUCE_SUM)
        cols_of(r, LT_REDUCE_SUM, begin, end);
    else if (r->kind == LT_REDUCE_MAX)
        cols_of(r, LT_REDUCE_MAX, begin, end);
    else
        cols_of(r, LT_REDUCE_MIN, begin, end);
}

void LT_K(relu_bias)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_relu_bias *b = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * b->chunk;
        int64_t rows = b->rows - row < b->chunk ? b->rows - row : b->chunk;
        lt_real *out = b->out + unit * b->c;

        VLOOP(i, k, b->c, {
            const lt_real *dy = b->dy + row * b->c + i;
            const lt_real *y = b->y ? b->y + row * b->c + i : NULL;
            lt_real *dx = b->dx ? b->dx + row * b->c + i : NULL;
            vf s = vzero();

            for (int64_t r = 0; r < rows; r++) {
                vf d = vldn(dy + r * b->c, k);

                if (y) {
                    d = vkeep(vnle(vldn(y + r * b->c, k), vzero()), d);
                    vstn(dx + r * b->c, d, k);
                }
                s = s + d;
            }
            vstn(out + i, s, k);
        });
    }
}

#ifndef LT_REAL64
void LT_K(relu_bias_low)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_relu_bias *b = args;
    const uint16_t *dy = (const void *)b->dy, *y = (const void *)b->y;
    uint16_t *dx = (void *)b->dx;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t row = unit * b->chunk;
        int64_t rows = b->rows - row < b->chunk ? b->rows - row : b->chunk;
        float *out = b->out + unit * b->c;

        VLOOP(i, k, b->c, {
            int64_t at = row * b->c + i;
            vf s = vzero();

            for (int64_t r = 0; r < rows; r++, at += b->c) {
                vf d = vld_low(dy + at, k);

                if (y) {
                    d = vkeep(vnle(vld_low(y + at, k), vzero()), d);
                    vst_low(dx + at, d, k);
                }
                s = s + d;
            }
            vstn(out + i, s, k);
        });
    }
}
#endif

/* First maximum; a NaN counts as the greatest, as in torch. */
static int64_t argmax_of(const lt_real *x, int64_t r, int64_t stride)
{
    int64_t best = 0;

    for (int64_t i = 1; i < r; i++) {
        lt_real v = x[i * stride], m = x[best * stride];

        if (v > m || (isnan(v) && !isnan(m)))
            best = i;
    }
    return best;
}

void LT_K(argmax)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_argmax *m = args;

    for (int64_t a = begin; a < end; a++)
        for (int64_t c = 0; c < m->c; c++)
            m->out[a * m->c + c] = argmax_of(m->x + a * m->r * m->c + c, m->r, m->c);
}
