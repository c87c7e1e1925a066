/* test_callbacks.c - early_stopping and model_checkpoint by themselves: sequences of values in,
 * decisions out */
#include "tests/train/rig.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/train/callback.h"
#include "engine/train/topk.h"

/* ---- early_stopping ---- */

#define END 12345.0

/* Epoch (0-based) in which it wants to stop; -1: never. */
static int stops_at(Lt__V1__EarlyStopping c, const double *losses)
{
    Lt__V1__Callback config = LT__V1__CALLBACK__INIT;
    struct lt_limits limits = {.val_at_epoch_end = true, .val_every_n_epoch = 1, .val_batches = 1};
    struct lt_callback_env env = {.limits = &limits};
    struct lt_values values = {.n = 0};
    struct lt_hook h = {.limits = &limits, .values = &values};
    const struct lt_callback *type = lt_callback_find(LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING);
    const char *monitor;
    int at = -1;
    void *self;

    c.monitor = (char *)(uintptr_t) "val_loss";
    config.callback_case = LT__V1__CALLBACK__CALLBACK_EARLY_STOPPING;
    config.early_stopping = &c;
    self = type->create(&config, &env);
    for (int e = 0; losses[e] != END && at < 0; e++) {
        cJSON *state;

        h.epoch = (uint64_t)e;
        lt_values_set(&values, "val_loss", losses[e], 0);
        assert_int_equal(type->on_epoch_end(self, &h, NULL), 0);
        if (type->wants_stop(self, &monitor))
            at = e;
        /* Its state survives a checkpoint at any time. */
        state = type->save(self);
        type->destroy(self);
        self = type->create(&config, &env);
        assert_int_equal(type->load(self, state, NULL), 0);
        cJSON_Delete(state);
        assert_int_equal(at >= 0, type->wants_stop(self, &monitor) != NULL);
    }
    type->destroy(self);
    return at;
}

static Lt__V1__EarlyStopping stopping(uint64_t patience)
{
    Lt__V1__EarlyStopping c = LT__V1__EARLY_STOPPING__INIT;

    c.has_patience = true;
    c.patience = patience;
    return c;
}

/* Case 28. */
static void patience(void **state)
{
    (void)state;
    assert_int_equal(stops_at(stopping(3), (double[]){6, 5, 5, 5, 5, 5, END}), 4);
    assert_int_equal(stops_at(stopping(1), (double[]){6, 5, 4, 4, 3, 3, END}), 3);
    assert_int_equal(stops_at(stopping(3), (double[]){6, 5, 6, 5, 5, 5, END}), 4);
    assert_int_equal(stops_at(stopping(0), (double[]){6, 5, 5, END}), 2);
    assert_int_equal(stops_at(stopping(3), (double[]){6, 5, 4, 3, 2, 1, END}), -1);
}

/* Case 29. */
static void thresholds(void **state)
{
    Lt__V1__EarlyStopping stop = stopping(3), diverge = stopping(3), finite = stopping(3);

    (void)state;
    assert_int_equal(stops_at(stopping(3), (double[]){8, 4, 2, 3, 4, 5, 8, 10, END}), 5);
    stop.has_stopping_threshold = true;
    stop.stopping_threshold = 2.9;
    assert_int_equal(stops_at(stop, (double[]){9, 8, 7, 6, 5, 6, 4, 3, 2, 1, END}), 8);
    diverge.has_divergence_threshold = true;
    diverge.divergence_threshold = 15.9;
    assert_int_equal(stops_at(diverge, (double[]){9, 4, 2, 16, 32, 64, END}), 3);
    assert_int_equal(stops_at(finite, (double[]){4, 3, (double)NAN, 2, 1, END}), 2);
    assert_int_equal(stops_at(finite, (double[]){4, 3, (double)INFINITY, 2, 1, END}), 2);
    finite.check_finite = false;
    finite.has_check_finite = true;
    assert_int_equal(stops_at(finite, (double[]){4, 3, (double)NAN, 2, 1, END}), -1);
}

/* A change of exactly min_delta is none; max mode mirrors min. */
static void improvement_is_strict(void **state)
{
    Lt__V1__EarlyStopping c = stopping(1);

    (void)state;
    c.min_delta = 1;
    assert_int_equal(stops_at(c, (double[]){6, 5, END}), 1);
    assert_int_equal(stops_at(c, (double[]){6, 4.5, 3, END}), -1);
    c.mode = LT__V1__MODE__MAX;
    assert_int_equal(stops_at(c, (double[]){1, 2, END}), 1);
    assert_int_equal(stops_at(c, (double[]){1, 2.5, 4, END}), -1);
}

/* ---- model_checkpoint ---- */

struct bench {
    const struct lt_callback *type;
    void *self;
    Lt__V1__ModelCheckpoint c;
    Lt__V1__Callback config;
    struct lt_limits limits;
    struct lt_values values;
    struct lt_requests requests;
    struct lt_hook h;
    const char *taken; /* a name that somebody else has */
    char removed[400];
};

static bool is_taken(void *arg, const char *dir, const char *name, int index)
{
    const struct bench *b = arg;

    (void)dir;
    (void)index;
    return b->taken && !strcmp(b->taken, name);
}

static void bench_init(struct bench *b)
{
    Lt__V1__ModelCheckpoint c = LT__V1__MODEL_CHECKPOINT__INIT;
    Lt__V1__Callback config = LT__V1__CALLBACK__INIT;

    memset(b, 0, sizeof *b);
    b->c = c;
    b->config = config;
    b->type = lt_callback_find(LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT);
    b->limits =
        (struct lt_limits){.val_at_epoch_end = true, .val_every_n_epoch = 1, .val_batches = 1};
    b->c.monitor = (char *)(uintptr_t) "val_loss";
    b->c.filename = (char *)(uintptr_t) "{epoch}";
    b->c.auto_insert_metric_name = false;
}

static void bench_open(struct bench *b)
{
    struct lt_callback_env env = {.limits = &b->limits, .checkpoints_dir = "/ck"};

    b->config.callback_case = LT__V1__CALLBACK__CALLBACK_MODEL_CHECKPOINT;
    b->config.model_checkpoint = &b->c;
    b->self = b->type->create(&b->config, &env);
    b->h = (struct lt_hook){.limits = &b->limits,
                            .values = &b->values,
                            .requests = &b->requests,
                            .taken = is_taken,
                            .arg = b};
}

/* The folder as it would be: names kept, in order. */
static void apply(struct bench *b, char *kept, size_t n)
{
    for (int i = 0; i < b->requests.n_saves; i++) {
        struct lt_save *s = &b->requests.saves[i];

        if (s->name)
            snprintf(kept + strlen(kept), n - strlen(kept), "%s ", s->name);
        for (int k = 0; k < s->n_removed; k++) {
            LT_AUTO(lt_free) char *word = lt_format("%s ", strrchr(s->removed[k], '/') + 1);
            char *at = strstr(kept, word);

            assert_non_null(at);
            memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
        }
        lt_save_done(s);
    }
    b->requests.n_saves = 0;
}

static void epochs(struct bench *b, const double *losses, char *kept, size_t n)
{
    for (int e = 0; losses[e] != END; e++) {
        b->h.epoch = (uint64_t)e;
        b->h.step = (uint64_t)(e + 1) * 10;
        lt_values_set(&b->values, "val_loss", losses[e], 0);
        assert_int_equal(b->type->on_epoch_end(b->self, &b->h, NULL), 0);
        apply(b, kept, n);
    }
}

static const double losses[] = {10, 9, 2.8, 5, 2.5, END};

static void keeps(int64_t k, Lt__V1__ModelCheckpoint__SaveLast last, const char *want)
{
    struct bench b;
    char kept[400] = "";

    bench_init(&b);
    b.c.save_top_k = k;
    b.c.save_last = last;
    bench_open(&b);
    epochs(&b, losses, kept, sizeof kept);
    assert_string_equal(kept, want);
    b.type->destroy(b.self);
}

/* Case 32; `last` is a file that names the newest, so save_last keeps the newest folder and makes
 * no copy. */
static void top_k(void **state)
{
    const Lt__V1__ModelCheckpoint__SaveLast off = LT__V1__MODEL_CHECKPOINT__SAVE_LAST__off,
                                            on = LT__V1__MODEL_CHECKPOINT__SAVE_LAST__on;

    (void)state;
    keeps(-1, off, "0 1 2 3 4 ");
    keeps(1, off, "4 ");
    keeps(2, off, "2 4 ");
    keeps(3, off, "2 3 4 ");
    keeps(4, off, "1 2 3 4 ");
    keeps(0, off, "");
    keeps(0, on, "4 ");
    keeps(1, on, "4 ");
}

/* The newest stays with save_last although it isn't among the best. */
static void save_last(void **state)
{
    struct bench b;
    char kept[400] = "";

    (void)state;
    bench_init(&b);
    b.c.save_last = LT__V1__MODEL_CHECKPOINT__SAVE_LAST__on;
    bench_open(&b);
    epochs(&b, (double[]){1, 5, 6, END}, kept, sizeof kept);
    assert_string_equal(kept, "0 2 ");
    b.type->destroy(b.self);
}

/* Case 34. */
static void nan_counts_as_worst(void **state)
{
    struct lt_topk t = {.k = 1, .scored = true};

    (void)state;
    assert_true(lt_topk_wants(&t, (double)NAN));
    lt_free(lt_topk_add(&t, "nan", (double)NAN));
    assert_false(lt_topk_wants(&t, (double)NAN));
    for (int s = 8; s >= 5; s--) {
        assert_true(lt_topk_wants(&t, s));
        assert_true(lt_topk_is_best(&t, s));
        assert_false(lt_topk_wants(&t, (double)INFINITY) && s < 8);
        lt_free(lt_topk_add(&t, "x", s));
    }
    assert_false(lt_topk_wants(&t, 5)); /* a tie */
    lt_topk_done(&t);
}

static void named(const char *template, bool insert, const char *taken, const char *want)
{
    struct bench b;

    bench_init(&b);
    b.c.filename = (char *)(uintptr_t) template;
    b.c.auto_insert_metric_name = insert;
    b.taken = taken;
    bench_open(&b);
    lt_values_set(&b.values, "val_loss", 0.315, 0);
    b.h.epoch = 3;
    b.h.step = 40;
    assert_int_equal(b.type->on_epoch_end(b.self, &b.h, NULL), 0);
    assert_int_equal(b.requests.n_saves, 1);
    assert_string_equal(b.requests.saves[0].name, want);
    lt_save_done(&b.requests.saves[0]);
    b.type->destroy(b.self);
}

/* Case 35. */
static void names(void **state)
{
    (void)state;
    named(NULL, true, NULL, "epoch=3-step=40");
    named("model-{epoch:02d}-{val_loss:.2f}", true, NULL, "model-epoch=03-val_loss=0.32");
    named("{epoch:03d}-{val_loss}", true, NULL, "epoch=003-val_loss=0.315");
    named("e{epoch:03d}_{val_loss:.5f}", false, NULL, "e003_0.31500");
    named("m", false, "m", "m-v1");
}

/* A metric that has no value yet is nan; it isn't refused, and it isn't 0. */
static void a_field_without_a_value(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.c.monitor = NULL;
    b.c.filename = (char *)(uintptr_t)"{step}-{val_acc:.2f}";
    lt_values_declare(&b.values, "val_acc");
    bench_open(&b);
    b.h.step = 1;
    assert_int_equal(b.type->on_epoch_end(b.self, &b.h, NULL), 0);
    assert_string_equal(b.requests.saves[0].name, "1-nan");
    lt_save_done(&b.requests.saves[0]);
    b.type->destroy(b.self);
}

static void a_field_that_names_nothing(void **state)
{
    struct bench b;
    struct lt_error *none = NULL;

    (void)state;
    bench_init(&b);
    b.c.filename = (char *)(uintptr_t) "{missing:d}";
    bench_open(&b);
    lt_values_set(&b.values, "val_loss", 1, 0);
    b.h.step = 1;
    assert_true(b.type->on_epoch_end(b.self, &b.h, none) < 0);
    for (int i = 0; i < b.requests.n_saves; i++)
        lt_save_done(&b.requests.saves[i]);
    b.type->destroy(b.self);
}

/* One name for all: a second one gets a version; the one that goes is written over. */
static void one_name(void **state)
{
    struct bench b;
    char kept[400] = "";

    (void)state;
    bench_init(&b);
    b.c.filename = (char *)(uintptr_t) "m";
    b.c.save_top_k = -1;
    bench_open(&b);
    epochs(&b, (double[]){3, 2, 1, END}, kept, sizeof kept);
    assert_string_equal(kept, "m m-v1 m-v2 ");
    b.type->destroy(b.self);
    kept[0] = '\0';
    bench_init(&b);
    b.c.filename = (char *)(uintptr_t) "m";
    bench_open(&b);
    epochs(&b, (double[]){3, 2, 4, 1, END}, kept, sizeof kept);
    assert_string_equal(kept, "m m m ");
    b.type->destroy(b.self);
}

/* Case 33: triggers by epochs. */
static void every_n_epochs(void **state)
{
    static const struct {
        uint64_t n;
        const char *want;
    } rows[] = {{1, "0 1 2 3 4 "}, {2, "1 3 "}, {3, "2 "}, {0, ""}};

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        struct bench b;
        char kept[400] = "";

        bench_init(&b);
        b.c.save_top_k = -1;
        b.c.has_every_n_epochs = true;
        b.c.every_n_epochs = rows[i].n;
        bench_open(&b);
        epochs(&b, losses, kept, sizeof kept);
        assert_string_equal(kept, rows[i].want);
        b.type->destroy(b.self);
    }
}

/* With a monitor that has no value yet, or validation right behind, a step trigger waits for the
 * validation's end. */
static void step_triggers_wait_for_fresh_values(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b);
    b.c.every_n_train_steps = 2;
    b.c.has_every_n_train_steps = true;
    bench_open(&b);
    for (uint64_t s = 1; s <= 4; s++) {
        b.h.step = s;
        assert_int_equal(b.type->on_step(b.self, &b.h, NULL), 0);
        assert_int_equal(b.requests.n_saves, 0);
    }
    lt_values_set(&b.values, "val_loss", 1, 0);
    assert_int_equal(b.type->on_validation_end(b.self, &b.h, NULL), 0);
    assert_int_equal(b.requests.n_saves, 1);
    lt_save_done(&b.requests.saves[0]);
    b.requests.n_saves = 0;
    b.h.step = 6;
    b.h.val_follows = true;
    assert_int_equal(b.type->on_step(b.self, &b.h, NULL), 0);
    assert_int_equal(b.requests.n_saves, 0);
    b.h.val_follows = false;
    b.h.step = 8;
    assert_int_equal(b.type->on_step(b.self, &b.h, NULL), 0);
    assert_int_equal(b.requests.n_saves, 1);
    lt_save_done(&b.requests.saves[0]);
    b.type->destroy(b.self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patience),
        cmocka_unit_test(thresholds),
        cmocka_unit_test(improvement_is_strict),
        cmocka_unit_test(top_k),
        cmocka_unit_test(save_last),
        cmocka_unit_test(nan_counts_as_worst),
        cmocka_unit_test(names),
        cmocka_unit_test(a_field_that_names_nothing), cmocka_unit_test(a_field_without_a_value),
        cmocka_unit_test(one_name),
        cmocka_unit_test(every_n_epochs),
        cmocka_unit_test(step_triggers_wait_for_fresh_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
