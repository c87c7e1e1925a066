/* topk.c - the k best checkpoints */
#include "engine/train/topk.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static double rank(const struct lt_topk *t, double score)
{
    if (isnan(score))
        return (double)INFINITY;
    return t->max ? -score : score; /* the smaller the better */
}

/* Index of the worst: the first among equals, as Lightning evicts. */
static int worst(const struct lt_topk *t)
{
    int w = 0;

    for (int i = 1; i < t->n; i++)
        if (rank(t, t->items[i].score) > rank(t, t->items[w].score))
            w = i;
    return w;
}

void lt_topk_done(struct lt_topk *t)
{
    for (int i = 0; i < t->n; i++)
        lt_free(t->items[i].name);
    lt_free(t->items);
    *t = (struct lt_topk){0};
}

bool lt_topk_wants(const struct lt_topk *t, double score)
{
    if (t->k < 0 || (t->k > 0 && (!t->scored || t->n < t->k)))
        return true;
    return t->k > 0 && rank(t, score) < rank(t, t->items[worst(t)].score);
}

bool lt_topk_is_best(const struct lt_topk *t, double score)
{
    for (int i = 0; t->scored && i < t->n; i++)
        if (!(rank(t, score) < rank(t, t->items[i].score)))
            return false;
    return true;
}

int lt_topk_victim(const struct lt_topk *t)
{
    if (t->k < 0 || t->n < t->k || !t->n)
        return -1;
    return t->scored ? worst(t) : 0;
}

char *lt_topk_add(struct lt_topk *t, const char *name, double score)
{
    int v = lt_topk_victim(t);
    char *gone = NULL;

    if (v >= 0) {
        gone = t->items[v].name;
        memmove(t->items + v, t->items + v + 1, (size_t)(t->n - v - 1) * sizeof *t->items);
        t->n--;
    }
    LT_GROW(t->items, t->n, t->cap);
    t->items[t->n++] = (struct lt_kept){lt_strdup(name), score};
    return gone;
}

bool lt_topk_has(const struct lt_topk *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->items[i].name, name))
            return true;
    return false;
}
