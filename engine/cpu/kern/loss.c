/* loss.c - cross-entropy with its gradient in one pass; mean squared error; accuracy
 *
 * A sample of weight 0 gives no loss, and a gradient of 0 whatever its logits are. Row sums are
 * made in float32, sums over samples in float64, per unit.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/vmath.h"
#include "engine/cpu/kern/list.h"

static int64_t int_at(const struct lt_int_array *a, int64_t i)
{
    switch (a->load) {
    case LT_LOAD_U8:
        return ((const uint8_t *)a->data)[i];
    case LT_LOAD_I32:
        return ((const int32_t *)a->data)[i];
    default:
        return ((const int64_t *)a->data)[i];
    }
}

struct row {
    lt_real max, sum;      /* sum of exp(x - max) */
    lt_real total, marked; /* sums of x and of class_weight * x; only for smoothing */
};

/* e (may be NULL) gets exp(x - max). */
static struct row row_scan(const lt_real *x, lt_real *e, const lt_real *class_weight, int64_t c,
                           bool totals)
{
    vf low = vset(-INFINITY), m = low, s = vzero(), t = vzero(), w = vzero();
    struct row r;

    VLOOP(i, k, c, {
        vf v = vsel(vhead_m(k), vldn(x + i, k), low);

        m = vsel(vnan(m), m, vmax(m, v));
    });
    {
        lt_real lane[VW];

        vst(lane, m);
        r.max = lane[0];
        for (int i = 1; i < VW; i++)
            if (lane[i] > r.max || isnan(lane[i]))
                r.max = lane[i];
    }
    m = vset(r.max);
    VLOOP(i, k, c, {
        vf v = vldn(x + i, k), p = vkeep(vhead_m(k), vexp(v - m));

        s = s + p;
        if (e)
            vstn(e + i, p, k);
        if (totals) {
            t = t + v;
            w = vfma(class_weight ? vldn(class_weight + i, k) : vset(1), v, w);
        }
    });
    r.sum = vsum(s);
    r.total = vsum(t);
    r.marked = vsum(w);
    return r;
}

static int64_t first_max(const lt_real *x, int64_t c, lt_real max)
{
    for (int64_t i = 0; i < c; i++)
        if (x[i] == max || (isnan(max) && isnan(x[i])))
            return i;
    return 0;
}

/* dx = scale * (softmax * mass - target distribution); e holds exp(x - max) on entry (dx itself).
 */
static void row_grad(const struct lt_cross_entropy *a, lt_real *dx, const struct row *r, int64_t y,
                     lt_real own, lt_real mass, lt_real spread, lt_real scale)
{
    vf softmax = vset(mass * scale / r->sum), share = vset(spread * scale);
    lt_real at;

    VLOOP(i, k, a->c, {
        vf d = vldn(dx + i, k) * softmax;

        if (spread != 0)
            d = d - share * (a->class_weight ? vldn(a->class_weight + i, k) : vset(1));
        vstn(dx + i, d, k);
    });
    at = own * scale;
    dx[y] -= at;
}

static void zero_row(lt_real *dx, int64_t c)
{
    if (dx)
        VLOOP(i, k, c, { vstn(dx + i, vzero(), k); });
}

/* One sample: loss = (1 - s) w_y (lse - x_y) + s / c * sum_i w_i (lse - x_i), w the class weights.
 */
static double sample_loss(const struct lt_cross_entropy *a, int64_t i, int64_t y, lt_real class_sum,
                          double dloss)
{
    const lt_real *x = a->x + i * a->c;
    lt_real *dx = a->dx ? a->dx + i * a->c : NULL;
    lt_real smooth = (lt_real)a->smoothing, weight = a->weight[i];
    lt_real wy = a->class_weight ? a->class_weight[y] : 1;
    lt_real own = (1 - smooth) * wy, spread = smooth / (lt_real)a->c, mass = own + spread * class_sum;
    struct row r = row_scan(x, dx, a->class_weight, a->c, smooth != 0);
    double lse = (double)r.max + log((double)r.sum);
    double loss = (double)own * (lse - (double)x[y]);

    if (smooth != 0)
        loss += (double)spread * ((double)class_sum * lse - (double)r.marked);
    if (dx)
        row_grad(a, dx, &r, y, own, mass, spread, (lt_real)dloss * weight);
    return loss * (double)weight;
}

void LT_K(cross_entropy)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_cross_entropy *a = args;
    double dloss = a->dloss ? *a->dloss : 0;
    lt_real class_sum = (lt_real)a->c;

    if (a->class_weight) {
        vf s = vzero();

        VLOOP(i, k, a->c, { s = s + vldn(a->class_weight + i, k); });
        class_sum = vsum(s);
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t i = unit * a->chunk, stop = i + a->chunk < a->n ? i + a->chunk : a->n;
        double loss = 0, weights = 0;

        for (; i < stop; i++) {
            int64_t y = int_at(&a->target, i);

            if (a->weight[i] == 0 || y == a->ignore_index) {
                zero_row(a->dx ? a->dx + i * a->c : NULL, a->c);
                continue;
            }
            if (y < 0 || y >= a->c) {
                __atomic_store_n(a->bad, i, __ATOMIC_RELAXED);
                continue;
            }
            loss += sample_loss(a, i, y, class_sum, dloss);
            weights += (double)a->weight[i] * (a->class_weight ? (double)a->class_weight[y] : 1.0);
        }
        if (a->loss) {
            a->loss[unit] = loss;
            a->weight_sum[unit] = weights;
        }
    }
}

void LT_K(mse)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_mse *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t i = unit * a->chunk, stop = i + a->chunk < a->n ? i + a->chunk : a->n;
        double loss = 0, weights = 0;

        for (; i < stop; i++) {
            const lt_real *x = a->x + i * a->c, *t = a->target + i * a->c;
            vd s = vd_zero();

            if (a->weight[i] == 0)
                continue;
            VLOOP(j, k, a->c, { s = vd_add_square(s, vldn(x + j, k) - vldn(t + j, k)); });
            loss += (double)a->weight[i] * vd_sum(s) / (double)a->c;
            weights += (double)a->weight[i];
        }
        a->loss[unit] = loss;
        a->weight_sum[unit] = weights;
    }
}

void LT_K(mse_grad)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_mse *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t i = unit * a->chunk, stop = i + a->chunk < a->n ? i + a->chunk : a->n;

        for (; i < stop; i++) {
            const lt_real *x = a->x + i * a->c, *t = a->target + i * a->c;
            lt_real *dx = a->dx + i * a->c;
            vf scale = vset((lt_real)(*a->dloss * (double)a->weight[i] * 2 / (double)a->c));

            if (a->weight[i] == 0) {
                zero_row(dx, a->c);
                continue;
            }
            VLOOP(j, k, a->c, { vstn(dx + j, scale * (vldn(x + j, k) - vldn(t + j, k)), k); });
        }
    }
}

void LT_K(accuracy)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_accuracy *a = args;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t i = unit * a->chunk, stop = i + a->chunk < a->n ? i + a->chunk : a->n;
        double hits = 0, seen = 0;

        for (; i < stop; i++) {
            const lt_real *x = a->x + i * a->c;
            vf low = vset(-INFINITY), m = low;
            lt_real lane[VW], max;

            if (a->weight[i] == 0)
                continue;
            VLOOP(j, k, a->c, {
                vf v = vsel(vhead_m(k), vldn(x + j, k), low);

                m = vsel(vnan(m), m, vmax(m, v));
            });
            vst(lane, m);
            max = lane[0];
            for (int j = 1; j < VW; j++)
                if (lane[j] > max || isnan(lane[j]))
                    max = lane[j];
            seen += (double)a->weight[i];
            if (first_max(x, a->c, max) == int_at(&a->target, i))
                hits += (double)a->weight[i];
        }
        a->hits[unit] = hits;
        a->seen[unit] = seen;
    }
}
