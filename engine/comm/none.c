/* none.c - a world of one
 *
 * Nothing travels. What is left is to bring in to out, and to add this rank's own terms.
 */
#include <string.h>

#include "engine/comm/impl.h"

static void add_terms(const struct lt_coll *k, const struct lt_coll_part *p)
{
    const void *src[LT_COLL_TERMS_MAX];
    int terms = lt_coll_terms(k);

    for (int t = 0; t < terms; t++)
        src[t] = (const char *)p->in + (size_t)t * p->stride;
    lt_coll_reduce(k->dtype, k->op, src, terms, p->out, p->count);
}

static int none_begin(struct lt_comm *c, struct lt_coll *k)
{
    const struct lt_coll_part *p = lt_coll_parts(k);
    size_t size = lt_dtype_sizes[k->dtype];

    (void)c;
    for (size_t i = 0; i < lt_coll_n_parts(k) && k->kind != LT_COLL_BARRIER; i++) {
        if (k->kind == LT_COLL_ALL_REDUCE)
            add_terms(k, &p[i]);
        else if (p[i].count && p[i].out != p[i].in)
            memcpy(p[i].out, p[i].in, p[i].count * size);
    }
    return 1;
}

static int none_progress(struct lt_comm *c, struct lt_coll *k)
{
    (void)c, (void)k;
    return 1;
}

const struct lt_comm_impl lt_comm_none = {
    .name = "none", .begin = none_begin, .progress = none_progress};
