/* metrics.c - which metrics a plan will log, known before it starts
 *
 * train_loss per step, val_loss and test_loss per epoch; a metric `acc` likewise, unless it says
 * otherwise. One that is logged both ways has three names: acc_step and acc_epoch for loggers, acc
 * for callbacks. Learning rates have a name where a learning_rate_monitor asks for them: lr-Adam.
 */
#include "base/arena.h"
#include "base/auto.h"
#include "proto/checks.h"
#include "proto/plan.h"

#define NAMES_MAX 4096

struct names {
    struct lt_arena *arena;
    const char **items;
    size_t n;
};

static void add(struct names *s, const char *name)
{
    if (name && s->n + 1 < NAMES_MAX)
        s->items[s->n++] = name;
}

static void add_metric(struct names *s, const char *stage, const char *name, bool on_step,
                       bool on_epoch)
{
    if (on_step || on_epoch)
        add(s, lt_arena_format(s->arena, "%s_%s", stage, name));
    if (on_step && on_epoch) {
        add(s, lt_arena_format(s->arena, "%s_%s_step", stage, name));
        add(s, lt_arena_format(s->arena, "%s_%s_epoch", stage, name));
    }
}

static void add_stage(struct names *s, const Lt__V1__TrainingPlan *plan, const char *stage,
                      bool training)
{
    add_metric(s, stage, "loss", training, !training);
    for (size_t i = 0; plan->step && i < plan->step->n_metrics; i++) {
        const Lt__V1__Metric *m = plan->step->metrics[i];
        const Lt__V1__Accuracy *a =
            m->metric_case == LT__V1__METRIC__METRIC_ACCURACY ? m->accuracy : NULL;

        if (a)
            add_metric(s, stage, a->name, a->has_on_step ? a->on_step : training,
                       a->has_on_epoch ? a->on_epoch : !training);
    }
}

static void add_rates(struct names *s, const Lt__V1__TrainingPlan *plan)
{
    static const char *const classes[] = {
        [LT__V1__OPTIMIZER__OPTIMIZER_SGD] = "SGD",
        [LT__V1__OPTIMIZER__OPTIMIZER_ADAM] = "Adam",
        [LT__V1__OPTIMIZER__OPTIMIZER_ADAMW] = "AdamW",
    };
    const unsigned which = plan->optimizer ? plan->optimizer->optimizer_case : 0;
    const char *class = which < LT_ARRAY_LEN(classes) ? classes[which] : NULL;

    for (size_t i = 0; class && i < plan->n_callbacks; i++) {
        const Lt__V1__Callback *cb = plan->callbacks[i];

        if (cb->callback_case != LT__V1__CALLBACK__CALLBACK_LEARNING_RATE_MONITOR)
            continue;
        add(s, lt_arena_format(s->arena, "lr-%s", class));
        if (cb->learning_rate_monitor->log_momentum)
            add(s, lt_arena_format(s->arena, "lr-%s-momentum", class));
        if (cb->learning_rate_monitor->log_weight_decay)
            add(s, lt_arena_format(s->arena, "lr-%s-weight_decay", class));
    }
}

bool lt_limit_is_zero(const Lt__V1__BatchLimit *l)
{
    if (!l)
        return false;
    if (l->value_case == LT__V1__BATCH_LIMIT__VALUE_COUNT)
        return l->count == 0;
    return l->value_case == LT__V1__BATCH_LIMIT__VALUE_FRACTION && l->fraction == 0;
}

bool lt_plan_validates(const Lt__V1__TrainingPlan *plan)
{
    const Lt__V1__Trainer *t = plan->trainer;

    return plan->data && plan->data->val && !(t && lt_limit_is_zero(t->limit_val_batches));
}

const char *const *lt_plan_metric_names(const Lt__V1__TrainingPlan *plan, struct lt_arena *arena)
{
    static const char *const nothing[] = {NULL};
    struct names s = {.arena = arena, .items = lt_arena_alloc(arena, NAMES_MAX * sizeof(char *))};

    if (!s.items)
        return nothing;
    add_stage(&s, plan, "train", true);
    if (lt_plan_validates(plan))
        add_stage(&s, plan, "val", false);
    if (plan->data && plan->data->test)
        add_stage(&s, plan, "test", false);
    add_rates(&s, plan);
    add(&s, "epoch");
    add(&s, "step");
    return s.items; /* the arena's memory is zeroed, so NULL-ended */
}
