/* tail.h - where do the last n lines of a file begin? Found by reading blocks from its end
 * backwards. Pure. */
#ifndef LT_DAEMON_RPC_TAIL_H
#define LT_DAEMON_RPC_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LT_TAIL_BLOCK (64u << 10)

struct lt_tail {
    uint64_t lines;  /* still to be found */
    uint64_t offset; /* next block to read, at most LT_TAIL_BLOCK bytes; at the end: the answer */
    uint64_t end;    /* bytes from here on were looked at */
    bool sized;
};

/* The first block to read gives only the size: offset lies behind any file. */
void lt_tail_init(struct lt_tail *t, uint64_t lines);
/* What was read at t->offset, and the file's size. true: t->offset is the answer; false: read there
 * and come again. */
bool lt_tail_step(struct lt_tail *t, const uint8_t *data, size_t n, uint64_t size);

#endif
