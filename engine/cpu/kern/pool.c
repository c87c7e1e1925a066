/* pool.c - max and average pooling of channels-last images, forward and backward
 *
 * Max pooling keeps for each output either the place in the window (one byte) or the place in the
 * plane (int32, as torch); of equals the first wins, a NaN wins over everything. The gradient goes
 * over the input's image once per sample, as a scatter in a fixed order.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <math.h>
#include <string.h>

/* Elements `at` of an image: lt_real, or bfloat16 where `low`. */
LT_INLINE vf ldx(const void *p, int64_t at, int k, bool low)
{
#ifndef LT_REAL64
    if (low)
        return vld_low((const uint16_t *)p + at, k);
#endif
    (void)low;
    return vldn((const lt_real *)p + at, k);
}
LT_INLINE void stx(void *p, int64_t at, vf x, int k, bool low)
{
#ifndef LT_REAL64
    if (low) {
        vst_low((uint16_t *)p + at, x, k);
        return;
    }
#endif
    (void)low;
    vstn((lt_real *)p + at, x, k);
}

struct window {
    int64_t h0, w0;         /* of the window's first place; may be negative */
    int64_t i0, i1, j0, j1; /* places of the window that lie within the image */
};

static void clip(int64_t at, int64_t step, int64_t places, int64_t size, int64_t *from, int64_t *to)
{
    *from = at < 0 ? (-at + step - 1) / step : 0;
    *to = at >= size ? 0 : (size - at + step - 1) / step;
    if (*to > places)
        *to = places;
}

static struct window window_of(const struct lt_pool *p, int64_t oh, int64_t ow)
{
    struct window w = {.h0 = oh * p->sh - p->ph, .w0 = ow * p->sw - p->pw};

    clip(w.h0, p->dh, p->kh, p->h, &w.i0, &w.i1);
    clip(w.w0, p->dw, p->kw, p->w, &w.j0, &w.j1);
    return w;
}

/* One output place, all channels. */
LT_INLINE void max_place(const struct lt_pool *p, int64_t x, const struct window *w, int64_t at,
                         bool low)
{
    VLOOP(i, k, p->c, {
        vf best = vset(-INFINITY);
        vi place =
            viset((int32_t)(p->index8 ? w->i0 * p->kw + w->j0
                                      : (w->h0 + w->i0 * p->dh) * p->w + w->w0 + w->j0 * p->dw));

        for (int64_t a = w->i0; a < w->i1; a++)
            for (int64_t b = w->j0; b < w->j1; b++) {
                int64_t h = w->h0 + a * p->dh, v = w->w0 + b * p->dw;
                vf y = ldx(p->x, x + (h * p->w + v) * p->c + i, k, low);
                vm take = vandnot_m(vnan(best), vor_m(vgt(y, best), vnan(y)));

                best = vsel(take, y, best);
                place =
                    visel(take, viset((int32_t)(p->index8 ? a * p->kw + b : h * p->w + v)), place);
            }
        stx(p->y, at + i, best, k, low);
        if (p->index8 && k == VW) {
            vu8st(p->index8 + at + i, place);
        } else {
            int32_t t[VW];

            vist(t, place);
            for (int l = 0; l < k; l++)
                if (p->index8)
                    p->index8[at + i + l] = (uint8_t)t[l];
                else
                    p->index32[at + i + l] = t[l];
        }
    });
}

/* The common case: 2 x 2 windows with one-byte places, whole vectors of channels. */
LT_INLINE void max_row_2x2(const struct lt_pool *p, int64_t x, int64_t oh, int64_t at, bool low)
{
    int64_t row = p->w * p->c;

    for (int64_t ow = 0; ow < p->ow; ow++)
        for (int64_t i = 0; i < p->c; i += VW) {
            int64_t s = x + 2 * oh * row + 2 * ow * p->c + i;
            vf best = ldx(p->x, s, VW, low), y = ldx(p->x, s + p->c, VW, low);
            vi place;
            vm take = vandnot_m(vnan(best), vor_m(vgt(y, best), vnan(y)));

            best = vsel(take, y, best);
            place = visel(take, viset(1), viset(0));
            y = ldx(p->x, s + row, VW, low);
            take = vandnot_m(vnan(best), vor_m(vgt(y, best), vnan(y)));
            best = vsel(take, y, best);
            place = visel(take, viset(2), place);
            y = ldx(p->x, s + row + p->c, VW, low);
            take = vandnot_m(vnan(best), vor_m(vgt(y, best), vnan(y)));
            best = vsel(take, y, best);
            place = visel(take, viset(3), place);
            stx(p->y, at + ow * p->c + i, best, VW, low);
            vu8st(p->index8 + at + ow * p->c + i, place);
        }
}

static bool is_2x2(const struct lt_pool *p)
{
    return p->kh == 2 && p->kw == 2 && p->sh == 2 && p->sw == 2 && !p->ph && !p->pw && p->dh == 1 &&
           p->dw == 1 && p->oh * 2 <= p->h && p->ow * 2 <= p->w && p->c % VW == 0;
}

LT_INLINE void max_pool(const struct lt_pool *p, int64_t begin, int64_t end, bool low)
{
    bool fast = is_2x2(p) && p->index8;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t n = unit / p->oh, oh = unit % p->oh, at = unit * p->ow * p->c;
        int64_t x = n * p->h * p->w * p->c;

        if (fast) {
            max_row_2x2(p, x, oh, at, low);
            continue;
        }
        for (int64_t ow = 0; ow < p->ow; ow++) {
            struct window w = window_of(p, oh, ow);

            max_place(p, x, &w, at + ow * p->c, low);
        }
    }
}

void LT_K(max_pool)(const void *args, int64_t begin, int64_t end)
{
    max_pool(args, begin, end, false);
}

LT_INLINE vf gated(const struct lt_pool *p, int64_t at, int k, bool low)
{
    vf d = ldx(p->dy, at, k, low);

    return p->gate ? vkeep(vnle(ldx(p->gate, at, k, low), vzero()), d) : d;
}

/* 2 x 2: every input place belongs to one window at most, so that each is written once. */
LT_INLINE void grad_2x2(const struct lt_pool *p, int64_t dx, int64_t at0, bool low)
{
    int64_t row = p->w * p->c;
    size_t size = low ? sizeof(uint16_t) : sizeof(lt_real);

    if (p->oh * 2 < p->h || p->ow * 2 < p->w)
        memset((char *)p->y + (size_t)dx * size, 0, (size_t)(p->h * row) * size);
    for (int64_t oh = 0; oh < p->oh; oh++)
        for (int64_t ow = 0; ow < p->ow; ow++)
            for (int64_t i = 0; i < p->c; i += VW) {
                int64_t at = at0 + (oh * p->ow + ow) * p->c + i;
                int64_t d = dx + 2 * oh * row + 2 * ow * p->c + i;
                vf g = gated(p, at, VW, low);
                vi place = vu8ld(p->index8 + at);

                stx(p->y, d, vkeep(vieq(place, viset(0)), g), VW, low);
                stx(p->y, d + p->c, vkeep(vieq(place, viset(1)), g), VW, low);
                stx(p->y, d + row, vkeep(vieq(place, viset(2)), g), VW, low);
                stx(p->y, d + row + p->c, vkeep(vieq(place, viset(3)), g), VW, low);
            }
}

static int64_t target_of(const struct lt_pool *p, int64_t at, int64_t oh, int64_t ow)
{
    int64_t place;

    if (p->index32)
        return p->index32[at];
    place = p->index8[at];
    return (oh * p->sh - p->ph + place / p->kw * p->dh) * p->w + ow * p->sw - p->pw +
           place % p->kw * p->dw;
}

void LT_K(max_pool_grad)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_pool *p = args;

    for (int64_t n = begin; n < end; n++) {
        lt_real *dx = p->y + n * p->h * p->w * p->c;
        int64_t at = n * p->oh * p->ow * p->c;

        if (is_2x2(p) && p->index8) {
            grad_2x2(p, n * p->h * p->w * p->c, at, false);
            continue;
        }
        memset(dx, 0, (size_t)(p->h * p->w * p->c) * sizeof *dx);
        for (int64_t oh = 0; oh < p->oh; oh++)
            for (int64_t ow = 0; ow < p->ow; ow++)
                for (int64_t i = 0; i < p->c; i++, at++)
                    if (!p->gate || !(p->gate[at] <= 0))
                        dx[target_of(p, at, oh, ow) * p->c + i] += p->dy[at];
    }
}

#ifndef LT_REAL64
void LT_K(max_pool_low)(const void *args, int64_t begin, int64_t end)
{
    max_pool(args, begin, end, true);
}

/* Windows that overlap add up, which bfloat16 would round each time: lower asks for the others only. */
void LT_K(max_pool_grad_low)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_pool *p = args;
    const uint16_t *dy = (const void *)p->dy, *gate = (const void *)p->gate;

    for (int64_t n = begin; n < end; n++) {
        uint16_t *dx = (uint16_t *)(void *)p->y + n * p->h * p->w * p->c;
        int64_t at = n * p->oh * p->ow * p->c;

        if (is_2x2(p) && p->index8) {
            grad_2x2(p, n * p->h * p->w * p->c, at, true);
            continue;
        }
        memset(dx, 0, (size_t)(p->h * p->w * p->c) * sizeof *dx);
        for (int64_t oh = 0; oh < p->oh; oh++)
            for (int64_t ow = 0; ow < p->ow; ow++)
                for (int64_t i = 0; i < p->c; i++, at++)
                    if (!gate || !((gate[at] & 0x8000 && (gate[at] & 0x7fff) <= 0x7f80) || !(gate[at] & 0x7fff)))
                        dx[target_of(p, at, oh, ow) * p->c + i] = dy[at];
    }
}
#endif

/* torch's divisor: the window cut to the padded image, or to the image. */
static lt_real divisor(const struct lt_pool *p, const struct window *w)
{
    int64_t h1 = w->h0 + p->kh, w1 = w->w0 + p->kw;

    if (!p->count_pad)
        return (lt_real)((w->i1 - w->i0) * (w->j1 - w->j0));
    if (h1 > p->h + p->ph)
        h1 = p->h + p->ph;
    if (w1 > p->w + p->pw)
        w1 = p->w + p->pw;
    return (lt_real)((h1 - w->h0) * (w1 - w->w0));
}

void LT_K(avg_pool)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_pool *p = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t n = unit / p->oh, oh = unit % p->oh;

        for (int64_t ow = 0; ow < p->ow; ow++) {
            struct window w = window_of(p, oh, ow);
            const lt_real *x = p->x + ((n * p->h + w.h0) * p->w + w.w0) * p->c;
            lt_real *y = p->y + (unit * p->ow + ow) * p->c;
            vf scale = vset(1 / divisor(p, &w));

            VLOOP(i, k, p->c, {
                vf s = vzero();

                for (int64_t a = w.i0; a < w.i1; a++)
                    for (int64_t b = w.j0; b < w.j1; b++)
                        s = s + vldn(x + (a * p->w + b) * p->c + i, k);
                vstn(y + i, s * scale, k);
            });
        }
    }
}

void LT_K(avg_pool_grad)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_pool *p = args;

    for (int64_t n = begin; n < end; n++) {
        lt_real *dx = p->y + n * p->h * p->w * p->c;

        memset(dx, 0, (size_t)(p->h * p->w * p->c) * sizeof *dx);
        for (int64_t oh = 0; oh < p->oh; oh++)
            for (int64_t ow = 0; ow < p->ow; ow++) {
                struct window w = window_of(p, oh, ow);
                const lt_real *dy = p->dy + ((n * p->oh + oh) * p->ow + ow) * p->c;
                vf scale = vset(1 / divisor(p, &w));

                for (int64_t a = w.i0; a < w.i1; a++)
                    for (int64_t b = w.j0; b < w.j1; b++) {
                        lt_real *d = dx + ((w.h0 + a) * p->w + w.w0 + b) * p->c;

                        VLOOP(i, k, p->c,
                              { vstn(d + i, vfma(vldn(dy + i, k), scale, vldn(d + i, k)), k); });
                    }
            }
    }
}
