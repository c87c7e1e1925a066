/* checks.h - the parts of lt_plan_validate(); used by proto/ alone
 *
 * A check looks at several fields at once and says every problem it sees, each at the field that a
 * user would change. What is unset or out of its own range is plan_rules.h's business: checks pass
 * over it in silence.
 */
#ifndef LT_PROTO_CHECKS_H
#define LT_PROTO_CHECKS_H

#include <stdbool.h>
#include "lt/v1/plan.pb-c.h"

struct lt_arena;
struct lt_buf;
struct lt_problems;

struct lt_check {
    const Lt__V1__TrainingPlan *plan; /* NULL: another kind of job */
    struct lt_problems *problems;
    struct lt_arena *arena; /* for the time of the check */
    const char *at;         /* path of the plan: "" or "plan." (an evaluation's) */
};

/* "<at><format…>": a path, in the arena. */
const char *lt_check_path(const struct lt_check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Where each message's rows are, remembered over one walk: a plan may have many thousand layers.
 * Zeroed at first. */
struct lt_rules_cache {
    struct {
        const ProtobufCMessageDescriptor *message;
        size_t first, n;
    } slots[16];
};
/* Rows of plan_rules.h for one message (not for those below it); also lengths of texts, and that
 * numbers are finite. */
void lt_rules_check(struct lt_rules_cache *cache, const ProtobufCMessage *m, struct lt_buf *path,
                    struct lt_problems *problems);

void lt_check_trainer(const struct lt_check *c);   /* limits, intervals, what this build can't do */
void lt_check_model(const struct lt_check *c);     /* one form of model; how many layers */
void lt_check_data(const struct lt_check *c);      /* splits, ranges, batch size, fields */
void lt_check_step(const struct lt_check *c);      /* loss, metrics, optimiser, schedule */
void lt_check_callbacks(const struct lt_check *c); /* monitors, file names, triggers, equal keys */
void lt_check_job(const struct lt_check *c);       /* recovery, resources, resume */
/* What every kind of job has; name and job may be NULL. */
void lt_check_job_of(const struct lt_check *c, const char *name, const Lt__V1__Job *job);
void lt_check_command(const struct lt_check *c, const Lt__V1__Command *m); /* c->plan isn't read */

/* Training batches of one epoch where the plan alone says (a split with a range), else 0. */
uint64_t lt_plan_train_batches(const Lt__V1__TrainingPlan *plan);
#define LT_PLAN_LAYERS_MAX 10000
/* More layers than a model may have, repeats written out? */
bool lt_model_is_too_deep(const Lt__V1__Model *m);
/* Will validation run? */
bool lt_plan_validates(const Lt__V1__TrainingPlan *plan);
/* Is there a limit of 0 batches? */
bool lt_limit_is_zero(const Lt__V1__BatchLimit *l);

#endif
