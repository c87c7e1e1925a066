/* transform.c - chains of pointwise transforms as one affine function per channel
 *
 * One loop, compiled twice: a table of 256 values would need a load for each element, three times
 * as slow.
 */
#include "engine/data/transform.h"

#include "base/mem.h"
#include "base/problem.h"

typedef void affine_fn(const uint8_t *src, float *dst, size_t n, float a, float b);

struct lt_transform {
    size_t channels, plane;
    affine_fn *run;
    struct {
        double a, b;
    } by_channel[];
};

static inline __attribute__((always_inline)) void
affine(const uint8_t *restrict src, float *restrict dst, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)src[i] * a + b;
}

static void affine_plain(const uint8_t *src, float *dst, size_t n, float a, float b)
{
    affine(src, dst, n, a, b);
}

#ifdef __x86_64__
static __attribute__((target("avx2"))) void affine_avx2(const uint8_t *src, float *dst, size_t n,
                                                        float a, float b)
{
    affine(src, dst, n, a, b);
}
#endif

static affine_fn *choose_affine(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return affine_avx2;
#endif
    return affine_plain;
}

static void add_scale(struct lt_transform *t)
{
    for (size_t c = 0; c < t->channels; c++) {
        t->by_channel[c].a /= 255;
        t->by_channel[c].b /= 255;
    }
}

static void add_normalize(struct lt_transform *t, const Lt__V1__Normalize *n)
{
    for (size_t c = 0; c < t->channels; c++) {
        double mean = n->mean[n->n_mean == 1 ? 0 : c], std = n->std[n->n_std == 1 ? 0 : c];

        t->by_channel[c].a /= std;
        t->by_channel[c].b = (t->by_channel[c].b - mean) / std;
    }
}

static bool count_fits(size_t n, const struct lt_transform *t, const char *path, const char *what,
                       struct lt_problems *problems)
{
    if (n == 1 || n == t->channels)
        return true;
    lt_problem_add(problems, path, "give one value, or one per channel",
                   "normalize.%s has %zu values, the samples have %zu channels", what, n,
                   t->channels);
    return false;
}

static bool add_all(struct lt_transform *t, Lt__V1__Transform *const *list, size_t n,
                    const char *path, struct lt_problems *problems)
{
    bool good = true;

    for (size_t i = 0; i < n; i++) {
        if (list[i]->transform_case == LT__V1__TRANSFORM__TRANSFORM_SCALE)
            add_scale(t);
        if (list[i]->transform_case != LT__V1__TRANSFORM__TRANSFORM_NORMALIZE)
            continue;
        if (count_fits(list[i]->normalize->n_mean, t, path, "mean", problems) &&
            count_fits(list[i]->normalize->n_std, t, path, "std", problems))
            add_normalize(t, list[i]->normalize);
        else
            good = false;
    }
    return good;
}

struct lt_transform *lt_transform_new(Lt__V1__Transform *const *first, size_t n_first,
                                      Lt__V1__Transform *const *then, size_t n_then,
                                      size_t channels, size_t plane, const char *path,
                                      struct lt_problems *problems)
{
    struct lt_transform *t = lt_malloc(sizeof *t + channels * sizeof *t->by_channel);

    t->channels = channels;
    t->plane = plane;
    t->run = choose_affine();
    for (size_t c = 0; c < channels; c++) {
        t->by_channel[c].a = 1;
        t->by_channel[c].b = 0;
    }
    if (!add_all(t, first, n_first, path, problems) || !add_all(t, then, n_then, path, problems)) {
        lt_transform_free(t);
        return NULL;
    }
    return t;
}

void lt_transform_free(struct lt_transform *t)
{
    lt_free(t);
}

void lt_transform_run(const struct lt_transform *t, const uint8_t *src, float *dst)
{
    for (size_t c = 0; c < t->channels; c++, src += t->plane, dst += t->plane)
        t->run(src, dst, t->plane, (float)t->by_channel[c].a, (float)t->by_channel[c].b);
}
