/* metrics.c - schema, accumulators and names of what a plan measures */
#include "engine/train/metrics.h"

#include <math.h>
#include <stddef.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const stage_names[LT_STAGE_KINDS] = {"train", "val", "test"};

static void name_keys(struct lt_quantity *q)
{
    for (int s = 0; s < LT_STAGE_KINDS; s++) {
        bool both = q->on_step[s] && q->on_epoch[s];

        if (q->on_step[s])
            q->step_key[s] = lt_format("%s_%s%s", stage_names[s], q->name, both ? "_step" : "");
        if (q->on_epoch[s])
            q->epoch_key[s] = lt_format("%s_%s%s", stage_names[s], q->name, both ? "_epoch" : "");
        if (both)
            q->bare_key[s] = lt_format("%s_%s", stage_names[s], q->name);
    }
}

static void add_loss(struct lt_metrics *m)
{
    struct lt_quantity *q = &m->q[m->n++];

    *q = (struct lt_quantity){
        .name = "loss", .reduce = LT__V1__REDUCE__mean, .logger = true, .prog_bar = true};
    q->on_step[LT_TRAIN_STAGE] = q->on_epoch[LT_VAL_STAGE] = q->on_epoch[LT_TEST_STAGE] = true;
    q->out_sum = lt_strdup("loss.sum");
    q->out_weight = lt_strdup("loss.weight");
    name_keys(q);
}

static void add_accuracy(struct lt_metrics *m, const Lt__V1__Accuracy *a)
{
    struct lt_quantity *q = &m->q[m->n++];

    *q = (struct lt_quantity){
        .name = a->name, .reduce = a->reduce, .logger = a->logger, .prog_bar = a->prog_bar};
    for (int s = 0; s < LT_STAGE_KINDS; s++) {
        q->on_step[s] = a->has_on_step ? a->on_step : s == LT_TRAIN_STAGE;
        q->on_epoch[s] = a->has_on_epoch ? a->on_epoch : s != LT_TRAIN_STAGE;
    }
    q->out_sum = lt_format("%s.sum", a->name);
    q->out_weight = lt_format("%s.weight", a->name);
    name_keys(q);
}

void lt_metrics_init(struct lt_metrics *m, const Lt__V1__Step *step)
{
    *m = (struct lt_metrics){.n = 0};
    add_loss(m);
    for (size_t i = 0; step && i < step->n_metrics && m->n < LT_QUANTITIES_MAX; i++)
        if (step->metrics[i]->metric_case == LT__V1__METRIC__METRIC_ACCURACY)
            add_accuracy(m, step->metrics[i]->accuracy);
}

void lt_metrics_done(struct lt_metrics *m)
{
    for (int i = 0; i < m->n; i++) {
        struct lt_quantity *q = &m->q[i];

        lt_free(q->out_sum);
        lt_free(q->out_weight);
        for (int s = 0; s < LT_STAGE_KINDS; s++) {
            lt_free(q->step_key[s]);
            lt_free(q->epoch_key[s]);
            lt_free(q->bare_key[s]);
        }
    }
    m->n = 0;
}

void lt_sum_merge(struct lt_sum *s, Lt__V1__Reduce reduce, const struct lt_sum *more)
{
    if (more->weight == 0)
        return;
    if (reduce == LT__V1__REDUCE__mean || reduce == LT__V1__REDUCE__sum)
        s->sum += more->sum;
    else if (s->weight == 0 || isnan(more->sum))
        s->sum = more->sum;
    else if (!isnan(s->sum))
        s->sum = reduce == LT__V1__REDUCE__min ? fmin(s->sum, more->sum) : fmax(s->sum, more->sum);
    s->weight += more->weight;
}

void lt_sum_add(struct lt_sum *s, Lt__V1__Reduce reduce, double sum, double weight)
{
    struct lt_sum batch = {sum, weight};

    if (reduce != LT__V1__REDUCE__mean)
        batch = (struct lt_sum){sum / weight, 1}; /* the value of this batch */
    lt_sum_merge(s, reduce, &batch);
}

double lt_sum_value(const struct lt_sum *s, Lt__V1__Reduce reduce)
{
    if (s->weight == 0)
        return (double)NAN;
    return reduce == LT__V1__REDUCE__mean ? s->sum / s->weight : s->sum;
}

static struct lt_value_entry *entry_of(struct lt_values *v, const char *name)
{
    for (int i = 0; i < v->n; i++)
        if (lt_str_eq(v->items[i].name, name))
            return &v->items[i];
    return NULL;
}

void lt_values_restore(struct lt_values *v, const struct lt_value_entry *e)
{
    struct lt_value_entry *to = entry_of(v, e->name);

    if (to)
        *to = (struct lt_value_entry){to->name, e->value, e->x, e->version};
}

void lt_values_declare(struct lt_values *v, const char *name)
{
    if (name && !entry_of(v, name) && v->n < (int)LT_ARRAY_LEN(v->items))
        v->items[v->n++] = (struct lt_value_entry){.name = name, .value = (double)NAN};
}

void lt_values_set(struct lt_values *v, const char *name, double value, uint64_t x)
{
    struct lt_value_entry *e;

    lt_values_declare(v, name);
    e = entry_of(v, name);
    if (!e)
        return;
    e->value = value;
    e->x = x;
    e->version++;
}

const struct lt_value_entry *lt_values_find(const struct lt_values *v, const char *name)
{
    for (int i = 0; i < v->n; i++)
        if (v->items[i].version && lt_str_eq(v->items[i].name, name))
            return &v->items[i];
    return NULL;
}

const struct lt_value_entry *lt_values_declared(const struct lt_values *v, const char *name)
{
    for (int i = 0; i < v->n; i++)
        if (lt_str_eq(v->items[i].name, name))
            return &v->items[i];
    return NULL;
}
