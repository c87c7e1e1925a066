/* checkpoint.h - a checkpoint is a folder that is there whole or not at all
 *
 *   model.safetensors      parameters and buffers: a function of the weights alone
 *   optimizer.safetensors  optimiser states, and an open window's accumulators   (not with
 * weights_only) trainer.json           everything else (engine/train/state.h) MANIFEST sizes and
 * checksums (engine/train/manifest.h) Written as .NAME.tmp, synced, renamed. Replacing an existing
 * one goes through .NAME.old, which lt_checkpoint_clean() puts back when a crash fell between the
 * two renames.
 */
#ifndef LT_TRAIN_CHECKPOINT_H
#define LT_TRAIN_CHECKPOINT_H

#include "engine/train/manifest.h"
#include "engine/train/safetensors.h"

struct lt_error;

#define LT_TRAINER_JSON_MAX (64u << 20)

struct lt_checkpoint_content {
    const struct lt_tensor *model, *optimizer; /* sorted */
    int n_model, n_optimizer;
    const char *trainer_json;
};

/* meta: its files are filled in here. Durable when it returns 0; on errors nothing of NAME has
 * changed. */
int lt_checkpoint_write(const struct lt_checkpoint_content *c, struct lt_manifest *meta,
                        const char *dir, const char *name, struct lt_error *err);
uint64_t lt_manifest_bytes(const struct lt_manifest *m);

/* Removes what crashes left: temporary folders; an .old whose name is missing is put back. A
 * missing dir is fine. */
int lt_checkpoint_clean(const char *dir, struct lt_error *err);

struct lt_checkpoint_entry {
    char *path;
    struct lt_manifest meta;
};
struct lt_checkpoint_list {
    struct lt_checkpoint_entry *items; /* newest first */
    int n, cap;
};
/* Adds every folder of dir with a readable MANIFEST. A missing dir adds nothing. */
void lt_checkpoint_list_add(struct lt_checkpoint_list *l, const char *dir);
void lt_checkpoint_list_sort(struct lt_checkpoint_list *l);
void lt_checkpoint_list_done(struct lt_checkpoint_list *l);

#endif
