/* memory.h - anonymous memory a fit or an evaluation will hold, known before it starts
 *
 * The sum of what is mapped and touched before step 1: the session's tensors and arena, what the
 * device holds beside them, the snapshot for checkpoints, the batches read ahead, and the process
 * itself.
 */
#ifndef LT_TRAIN_MEMORY_H
#define LT_TRAIN_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/train/limits.h"
#include "lt/v1/plan.pb-c.h"

struct lt_data;
struct lt_session;
struct lt_shares;

struct lt_memory_plan {
    uint64_t persistent, arena, device, snapshot, batches, process, total; /* bytes */
};

/* Bits of the splits it reads; whether it takes checkpoints. */
struct lt_memory_use {
    uint32_t splits;
    bool snapshot;
};

void lt_memory_plan(const struct lt_session *s, const struct lt_data *data,
                    const Lt__V1__TrainingPlan *plan, const struct lt_shares *shares,
                    const struct lt_limits *limits, const struct lt_memory_use *use,
                    struct lt_memory_plan *out);

#endif
