/* tail.c - a newline at the very end of the file ends its last line; every other one before it
 * separates two */
#include "daemon/rpc/tail.h"

#define BEHIND ((uint64_t)1 << 60)

void lt_tail_init(struct lt_tail *t, uint64_t lines)
{
    *t = (struct lt_tail){.lines = lines, .offset = BEHIND};
}

/* Looks at the block in front of t->end. */
static bool next_block(struct lt_tail *t)
{
    t->offset = t->end > LT_TAIL_BLOCK ? t->end - LT_TAIL_BLOCK : 0;
    return t->end == 0;
}

bool lt_tail_step(struct lt_tail *t, const uint8_t *data, size_t n, uint64_t size)
{
    if (!t->sized) {
        t->sized = true;
        t->end = size;
        if (t->lines == 0) {
            t->offset = size;
            return true;
        }
        return next_block(t);
    }
    if (n > t->end - t->offset)
        n = (size_t)(t->end - t->offset); /* the file grew meanwhile */
    for (size_t i = n; i-- > 0;) {
        if (data[i] != '\n' || t->offset + i + 1 == size)
            continue;
        if (--t->lines == 0) {
            t->offset += i + 1;
            return true;
        }
    }
    t->end = n > 0 ? t->offset : 0; /* a file that can't be read any more: from its start */
    return next_block(t);
}
