/* rig.h - small training runs in a temporary folder, on the reference back end, and what they left
 * behind
 *
 * Data: 100 + 20 samples of side×side pixels with labels 0 … 3 (tests/data/make_idx.h). A plan is a
 * fixed head and the test's own lines behind it.
 */
#ifndef LT_TESTS_TRAIN_RIG_H
#define LT_TESTS_TRAIN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
/* cmocka.h wants those above */
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "engine/train/train.h"
#include "sys/page.h"

struct rig {
    char *dir, *data, *run, *journal_path;
    const struct lt_backend *backend;
    int n_train, n_val, batch; /* samples; the plan's batch size */
    const char *model;         /* YAML of model.layers' content; NULL: flatten, linear 4 */
    const char *optimizer;     /* NULL: sgd 0.1 */
    const char *step;          /* NULL: cross_entropy, accuracy */
    bool global_batch;         /* `batch` is of all ranks together */
    char *weights;             /* model.weights; NULL: none */
    uint32_t attempt;
    struct lt_arena *arena;
    struct lt_train_result result;
    /* Commands: at the boundary where total_batches, val_batch and stage are these. */
    bool cut, cut_done, cut_crash;
    uint64_t cut_boundary,
        boundaries;    /* the cut_boundary-th boundary (0-based): checkpoint, then die */
    uint32_t command;  /* given at every boundary instead */
    bool keep_journal; /* append to the journal of earlier runs */
    int world;         /* ranks, as threads; 0: one. Rank r > 0 writes `journal_path`.r */
    bool alike;        /* a rank that fails leaves the others to fail by themselves */
    uint32_t other_command; /* given to rank 1 at every boundary */
    struct lt_train_result others[4]; /* of ranks > 0 */
};

void rig_init(struct rig *r, int n_train, int n_val, int batch);
void rig_done(struct rig *r);
/* Runs `plan_tail` from `checkpoint` (NULL: the start). */
void rig_fit(struct rig *r, const char *plan_tail, const char *checkpoint);
void rig_fit_spec(struct rig *r, Lt__V1__JobSpec *spec, const char *checkpoint);
/* A test (or validation) of a checkpoint folder, relative to the run. */
void rig_evaluate(struct rig *r, const char *plan_tail, const char *checkpoint, const char *mode);
/* Record types of a rank's journal, once each, in the order of the schema: "phase started". */
void rig_record_types(const struct rig *r, int rank, struct lt_buf *out);
void rig_new_run(struct rig *r, const char *name); /* another run folder */

/* Makes the loss NaN wherever training sample `sample` is, and nowhere else, with the rig's model:
 * its second linear layer overflows for that sample alone, by weights from a file that no other
 * sample ever changes. */
void rig_poison(struct rig *r, int sample);
extern const char rig_poison_model[]; /* batch norm and dropout behind it */

/* The journal's metrics as text: "x epoch name value" lines, values with %g; of the names that
 * start with `prefix`. */
void rig_metrics(const struct rig *r, const char *prefix, struct lt_buf *out);
/* Steps of the records of one name: "4 9". */
void rig_steps(const struct rig *r, const char *name, struct lt_buf *out);
/* Sorted entries of a folder below the run, " " between them; hidden ones left out. */
void rig_list(const struct rig *r, const char *folder, struct lt_buf *out);
/* "step checkpoint times" of every rollback, a line each; "-": the start. */
void rig_rollbacks(const struct rig *r, struct lt_buf *out);
/* Condition records of a kind that were set. */
int rig_conditions(const struct rig *r, Lt__V1__Condition__Kind kind);
int rig_count(const struct rig *r, const char *name); /* records of a name */
char *rig_path(const struct rig *r, const char *relative);
void rig_read(const struct rig *r, const char *relative, struct lt_buf *out);
Lt__V1__JobSpec *rig_spec(struct rig *r, const char *plan_tail);

#define assert_text(buf, want) assert_string_equal((buf).data ? (buf).data : "", want)

#endif
