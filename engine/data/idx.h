/* idx.h - the files of MNIST and its relatives (http://yann.lecun.com/exdb/mnist/: "the IDX file
 * format")
 *
 * Two zero bytes, element type, number of dimensions, big-endian sizes, then the elements. Only
 * unsigned bytes.
 */
#ifndef LT_DATA_IDX_H
#define LT_DATA_IDX_H

#include <stddef.h>
#include <stdint.h>

struct lt_error;

#define LT_IDX_DIMS 4

struct lt_idx {
    int ndim;
    int64_t dim[LT_IDX_DIMS]; /* dim[0]: samples */
    size_t item_bytes;        /* of one sample */
    const uint8_t *data;      /* inside `bytes` */
};

/* Reads the header of a whole file in memory. -EPROTO with what is wrong, `path` in the text. */
int lt_idx_parse(const void *bytes, size_t n, const char *path, struct lt_idx *out,
                 struct lt_error *err);

#endif
