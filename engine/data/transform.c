/* transform.c - chains of pointwise transforms as one table per channel */
#include "engine/data/transform.h"

#include "base/mem.h"
#include "base/problem.h"

struct lt_transform {
    size_t channels, plane;
    float table[][256];
};

static void add_scale(struct lt_transform *t)
{
    for (size_t c = 0; c < t->channels; c++)
        for (int v = 0; v < 256; v++)
            t->table[c][v] /= 255.0f;
}

static void add_normalize(struct lt_transform *t, const Lt__V1__Normalize *n)
{
    for (size_t c = 0; c < t->channels; c++) {
        float mean = (float)n->mean[n->n_mean == 1 ? 0 : c], std = (float)n->std[n->n_std == 1 ? 0 : c];

        for (int v = 0; v < 256; v++)
            t->table[c][v] = (t->table[c][v] - mean) / std;
    }
}

static bool count_fits(size_t n, const struct lt_transform *t, const char *path, const char *what,
                       struct lt_problems *problems)
{
    if (n == 1 || n == t->channels)
        return true;
    lt_problem_add(problems, path, "give one value, or one per channel", "normalize.%s has %zu values, the samples have %zu channels",
                   what, n, t->channels);
    return false;
}

static bool add_all(struct lt_transform *t, Lt__V1__Transform *const *list, size_t n, const char *path,
                    struct lt_problems *problems)
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

struct lt_transform *lt_transform_new(Lt__V1__Transform *const *first, size_t n_first, Lt__V1__Transform *const *then,
                                      size_t n_then, size_t channels, size_t plane, const char *path,
                                      struct lt_problems *problems)
{
    struct lt_transform *t = lt_malloc(sizeof *t + channels * sizeof *t->table);

    t->channels = channels;
    t->plane = plane;
    for (size_t c = 0; c < channels; c++)
        for (int v = 0; v < 256; v++)
            t->table[c][v] = (float)v;
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

void lt_transform_run(const struct lt_transform *t, const uint8_t *restrict src, float *restrict dst)
{
    for (size_t c = 0; c < t->channels; c++, src += t->plane, dst += t->plane)
        for (size_t i = 0; i < t->plane; i++)
            dst[i] = t->table[c][src[i]];
}
