/* check_step.c - loss, metrics, optimiser and schedule */
#include <string.h>
#include "base/auto.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"

/* Names under which the plan sees the source's fields. */
static bool is_field(const Lt__V1__Data *d, const char *name)
{
    if (!d || !d->n_fields)
        return !strcmp(name, "image") || !strcmp(name, "label");
    for (size_t i = 0; i < d->n_fields; i++)
        if (lt_str_eq(d->fields[i]->value, name))
            return true;
    return false;
}

static void check_target(const struct lt_check *c, const char *path, const char *target)
{
    if (target && c->plan->data && !is_field(c->plan->data, target))
        lt_problem_add(c->problems, lt_check_path(c, "%s.target", path),
                       c->plan->data->n_fields ? "write one of the names in data.fields"
                                               : "write label",
                       "`%.60s`: no field of the data", target);
}

static void check_input(const struct lt_check *c, const char *path, const char *input)
{
    if (input && c->plan->model && c->plan->model->n_layers)
        lt_problem_add(c->problems, lt_check_path(c, "%s.input", path),
                       "leave it out: the model's output is meant",
                       "`%.60s`: a model of layers has one output, without a name", input);
}

static void check_loss(const struct lt_check *c, const Lt__V1__Loss *l)
{
    if (l->loss_case == LT__V1__LOSS__LOSS_CROSS_ENTROPY) {
        check_target(c, "step.loss.cross_entropy", l->cross_entropy->target);
        check_input(c, "step.loss.cross_entropy", l->cross_entropy->input);
    } else if (l->loss_case == LT__V1__LOSS__LOSS_MSE) {
        check_target(c, "step.loss.mse", l->mse->target);
        check_input(c, "step.loss.mse", l->mse->input);
    }
}

static bool is_metric_name(const char *s)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    return *s && strlen(s) <= 100 && strspn(s, allowed) == strlen(s);
}

static void check_accuracy(const struct lt_check *c, const Lt__V1__Accuracy *a, const char *path)
{
    const bool train = (a->has_on_step ? a->on_step : true) || (a->has_on_epoch && a->on_epoch);
    const bool other = (a->has_on_epoch ? a->on_epoch : true) || (a->has_on_step && a->on_step);

    if (!is_metric_name(a->name))
        lt_problem_add(c->problems, lt_check_path(c, "%s.name", path),
                       "use letters, digits, `_`, `-` and `.`", "`%.60s` can't be a metric's name",
                       a->name);
    if (!train || !other)
        lt_problem_add(c->problems, lt_check_path(c, "%s", path), "set on_step or on_epoch to true",
                       "is logged neither per step nor per epoch in %s",
                       train ? "validation and test" : "training");
    check_target(c, path, a->target);
    check_input(c, path, a->input);
}

static const char *metric_name(const Lt__V1__Metric *m)
{
    return m->metric_case == LT__V1__METRIC__METRIC_ACCURACY ? m->accuracy->name : NULL;
}

static void check_metrics(const struct lt_check *c, const Lt__V1__Step *s)
{
    for (size_t i = 0; i < s->n_metrics; i++) {
        const char *name = metric_name(s->metrics[i]);
        const char *path = lt_check_path(&(struct lt_check){.arena = c->arena, .at = ""},
                                         "step.metrics[%zu].accuracy", i);

        if (!name)
            continue;
        check_accuracy(c, s->metrics[i]->accuracy, path);
        if (!strcmp(name, "loss"))
            lt_problem_add(c->problems, lt_check_path(c, "%s.name", path), "choose another name",
                           "`loss` is the loss's own name");
        for (size_t k = 0; k < i; k++)
            if (lt_str_eq(name, metric_name(s->metrics[k])))
                lt_problem_add(c->problems, lt_check_path(c, "step.metrics[%zu]", i),
                               "give it a `name` of its own",
                               "metrics %zu and %zu are both called `%.60s`", k, i, name);
    }
}

static void check_optimizer(const struct lt_check *c, const Lt__V1__Optimizer *o)
{
    const Lt__V1__Sgd *s = o->optimizer_case == LT__V1__OPTIMIZER__OPTIMIZER_SGD ? o->sgd : NULL;

    if (s && s->nesterov && (s->momentum <= 0 || s->dampening != 0))
        lt_problem_add(c->problems, lt_check_path(c, "optimizer.sgd.nesterov"),
                       "set momentum above 0 and dampening to 0",
                       "nesterov needs momentum and no dampening");
}

/* Both are legal; together they seldom mean what was wanted. */
static void check_schedule(const struct lt_check *c, const Lt__V1__LrScheduler *s)
{
    const Lt__V1__CosineAnnealing *a =
        s->scheduler_case == LT__V1__LR_SCHEDULER__SCHEDULER_COSINE_ANNEALING ? s->cosine_annealing
                                                                              : NULL;
    const Lt__V1__Trainer *t = c->plan->trainer;
    const bool by_step = a && a->interval == LT__V1__INTERVAL__step;
    const int64_t limit = !a || !t            ? -1
                          : by_step           ? t->max_steps
                          : t->has_max_epochs ? t->max_epochs
                                              : -1;

    if (a && a->has_t_max && a->t_max && a->frequency && limit > 0 &&
        a->t_max * a->frequency != (uint64_t)limit)
        lt_problem_warn(c->problems, lt_check_path(c, "lr_scheduler.cosine_annealing.T_max"),
                        "make them equal, unless the schedule is meant to end elsewhere",
                        "T_max spans %llu %s, but trainer.%s is %lld",
                        (unsigned long long)(a->t_max * a->frequency), by_step ? "steps" : "epochs",
                        by_step ? "max_steps" : "max_epochs", (long long)limit);
}

void lt_check_step(const struct lt_check *c)
{
    const Lt__V1__TrainingPlan *p = c->plan;

    if (p->n_steps) {
        lt_problem_add(c->problems, lt_check_path(c, "steps"),
                       "write step, optimizer and lr_scheduler for one",
                       "several step programs aren't supported yet by this version");
        if (p->step || p->optimizer || p->lr_scheduler)
            lt_problem_add(c->problems, lt_check_path(c, "steps"), "keep one of the two forms",
                           "steps excludes step, optimizer and lr_scheduler");
        return;
    }
    if (!p->step)
        lt_problem_add(c->problems, lt_check_path(c, "step"), "write `step: {loss: cross_entropy}`",
                       "is missing");
    if (!p->optimizer)
        lt_problem_add(c->problems, lt_check_path(c, "optimizer"),
                       "write `optimizer: {adam: {lr: 1e-3}}`", "is missing");
    if (p->step && p->step->loss)
        check_loss(c, p->step->loss);
    if (p->step)
        check_metrics(c, p->step);
    if (p->optimizer)
        check_optimizer(c, p->optimizer);
    if (p->lr_scheduler)
        check_schedule(c, p->lr_scheduler);
}
