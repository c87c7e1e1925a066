/* safetensors.h - tensors by name in one file (https://github.com/huggingface/safetensors,
 * "Format")
 *
 * u64 length of a JSON header; the header, padded with spaces to 8 bytes; the tensors' bytes
 * without gaps, row-major, little endian. Written with keys sorted and __metadata__ {"format":
 * "pt"}: the file is a function of the tensors alone. Read with every offset checked before
 * anything is believed.
 */
#ifndef LT_TRAIN_SAFETENSORS_H
#define LT_TRAIN_SAFETENSORS_H

#include "base/auto.h"
#include "engine/graph/type.h"

struct lt_buf;
struct lt_error;

#define LT_SAFETENSORS_HEADER_MAX (100u << 20)

struct lt_tensor {
    const char *name;
    enum lt_dtype dtype;
    int ndim;
    int64_t dim[LT_DIMS_MAX];
    const void *data;
    size_t bytes;
};

/* Sorts by name, in place: the order of the file. */
void lt_tensors_sort(struct lt_tensor *t, int n);
/* Everything before the tensors' bytes. t must be sorted. */
void lt_safetensors_header(const struct lt_tensor *t, int n, struct lt_buf *out);

struct lt_safetensors;
/* Maps the file; tensors point into it. -EPROTO with path and reason when it is damaged. */
int lt_safetensors_open(const char *path, struct lt_safetensors **out, struct lt_error *err);
/* The same over memory, borrowed; name stands in errors. */
int lt_safetensors_parse(const void *data, size_t n, const char *name, struct lt_safetensors **out,
                         struct lt_error *err);
void lt_safetensors_close(struct lt_safetensors *s);
LT_DEFINE_AUTO(struct lt_safetensors *, lt_safetensors_close)
int lt_safetensors_count(const struct lt_safetensors *s);
const struct lt_tensor *lt_safetensors_at(const struct lt_safetensors *s,
                                          int i); /* in the header's order */
const struct lt_tensor *lt_safetensors_find(const struct lt_safetensors *s,
                                            const char *name); /* NULL */

#endif
