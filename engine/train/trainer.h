/* trainer.h - the inside of a training run: what the files of engine/train share
 *
 *   setup.c    opens everything, in an order that touches all memory before step 1
 *   loop.c     the stages: one unit of work each; validate.c, stop.c: those two questions
 *   boundary.c what may happen between two units: saving, commands
 *   nonfinite.c what happens after an update that was left out
 *   record.c   records to the journal and the loggers, lines for people
 *   state.c    trainer.json: the loop's state, out and in
 *   restore.c  tensors and state from a checkpoint folder
 */
#ifndef LT_TRAIN_TRAINER_H
#define LT_TRAIN_TRAINER_H

#include "base/error.h"
#include "engine/data/loader.h"
#include "engine/train/callback.h"
#include "engine/train/limits.h"
#include "engine/train/logger.h"
#include "engine/train/programs.h"
#include "engine/train/ranks.h"
#include "engine/train/saver.h"
#include "engine/train/schedule.h"
#include "engine/train/snapshot.h"
#include "engine/train/train.h"
#include "sys/page.h"

struct lt_problems;

#define LT_CALLBACKS_MAX 32
#define LT_LOGGERS_MAX 8

struct lt_active_callback {
    const struct lt_callback *type;
    void *self;
    int index; /* in the plan's list; -1: the trainer's own */
};
struct lt_active_logger {
    const struct lt_logger *type;
    void *self;
};

struct lt_recovery {
    double every_s; /* 0: not by time */
    uint64_t every_n_steps, keep;
    uint64_t due_ns, last_step, last_val_batch;
    uint64_t cost_ns; /* of the last snapshot */
    char **names;     /* oldest first */
    int n, cap;
};

/* Where `on_nonfinite: rollback` goes back to. A function of the position, so that every attempt of
 * a job goes to the same weights: no checkpoint whose moment a clock or a command chose. */
struct lt_rollback {
    char *to;         /* checkpoints/NAME, recovery/NAME or a whole path; NULL: the start */
    uint64_t times;   /* rollbacks since an update counted and was saved */
    uint64_t updates; /* pos.updates behind the newest rollback */
};

struct lt_recorded {
    const char *name;
    double value;
    bool logged;
};

struct lt_trainer {
    const struct lt_train_config *c;
    const Lt__V1__TrainingPlan *plan;
    const Lt__V1__Trainer *t; /* never NULL */
    struct lt_data *data;
    struct lt_ranks ranks;
    struct lt_loader *train, *val;
    struct lt_session *session;
    struct lt_bound micro, step, eval;
    struct lt_limits limits;
    struct lt_metrics metrics;
    struct lt_schedule schedule;
    struct lt_values values;
    struct lt_active_callback callbacks[LT_CALLBACKS_MAX];
    int n_callbacks;
    Lt__V1__Callback default_callback; /* a model_checkpoint when the plan has none */
    Lt__V1__ModelCheckpoint default_checkpoint;
    struct lt_active_logger loggers[LT_LOGGERS_MAX];
    int n_loggers;
    char *checkpoints_dir, *recovery_dir, *fingerprint;
    char *checkpoint_name; /* what this attempt began from; NULL: the start */

    struct lt_position pos;
    struct lt_sum window[LT_QUANTITIES_MAX], epoch[LT_QUANTITIES_MAX], evaluated[LT_QUANTITIES_MAX];
    struct lt_sum epoch_loss; /* for the line of an epoch */
    struct lt_requests requests;

    struct lt_snapshot *snapshot; /* NULL: nothing is ever saved */
    struct lt_saver *saver;
    uint64_t sequence;    /* of the newest checkpoint */
    uint64_t saved_at[3]; /* step, total_batches, val_batch of the newest full one */
    bool saved;
    struct lt_recovery recovery;

    bool done;      /* the loop ends */
    bool stop_time; /* max_time is over */
    bool vetoed;    /* said so */
    char stop_reason[256];
    bool degraded; /* the last recovery checkpoint failed */
    bool measured; /* memory, after the first update */
    bool early;    /* journal knows of the early stop */
    uint64_t skipped;
    struct lt_rollback rollback;
    double elapsed_before; /* seconds of earlier attempts */
    uint64_t started_ns, epoch_ns, epoch_step, now_ns, step_ns, last_step_ns, last_val_ns;
    struct lt_train_result *result;
};

static inline bool lt_trainer_window_open(const struct lt_trainer *t)
{
    return t->pos.stage != LT_STAGE_EPOCH_START && t->pos.batch &&
           !lt_limits_steps(&t->limits, t->pos.batch - 1);
}
/* The loggers' axis: index of the newest update, or of the next one in an open window
 * (Lightning's). */
uint64_t lt_trainer_x(const struct lt_trainer *t);
/* Callbacks' wish to stop that min_epochs and min_steps allow now. */
bool lt_trainer_stops(struct lt_trainer *t);
bool lt_trainer_fit_done(struct lt_trainer *t);

/* setup.c */
int lt_trainer_open(struct lt_trainer *t, struct lt_error *err);
void lt_trainer_close(struct lt_trainer *t);

void lt_count_batches(const struct lt_data *data, const Lt__V1__TrainingPlan *plan,
                      const struct lt_shares *shares, struct lt_batch_counts *out);
void lt_session_fields(const struct lt_data *data, struct lt_field *out);
/* Which split a loader of this kind reads, how far; shared with evaluation and checks. */
void lt_loader_plan(const struct lt_data *data, const Lt__V1__TrainingPlan *plan,
                    const struct lt_shares *shares, int rank, const struct lt_limits *l, enum lt_split_kind kind,
                    struct lt_loader_config *out);
/* Programs for every batch size that such a loader gives: `full` where no update follows, `last`
 * where one does. */
int lt_trainer_prepare(struct lt_session *s, const struct lt_loader_config *l,
                       enum lt_program_kind full, enum lt_program_kind last, struct lt_error *err);

/* stop.c */
/* Why a callback, or the time, wants the end; NULL: nothing does. monitor: the metric it looked at,
 * or NULL. */
const char *lt_trainer_stop_wish(const struct lt_trainer *t, const char **monitor);
/* Sets the stage that follows a batch whose validation, if any, is over. */
void lt_trainer_after_batch(struct lt_trainer *t);

/* validate.c */
int lt_trainer_validate_batch(struct lt_trainer *t, struct lt_error *err);
/* The values of an epoch or a validation: set, recorded, and given back for a line. */
int lt_trainer_epoch_values(struct lt_trainer *t, enum lt_stage_kind stage,
                            const struct lt_sum *sums, struct lt_recorded *values, int *n,
                            struct lt_error *err);

/* loop.c */
/* A training batch's sum and weight of quantity i: to the window, the epoch, the epoch's line. */
void lt_trainer_add(struct lt_trainer *t, int i, double sum, double weight);
int lt_trainer_fit(struct lt_trainer *t, struct lt_error *err);
/* Anonymous memory as it is now, to the shared page. */
void lt_trainer_measure_memory(struct lt_trainer *t);
int lt_trainer_sanity(struct lt_trainer *t, struct lt_error *err);
void lt_eval_add(const struct lt_session *s, const struct lt_bound *b, const struct lt_metrics *m,
                 struct lt_sum *sums);

/* nonfinite.c */
/* An update was left out because its loss or gradient isn't finite. */
int lt_trainer_not_finite(struct lt_trainer *t, double loss, struct lt_error *err);
bool lt_trainer_rolls_back(const struct lt_trainer *t);
/* t->rollback.times of a checkpoint taken now. */
uint64_t lt_trainer_rollback_times(const struct lt_trainer *t);

/* boundary.c */
int lt_trainer_boundary(struct lt_trainer *t, struct lt_error *err);
/* Everything saved that has to be, and the journal knows. */
int lt_trainer_finish_saves(struct lt_trainer *t, struct lt_error *err);
/* Tells the journal and deletes the folder in the background; nothing when it isn't there. */
int lt_trainer_remove(struct lt_trainer *t, const char *path, bool recovery, struct lt_error *err);
int lt_trainer_final_save(struct lt_trainer *t, struct lt_error *err);
/* The checkpoint it was told to begin at was usable, and is this run's. */
void lt_trainer_begin_saved(struct lt_trainer *t);
bool lt_trainer_name_taken(void *arg, const char *dir, const char *name, int index);
enum lt_save_kind {
    LT_SAVE_REQUESTS, /* of callbacks */
    LT_SAVE_BY_STEP,  /* the system's, where the plan says */
    LT_SAVE_NOW       /* the system's: by time, on request, at the end */
};
int lt_trainer_save(struct lt_trainer *t, enum lt_save_kind kind, struct lt_error *err);
void lt_trainer_forget_recovery(struct lt_trainer *t);

/* record.c */
int lt_journal_put(const struct lt_train_config *c, Lt__V1__JournalRecord *r, bool sync,
                   struct lt_error *err);
void lt_trainer_phase(struct lt_trainer *t, enum lt_phase phase);
int lt_trainer_resolved(struct lt_trainer *t, const char *field, const char *value,
                        struct lt_error *err);
/* Values to the journal and, those marked so, to the loggers. */
int lt_trainer_record(struct lt_trainer *t, uint64_t x, const struct lt_recorded *values, int n,
                      struct lt_error *err);
int lt_trainer_sync_loggers(void *arg, struct lt_error *err);
void lt_trainer_say(const struct lt_trainer *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void lt_trainer_say_values(const struct lt_trainer *t, const char *head,
                           const struct lt_recorded *values, int n);

/* hooks.c */
enum lt_hook_kind {
    LT_HOOK_EPOCH_START,
    LT_HOOK_WINDOW_START,
    LT_HOOK_STEP,
    LT_HOOK_VALIDATION_END,
    LT_HOOK_EPOCH_END,
    LT_HOOK_EXCEPTION,
    LT_HOOK_N
};
int lt_trainer_hook(struct lt_trainer *t, enum lt_hook_kind kind, bool should_log, bool val_follows,
                    struct lt_error *err);
int lt_trainer_open_callbacks(struct lt_trainer *t, struct lt_error *err);
/* Logger states come from the checkpoint; NULL: begin anew. */
int lt_trainer_open_loggers(struct lt_trainer *t, const struct cJSON *states, struct lt_error *err);

/* state.c */
/* trainer.json of the checkpoint that the job makes, the caller's. */
char *lt_trainer_state(const struct lt_trainer *t, const struct lt_save_job *job);
/* `same_run`: loggers and folders continue too; else only what training itself needs. *loggers
 * borrows from json. */
int lt_trainer_set_state(struct lt_trainer *t, const struct cJSON *json, struct lt_error *err);

/* file.c */
/* Where a file that the plan names lies here; lt_free(). NULL: named by content, and no blobs to look in. */
char *lt_train_file(const char *file, const char *blobs);
/* Puts the plan's name for it where err has the local one. */
void lt_train_file_named(struct lt_error *err, const char *local, const char *file);
/* restore.c */
int lt_trainer_restore(struct lt_trainer *t, struct cJSON **state, bool *same_run,
                       struct lt_error *err);
/* Tensors of t->rollback.to, or of where the job began, into the session; updates from there. *from
 * (the caller's): its name; NULL: the plan's own start. */
int lt_trainer_rollback(struct lt_trainer *t, char **from, struct lt_error *err);
/* Can the tensor of a file be loaded as this one? The same shape, and the same type or another
 * floating one: such are converted, exactly where the new type is wider, else to the nearest. */
bool lt_tensor_fits(const struct lt_tensor_info *want, const struct lt_tensor *have);
/* model.safetensors into the session by name. `matched` of `total` parameters and buffers. strict:
 * all must be there. */
int lt_load_model(struct lt_session *s, const char *path, bool strict, int *matched, int *total,
                  struct lt_error *err);

#endif
