/* snapshot.h - host copies of a session's persistent tensors, taken between micro-batches
 *
 * The buffer is mapped and touched when it is made, so that a checkpoint needs no memory that
 * wasn't planned.
 */
#ifndef LT_TRAIN_SNAPSHOT_H
#define LT_TRAIN_SNAPSHOT_H

#include <stdbool.h>
#include "engine/train/checkpoint.h"

struct lt_session;
struct lt_snapshot;

int lt_snapshot_new(struct lt_session *s, struct lt_snapshot **out, struct lt_error *err);
void lt_snapshot_free(struct lt_snapshot *s);
LT_DEFINE_AUTO(struct lt_snapshot *, lt_snapshot_free)
size_t lt_snapshot_bytes(const struct lt_snapshot *s);
/* window_open: accumulators are part of it. */
int lt_snapshot_take(struct lt_snapshot *s, bool window_open, struct lt_error *err);
/* Borrows from the snapshot; valid until it is taken again. trainer_json is left as it is. */
void lt_snapshot_content(const struct lt_snapshot *s, struct lt_checkpoint_content *out);

#endif
