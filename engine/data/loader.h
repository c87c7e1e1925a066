/* loader.h - batches in the plan's order, read ahead by a thread
 *
 * Order (docs/data.md): one permutation per epoch from (seed, epoch); global batch g is perm[g*G,
 * (g+1)*G), G = batch_size * world; rank r takes every world-th sample of it; a rank that lacks one
 * takes a sample of weight 0. The cursor (epoch, batch) is all the state there is: a loader can
 * start anywhere. One consumer thread.
 */
#ifndef LT_DATA_LOADER_H
#define LT_DATA_LOADER_H

#include "engine/data/data.h"

struct lt_loader;

struct lt_loader_config {
    const struct lt_data *data; /* borrowed for the loader's life */
    enum lt_split_kind split;
    int64_t batch_size; /* of this rank */
    bool drop_last;
    int64_t limit; /* batches of an epoch at most; -1: all */
    uint64_t seed;
    bool sequential; /* in the data's order, whatever the split says (overfitting, evaluation) */
    int rank, world;
    int slices; /* of this rank: it stands for so many ranks, whose samples lie one behind the other; 0: 1 */
};

struct lt_batch {
    int64_t n; /* samples */
    uint64_t epoch, index;
    void *const *field;          /* by the data's field number: plain row-major [n, …] */
    const float *weight;         /* [n] */
    const int64_t *sample_index; /* [n], within the split */
};

/* Allocates and touches all it will need. The thread starts with lt_loader_start(). */
int lt_loader_open(const struct lt_loader_config *c, struct lt_loader **out, struct lt_error *err);
void lt_loader_close(struct lt_loader *l); /* joins the thread */
LT_DEFINE_AUTO(struct lt_loader *, lt_loader_close)

uint64_t lt_loader_batches(const struct lt_loader *l); /* of an epoch, the limit applied */
int64_t lt_loader_batch_size(const struct lt_loader *l,
                             uint64_t index); /* this rank's samples of it */
/* What a loader of this kind would give: batches of an epoch (the limit applied), this rank's
 * samples of the first and of the last of them, and the memory it holds. Opens nothing. */
struct lt_loader_shape {
    uint64_t batches;
    int64_t first, last;
    size_t bytes;
};
void lt_loader_shape(const struct lt_loader_config *c, struct lt_loader_shape *out);

/* The next batch will be this one; after an epoch's last batch comes the next epoch's first. */
int lt_loader_start(struct lt_loader *l, uint64_t epoch, uint64_t batch, struct lt_error *err);
/* Waits for it. Valid until the next call. */
const struct lt_batch *lt_loader_next(struct lt_loader *l);

#endif
