/* session.h - a plan's model on a device: its programs, its memory, its named tensors
 *
 * lt_session_open() lowers the plan's model and step to graphs (micro, step, eval, predict), runs the passes, plans
 * memory and allocates. Then the trainer runs programs and reads or writes tensors by name. One thread.
 *
 * Inputs of a program, by name: the data's fields ("image", "label", or what data.fields calls them), and
 *   weight        float32[n]  weight of each sample; 0 leaves it out of losses, metrics and statistics
 *   sample_index  int64[n]    global index of each sample (keys dropout)
 *   rng_step      int64[]     optimiser step (keys dropout)           (micro, step)
 *   lr            float64[]   learning rate of this update            (step)
 *   opt_step      int64[]     1-based number of this update           (step)
 *   exchange      float64[k]  what this rank brings to the exchange   (step, eval; more than one rank)
 * Outputs (float64 scalars): "loss.sum", "loss.weight", "NAME.sum", "NAME.weight" for each metric of the plan, over this
 * batch; "window.loss", "window.weight" (step: over the accumulation window), "grad_norm" (when clipping by norm),
 * "update.skipped" (1.0 when the loss was not finite and the update left everything as it was). "output": what the model computes.
 * With several ranks the sums of step and eval are those of all ranks, the same on each; "exchange" float64[k]: likewise.
 * With several slices a rank (reproducible: elastic) a batch is the slices' samples one behind the other, "exchange" has k
 * numbers for each slice, and micro gives the sums of slice s as "loss.sum@s" (of slice 0: "loss.sum").
 *
 * Gradients are sums over samples of weight * d loss; an update divides by the window's sum of weights (plan.md, Loss),
 * clips, and applies PyTorch's formulas.
 */
#ifndef LT_SESSION_SESSION_H
#define LT_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "engine/device.h"
#include "engine/graph/import.h" /* enum lt_program_kind, struct lt_field */
#include "engine/graph/type.h"
#include "lt/v1/plan.pb-c.h"

struct lt_buf;
struct lt_comm;
struct lt_error;
struct lt_problems;
struct lt_session;

struct lt_session_config {
    const Lt__V1__TrainingPlan *plan; /* borrowed for the session's life */
    const struct lt_field *fields;
    int n_fields;
    const struct lt_backend *backend;
    struct lt_device_config device;
    bool plan_only; /* lower, prepare and plan memory, but allocate no regions: for checks */
    uint32_t programs; /* bits of enum lt_program_kind that will run; 0: MICRO (when accumulating), STEP, EVAL */
    int world;    /* ranks that train as one; 0: 1. More need device.comm to run */
    int exchange; /* numbers that ranks add up at every step and evaluation, beside the sums; 0: none */
};

#define LT_SLICES_MAX 64

/* How a plan's batch is shared out over ranks. */
struct lt_shares {
    int world;
    int slices;        /* reproducible: elastic: of the global batch; else 0 */
    int local;         /* slices of one rank; 1 */
    int64_t batch;     /* samples of one rank */
    int64_t all;       /* of all ranks */
};
/* -EINVAL when the plan's numbers don't divide; err says which. */
int lt_shares_of(const Lt__V1__TrainingPlan *plan, int world, struct lt_shares *out, struct lt_error *err);

/* Level 2 of checking: every problem of model and step, with its plan path (model.layers[3].conv2d: …). Needs no device. */
int lt_session_check(const Lt__V1__TrainingPlan *plan, const struct lt_field *fields, int n_fields,
                     struct lt_problems *problems);

int lt_session_open(const struct lt_session_config *c, struct lt_session **out, struct lt_error *err);
void lt_session_close(struct lt_session *s);
LT_DEFINE_AUTO(struct lt_session *, lt_session_close)

/* Makes the program for batches of n samples ready (at most the plan's batch size); cached. Called before step 1 for every
 * size the run will meet, so that no memory is touched later. */
int lt_session_prepare(struct lt_session *s, enum lt_program_kind kind, int64_t n, struct lt_error *err);
/* Index of an input in the array lt_session_run() takes; -1: the program doesn't use it. */
int lt_session_input(struct lt_session *s, enum lt_program_kind kind, const char *name);
int lt_session_n_inputs(struct lt_session *s, enum lt_program_kind kind);
int lt_session_output(struct lt_session *s, enum lt_program_kind kind, const char *name); /* index; -1 */
/* inputs: pointers in plain layout for n samples. After it, lt_session_scalar() and lt_session_value() give the outputs until the next run. */
int lt_session_run(struct lt_session *s, enum lt_program_kind kind, int64_t n, const void *const *inputs, struct lt_error *err);
double lt_session_scalar(const struct lt_session *s, int output);
const void *lt_session_value(const struct lt_session *s, int output, size_t *bytes);

/* Persistent tensors, in a fixed order: parameters and buffers in the model's order, then optimiser states, then accumulators. */
struct lt_tensor_info {
    const char *name; /* "1.weight"; "exp_avg/1.weight"; "grad/1.weight"; "window.weight" */
    enum lt_value_kind kind;
    enum lt_dtype dtype;
    int ndim;
    int64_t dim[LT_DIMS_MAX];
    size_t bytes; /* plain */
};
int lt_session_n_tensors(const struct lt_session *s);
const struct lt_tensor_info *lt_session_tensor(const struct lt_session *s, int i);
int lt_session_read(struct lt_session *s, int i, void *dst, struct lt_error *err);        /* plain layout */
int lt_session_write(struct lt_session *s, int i, const void *src, struct lt_error *err);
/* An open accumulation window becomes rank 0's: its accumulators hold the sums of all ranks (and slices), all others 0. All
 * ranks call it at the same point. The outputs of the last run are gone. */
int lt_session_merge(struct lt_session *s, struct lt_comm *comm, struct lt_error *err);
/* Rank 0's buffers (running statistics) to all. */
int lt_session_share_buffers(struct lt_session *s, struct lt_comm *comm, struct lt_error *err);
void lt_session_clear(struct lt_session *s); /* all accumulators 0 */
/* Parameters by the plan's initialisers and seed; buffers, states, accumulators to their start values. */
int lt_session_init(struct lt_session *s, struct lt_error *err);

/* What it costs, planned. */
struct lt_session_cost {
    uint64_t persistent_bytes, arena_bytes, overhead_bytes;
    uint64_t parameters;       /* trained elements */
    uint64_t flops_per_step;   /* forward + backward + update of a full batch; without updates: forward */
    uint64_t checkpoint_bytes; /* model + optimiser tensors, plain */
};
void lt_session_cost(const struct lt_session *s, struct lt_session_cost *out);
/* For `plan check`: layers with output shapes and parameters; nodes with their kernels. Text rows by callback-free JSON. */
void lt_session_report(const struct lt_session *s, struct lt_buf *json);
/* Text of the graph after every pass (lt-worker --dump-passes). */
int lt_session_dump_passes(const struct lt_session_config *c, struct lt_buf *out, struct lt_error *err);
void lt_session_profile(struct lt_session *s, struct lt_buf *json);
/* What the device does otherwise and slower than asked for, as a sentence; NULL: nothing. */
const char *lt_session_slower(const struct lt_session *s);

#endif
