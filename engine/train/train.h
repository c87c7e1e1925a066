/* train.h - runs what a job's spec asks for on this rank: fit, validate, test or predict
 *
 * One call per attempt. Everything that must be known afterwards goes into the journal while it
 * happens; the result is the last thing. Starting from a checkpoint continues bit for bit
 * (docs/trainer.md).
 */
#ifndef LT_TRAIN_TRAIN_H
#define LT_TRAIN_TRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/device.h"
#include "lt/v1/agent.pb-c.h"
#include "lt/v1/events.pb-c.h"

struct lt_buf;
struct lt_comm;
struct lt_error;
struct lt_journal;
struct lt_page;
struct lt_problems;

enum lt_stage {
    LT_STAGE_EPOCH_START, /* the next epoch, if there is one */
    LT_STAGE_TRAIN,       /* batch `batch` of the epoch */
    LT_STAGE_VALIDATE,    /* batch `val_batch` of a validation */
    LT_STAGE_EPOCH_END,
    LT_STAGE_N
};
extern const char *const lt_stage_names[LT_STAGE_N];

/* Where training is: what happens next. */
struct lt_position {
    enum lt_stage stage;
    uint64_t epoch, batch; /* running epoch; its next batch */
    uint64_t total_batches;
    uint64_t step;    /* updates done or skipped: the global step */
    uint64_t updates; /* updates that changed weights */
    uint64_t val_batch;
    uint64_t val_seen; /* validation batches of the whole fit: axis of val step records */
};

struct lt_train_config {
    const Lt__V1__StartRank *start; /* spec, run_dir, checkpoint, profile, fingerprint, … */
    const struct lt_backend *backend;
    const char *cache_dir;
    const char *blobs; /* folder below which files named by content lie (sys/paths.h); NULL: none */
    struct lt_journal *journal; /* may be NULL */
    struct lt_page *page;       /* may be NULL */
    struct lt_comm *comm;       /* the job's ranks; NULL: this one is alone */
    /* Bits of enum lt_page_command wanted now; asked at every boundary (between micro-batches). May
     * be NULL. */
    uint32_t (*commands)(void *arg, const struct lt_position *pos);
    void *arg;
    bool quiet; /* no lines on stdout */
};

#define LT_RESULT_VALUES_MAX 64

struct lt_train_result {
    Lt__V1__JobResult result;
    Lt__V1__FailureClass class;
    char reason[504];
    uint64_t step, epoch;
    int n_values;
    struct {
        char name[80];
        double value;
    } values[LT_RESULT_VALUES_MAX]; /* evaluations: what was computed */
};

/* Always fills *out; writes the Finished record and syncs the journal. */
void lt_train_run(const struct lt_train_config *c, struct lt_train_result *out);

/* The Finished record of a run that couldn't begin. */
void lt_train_failed(const struct lt_train_config *c, Lt__V1__FailureClass class, const char *reason);

/* Levels 2 and 3 of checking for this node: the model, the data, the memory. */
struct lt_train_check {
    const Lt__V1__JobSpec *spec;
    const struct lt_backend *backend;
    const char *cache_dir;
    const char *blobs; /* as in lt_train_config; without it what a file named by content holds is
                          left to a check that has it, with a warning */
    int threads;
    void (*progress)(void *arg, const char *text);
    void *arg;
};
struct lt_train_cost {
    uint64_t memory_bytes, flops_per_step, parameters, checkpoint_bytes;
};
/* Problems are collected; without errors cost and the report (JSON) are filled in. */
void lt_train_check(const struct lt_train_check *c, struct lt_problems *problems,
                    struct lt_train_cost *cost, struct lt_buf *report);
/* Text of the graph after every pass. */
int lt_train_dump_passes(const struct lt_train_check *c, struct lt_buf *out, struct lt_error *err);

#endif
