/* test_alike.c - what a plan can ask for, on 1 to 4 ranks: the same metrics, line by line, the
 * same weights, the same end
 *
 * A row is a plan. Its runs are compared as wholes: every value that the journal has, rollbacks,
 * checkpoints, every tensor of the last checkpoint, where each rank ended.
 */
#include "tests/train/rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/train/safetensors.h"

static const int worlds[] = {1, 2, 3, 4};
#define WORLDS 4

struct row {
    const char *what, *model, *optimizer, *step, *tail;
    int n_train, n_val, batch; /* 0: 31, 11, 12, whose last batches no ranks share evenly */
    int poisoned;              /* a sample whose loss isn't finite; 0: none */
    double tolerance;          /* 0: float32's after so few updates */
    const char *says;          /* something that its metrics, its rollbacks or its end must say */
};

#define MLP "flatten, {linear: {out_features: 8}}, tanh, {linear: {out_features: 4}}"
#define NET                                                                                        \
    "flatten, {linear: {out_features: 8}}, {batch_norm: {}}, tanh, {dropout: {p: 0.3}}, {linear: " \
    "{out_features: 4}}"
#define SGD "sgd: {lr: 0.05, momentum: 0.9}"
/* eps: gradients of the size of their own rounding must not decide the direction */
#define ADAMW "adamw: {lr: 0.01, eps: 1.0e-3}"
#define LOG "log_every_n_steps: 1, "

static const struct row rows[] = {
    {"metrics made of micro-batches, in every way", .model = NET, .optimizer = SGD,
     .step = "loss: cross_entropy, metrics: [{accuracy: {on_step: true, on_epoch: true}}, "
             "{accuracy: {name: most, reduce: max, on_step: true, on_epoch: true}}, "
             "{accuracy: {name: least, reduce: min, on_step: true, on_epoch: true}}, "
             "{accuracy: {name: all, reduce: sum, on_step: true, on_epoch: true}}]",
     .tail = "trainer: {max_epochs: 2, accumulate_grad_batches: 3, val_check_interval: 0.5, " LOG
             "sync_batchnorm: true}"},
    {"weights of classes, of samples that are missing or ignored", .model = NET,
     .optimizer = ADAMW,
     .step = "loss: {cross_entropy: {weight: [1.0, 3.0, 0.5, 0.0], ignore_index: 2, "
             "label_smoothing: 0.1}}, metrics: [accuracy]",
     .tail = "trainer: {max_epochs: 3, accumulate_grad_batches: 2, gradient_clip_val: 0.1, " LOG
             "sync_batchnorm: true}"},
    {"clipping by value", .model = MLP, .optimizer = ADAMW,
     .tail = "trainer: {max_epochs: 3, gradient_clip_val: 0.01, gradient_clip_algorithm: value, "
             LOG "}"},
    {"frozen parameters", .model = MLP "], freeze: ['1.*'", .optimizer = "adamw: {weight_decay: 0.1}",
     .tail = "trainer: {max_epochs: 2, gradient_clip_val: 0.1, " LOG "}"},
    {"a schedule by update", .model = MLP, .optimizer = SGD,
     .tail = "lr_scheduler: {cosine_annealing: {T_max: 7, interval: step}}\n"
             "trainer: {max_epochs: 2, accumulate_grad_batches: 2, " LOG "}\n"
             "callbacks: [{learning_rate_monitor: {}}]"},
    {"a schedule by epoch", .model = MLP, .optimizer = SGD,
     .tail = "lr_scheduler: {step: {step_size: 1, gamma: 0.5}}\n"
             "trainer: {max_epochs: 3, " LOG "}\ncallbacks: [{learning_rate_monitor: {}}]"},
    {"early stopping", .model = MLP, .optimizer = "sgd: {lr: 0.01}",
     .tail = "trainer: {max_epochs: 50, " LOG "}\n"
             "callbacks: [{early_stopping: {monitor: val_loss, min_delta: 5.0, patience: 3}}]",
     .says = "did not improve"},
    {"the best checkpoints", .model = NET, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 4, sync_batchnorm: true}\ncallbacks: [{model_checkpoint: "
             "{monitor: val_loss, save_top_k: 2, filename: 'm-{step}'}}]"},
    {"fewer samples than ranks", .model = MLP, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 4, " LOG "}", .n_train = 3, .n_val = 1},
    {"fewer samples than ranks in batch norms", .model = NET, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 4, sync_batchnorm: true, " LOG "}", .n_train = 3, .n_val = 1},
    {"a last batch of one", .model = MLP, .optimizer = ADAMW,
     .tail = "trainer: {max_epochs: 3, accumulate_grad_batches: 2, " LOG "}", .n_train = 25,
     .n_val = 13},
    {"updates that are left out", .poisoned = 5, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 3, on_nonfinite: skip, sync_batchnorm: true, " LOG "}",
     .says = "train_loss nan"},
    {"updates that are taken back", .poisoned = 5, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 6, on_nonfinite: rollback, sync_batchnorm: true, " LOG "}\n"
             "callbacks: [{model_checkpoint: {save_top_k: -1}}]",
     .says = "epoch=4-step=15 1\n"},
    {"64-true", .model = NET, .optimizer = ADAMW,
     .tail = "trainer: {max_epochs: 3, precision: 64-true, gradient_clip_val: 0.1, "
             "accumulate_grad_batches: 2, sync_batchnorm: true, " LOG "}",
     .tolerance = 1e-12},
    {"bf16-mixed", .model = NET, .optimizer = SGD,
     .tail = "trainer: {max_epochs: 2, precision: bf16-mixed, sync_batchnorm: true, " LOG "}",
     .tolerance = 1e-2},
};

struct run {
    struct lt_buf metrics, rollbacks, checkpoints;
    char *model; /* path of the last checkpoint's weights */
    Lt__V1__JobResult result;
    uint64_t step, epoch;
    char reason[400];
};

static void run_done(struct run *x)
{
    lt_buf_done(&x->metrics);
    lt_buf_done(&x->rollbacks);
    lt_buf_done(&x->checkpoints);
    lt_free(x->model);
}

static void run_row(struct rig *r, const struct row *row, int world, struct run *out)
{
    LT_AUTO(lt_free) char *name = lt_format("w%d", world);
    LT_BUF_AUTO last = {0};

    rig_new_run(r, name);
    r->world = world;
    rig_fit(r, row->tail, NULL);
    if (r->result.result == LT__V1__JOB_RESULT__FAILED)
        fail_msg("%s, %d ranks: %s", row->what, world, r->result.reason);
    for (int i = 1; i < world; i++) {
        assert_int_equal(r->others[i].result, r->result.result);
        assert_int_equal(r->others[i].step, r->result.step);
        assert_int_equal(r->others[i].epoch, r->result.epoch);
        assert_string_equal(r->others[i].reason, r->result.reason);
    }
    *out = (struct run){.result = r->result.result, .step = r->result.step,
                        .epoch = r->result.epoch};
    snprintf(out->reason, sizeof out->reason, "%s", r->result.reason);
    rig_metrics(r, "", &out->metrics);
    rig_rollbacks(r, &out->rollbacks);
    rig_list(r, "checkpoints", &out->checkpoints);
    rig_read(r, "last", &last);
    out->model = lt_format("%s/%s/%.*s/model.safetensors", r->dir, name, (int)last.len - 1,
                           last.data);
}

static const char *text_of(const struct lt_buf *b)
{
    return b->data ? b->data : "";
}

static bool near(double a, double b, double tolerance)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* "step epoch name value" lines: the same but for the values' rounding. Time isn't compared. */
static void near_metrics(const struct row *row, const struct lt_buf *a, const struct lt_buf *b,
                         double tolerance)
{
    const char *x = text_of(a), *y = text_of(b);

    for (; *x && *y; x = strchr(x, '\n') + 1, y = strchr(y, '\n') + 1) {
        const char *ex = strchr(x, '\n'), *ey = strchr(y, '\n'), *vx = ex, *vy = ey;

        while (vx[-1] != ' ')
            vx--;
        while (vy[-1] != ' ')
            vy--;
        if (vx - x != vy - y || memcmp(x, y, (size_t)(vx - x)) ||
            !near(strtod(vx, NULL), strtod(vy, NULL), tolerance))
            fail_msg("%s: %.*s, on one rank %.*s", row->what, (int)(ex - x), x, (int)(ey - y), y);
    }
    if (*x || *y || a->len < 10)
        fail_msg("%s: %zu and %zu bytes of metrics", row->what, a->len, b->len);
}

static double value_of(const struct lt_tensor *t, size_t i)
{
    if (t->dtype == LT_F32)
        return (double)((const float *)t->data)[i];
    return t->dtype == LT_F64 ? ((const double *)t->data)[i]
                              : (double)((const int64_t *)t->data)[i];
}

static void near_tensors(const struct row *row, const char *one, const char *other,
                         double tolerance)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *a = NULL;
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *b = NULL;

    assert_int_equal(lt_safetensors_open(one, &a, NULL), 0);
    assert_int_equal(lt_safetensors_open(other, &b, NULL), 0);
    assert_int_equal(lt_safetensors_count(a), lt_safetensors_count(b));
    for (int k = 0; k < lt_safetensors_count(a); k++) {
        const struct lt_tensor *x = lt_safetensors_at(a, k), *y = lt_safetensors_find(b, x->name);

        assert_true(y && x->bytes == y->bytes && x->dtype == y->dtype);
        for (size_t i = 0; i < x->bytes / lt_dtype_sizes[x->dtype]; i++)
            if (!near(value_of(x, i), value_of(y, i), tolerance))
                fail_msg("%s: %s[%zu] is %.9g, on one rank %.9g", row->what, x->name, i,
                         value_of(x, i), value_of(y, i));
    }
}

static void says(const struct row *row, const struct run *x)
{
    if (row->says && !strstr(text_of(&x->metrics), row->says) &&
        !strstr(text_of(&x->rollbacks), row->says) && !strstr(x->reason, row->says))
        fail_msg("%s: nothing says `%s`: %s%s", row->what, row->says, text_of(&x->rollbacks),
                 x->reason);
}

static void compare(const struct row *row, const struct run *is, const struct run *one)
{
    double tolerance = row->tolerance ? row->tolerance : 2e-5;

    assert_int_equal(is->result, one->result);
    assert_int_equal(is->step, one->step);
    assert_int_equal(is->epoch, one->epoch);
    assert_string_equal(is->reason, one->reason);
    assert_string_equal(text_of(&is->rollbacks), text_of(&one->rollbacks));
    assert_string_equal(text_of(&is->checkpoints), text_of(&one->checkpoints));
    near_metrics(row, &is->metrics, &one->metrics, LT_MAX(tolerance, 2e-5)); /* six digits */
    near_tensors(row, is->model, one->model, tolerance);
}

static void open_rig(struct rig *r, const struct row *row)
{
    rig_init(r, row->n_train ? row->n_train : 31, row->n_val ? row->n_val : 11,
             row->batch ? row->batch : 12);
    r->backend = &lt_backend_cpu;
    r->global_batch = true;
    if (row->poisoned)
        rig_poison(r, row->poisoned);
    else
        r->model = row->model;
    r->optimizer = row->optimizer;
    r->step = row->step;
}

static void ranks_end_as_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        struct run runs[WORLDS];
        struct rig r;

        open_rig(&r, &rows[i]);
        for (int w = 0; w < WORLDS; w++)
            run_row(&r, &rows[i], worlds[w], &runs[w]);
        says(&rows[i], &runs[0]);
        for (int w = 1; w < WORLDS; w++)
            compare(&rows[i], &runs[w], &runs[0]);
        for (int w = 0; w < WORLDS; w++)
            run_done(&runs[w]);
        rig_done(&r);
    }
}

static double metric(const struct rig *r, const char *name)
{
    LT_BUF_AUTO out = {0};
    const char *at = NULL;

    rig_metrics(r, name, &out);
    for (const char *p = text_of(&out); *p; p = strchr(p, '\n') + 1)
        at = p;
    assert_non_null(at);
    return strtod(strchr(strchr(strchr(at, ' ') + 1, ' ') + 1, ' '), NULL);
}

/* Each rank has statistics of its own; what is validated and saved is rank 0's. The last batch
 * leaves ranks without a sample. */
static void batch_norms_of_each_rank_validate_as_rank_0s(void **state)
{
    static const struct row row = {"batch norms of each rank", .model = NET, .optimizer = SGD,
                                   .tail = "trainer: {max_epochs: 3, " LOG "}", .n_train = 37,
                                   .n_val = 13};

    (void)state;
    for (int w = 1; w < WORLDS; w++) {
        LT_AUTO(lt_free) char *from = NULL;
        struct run run;
        struct rig r;
        double loss;

        open_rig(&r, &row);
        run_row(&r, &row, worlds[w], &run);
        loss = metric(&r, "val_loss");
        assert_true(isfinite(loss));
        r.world = 1;
        LT_BUF_AUTO last = {0};
        rig_read(&r, "last", &last);
        from = lt_format("%.*s", (int)last.len - 1, last.data);
        rig_evaluate(&r, row.tail, from, "validate");
        assert_string_equal(r.result.values[0].name, "val_loss");
        if (!near(r.result.values[0].value, loss, 2e-6))
            fail_msg("%d ranks validated with %g, their checkpoint has %g", worlds[w], loss,
                     r.result.values[0].value);
        run_done(&run);
        rig_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_end_as_one),
        cmocka_unit_test(batch_norms_of_each_rank_validate_as_rank_0s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
