/* play.c - see play.h */
#include "tests/golden/play.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/data/order.h"
#include "engine/session/session.h"
#include "engine/train/schedule.h"
#include "proto/text/text.h"
#include "tests/support/team.h"

#define INPUTS_MAX 16
#define WORLD_MAX 8

/* One rank. */
struct player {
    const struct golden_case *c;
    const Lt__V1__TrainingPlan *plan;
    const struct lt_backend *backend;
    const struct lt_operand *x, *y, *batches;
    struct lt_comm *comm;
    int rank, world;
    struct lt_shares shares;
    struct lt_session *session;
    char *x_rows, *y_rows; /* of the batch under way */
    float *weight;
    int64_t *index, rng_step, opt_step;
    double lr;
    double *loss; /* of each update */
    struct lt_error err;
    int rc;
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

static int session_open(struct player *p, struct lt_error *err)
{
    struct lt_field fields[] = {field_of("x", p->x), field_of("label", p->y)};
    struct lt_session_config config = {.plan = p->plan,
                                       .fields = fields,
                                       .n_fields = 2,
                                       .backend = p->backend,
                                       .device = {.comm = p->comm},
                                       .world = p->world};
    int rc = lt_shares_of(p->plan, p->world, &p->shares, err);

    return rc ? rc : lt_session_open(&config, &p->session, err);
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

static size_t row_bytes(const struct lt_operand *o)
{
    return (size_t)(o->count / o->dim[0]) * lt_dtype_sizes[o->dtype];
}

/* This rank's samples of the n from `first` on, as the loader shares them out. */
static int64_t share(struct player *p, int64_t first, int64_t n)
{
    uint32_t parts = (uint32_t)(p->world * p->shares.local), at[256];
    struct lt_order o = {.samples = (uint64_t)n,
                         .batch_size = (uint64_t)(p->shares.all / parts),
                         .world = parts};
    int64_t each = (int64_t)lt_order_size(&o, 0), k = 0;
    size_t x = row_bytes(p->x), y = row_bytes(p->y);

    for (int s = 0; s < p->shares.local; s++) {
        o.rank = (uint32_t)(p->rank * p->shares.local + s);
        lt_order_batch(&o, 0, at, p->weight + k);
        for (int64_t i = 0; i < each; i++, k++) {
            p->index[k] = first + at[i];
            memcpy(p->x_rows + (size_t)k * x,
                   (const char *)p->x->data + (size_t)p->index[k] * x, x);
            memcpy(p->y_rows + (size_t)k * y,
                   (const char *)p->y->data + (size_t)p->index[k] * y, y);
        }
    }
    return k;
}

static int run(struct player *p, enum lt_program_kind kind, int64_t first, int64_t n,
               struct lt_error *err)
{
    const struct {
        const char *name;
        const void *data;
    } all[] = {{"x", p->x_rows},
               {"label", p->y_rows},
               {"weight", p->weight},
               {"sample_index", p->index},
               {"rng_step", &p->rng_step},
               {"opt_step", &p->opt_step},
               {"lr", &p->lr}};
    const void *in[INPUTS_MAX] = {NULL};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        int at = lt_session_input(p->session, kind, all[i].name);

        if (at >= 0 && at < INPUTS_MAX)
            in[at] = all[i].data;
    }
    return lt_session_run(p->session, kind, share(p, first, n), in, err);
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

static int64_t micro_of(const struct player *p)
{
    const Lt__V1__Trainer *t = p->plan->trainer;

    return t && t->accumulate_grad_batches > 1 ? (int64_t)t->accumulate_grad_batches : 1;
}

static int updates(const struct player *p)
{
    return (int)(p->batches->dim[0] / micro_of(p));
}

static int train(struct player *p, struct lt_error *err)
{
    const int64_t *first = p->batches->data;
    struct lt_schedule schedule;
    int rc = 0;

    lt_schedule_init(&schedule, p->plan->optimizer, p->plan->lr_scheduler);
    for (int i = 0; !rc && i < updates(p); i++) {
        p->rng_step = i;
        p->opt_step = i + 1;
        p->lr = schedule.lr;
        rc = window(p, i * micro_of(p), micro_of(p), &p->loss[i], err);
        lt_schedule_step(&schedule);
    }
    if (!rc && p->world > 1)
        rc = lt_session_share_buffers(p->session, p->comm, err);
    return rc ? rc : run(p, LT_PROGRAM_EVAL, first[0], first[1], err);
}

/* One rank, from its start to the evaluation. */
static void play_rank(struct player *p)
{
    p->x_rows = lt_malloc((size_t)p->shares.batch * row_bytes(p->x) + 1);
    p->y_rows = lt_malloc((size_t)p->shares.batch * row_bytes(p->y) + 1);
    p->weight = lt_calloc((size_t)p->shares.batch, sizeof *p->weight);
    p->index = lt_calloc((size_t)p->shares.batch, sizeof *p->index);
    p->rc = session_open(p, &p->err);
    p->rc = p->rc ? p->rc : tensors_write(p, &p->err);
    p->rc = p->rc ? p->rc : train(p, &p->err);
    lt_free(p->x_rows);
    lt_free(p->y_rows);
    lt_free(p->weight);
    lt_free(p->index);
}

static void rank_main(void *arg, struct lt_comm *comm)
{
    struct player *p = (struct player *)arg + lt_comm_rank(comm);

    p->comm = comm;
    p->rank = lt_comm_rank(comm);
    play_rank(p);
    if (p->rc)
        team_break(comm);
}

/* Rank 0's session and losses are what the caller gets. */
static int play_ranks(struct player *first, struct play *out, struct lt_error *err)
{
    struct player ranks[WORLD_MAX];

    for (int r = 0; r < first->world; r++) {
        ranks[r] = *first;
        ranks[r].loss = lt_calloc((size_t)out->steps + 1, sizeof *ranks[r].loss);
    }
    team_run(first->world, rank_main, ranks);
    for (int r = 1; r < first->world; r++) {
        if (ranks[r].rc && ranks[r].rc != -EIO) /* -EIO: another one failed */
            ranks[0].rc = lt_error_set(&ranks[0].err, ranks[r].rc, "rank %d: %s", r, ranks[r].err.text);
        lt_session_close(ranks[r].session);
        lt_free(ranks[r].loss);
    }
    *first = ranks[0];
    out->session = first->session;
    out->loss = first->loss;
    return first->rc < 0 ? lt_error_set(err, first->rc, "%s", first->err.text) : 0;
}

int play_case(const struct golden_case *c, const struct lt_backend *backend, struct play *out,
              struct lt_error *err)
{
    struct player p = {.c = c,
                       .backend = backend,
                       .x = golden_tensor(c, "x", -1),
                       .y = golden_tensor(c, "label", -1),
                       .batches = golden_tensor(c, "batches", -1)};
    const char *text = golden_text(c, "world");
    uint64_t world = 1;

    *out = (struct play){.arena = lt_arena_new(0)};
    p.plan = parse(golden_text(c, "plan"), out->arena, err);
    if (!p.plan)
        return -EINVAL;
    if (!p.x || !p.y || !p.batches || p.batches->dtype != LT_I64 || p.batches->ndim != 2)
        return lt_error_set(err, -EINVAL, "the case lacks data or batches");
    if (text && (lt_parse_u64(text, &world) < 0 || world < 1 || world > WORLD_MAX))
        return lt_error_set(err, -EINVAL, "world: %s", text);
    p.world = (int)world;
    p.rc = lt_shares_of(p.plan, p.world, &p.shares, err);
    if (p.rc < 0)
        return p.rc;
    out->steps = updates(&p);
    if (play_ranks(&p, out, err) < 0)
        return p.rc;
    out->eval = scalar(&p, LT_PROGRAM_EVAL, "loss.sum") / scalar(&p, LT_PROGRAM_EVAL, "loss.weight");
    return 0;
}

void play_done(struct play *p)
{
    lt_session_close(p->session);
    lt_free(p->loss);
    lt_arena_free(p->arena);
}
