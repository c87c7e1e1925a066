/* check_data.c - data: splits, ranges, batches, names of fields */
#include <string.h>
#include "base/auto.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/checks.h"
#include "proto/plan.h"

/* Of the idx source. */
static const char *const splits[] = {"train", "test"};
static const char *const fields[] = {"image", "label"};

static void check_split_name(const struct lt_check *c, const Lt__V1__Split *s, const char *name)
{
    const char *near;

    if (!s->split)
        return;
    for (size_t i = 0; i < LT_ARRAY_LEN(splits); i++)
        if (!strcmp(s->split, splits[i]))
            return;
    near = lt_suggest(s->split, splits, LT_ARRAY_LEN(splits));
    lt_problem_add(c->problems, lt_check_path(c, "data.%s.split", name),
                   near ? lt_check_path(&(struct lt_check){.arena = c->arena, .at = ""},
                                        "did you mean `%s`?", near)
                        : "write train or test; a part of one is given by `range`",
                   "`%.60s`: idx files have no such split", s->split);
}

static void check_range(const struct lt_check *c, const Lt__V1__Split *s, const char *name)
{
    if (s->n_range == 2 && s->range[0] >= s->range[1])
        lt_problem_add(c->problems, lt_check_path(c, "data.%s.range", name),
                       "write [first, last + 1]: the end isn't part of it",
                       "[%llu, %llu] holds no sample", (unsigned long long)s->range[0],
                       (unsigned long long)s->range[1]);
}

static void check_transforms(const struct lt_check *c, Lt__V1__Transform *const *t, size_t n,
                             const char *prefix)
{
    for (size_t i = 0; i < n; i++) {
        const Lt__V1__Normalize *z =
            t[i]->transform_case == LT__V1__TRANSFORM__TRANSFORM_NORMALIZE ? t[i]->normalize : NULL;

        if (z && z->n_mean && z->n_std && z->n_mean != z->n_std)
            lt_problem_add(c->problems, lt_check_path(c, "%s.transforms[%zu].normalize", prefix, i),
                           "give one value, or one per channel, of each",
                           "%zu means but %zu standard deviations", z->n_mean, z->n_std);
    }
}

static void check_split(const struct lt_check *c, const Lt__V1__Split *s, const char *name)
{
    if (!s)
        return;
    if (c->plan->data->source && c->plan->data->source->source_case == LT__V1__SOURCE__SOURCE_IDX)
        check_split_name(c, s, name);
    check_range(c, s, name);
    check_transforms(
        c, s->transforms, s->n_transforms,
        lt_check_path(&(struct lt_check){.arena = c->arena, .at = ""}, "data.%s", name));
}

/* What is trained on shouldn't measure the training. Allowed, but said. */
static void check_overlap(const struct lt_check *c, const Lt__V1__Split *train,
                          const Lt__V1__Split *other, const char *name)
{
    const bool ranged = train && other && train->n_range == 2 && other->n_range == 2;

    if (!train || !other || !lt_str_eq(train->split, other->split) || train->n_range % 2 ||
        other->n_range % 2)
        return;
    if (ranged && (train->range[1] <= other->range[0] || other->range[1] <= train->range[0]))
        return;
    lt_problem_warn(c->problems, lt_check_path(c, "data.%s", name),
                    "give both a `range` that doesn't overlap", "shares samples with data.train");
}

static void check_batch_size(const struct lt_check *c, const Lt__V1__Data *d)
{
    if (d->has_batch_size && d->has_global_batch_size)
        lt_problem_add(c->problems, lt_check_path(c, "data.global_batch_size"),
                       "keep batch_size (per rank) or global_batch_size (over all ranks)",
                       "batch_size and global_batch_size are both given");
    if (!d->has_batch_size && !d->has_global_batch_size)
        lt_problem_add(c->problems, lt_check_path(c, "data.batch_size"), "write `batch_size: 32`",
                       "is missing");
}

static void check_fields(const struct lt_check *c, const Lt__V1__Data *d)
{
    for (size_t i = 0; i < d->n_fields; i++) {
        const Lt__V1__Data__FieldsEntry *e = d->fields[i];
        const char *near = e->key ? lt_suggest(e->key, fields, LT_ARRAY_LEN(fields)) : NULL;

        if (!e->value || !*e->value)
            lt_problem_add(c->problems, lt_check_path(c, "data.fields.%s", e->key ? e->key : ""),
                           "write {image: x, label: y}", "gives the field no name");
        if (e->key && strcmp(e->key, "image") != 0 && strcmp(e->key, "label") != 0)
            lt_problem_add(c->problems, lt_check_path(c, "data.fields.%s", e->key),
                           near ? near : "the source has image and label",
                           "`%.60s`: no field of the source", e->key);
        for (size_t k = 0; k < i; k++)
            if (e->value && lt_str_eq(e->value, d->fields[k]->value))
                lt_problem_add(
                    c->problems, lt_check_path(c, "data.fields.%s", e->key ? e->key : ""),
                    "give each field a name of its own", "`%.60s` names two fields", e->value);
    }
}

void lt_check_data(const struct lt_check *c)
{
    const Lt__V1__Data *d = c->plan->data;

    if (!d) {
        lt_problem_add(c->problems, lt_check_path(c, "data"),
                       "write `data: {source: …, train: …, batch_size: …}`", "is missing");
        return;
    }
    if (!d->train)
        lt_problem_add(c->problems, lt_check_path(c, "data.train"), "write `train: {split: train}`",
                       "is missing");
    check_split(c, d->train, "train");
    check_split(c, d->val, "val");
    check_split(c, d->test, "test");
    check_split(c, d->predict, "predict");
    check_overlap(c, d->train, d->val, "val");
    check_overlap(c, d->train, d->test, "test");
    check_batch_size(c, d);
    check_transforms(c, d->transforms, d->n_transforms, "data");
    check_fields(c, d);
}

uint64_t lt_plan_train_batches(const Lt__V1__TrainingPlan *plan)
{
    const Lt__V1__Data *d = plan->data;
    const uint64_t batch = !d                  ? 0
                           : d->has_batch_size ? d->batch_size * lt_plan_world(plan)
                                               : d->global_batch_size;
    uint64_t samples, batches;
    const Lt__V1__BatchLimit *l = plan->trainer ? plan->trainer->limit_train_batches : NULL;

    if (!batch || !d->train || d->train->n_range != 2 || d->train->range[0] >= d->train->range[1])
        return 0;
    samples = d->train->range[1] - d->train->range[0];
    batches = samples / batch + (samples % batch && !d->drop_last);
    if (l && l->value_case == LT__V1__BATCH_LIMIT__VALUE_COUNT)
        return LT_MIN(batches, l->count);
    if (l && l->value_case == LT__V1__BATCH_LIMIT__VALUE_FRACTION && l->fraction >= 0 &&
        l->fraction <= 1)
        return (uint64_t)((double)batches * l->fraction);
    return batches;
}
