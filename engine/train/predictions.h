/* predictions.h - <run>/predictions.f32: what the model says of each sample, in the data's order
 *
 * Rows of float32 and nothing else. Each rank writes the rows of its own samples, at their places.
 * The file has its name only when it is whole and on the disk: until then it is
 * .predictions.f32.part, which an attempt that follows a broken one makes anew.
 */
#ifndef LT_TRAIN_PREDICTIONS_H
#define LT_TRAIN_PREDICTIONS_H

#include <stddef.h>

struct lt_batch;
struct lt_error;
struct lt_predictions;
struct lt_ranks;

/* All ranks. run_dir and ranks are borrowed. 0: *out is the caller's. */
int lt_predictions_open(const char *run_dir, const struct lt_ranks *ranks,
                        struct lt_predictions **out, struct lt_error *err);
/* This rank's rows of a batch: `bytes` of them. */
int lt_predictions_write(struct lt_predictions *p, const struct lt_batch *b, const void *rows,
                         size_t bytes, struct lt_error *err);
/* All ranks, when each has written all of its rows. */
int lt_predictions_commit(struct lt_predictions *p, struct lt_error *err);
/* What wasn't committed is removed. NULL is fine. */
void lt_predictions_close(struct lt_predictions *p);

#endif
