/* flat.c - several pieces of memory seen as one sequence of elements
 *
 * A bucket of gradients stays where the gradients are: what lies together is used in place, what
 * doesn't is copied by the stretch that is being sent.
 */
#include <string.h>

#include "engine/comm/impl.h"

size_t lt_coll_count(const struct lt_coll *k)
{
    const struct lt_coll_part *p = lt_coll_parts(k);
    size_t n = 0;

    for (size_t i = 0; i < lt_coll_n_parts(k); i++)
        n += p[i].count;
    return n;
}

/* The part that element *at is in; *at becomes its place there. */
static const struct lt_coll_part *find(const struct lt_coll *k, size_t *at)
{
    const struct lt_coll_part *p = lt_coll_parts(k);

    while (*at >= p->count)
        *at -= p++->count;
    return p;
}

const void *lt_coll_in(const struct lt_coll *k, int term, size_t at, size_t n, void *room)
{
    size_t size = lt_dtype_sizes[k->dtype];
    const struct lt_coll_part *p;
    char *to = room;

    if (n == 0)
        return room;
    p = find(k, &at);
    if (at + n <= p->count)
        return (const char *)p->in + (size_t)term * p->stride + at * size;
    for (; n > 0; p++, at = 0) {
        size_t some = LT_MIN(n, p->count - at);

        if (some == 0)
            continue;
        memcpy(to, (const char *)p->in + (size_t)term * p->stride + at * size, some * size);
        to += some * size;
        n -= some;
    }
    return room;
}

void *lt_coll_out(const struct lt_coll *k, size_t at, size_t n)
{
    const struct lt_coll_part *p;

    if (n == 0)
        return NULL;
    p = find(k, &at);
    return at + n <= p->count ? (char *)p->out + at * lt_dtype_sizes[k->dtype] : NULL;
}

void lt_coll_put(const struct lt_coll *k, size_t at, size_t n, const void *from)
{
    size_t size = lt_dtype_sizes[k->dtype];
    const char *f = from;
    const struct lt_coll_part *p;

    if (n == 0)
        return;
    p = find(k, &at);
    for (; n > 0; p++, at = 0) {
        size_t some = LT_MIN(n, p->count - at);
        char *to = some ? (char *)p->out + at * size : NULL;

        if (some && to != f)
            memmove(to, f, some * size);
        f += some * size;
        n -= some;
    }
}
