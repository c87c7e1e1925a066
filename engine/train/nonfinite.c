/* nonfinite.c - after an update that was left out: stop, go on, or go back
 *
 * Going back means weights, buffers and optimiser; the position, the schedules, the callbacks and
 * what was logged stay: training goes on with the data behind the bad batch, and no step is logged
 * twice. Where it goes back to is part of every checkpoint's state (struct lt_rollback), so that an
 * attempt that begins again meets the same batch with the same end.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/trainer.h"

#define ROLLBACKS_MAX 3 /* to the same weights */

bool lt_trainer_rolls_back(const struct lt_trainer *t)
{
    return t->t->on_nonfinite == LT__V1__TRAINER__NON_FINITE__rollback;
}

uint64_t lt_trainer_rollback_times(const struct lt_trainer *t)
{
    return t->pos.updates > t->rollback.updates ? 0 : t->rollback.times;
}

static int put_rolled_back(struct lt_trainer *t, const char *from, struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__RolledBack b = LT__V1__ROLLED_BACK__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_ROLLED_BACK;
    r.rolled_back = &b;
    b.has_step = b.has_times = true;
    b.step = t->pos.step - 1;
    b.times = t->rollback.times;
    b.checkpoint = (char *)(uintptr_t)from;
    return lt_journal_put(t->c, &r, false, err);
}

static int give_up(struct lt_trainer *t, struct lt_error *err)
{
    t->result->class = LT__V1__FAILURE_CLASS__CLASS_NONFINITE;
    return lt_error_set(err, -EDOM,
                        "still not finite after %d rollbacks to the same weights, update %" PRIu64,
                        ROLLBACKS_MAX, t->pos.step - 1);
}

static int roll_back(struct lt_trainer *t, struct lt_error *err)
{
    LT_AUTO(lt_free) char *from = NULL;
    int rc = lt_trainer_finish_saves(t, err); /* the one under way may be where it goes */

    if (rc == 0)
        rc = lt_ranks_tell_u64(t, &t->rollback.times, err); /* rank 0 knows what was saved */
    if (rc < 0)
        return rc;
    if (++t->rollback.times > ROLLBACKS_MAX)
        return give_up(t, err);
    rc = lt_trainer_rollback(t, &from, err);
    if (rc < 0)
        return lt_error_prefix(err, "rollback");
    t->rollback.updates = t->pos.updates;
    lt_trainer_say(t, "rolled back to the weights of %s", from ? from : "the start");
    return put_rolled_back(t, from, err);
}

int lt_trainer_not_finite(struct lt_trainer *t, double loss, struct lt_error *err)
{
    t->skipped++;
    if (t->t->on_nonfinite == LT__V1__TRAINER__NON_FINITE__stop) {
        t->result->class = LT__V1__FAILURE_CLASS__CLASS_NONFINITE;
        return lt_error_set(err, -EDOM,
                            "loss or gradient is not finite (loss %g) at update %" PRIu64
                            ", epoch %" PRIu64 ", batch %" PRIu64,
                            fabs(loss), t->pos.step - 1, t->pos.epoch, t->pos.batch - 1);
    }
    if ((t->skipped & (t->skipped - 1)) ==
        0) /* 1, 2, 4, 8 …: a run that is lost must not fill the log */
        lt_trainer_say(t,
                       "update %" PRIu64
                       " left out: loss or gradient is not finite (loss %g; %" PRIu64 " so far)",
                       t->pos.step - 1, fabs(loss), t->skipped);
    return lt_trainer_rolls_back(t) ? roll_back(t, err) : 0;
}
