/* saver.h - the thread that makes checkpoints durable while training goes on
 *
 * One job at a time: the snapshot's buffer belongs to the thread until lt_saver_poll() has given
 * the job back. Within a job every target is written, then `last` is set, in order. Removals are
 * jobs of their own: the loop asks for them once the journal knows of the new checkpoint.
 */
#ifndef LT_TRAIN_SAVER_H
#define LT_TRAIN_SAVER_H

#include <stdbool.h>
#include "base/error.h"
#include "engine/train/callback.h"
#include "engine/train/checkpoint.h"

struct lt_saver;

#define LT_TARGETS_MAX (LT_SAVES_MAX + 1)

struct lt_target {
    char *dir, *name;
    char *last; /* what <run>/last will say; NULL: not a full checkpoint, leave it */
    struct lt_manifest meta;
    struct lt_save save; /* of the callback; recovery: empty */
    bool recovery;
    bool rollback; /* what a rollback goes back to from now on, and how often it did already */
    uint64_t rollback_times;
    int rc; /* after the job */
    struct lt_error err;
};

struct lt_save_job {
    struct lt_checkpoint_content content;
    char *trainer_json; /* owned */
    struct lt_target targets[LT_TARGETS_MAX];
    int n;
};
void lt_save_job_free(struct lt_save_job *job);

struct lt_saver_config {
    const char *run_dir;
    /* Makes loggers durable before a checkpoint refers to their lengths; may be NULL. */
    int (*sync)(void *arg, struct lt_error *err);
    void *arg;
};
int lt_saver_open(const struct lt_saver_config *c, struct lt_saver **out, struct lt_error *err);
/* Waits for what is under way. */
void lt_saver_close(struct lt_saver *s);
LT_DEFINE_AUTO(struct lt_saver *, lt_saver_close)

bool lt_saver_busy(const struct lt_saver *s);
/* Takes the job. Not while busy. */
void lt_saver_submit(struct lt_saver *s, struct lt_save_job *job);
/* The finished job, the caller's; NULL: none (yet). */
struct lt_save_job *lt_saver_poll(struct lt_saver *s);
struct lt_save_job *lt_saver_wait(struct lt_saver *s); /* NULL: nothing under way */
/* Nothing is being written or deleted when this returns; a finished job still waits to be polled.
 */
void lt_saver_drain(struct lt_saver *s);
/* Deletes a folder in the background, before anything submitted later is written. Takes the path.
 */
void lt_saver_remove(struct lt_saver *s, char *path);

#endif
