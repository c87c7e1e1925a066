/* shares.c - how the samples of a batch are shared out over ranks and slices */
#include <errno.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/session/session.h"

static int64_t samples(uint64_t n)
{
    return (int64_t)LT_MIN(n, (uint64_t)1 << 31);
}

static int divide(const struct lt_shares *s, int parts, const char *what, struct lt_error *err)
{
    if (s->all % parts == 0)
        return 0;
    return lt_error_set(err, -EINVAL,
                        "data.global_batch_size: %lld samples can't be shared out evenly over %d %s",
                        (long long)s->all, parts, what);
}

int lt_shares_of(const Lt__V1__TrainingPlan *plan, int world, struct lt_shares *out,
                 struct lt_error *err)
{
    const Lt__V1__Data *d = plan->data;
    const Lt__V1__Trainer *t = plan->trainer;
    bool elastic = t && t->reproducible == LT__V1__TRAINER__REPRODUCIBLE__elastic;
    int rc = 0;

    *out = (struct lt_shares){.world = LT_MAX(world, 1), .local = 1};
    if (elastic)
        out->slices = (int)LT_MIN(t->logical_shards, (uint64_t)LT_SLICES_MAX + 1);
    if (d && d->has_batch_size)
        out->all = samples(d->batch_size) * out->world;
    else if (d && d->has_global_batch_size)
        out->all = samples(d->global_batch_size);
    if (out->all < 1)
        return lt_error_set(err, -EINVAL, "data.batch_size: the plan gives no batch size");
    if (out->slices > LT_SLICES_MAX)
        return lt_error_set(err, -EINVAL, "trainer.logical_shards: more than %d", LT_SLICES_MAX);
    if (out->slices && out->slices % out->world)
        return lt_error_set(err, -EINVAL,
                            "trainer.logical_shards: %d slices can't be shared out evenly over %d "
                            "ranks",
                            out->slices, out->world);
    rc = out->slices ? divide(out, out->slices, "slices (trainer.logical_shards)", err)
                     : divide(out, out->world, "ranks", err);
    if (out->slices)
        out->local = out->slices / out->world;
    out->batch = out->all / out->world;
    return rc;
}
