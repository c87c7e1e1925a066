/* data.h - the samples a plan names: source, splits, transforms
 *
 * lt_data_open() maps the source's files (compressed ones through the decoded cache) and resolves
 * the plan's splits. A sample is one value per field. Fields of an idx source, in this order,
 * renamed by data.fields: image   float32[1, rows, columns] (three-dimensional files; others as
 * they are), after the split's transforms label   int64[] Thread: opening and closing on one;
 * lt_data_read() on any number at a time.
 */
#ifndef LT_DATA_DATA_H
#define LT_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "engine/graph/type.h"
#include "lt/v1/plan.pb-c.h"

struct lt_buf;
struct lt_error;
struct lt_problems;
struct lt_data;

enum lt_split_kind { LT_SPLIT_TRAIN, LT_SPLIT_VAL, LT_SPLIT_TEST, LT_SPLIT_PREDICT, LT_SPLIT_N };
extern const char *const lt_split_names[LT_SPLIT_N]; /* "train", "val", "test", "predict" */

struct lt_data_field {
    const char *name;
    enum lt_dtype dtype;
    int ndim;
    int64_t dim[LT_DIMS_MAX];
    int64_t classes; /* label: largest label of the splits in use, plus 1; 0 elsewhere, and with
                        data.scan lazy */
    size_t bytes;    /* of one sample */
};

struct lt_data_config {
    const Lt__V1__Data *plan;                      /* borrowed for the data's life */
    const char *cache_dir;                         /* of decoded files; made when needed */
    void (*progress)(void *arg, const char *text); /* slow work, for people; may be NULL */
    void *arg;
};

/* Every problem (missing or damaged files, ranges outside the source, …) goes into `problems` with
 * its plan path. 0: *out is the caller's. -EINVAL: there were errors. */
int lt_data_open(const struct lt_data_config *c, struct lt_data **out,
                 struct lt_problems *problems);
void lt_data_close(struct lt_data *d);
LT_DEFINE_AUTO(struct lt_data *, lt_data_close)

const Lt__V1__Data *lt_data_plan(const struct lt_data *d);
int lt_data_n_fields(const struct lt_data *d);
const struct lt_data_field *lt_data_field(const struct lt_data *d, int i);
bool lt_data_has(const struct lt_data *d, enum lt_split_kind kind);
int64_t lt_data_count(const struct lt_data *d,
                      enum lt_split_kind kind); /* samples; 0 without the split */

/* Copies n samples, transformed. index[i]: 0 … count-1 within the split. dst[f]: n * field f's
 * bytes. */
void lt_data_read(const struct lt_data *d, enum lt_split_kind kind, const uint32_t *index,
                  int64_t n, void *const *dst);

/* "FILE: sample N, label L" of a split's sample, for people. */
void lt_data_describe(const struct lt_data *d, enum lt_split_kind kind, int64_t index,
                      struct lt_buf *out);
/* First sample (in the whole file) of a used split whose label is not below `classes` and not
 * `ignore`: 1, with a text that names file, sample and label in err. 0: none. */
int lt_data_scan_labels(const struct lt_data *d, int64_t classes, int64_t ignore,
                        struct lt_error *err);

/* One line per file: path, size, mtime, inode, digest of sampled content. Equal texts: the same
 * data. */
int lt_data_fingerprint(const struct lt_data *d, struct lt_buf *out, struct lt_error *err);
/* Bytes it holds that aren't pages of files. */
size_t lt_data_bytes(const struct lt_data *d);

#endif
