/* memory.c - adds up what a fit or an evaluation will hold */
#include "engine/train/memory.h"

#include "engine/comm/comm.h"
#include "engine/data/loader.h"
#include "engine/session/session.h"
#include "engine/train/trainer.h"

/* Measured with a plan of a few bytes: libraries' writable pages, heap, stacks of the three
 * threads. */
#define PROCESS_BYTES (3u << 20)

static uint64_t snapshot_bytes(const struct lt_session *s)
{
    uint64_t bytes = 0;

    for (int i = 0; i < lt_session_n_tensors(s); i++)
        bytes += (lt_session_tensor(s, i)->bytes + 63) / 64 * 64;
    return bytes;
}

static uint64_t batch_bytes(const struct lt_data *data, const Lt__V1__TrainingPlan *plan,
                            const struct lt_shares *shares, const struct lt_limits *l,
                            uint32_t splits)
{
    struct lt_loader_config c;
    struct lt_loader_shape shape;
    uint64_t bytes = 0;

    for (int k = 0; k < LT_SPLIT_N; k++) {
        if (!(splits >> k & 1))
            continue;
        lt_loader_plan(data, plan, shares, 0, l, (enum lt_split_kind)k, &c);
        lt_loader_shape(&c, &shape);
        bytes += shape.bytes;
    }
    return bytes;
}

void lt_memory_plan(const struct lt_session *s, const struct lt_data *data,
                    const Lt__V1__TrainingPlan *plan, const struct lt_shares *shares,
                    const struct lt_limits *limits, const struct lt_memory_use *use,
                    struct lt_memory_plan *out)
{
    const struct lt_comm_config comm = {.world = shares->world};
    struct lt_session_cost cost;

    lt_session_cost(s, &cost);
    *out = (struct lt_memory_plan){
        .persistent = cost.persistent_bytes,
        .arena = cost.arena_bytes,
        .device = cost.overhead_bytes,
        .snapshot = use->snapshot ? snapshot_bytes(s) : 0,
        .batches = batch_bytes(data, plan, shares, limits, use->splits),
        .process = PROCESS_BYTES + lt_comm_bytes(&comm),
    };
    out->total =
        out->persistent + out->arena + out->device + out->snapshot + out->batches + out->process;
}
