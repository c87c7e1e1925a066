/* play.c - see play.h */
#include "tests/golden/play.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "engine/session/session.h"
#include "engine/train/schedule.h"
#include "proto/text/text.h"

#define INPUTS_MAX 16

struct player {
    const struct golden_case *c;
    const struct lt_operand *x, *y, *batches;
    struct lt_session *session;
    float *weight;
    int64_t *index, rng_step, opt_step;
    double lr;
};

static const Lt__V1__TrainingPlan *parse(const char *text, struct lt_arena *arena,
                                         struct lt_error *err)
{
    struct lt_problems problems = {0};
    Lt__V1__JobSpec *spec =
        text ? lt_text_parse_spec(text, strlen(text), NULL, NULL, 0, arena, &problems) : NULL;

    if (!spec)
        lt_error_set(err, -EINVAL, "plan: %s",
                     problems.len ? problems.items[0].reason : "not there");
    lt_problems_done(&problems);
    return spec ? spec->plan : NULL;
}

static struct lt_field field_of(const char *name, const struct lt_operand *o)
{
    struct lt_field f = {.name = name, .dtype = o->dtype, .ndim = o->ndim - 1};

    for (int i = 1; i < o->ndim; i++)
        f.dim[i - 1] = o->dim[i];
    return f;
}

static int session_open(struct player *p, const Lt__V1__TrainingPlan *plan,
                        const struct lt_backend *backend, struct lt_error *err)
{
    struct lt_field fields[] = {field_of("x", p->x), field_of("label", p->y)};
    struct lt_session_config config = {
        .plan = plan, .fields = fields, .n_fields = 2, .backend = backend};

    return lt_session_open(&config, &p->session, err);
}

/* In the session's type. */
static int tensor_write(struct lt_session *s, int i, const struct lt_operand *from,
                        struct lt_error *err)
{
    const struct lt_tensor_info *t = lt_session_tensor(s, i);
    void *data = lt_malloc(t->bytes + 1);
    int rc;

    for (int64_t k = 0; t->dtype != from->dtype && k < from->count; k++)
        lt_dtype_store(t->dtype, data, k, lt_dtype_load(from->dtype, from->data, k));
    rc = lt_session_write(s, i, t->dtype == from->dtype ? from->data : data, err);
    lt_free(data);
    return rc;
}

/* Every tensor that the case has a start for. */
static int tensors_write(struct player *p, struct lt_error *err)
{
    int rc = lt_session_init(p->session, err), found = 0;

    for (int i = 0; !rc && i < lt_session_n_tensors(p->session); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(p->session, i);
        char key[200];
        const struct lt_operand *start;

        snprintf(key, sizeof key, "init/%s", t->name);
        start = golden_tensor(p->c, key, -1);
        if (!start && (t->kind == LT_VALUE_PARAM || t->kind == LT_VALUE_BUFFER))
            return lt_error_set(err, -EINVAL, "no start for %s", t->name);
        if (!start)
            continue;
        if (t->bytes != (size_t)start->count * lt_dtype_sizes[t->dtype])
            return lt_error_set(err, -EINVAL, "%s has another size", t->name);
        rc = tensor_write(p->session, i, start, err);
        found++;
    }
    for (int i = 0; !rc && i < p->c->n; i++)
        found -= !strncmp(p->c->items[i].key, "init/", 5);
    return rc || !found ? rc : lt_error_set(err, -EINVAL, "the session lacks some of the tensors");
}

static int run(struct player *p, enum lt_program_kind kind, int64_t first, int64_t n,
               struct lt_error *err)
{
    const size_t row_x = (size_t)(p->x->count / p->x->dim[0]) * lt_dtype_sizes[p->x->dtype];
    const size_t row_y = (size_t)(p->y->count / p->y->dim[0]) * lt_dtype_sizes[p->y->dtype];
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"x", (const char *)p->x->data + (size_t)first * row_x},
               {"label", (const char *)p->y->data + (size_t)first * row_y},
               {"weight", p->weight + first},
               {"sample_index", p->index + first},
               {"rng_step", &p->rng_step},
               {"opt_step", &p->opt_step},
               {"lr", &p->lr}};
    const void *in[INPUTS_MAX] = {NULL};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(p->session, kind, all[i].name);

        if (at >= 0 && at < INPUTS_MAX)
            in[at] = all[i].data;
    }
    return lt_session_run(p->session, kind, n, in, err);
}

static double scalar(const struct player *p, enum lt_program_kind kind, const char *name)
{
    int at = lt_session_output(p->session, kind, name);

    return at < 0 ? 0.0 / 0.0 : lt_session_scalar(p->session, at);
}

/* One update: all batches of its window. */
static int window(struct player *p, int64_t at, int64_t micro, double *loss, struct lt_error *err)
{
    const int64_t *b = (const int64_t *)p->batches->data + 2 * at;
    int rc = 0;

    for (int64_t k = 0; !rc && k < micro; k++)
        rc =
            run(p, k + 1 < micro ? LT_PROGRAM_MICRO : LT_PROGRAM_STEP, b[2 * k], b[2 * k + 1], err);
    *loss = scalar(p, LT_PROGRAM_STEP, "window.loss") / scalar(p, LT_PROGRAM_STEP, "window.weight");
    return rc;
}

static int train(struct player *p, const Lt__V1__TrainingPlan *plan, struct play *out,
                 struct lt_error *err)
{
    int64_t micro = plan->trainer && plan->trainer->accumulate_grad_batches > 1
                        ? (int64_t)plan->trainer->accumulate_grad_batches
                        : 1;
    const int64_t *first = p->batches->data;
    struct lt_schedule schedule;
    int rc = 0;

    lt_schedule_init(&schedule, plan->optimizer, plan->lr_scheduler);
    out->steps = (int)(p->batches->dim[0] / micro);
    out->loss = lt_calloc((size_t)out->steps + 1, sizeof *out->loss);
    for (int i = 0; !rc && i < out->steps; i++) {
        p->rng_step = i;
        p->opt_step = i + 1;
        p->lr = schedule.lr;
        rc = window(p, i * micro, micro, &out->loss[i], err);
        lt_schedule_step(&schedule);
    }
    rc = rc ? rc : run(p, LT_PROGRAM_EVAL, first[0], first[1], err);
    out->eval = scalar(p, LT_PROGRAM_EVAL, "loss.sum") / scalar(p, LT_PROGRAM_EVAL, "loss.weight");
    return rc;
}

int play_case(const struct golden_case *c, const struct lt_backend *backend, struct play *out,
              struct lt_error *err)
{
    struct player p = {.c = c,
                       .x = golden_tensor(c, "x", -1),
                       .y = golden_tensor(c, "label", -1),
                       .batches = golden_tensor(c, "batches", -1)};
    const Lt__V1__TrainingPlan *plan;
    int rc;

    *out = (struct play){.arena = lt_arena_new(0)};
    plan = parse(golden_text(c, "plan"), out->arena, err);
    if (!plan)
        return -EINVAL;
    if (!p.x || !p.y || !p.batches || p.batches->dtype != LT_I64 || p.batches->ndim != 2)
        return lt_error_set(err, -EINVAL, "the case lacks data or batches");
    p.weight = lt_calloc((size_t)p.x->dim[0] + 1, sizeof *p.weight);
    p.index = lt_calloc((size_t)p.x->dim[0] + 1, sizeof *p.index);
    for (int64_t i = 0; i < p.x->dim[0]; i++) {
        p.weight[i] = 1;
        p.index[i] = i;
    }
    rc = session_open(&p, plan, backend, err);
    rc = rc ? rc : tensors_write(&p, err);
    rc = rc ? rc : train(&p, plan, out, err);
    out->session = p.session;
    lt_free(p.weight);
    lt_free(p.index);
    return rc;
}

void play_done(struct play *p)
{
    lt_session_close(p->session);
    lt_free(p->loss);
    lt_arena_free(p->arena);
}
