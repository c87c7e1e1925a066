/* test_text.c - YAML and JSON as plans: sugar, forms, and every mistake with its place */
#include "helpers.h"

static void yaml_and_json_are_one_language(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const char json[] =
        "{\"name\":\"a\\u00e4\\n\",\"seed\":7,\"model\":{\"layers\":[\"flatten\",{\"linear\":"
        "{\"out_features\":10,\"bias\":false}}]},\"trainer\":{\"max_epochs\":-1,\"gradient_clip_"
        "val\":1e-3}}";
    const Lt__V1__TrainingPlan *p = read_spec(json, NULL, 0, arena)->plan;

    (void)state;
    assert_string_equal(p->name, "aä\n");
    assert_int_equal(p->seed, 7);
    assert_int_equal(p->model->layers[1]->linear->out_features, 10);
    assert_false(p->model->layers[1]->linear->bias);
    assert_int_equal(p->trainer->max_epochs, -1);
    assert_true(p->trainer->gradient_clip_val == 1e-3);
}

static const Lt__V1__TrainingPlan *plan_of(const char *text, struct lt_arena *arena)
{
    return read_spec(text, NULL, 0, arena)->plan;
}

static void words_and_maps_of_one_key(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__TrainingPlan *p = plan_of("model:\n  layers:\n    - relu\n    - relu: {}\n    - "
                                            "relu:\n    - gelu: {approximate: tanh}\n",
                                            arena);

    (void)state;
    assert_int_equal(p->model->n_layers, 4);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(p->model->layers[i]->layer_case, LT__V1__LAYER__LAYER_RELU);
    assert_int_equal(p->model->layers[3]->gelu->approximate, LT__V1__GELU__APPROXIMATE__tanh);
}

static void forms(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__TrainingPlan *p = plan_of(
        "trainer: {limit_train_batches: 1, limit_val_batches: 1.0, limit_test_batches: 1e-1, "
        "val_check_interval: 30m,\n"
        "          max_time: \"1:00:00:00\", devices: auto}\n"
        "job: {time_limit: 1:30, resources: {memory: 4GiB, cpus: 3}, recovery: {every: 0.5}}\n"
        "callbacks: [{model_checkpoint: {mode: max, save_last: true}}, {model_checkpoint: "
        "{save_last: link, mode: MIN}}]\n"
        "model: {layers: [{conv2d: {kernel_size: 3, out_channels: 1, padding: [1, 2]}}]}\n",
        arena);

    (void)state;
    assert_int_equal(p->trainer->limit_train_batches->value_case, LT__V1__BATCH_LIMIT__VALUE_COUNT);
    assert_int_equal(p->trainer->limit_val_batches->value_case,
                     LT__V1__BATCH_LIMIT__VALUE_FRACTION);
    assert_true(p->trainer->limit_test_batches->fraction == 0.1);
    assert_true(p->trainer->val_check_interval->time->seconds == 1800);
    assert_true(p->trainer->max_time->seconds == 86400);
    assert_int_equal(p->trainer->devices->value_case, LT__V1__COUNT_OR_AUTO__VALUE_AUTO);
    assert_true(p->job->time_limit->seconds == 90);
    assert_int_equal(p->job->resources->memory->bytes, 4ull << 30);
    assert_int_equal(p->job->resources->cpus->count, 3);
    assert_true(p->job->recovery->every->seconds == 0.5);
    assert_int_equal(p->callbacks[0]->model_checkpoint->mode, LT__V1__MODE__MAX);
    assert_int_equal(p->callbacks[0]->model_checkpoint->save_last,
                     LT__V1__MODEL_CHECKPOINT__SAVE_LAST__on);
    assert_int_equal(p->callbacks[1]->model_checkpoint->save_last,
                     LT__V1__MODEL_CHECKPOINT__SAVE_LAST__link);
    assert_int_equal(p->model->layers[0]->conv2d->n_kernel_size, 1);
    assert_int_equal(p->model->layers[0]->conv2d->n_padding, 2);
}

static void paths_are_the_plan_files(void **state)
{
    static const struct {
        const char *written, *meant;
    } cases[] = {{"data", "/plans/data"},
                 {"./data", "/plans/data"},
                 {"/abs", "/abs"},
                 {"../x", "/plans/../x"},
                 {".", "/plans"}};

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
        const char *text = lt_arena_format(arena, "data: {source: {idx: {dir: %s}}}\nname: %s\n",
                                           cases[i].written, cases[i].written);
        const Lt__V1__TrainingPlan *p = plan_of(text, arena);

        assert_string_equal(p->data->source->idx->dir, cases[i].meant);
        assert_string_equal(p->name, cases[i].written);
    }
    expect_set("data.source.idx.dir=~/x", "0:0 data.source.idx.dir: `~` isn't expanded here (given "
                                          "by --set) (write the whole path)\n");
}

static void kinds(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__JobSpec *spec =
        read_spec("kind: evaluation\nparent: j1\nmode: validate\n", NULL, 0, arena);

    (void)state;
    assert_int_equal(spec->kind_case, LT__V1__JOB_SPEC__KIND_EVALUATION);
    assert_int_equal(spec->evaluation->mode, LT__V1__EVALUATION__MODE__VALIDATE);
    assert_int_equal(read_spec("argv: [a]\nkind: command\n", NULL, 0, arena)->kind_case,
                     LT__V1__JOB_SPEC__KIND_COMMAND);
    expect_problems("kind: comand\n",
                    "1:7 kind: `comand`: unknown kind of job (did you mean `command`?)\n");
}

/* A command's file: what level 1 says of it, each at its place. */
static void commands(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    const Lt__V1__JobSpec *spec = read_spec("kind: command\n"
                                            "argv: [python, train.py, --lr, 1e-3, true]\n"
                                            "env: {LEVEL: 3}\n"
                                            "secrets: {TOKEN: keys/token}\n"
                                            "nproc: 4\n",
                                            NULL, 0, arena);

    (void)state;
    assert_int_equal(spec->command->n_argv, 5);
    assert_string_equal(spec->command->argv[3], "1e-3"); /* as written */
    assert_string_equal(spec->command->env[0]->value, "3");
    assert_string_equal(spec->command->secrets[0]->value, "/plans/keys/token");
    expect_problems("kind: command\nnproc: 0\n",
                    "1:1 argv: is missing (write `argv: …`)\n"
                    "2:8 nproc: 0 is out of range (write a number from 1 to 1024)\n");
    expect_problems("kind: command\nargv: [a]\nnproc: 1025\n",
                    "3:8 nproc: 1025 is out of range (write a number from 1 to 1024)\n");
    expect_problems("kind: command\nargv: ['']\n",
                    "2:8 argv[0]: is empty (write the program's name)\n");
    expect_problems("kind: command\nargv: [a]\nenv: {RANK: 1, 2x: 1, LTD_X: 1}\n"
                    "secrets: {LEVEL: s, A B: s}\n",
                    "3:13 env.RANK: `RANK` is set by ltd for every rank (take another name)\n"
                    "3:20 env.2x: `2x` isn't a name: letters, digits and _, not beginning with a "
                    "digit (take another name)\n"
                    "3:30 env.LTD_X: `LTD_X` is one of the names that ltd sets for every rank "
                    "(take another name)\n"
                    "4:26 secrets.A B: `A B` isn't a name: letters, digits and _, not beginning "
                    "with a digit (take another name)\n");
    expect_problems("kind: command\nargv: [a]\nenv: {A: b}\nsecrets: {A: s}\n",
                    "4:14 secrets.A: `A` is in env, too (keep one of them)\n");
    expect_problems(
        "kind: command\nargv: [a]\nearly_stopping: {monitor: a b, check_on_train_epoch_end: true}\n"
        "job: {recovery: {keep: 2}}\nloggers: [csv, csv]\n",
        "3:27 early_stopping.monitor: no metric can have this name (write a name as LTD_METRIC "
        "lines have it: a letter, then letters, digits and _./:@-)\n"
        "3:58 early_stopping.check_on_train_epoch_end: a command's epochs aren't known: every value "
        "is looked at (remove it)\n"
        "4:17 job.recovery: a command makes its own checkpoints (LTD_RUN_DIR is a place for them) "
        "(remove it)\n"
        "5:16 loggers[1]: is there twice (remove one)\n");
}

/* One line of the good plan replaced; line numbers are the plan's. */
static void expect_line(unsigned line, const char *instead, const char *want)
{
    LT_BUF_AUTO text = {0};
    const char *p = good_plan;

    for (unsigned i = 1; *p; i++) {
        const size_t n = strcspn(p, "\n") + 1;

        if (i == line)
            lt_buf_printf(&text, "%s\n", instead);
        else
            lt_buf_append(&text, p, n);
        p += n;
    }
    expect_problems(text.data, want);
}

static void unknown_fields_of_any_message(void **state)
{
    (void)state;
    expect_line(9, "trainer: {max_epoch: 2}",
                "9:11 trainer.max_epoch: `max_epoch`: unknown field of trainer (did you mean "
                "`max_epochs`?)\n");
    expect_line(1, "model: {layers: [flaten, {linear: {out_featurs: 10}}]}",
                "1:18 model.layers[0]: `flaten`: unknown layer (did you mean `flatten`?)\n"
                "1:36 model.layers[1].linear.out_featurs: `out_featurs`: unknown field of linear "
                "(did you mean "
                "`out_features`?)\n");
    expect_line(3, "  sources: {idx: {dir: /data}}",
                "3:3 data.sources: `sources`: unknown field of data (did you mean `source`?)\n");
    expect_line(4, "  train: {splt: train, range: [0, 55000]}",
                "4:11 data.train.splt: `splt`: unknown field of train (did you mean `split`?)\n");
    expect_line(8, "optimizer: {adam: {learning_rate: 1e-3}}",
                "8:20 optimizer.adam.learning_rate: `learning_rate`: unknown field of adam (write "
                "lr, betas, eps, "
                "weight_decay, amsgrad or maximize)\n");
    expect_line(8, "optimizer: adma",
                "8:12 optimizer: `adma`: unknown optimizer (did you mean `adam`?)\n");
    expect_line(7, "step: {loss: {cross_entropi: {label_smoothing: 0.1}}}",
                "7:15 step.loss.cross_entropi: `cross_entropi`: unknown loss (did you mean "
                "`cross_entropy`?)\n");
    expect_line(
        9,
        "trainer: {max_epochs: 1}\ncallbacks:\n  - early_stopping: {monitor: val_loss, patince: 5}",
        "11:41 callbacks[0].early_stopping.patince: `patince`: unknown field of early_stopping "
        "(did you mean "
        "`patience`?)\n");
    expect_line(
        9, "trainer: {max_epochs: 1}\njob: {retries: {infrastucture: 1}, resources: {cpu: 2}}",
        "10:17 job.retries.infrastucture: `infrastucture`: unknown field of retries (did you mean "
        "`infrastructure`?)\n"
        "10:48 job.resources.cpu: `cpu`: unknown field of resources (did you mean `cpus`?)\n");
}

static void wrong_types(void **state)
{
    (void)state;
    expect_line(
        9, "trainer: {max_epochs: ten}",
        "9:23 trainer.max_epochs: `ten` isn't a number (write a whole number, like 3 or -1)\n");
    expect_line(9, "trainer: {max_epochs: 1.5}",
                "9:23 trainer.max_epochs: `1.5` isn't a whole number (write a whole number, like 3 "
                "or -1)\n");
    expect_line(
        9, "trainer: {max_epochs: \"2\"}",
        "9:23 trainer.max_epochs: `2` is a text, not a number (write the number without quotes)\n");
    expect_line(9, "trainer: {max_epochs: [2]}",
                "9:23 trainer.max_epochs: is a list where one value belongs (write one value)\n");
    expect_line(
        9, "trainer: {max_epochs: 99999999999999999999}",
        "9:23 trainer.max_epochs: `99999999999999999999` is too large (write a smaller number)\n");
    expect_line(9, "trainer: {max_epochs: 2, min_steps: -1}",
                "9:37 trainer.min_steps: `-1` is negative (write a whole number, like 3)\n");
    expect_line(9, "trainer: {max_epochs: 2, enable_logger: yes}",
                "9:41 trainer.enable_logger: `yes` isn't a truth value (write true or false)\n");
    expect_line(9, "trainer: {max_epochs: 2, gradient_clip_val: big}",
                "9:45 trainer.gradient_clip_val: `big` isn't a number (write a number, like 0.1 or "
                "1e-3)\n");
    expect_line(9, "trainer: {max_epochs: 2, gradient_clip_val: 1e999}",
                "9:45 trainer.gradient_clip_val: `1e999` is too large (write a smaller number)\n");
    expect_line(9, "trainer: {max_epochs: 2, gradient_clip_algorithm: norms}",
                "9:51 trainer.gradient_clip_algorithm: `norms` is none of its values (did you mean "
                "`norm`? (norm or "
                "value))\n");
    expect_line(9, "trainer: {max_epochs: 2, limit_val_batches: some}",
                "9:45 trainer.limit_val_batches: `some` isn't a number of batches (10) or a "
                "fraction of them (0.5) (write a "
                "number of batches (10) or a fraction of them (0.5))\n");
    expect_line(9, "trainer: {max_epochs: 2, max_time: soon}",
                "9:36 trainer.max_time: `soon` isn't a length of time: 90s, 2h, 1:30:00 (write a "
                "length of time: 90s, 2h, "
                "1:30:00)\n");
    expect_line(9, "trainer: 3",
                "9:10 trainer: is a single value where a map belongs (write its fields: {name: "
                "value, …})\n");
    expect_line(1, "model: {layers: relu}",
                "1:17 model.layers: is a single value where a list belongs (write a list: [ … ], "
                "or one item a line, each "
                "after `- `)\n");
    expect_line(
        4, "  train: {split: train, range: [0, , 1]}",
        "4:36 data.train.range: not YAML: did not find expected node "
        "content while parsing a flow node (check indentation, brackets and quotes here)\n");
    expect_line(
        4, "  train: {split: train, range: [0, ~]}",
        "4:32 data.train.range: has 1 item (write 2 items)\n"
        "4:36 data.train.range[1]: an item without a value (write a value or remove the item)\n");
}

static void choices(void **state)
{
    (void)state;
    expect_line(1, "model:\n  layers:\n    - flatten\n    - linear:\n      out_features: 10",
                "5:7 model.layers[1]: `out_features` is a field of linear, but stands beside it "
                "(indent `out_features` "
                "further than `linear`)\n");
    expect_line(
        8, "optimizer: {adam: {}, sgd: {}}",
        "8:23 optimizer.sgd: `adam` and `sgd`: optimizer takes one of them (keep one of them)\n");
    expect_line(8, "optimizer: {}",
                "8:12 optimizer: is empty: it doesn't say which (write sgd, adam or adamw)\n");
}

static void what_yaml_has_and_plans_dont(void **state)
{
    (void)state;
    expect_line(9, "trainer: {max_epochs: 2, max_epochs: 3}",
                "9:26 trainer.max_epochs: the key `max_epochs` is given twice (first in line 9) "
                "(keep one of them)\n");
    expect_line(
        9, "trainer: &t {max_epochs: 2}",
        "9:10 trainer: the anchor `&t`: plans have none (write the value out where it is used)\n");
    expect_line(9, "trainer: {max_epochs: *t}",
                "9:23 trainer.max_epochs: the alias `*t`: plans have none (write the value out)\n");
    expect_line(9, "trainer: {max_epochs: !!int 2}",
                "9:23 trainer.max_epochs: the tag `tag:yaml.org,2002:int`: plans have none (remove "
                "the tag)\n");
    expect_line(9, "trainer: {max_epochs: 2}\n---\nname: x",
                "10:1 : a second document (put each plan into a file of its "
                "own)\n");
    expect_line(9, "trainer: {? [a] : 2}",
                "9:13 trainer: a key that isn't a name (write `name: value`)\n");
    expect_problems("", "0:0 : the text is empty (write a plan, such as examples/fashion-mlp.yaml)\n");
    expect_problems("[a]",
                    "1:1 : is a list where a plan belongs (write name: value, one a line)\n");
    expect_problems("a: b: c", "1:5 : not YAML: mapping values are not allowed in this context "
                               "(check indentation, brackets "
                               "and quotes here)\n");
}

static void expect_refused(const char *text, size_t n, const char *want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    struct lt_problems problems = {0};
    LT_BUF_AUTO got = {0};

    assert_null(lt_text_check_spec(text, n, NULL, NULL, 0, arena, &problems));
    problems_text(&problems, &got);
    if (!strstr(got.data, want))
        expect_text(got.data, want);
    lt_problems_done(&problems);
}

static void hostile_text(void **state)
{
    LT_BUF_AUTO b = {0};

    (void)state;
    expect_refused("name: \"\xff\"", 9,
                   "1:8 : a byte that isn't UTF-8: 0xff (save the file as UTF-8)\n");
    expect_refused("a: 1\nb: \xe4\xb8", 10,
                   "2:4 : a byte that isn't UTF-8: 0xe4 (save the file as UTF-8)\n");
    expect_refused("a: \0", 4, "1:4 : a NUL byte (0x00) (save the file as UTF-8)\n");
    expect_refused("name: \"a\\0b\"", 12, "1:7 name: the text holds a NUL character (remove it)\n");
    expect_refused("name: a\x01", 8,
                   "1:8 : not YAML: control characters are not allowed (remove the character)\n");
    for (int i = 0; i < 100000; i++)
        lt_buf_char(&b, '[');
    expect_refused(b.data, b.len, "1:97 : lists and maps nest deeper than 96 levels (nest less)\n");
    b.len = 0;
    for (int i = 0; i < 100000; i++)
        lt_buf_str(&b, "{a: ");
    expect_refused(b.data, b.len, "1:385 : lists and maps nest deeper than 96 levels (nest less)\n");
    expect_refused(
        "x", 4ull << 30,
        "0:0 : a text of 4.0 GiB; at most 16 MiB are allowed (keep data out of the plan)\n");
}

static void big_plans(void **state)
{
    LT_BUF_AUTO b = {0};

    (void)state;
    lt_buf_str(&b, "model: {layers: [");
    for (int i = 0; i < 1000000; i++)
        lt_buf_str(&b, "relu,");
    lt_buf_str(&b, "]}\n");
    expect_refused(
        b.data, b.len,
        "1:500018 model.layers: a list of more than 100000 items (use `repeat` for layers that "
        "repeat)\n");
    b.len = 0;
    lt_buf_str(&b, "name: ");
    for (int i = 0; i < 100000; i++)
        lt_buf_char(&b, 'x');
    expect_refused(b.data, b.len,
                   "1:7 name: a text of 100000 bytes; at most 65536 are allowed (shorten it)\n");
    b.len = 0;
    for (int i = 0; i < 1200; i++)
        lt_buf_printf(&b, "k%d: 1\n", i);
    expect_refused(b.data, b.len, "1001:1 : a map of more than 1000 keys (use fewer keys)\n");
}

/* A plan may not need more memory than the caller gives: refused, never a crash. */
static void small_arenas(void **state)
{
    (void)state;
    for (size_t cap = 16; cap < 12000; cap += 16) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(cap);
        struct lt_problems problems = {0};
        const char *set = "callbacks[0].model_checkpoint.save_top_k=1";
        const Lt__V1__JobSpec *spec =
            lt_text_check_spec(good_plan, strlen(good_plan), "/p", &set, 1, arena, &problems);

        assert_true(spec || problems.errors > 0);
        lt_problems_done(&problems);
    }
}

static void expect_print(const char *text, int flags, const char *want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_BUF_AUTO got = {0};

    lt_text_print_spec(read_spec(text, NULL, 0, arena), flags, &got);
    expect_text(got.data, want);
}

static void printing(void **state)
{
    (void)state;
    expect_print(good_plan, 0,
                 "model:\n"
                 "  layers:\n"
                 "    - flatten\n"
                 "    - linear: {out_features: 10}\n"
                 "data:\n"
                 "  source: {idx: {dir: /data}}\n"
                 "  train: {split: train, range: [0, 55000]}\n"
                 "  val: {split: train, range: [55000, 60000]}\n"
                 "  batch_size: 32\n"
                 "step: {loss: cross_entropy, metrics: [accuracy]}\n"
                 "optimizer: {adam: {lr: 0.001}}\n"
                 "trainer: {max_epochs: 2}\n");
    expect_print("optimizer: {adam: {lr: 1e-5, betas: [0.9, 0.95]}}\nname: \"12\"\nloggers: [csv]",
                 LT_TEXT_JSON,
                 "{\"name\":\"12\",\"optimizer\":{\"adam\":{\"lr\":1.0e-05,\"betas\":[0.9,0.95]}},"
                 "\"loggers\":[\"csv\"]}");
    expect_print("loggers: [csv]\nseed: 1", LT_TEXT_PRETTY,
                 "{\n  \"seed\": 1,\n  \"loggers\": [\n    \"csv\"\n  ]\n}");
    expect_print("optimizer: sgd", LT_TEXT_DEFAULTS,
                 "seed: 0\n"
                 "optimizer:\n"
                 "  sgd:\n"
                 "    lr: 0.001\n"
                 "    momentum: 0.0\n"
                 "    dampening: 0.0\n"
                 "    weight_decay: 0.0\n"
                 "    nesterov: false\n"
                 "    maximize: false\n");
    expect_print("kind: evaluation\nparent: j1\nmode: validate", 0,
                 "kind: evaluation\nmode: validate\nparent: j1\n");
}

/* `plan show`: 1 and 1.0, times, sizes, words. */
static void printing_keeps_forms(void **state)
{
    (void)state;
    expect_print("trainer: {limit_train_batches: 1, limit_val_batches: 1.0, val_check_interval: "
                 "30m, devices: auto, precision: "
                 "32-true}\njob: {time_limit: \"12:00:00\", recovery: {every: 90s}, resources: "
                 "{memory: 4GiB, cpus: 2}}\n"
                 "callbacks: [{model_checkpoint: {mode: max, save_last: true}}]",
                 0,
                 "trainer:\n"
                 "  limit_train_batches: 1\n"
                 "  limit_val_batches: 1.0\n"
                 "  val_check_interval: 30m\n"
                 "  devices: auto\n"
                 "  precision: 32-true\n"
                 "callbacks:\n"
                 "  - model_checkpoint: {save_last: true, mode: max}\n"
                 "job:\n"
                 "  time_limit: 12h\n"
                 "  recovery: {every: 90s}\n"
                 "  resources: {cpus: 2, memory: 4GiB}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_and_json_are_one_language),
        cmocka_unit_test(words_and_maps_of_one_key),
        cmocka_unit_test(forms),
        cmocka_unit_test(paths_are_the_plan_files),
        cmocka_unit_test(kinds),
        cmocka_unit_test(commands),
        cmocka_unit_test(unknown_fields_of_any_message),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(choices),
        cmocka_unit_test(what_yaml_has_and_plans_dont),
        cmocka_unit_test(hostile_text),
        cmocka_unit_test(big_plans),
        cmocka_unit_test(small_arenas),
        cmocka_unit_test(printing),
        cmocka_unit_test(printing_keeps_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
