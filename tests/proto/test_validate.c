/* test_validate.c - level 1: each rule refuses what it is there for, and says what would be right
 */
#include "helpers.h"
#include "proto/template.h"

struct row {
    const char *set, *path,
        *reason; /* reason NULL: no problem at all; else a part of the one problem's reason */
};

static void check_row(const struct row *r)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    struct lt_problems problems = {0};
    LT_BUF_AUTO got = {0};

    (void)lt_text_check_spec(good_plan, strlen(good_plan), "/plans", &r->set, 1, arena, &problems);
    problems_text(&problems, &got);
    if (problems.len != (r->reason ? 1 : 0) ||
        (r->reason && (strcmp(problems.items[0].path, r->path) != 0 ||
                       !strstr(problems.items[0].reason, r->reason))))
        fail_msg("--set '%s':\n%swant %s: %s", r->set, got.data ? got.data : "(nothing)\n",
                 r->path ? r->path : "nothing", r->reason ? r->reason : "");
    lt_problems_done(&problems);
}

#define CHECK_ROWS(rows)                                                                           \
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++)                                                \
    check_row(&(rows)[i])

static void the_good_plan_is_good(void **state)
{
    (void)state;
    expect_problems(good_plan, "");
}

static void limits(void **state)
{
    static const struct row rows[] = {
        {"trainer={}", "trainer.max_epochs", "neither max_epochs nor max_steps"},
        {"trainer={max_steps: 5}", NULL, NULL},
        {"trainer={max_epochs: 0}", NULL, NULL},
        {"trainer={max_steps: 0}", NULL, NULL},
        {"trainer={fast_dev_run: 1}", NULL, NULL},
        {"trainer.max_epochs=-1", "trainer", "nothing ends the training"},
        {"trainer={max_epochs: -1, max_time: 1h}", NULL, NULL},
        {"trainer.max_epochs=-2", "trainer.max_epochs", "-2 is out of range"},
        {"trainer.max_epochs=-100", "trainer.max_epochs", "-100 is out of range"},
        {"trainer.max_steps=-2", "trainer.max_steps", "-2 is out of range"},
        {"trainer.min_epochs=3", "trainer.min_epochs", "min_epochs 3 is above max_epochs 2"},
        {"trainer.min_epochs=2", NULL, NULL},
        {"trainer={max_steps: 5, min_steps: 6}", "trainer.min_steps",
         "min_steps 6 is above max_steps 5"},
        {"trainer.max_time=0", "trainer.max_time", "no time to train"},
        {"trainer.max_time=-5", "trainer.max_time", "-5 is out of range"},
        {"trainer.limit_val_batches=1.5", "trainer.limit_val_batches", "1.5 is out of range"},
        {"trainer.limit_val_batches=1.0", NULL, NULL},
        {"trainer.limit_val_batches=100", NULL, NULL},
        {"trainer={max_epochs: 1, overfit_batches: 4, limit_val_batches: 2}",
         "trainer.limit_val_batches", "overfit_batches sets limit_val_batches"},
        {"trainer.num_sanity_val_steps=-2", "trainer.num_sanity_val_steps", "-2 is out of range"},
        {"trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches",
         "0 is out of range"},
        {"trainer.gradient_clip_val=-1", "trainer.gradient_clip_val", "-1 is out of range"},
        {"trainer.gradient_clip_val=inf", "trainer.gradient_clip_val", "isn't a finite number"},
        {"trainer.gradient_clip_val=.nan", "trainer.gradient_clip_val", "isn't a finite number"},
    };

    (void)state;
    CHECK_ROWS(rows);
}

static void validation_intervals(void **state)
{
    static const struct row rows[] = {
        {"trainer.val_check_interval=0.25", NULL, NULL},
        {"trainer.val_check_interval=1.5", "trainer.val_check_interval", "1.5 is out of range"},
        {"trainer.val_check_interval=0.0", "trainer.val_check_interval", "0 is out of range"},
        {"trainer.val_check_interval=0", "trainer.val_check_interval", "0 is out of range"},
        {"trainer.val_check_interval=1719", NULL, NULL},
        {"trainer.val_check_interval=1720", "trainer.val_check_interval", "an epoch has 1719"},
        {"trainer={max_epochs: 1, val_check_interval: 1720, limit_val_batches: 0}", NULL, NULL},
        {"trainer={max_epochs: 1, val_check_interval: 1720, check_val_every_n_epoch: 0}", NULL,
         NULL},
        {"trainer={max_epochs: 1, val_check_interval: 0.5, check_val_every_n_epoch: 0}",
         "trainer.val_check_interval", "a fraction of one says nothing"},
        {"trainer={max_epochs: 1, check_val_every_n_epoch: 0}", "trainer.val_check_interval",
         "a fraction of one says nothing"},
        {"trainer={max_epochs: 1, val_check_interval: 30s, check_val_every_n_epoch: 0}", NULL,
         NULL},
        {"trainer.val_check_interval=0s", "trainer.val_check_interval",
         "the time between validations is 0"},
    };

    (void)state;
    CHECK_ROWS(rows);
}

static void what_this_build_cannot_do(void **state)
{
    static const struct row rows[] = {
        {"trainer.accelerator=cpu", NULL, NULL},
        {"trainer.accelerator=cuda", "trainer.accelerator", "no CUDA device support"},
        {"trainer.accelerator=gpu", "trainer.accelerator", "no CUDA device support"},
        {"trainer.accelerator=tpu", "trainer.accelerator", "ltd has no TPU"},
        {"trainer.accelerator=mps", "trainer.accelerator", "ltd has no MPS"},
        {"trainer.accelerator=cpus", "trainer.accelerator", "unknown accelerator"},
        {"trainer.precision=32", NULL, NULL},
        {"trainer.precision=64", NULL, NULL},
        {"trainer.precision=64-true", NULL, NULL},
        {"trainer.precision=bf16", NULL, NULL},
        {"trainer.precision=bf16-mixed", NULL, NULL},
        {"trainer.precision=16", "trainer.precision", "16 means 16-mixed"},
        {"trainer.precision=16-mixed", "trainer.precision", "float16 with loss scaling isn't"},
        {"trainer.precision=16-true", "trainer.precision", "weights in float16 aren't"},
        {"trainer.precision=bf16-true", "trainer.precision", "weights in bfloat16 aren't"},
        {"trainer.precision=fp8", "trainer.precision", "float8 isn't supported yet"},
        {"trainer.precision=transformer-engine", "trainer.precision", "float8 isn't"},
        {"trainer.precision=33", "trainer.precision", "unknown precision"},
        {"trainer.strategy=single_device", NULL, NULL},
        {"trainer.strategy=fsdp", "trainer.strategy", "sharded strategies aren't supported"},
        {"trainer.devices=1", NULL, NULL},
        {"trainer.devices=2", NULL, NULL},
        {"trainer.devices=0", "trainer.devices", "0 devices train nothing"},
        {"trainer.devices=1025", "trainer.devices", "1025 devices are out of range"},
        {"trainer.strategy=ddp", NULL, NULL},
        {"trainer.strategy=ddp_spawn", NULL, NULL},
        {"trainer.strategy=ddp_fork", NULL, NULL},
        {"trainer.strategy=ddp_notebook", NULL, NULL},
        {"trainer.strategy=ddp_find_unused_parameters_true", NULL, NULL},
        {"trainer.strategy=ddp_spawn_find_unused_parameters_false", NULL, NULL},
        {"trainer.strategy=deepspeed_stage_3_offload", "trainer.strategy", "sharded strategies"},
        {"trainer.strategy=dp", "trainer.strategy", "one process with several devices"},
        {"trainer.strategy=model_parallel", "trainer.strategy", "layers of one model on several"},
        {"trainer.strategy=xla", "trainer.strategy", "ltd has no XLA"},
        {"trainer.strategy=dpp", "trainer.strategy", "unknown strategy"},
        {"trainer.precision=half", "trainer.precision", "float16 isn't supported yet"},
        {"trainer.precision=float64", "trainer.precision", "is a type, not a precision"},
        {"trainer.precision=nf4-dq", "trainer.precision", "quantised weights aren't"},
        {"trainer.sync_batchnorm=true", NULL, NULL},
        {"trainer.ddp.bucket_cap_mb=0", "trainer.ddp.bucket_cap_mb", "0 is out of range"},
        {"trainer.logical_shards=4", "trainer.logical_shards", "by reproducible: elastic alone"},
        {"trainer.devices={auto: false}", "trainer.devices", "auto is false"},
        {"trainer.num_nodes=2", "trainer.num_nodes", "2 nodes: this version trains on one"},
        {"trainer.num_nodes=0", "trainer.num_nodes", "0 is out of range"},
        {"trainer.reproducible=relaxed", NULL, NULL},
        {"model={onnx: m.onnx}", "model.onnx", "ONNX models aren't supported"},
        {"steps=[{loss: mse}]", "steps", "several step programs"},
    };

    (void)state;
    for (size_t i = 0; i + 1 < LT_ARRAY_LEN(rows); i++)
        check_row(&rows[i]);
    expect_set("steps=[{loss: mse}]", "0:0 steps: several step programs aren't supported yet by "
                                      "this version (given by --set) (write step, "
                                      "optimizer and lr_scheduler for one)\n"
                                      "0:0 steps: steps excludes step, optimizer and lr_scheduler "
                                      "(given by --set) (keep one of the two forms)\n");
    expect_set("trainer.reproducible=elastic",
               "2:1 data.global_batch_size: trainer.reproducible: elastic needs a batch that "
               "doesn't depend on the number of "
               "ranks (write global_batch_size instead of batch_size)\n"
               "9:1 trainer.logical_shards: trainer.reproducible: elastic needs it (write "
               "logical_shards: a number that every number of ranks to come divides)\n");
}

static void data(void **state)
{
    static const struct row rows[] = {
        {"data=null", "data", "is missing"},
        {"data.source=null", "data.source", "is missing"},
        {"data.source=idx", "data.source.idx.dir", "is missing"},
        {"data.train=null", "data.train", "is missing"},
        {"data.train.split=trian", "data.train.split", "idx files have no such split"},
        {"data.train.range=[5, 5]", "data.train.range", "[5, 5] holds no sample"},
        {"data.train.range=[5]", "data.train.range", "has 1 item"},
        {"data.val.range=[54999, 60000]", "data.val", "shares samples with data.train"},
        {"data.test={split: test}", NULL, NULL},
        {"data.batch_size=0", "data.batch_size", "0 is out of range"},
        {"data.batch_size=null", "data.batch_size", "is missing"},
        {"data.global_batch_size=64", "data.global_batch_size", "both given"},
        {"data.transforms=[scale, {normalize: {mean: [0.1, 0.2], std: [1]}}]",
         "data.transforms[1].normalize", "2 means but 1"},
        {"data.transforms=[{normalize: {mean: [0.1], std: [0]}}]",
         "data.transforms[0].normalize.std[0]", "0 is out of range"},
        {"data.train.transforms=[{normalize: {mean: [0.1]}}]",
         "data.train.transforms[0].normalize.std", "is missing"},
        {"data.fields={image: x, label: label}", NULL, NULL},
        {"data.fields={imag: x, label: label}", "data.fields.imag", "no field of the source"},
        {"data.fields={image: label, label: label}", "data.fields.label", "names two fields"},
        {"data.fields={image: x, label: y}", "step.loss.cross_entropy.target",
         "no field of the data"},
    };

    (void)state;
    for (size_t i = 0; i + 1 < LT_ARRAY_LEN(rows); i++)
        check_row(&rows[i]);
    /* the loss and the metric both look for `label` */
    expect_set("data.fields={image: x, label: y}",
               "7:8 step.loss.cross_entropy.target: `label`: no field of the data (write one of "
               "the names in data.fields)\n"
               "7:39 step.metrics[0].accuracy.target: `label`: no field of the data (write one of "
               "the names in "
               "data.fields)\n");
}

static void models(void **state)
{
    static const struct row rows[] = {
        {"model=null", "model", "is missing"},
        {"model={}", "model.layers", "no layers and no graph"},
        {"model.layers=[]", "model.layers", "no layers and no graph"},
        {"model.layers[1].linear.out_features=0", "model.layers[1].linear.out_features",
         "0 is out of range"},
        {"model.layers[1]=linear", "model.layers[1].linear.out_features", "is missing"},
        {"model.layers[2]={dropout: {p: 1.5}}", "model.layers[2].dropout.p", "1.5 is out of range"},
        {"model.layers[0]={conv2d: {out_channels: 4}}", "model.layers[0].conv2d.kernel_size",
         "is missing"},
        {"model.layers[0]={conv2d: {out_channels: 4, kernel_size: [3, 3, 3]}}",
         "model.layers[0].conv2d.kernel_size", "has 3 items"},
        {"model.layers[0]={conv2d: {out_channels: 4, kernel_size: 3, groups: 3}}",
         "model.layers[0]", "into 3 groups"},
        {"model.layers[0]={max_pool2d: {kernel_size: 2, stride: 0}}",
         "model.layers[0].max_pool2d.stride[0]", "0 is out of range"},
        {"model.layers[0]={residual: {layers: []}}", "model.layers[0].residual.layers",
         "is missing"},
        {"model.layers[0]={repeat: {layers: [relu]}}", "model.layers[0].repeat.times",
         "is missing"},
        {"model.layers[0]={repeat: {times: 9999, layers: [relu]}}", NULL, NULL},
        {"model.layers[0]={repeat: {times: 1000, layers: [{repeat: {times: 1000, layers: "
         "[relu]}}]}}",
         "model.layers", "more than 10000 layers"},
        {"model.layers[0]={repeat: {times: 1000000, layers: [relu]}}", "model.layers",
         "more than 10000 layers"},
        {"model.layers[0]={repeat: {times: 0, layers: [relu]}}", "model.layers[0].repeat.times",
         "0 is out of range"},
        {"model.layers[0]={unflatten: {sizes: [-1, -1]}}", "model.layers[0]", "-1 stands 2 times"},
        {"model.layers[0]={sequential: {layers: [{residual: {layers: [{unflatten: {sizes: "
         "[0]}}]}}]}}",
         "model.layers[0].sequential.layers[0].residual.layers[0]", "0 is no size"},
        {"model.weights=", NULL, NULL},
        {"model.weights=w.safetensors", NULL, NULL},
        {"model.weights=node:/there/w.safetensors", NULL, NULL},
        {"model.weights='node:w.safetensors'", "model.weights", "no folder to be relative to"},
        {"model.weights='sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
         NULL, NULL},
        {"model.weights='sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
         "model.weights", "isn't the address of a blob"},
        {"model.weights='sha256:'", "model.weights", "isn't the address of a blob"},
        {"model.graph={inputs: [{name: x}], outputs: [y]}", "model", "given in 2 forms"},
    };

    (void)state;
    CHECK_ROWS(rows);
}

/* Two bytes each on the wire. */
static void floods_are_refused_at_once(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    Lt__V1__JobSpec *spec = read_spec(good_plan, NULL, 0, arena);
    Lt__V1__Logger empty = LT__V1__LOGGER__INIT,
                   **loggers = lt_arena_alloc(arena, 100000 * sizeof *loggers);
    struct lt_problems problems = {0};

    (void)state;
    for (size_t i = 0; i < 100000; i++)
        loggers[i] = &empty;
    spec->plan->loggers = loggers;
    spec->plan->n_loggers = 100000;
    lt_plan_validate(spec, &problems);
    assert_int_equal(problems.len, 1);
    assert_string_equal(problems.items[0].reason, "more than 50000 layers, nodes and other parts");
    lt_problems_done(&problems);
}

static void optimizers_and_schedules(void **state)
{
    static const struct row rows[] = {
        {"optimizer=null", "optimizer", "is missing"},
        {"optimizer.adam.lr=0", "optimizer.adam.lr", "0 is out of range"},
        {"optimizer.adam.betas=[0.9]", "optimizer.adam.betas", "has 1 item"},
        {"optimizer.adam.betas=[0.9, 1.0]", "optimizer.adam.betas[1]", "1 is out of range"},
        {"optimizer.adam.weight_decay=-1", "optimizer.adam.weight_decay", "-1 is out of range"},
        {"optimizer={sgd: {nesterov: true}}", "optimizer.sgd.nesterov", "nesterov needs momentum"},
        {"optimizer={sgd: {nesterov: true, momentum: 0.9}}", NULL, NULL},
        {"lr_scheduler={cosine_annealing: {T_max: 2}}", NULL, NULL},
        {"lr_scheduler={cosine_annealing: {T_max: 3}}", "lr_scheduler.cosine_annealing.T_max",
         "T_max spans 3 epochs, but trainer.max_epochs is 2"},
        {"lr_scheduler=cosine_annealing", "lr_scheduler.cosine_annealing.T_max", "is missing"},
        {"lr_scheduler={step: {step_size: 1, gamma: 0}}", "lr_scheduler.step.gamma",
         "0 is out of range"},
        {"lr_scheduler={constant: {frequency: 0}}", "lr_scheduler.constant.frequency",
         "0 is out of range"},
        {"step=null", "step", "is missing"},
        {"step.loss=null", "step.loss", "is missing"},
        {"step.loss.cross_entropy.label_smoothing=1.1", "step.loss.cross_entropy.label_smoothing",
         "1.1 is out of range"},
        {"step.loss.cross_entropy.target=lable", "step.loss.cross_entropy.target",
         "no field of the data"},
        {"step.loss.cross_entropy.input=logits", "step.loss.cross_entropy.input",
         "has one output, without a name"},
        {"step.metrics=[accuracy, accuracy]", "step.metrics[1]", "are both called `acc`"},
        {"step.metrics=[accuracy, {accuracy: {name: top}}]", NULL, NULL},
        {"step.metrics[0].accuracy.name=loss", "step.metrics[0].accuracy.name",
         "the loss's own name"},
        {"step.metrics[0].accuracy.name=a b", "step.metrics[0].accuracy.name",
         "can't be a metric's name"},
        {"step.metrics[0].accuracy.on_step=false", "step.metrics[0].accuracy",
         "neither per step nor per epoch in training"},
        {"step.metrics[0].accuracy.on_epoch=false", "step.metrics[0].accuracy",
         "per epoch in validation"},
        {"step.metrics[0].accuracy={on_step: false, on_epoch: true}", NULL, NULL},
    };

    (void)state;
    CHECK_ROWS(rows);
}

static void monitors_and_file_names(void **state)
{
    static const struct row rows[] = {
        {"callbacks=[{early_stopping: {monitor: val_loss}}]", NULL, NULL},
        {"callbacks=[{early_stopping: {monitor: epoch}}]", NULL, NULL},
        {"callbacks=[early_stopping]", "callbacks[0].early_stopping.monitor", "is missing"},
        {"callbacks=[{early_stopping: {monitor: vall_loss}}]",
         "callbacks[0].early_stopping.monitor", "no metric of this plan"},
        {"callbacks=[{early_stopping: {monitor: test_loss}}]",
         "callbacks[0].early_stopping.monitor", "only in `ltctl test`"},
        {"callbacks=[{model_checkpoint: {monitor: val_acc, save_top_k: 3}}]", NULL, NULL},
        {"callbacks=[{model_checkpoint: {monitor: val_auc, save_top_k: 3}}]",
         "callbacks[0].model_checkpoint.monitor", "no metric of this plan"},
        {"callbacks=[{model_checkpoint: {monitor: lr-Adam}}]",
         "callbacks[0].model_checkpoint.monitor", "no metric of this plan"},
        {"callbacks=[{model_checkpoint: {monitor: lr-Adam}}, learning_rate_monitor]", NULL, NULL},
        {"callbacks=[{model_checkpoint: {filename: \"m-{epoch:02d}-{step}-{val_loss:.2f}\"}}]",
         NULL, NULL},
        {"callbacks=[{model_checkpoint: {filename: \"m-{val_los:.2f}\"}}]",
         "callbacks[0].model_checkpoint.filename", "`val_los`: no metric"},
        {"callbacks=[{model_checkpoint: {filename: \"m-{val_loss:d}\"}}]",
         "callbacks[0].model_checkpoint.filename", "isn't a whole number"},
        {"callbacks=[{model_checkpoint: {filename: \"m-{epoch\"}}]",
         "callbacks[0].model_checkpoint.filename", "can't be read"},
        {"callbacks=[{model_checkpoint: {filename: \"m-{epoch:x}\"}}]",
         "callbacks[0].model_checkpoint.filename", "can't be read"},
        {"callbacks=[{model_checkpoint: {filename: "
         "\"m-{val_loss:>+8.3e}-{val_acc:.1%}-{step:,}\"}}]",
         NULL, NULL},
        {"callbacks=[{model_checkpoint: {filename: \"m-{val_loss:.}\"}}]",
         "callbacks[0].model_checkpoint.filename", "can't be read"},
        {"callbacks=[{model_checkpoint: {filename: \"m-{epoch:.2}\"}}]",
         "callbacks[0].model_checkpoint.filename", "has no precision"},
        {"callbacks=[{model_checkpoint: {filename: \"m-{epoch:.2f}\"}}]", NULL, NULL},
        {"callbacks=[{model_checkpoint: {filename: \".m\"}}]",
         "callbacks[0].model_checkpoint.filename", "begins with"},
        {"callbacks=[{model_checkpoint: {filename: a/b}}]",
         "callbacks[0].model_checkpoint.filename", "holds a `/`"},
        {"callbacks=[{model_checkpoint: {filename: \"\"}}]",
         "callbacks[0].model_checkpoint.filename", "is empty"},
    };

    (void)state;
    CHECK_ROWS(rows);
    expect_set("callbacks=[{early_stopping: {monitor: vall_loss, strict: false}}]",
               "warning 0:0 callbacks[0].early_stopping.monitor: `vall_loss`: no metric of this "
               "plan (given by --set) (did "
               "you mean `val_loss`?)\n");
    expect_set("trainer={max_epochs: 1, limit_val_batches: 0}", "");
}

static void callbacks_against_each_other(void **state)
{
    static const struct row rows[] = {
        {"callbacks=[{model_checkpoint: {save_top_k: 3}}]",
         "callbacks[0].model_checkpoint.save_top_k", "without a monitor"},
        {"callbacks=[{model_checkpoint: {save_top_k: -1}}]", NULL, NULL},
        {"callbacks=[{model_checkpoint: {save_top_k: -2}}]",
         "callbacks[0].model_checkpoint.save_top_k", "-2 is out of range"},
        {"callbacks=[{model_checkpoint: {every_n_epochs: 1, every_n_train_steps: 5}}]",
         "callbacks[0].model_checkpoint", "more than one trigger"},
        {"callbacks=[{model_checkpoint: {every_n_epochs: 0, every_n_train_steps: 5}}]", NULL, NULL},
        {"callbacks=[{model_checkpoint: {train_time_interval: 10m, every_n_train_steps: 5}}]",
         "callbacks[0].model_checkpoint", "more than one trigger"},
        {"callbacks=[model_checkpoint, {model_checkpoint: {every_n_epochs: 1}}]", "callbacks[1]",
         "is the same as callbacks[0]"},
        {"callbacks=[model_checkpoint, {model_checkpoint: {every_n_epochs: 2}}]", NULL, NULL},
        {"callbacks=[model_checkpoint, {model_checkpoint: {mode: max}}]", NULL, NULL},
        {"callbacks=[{early_stopping: {monitor: val_loss}}, {early_stopping: {monitor: val_loss, "
         "patience: 9}}]",
         "callbacks[1]", "is the same as callbacks[0]"},
        {"callbacks=[{early_stopping: {monitor: val_loss}}, {early_stopping: {monitor: val_acc, "
         "mode: max}}]",
         NULL, NULL},
        {"loggers=[csv, csv]", "loggers[1]", "is the same as loggers[0]"},
        {"trainer.enable_checkpointing=false", NULL, NULL},
        {"trainer.enable_logger=false", NULL, NULL},
    };

    (void)state;
    CHECK_ROWS(rows);
}

static void ranks_against_batches(void **state)
{
    static const struct {
        const char *sets[5], *want;
    } cases[] = {
        {{"trainer.devices=2", "data.batch_size=7"}, ""},
        {{"trainer.devices=3", "data.batch_size=null", "data.global_batch_size=32"},
         "0:0 data.global_batch_size: 32 samples can't be shared out evenly over 3 ranks (given by "
         "--set) (make it a multiple of trainer.devices)\n"},
        {{"trainer.reproducible=elastic", "trainer.logical_shards=4", "data.batch_size=null",
          "data.global_batch_size=30"},
         "0:0 data.global_batch_size: 30 samples can't be shared out evenly over 4 slices (given by "
         "--set) (make it a multiple of trainer.logical_shards)\n"},
        {{"trainer.reproducible=elastic", "trainer.logical_shards=4", "trainer.devices=3",
          "data.batch_size=null", "data.global_batch_size=36"},
         "0:0 trainer.logical_shards: 4 slices can't be shared out evenly over 3 ranks (given by "
         "--set) (make it a multiple of trainer.devices)\n"},
        {{"trainer.reproducible=elastic", "trainer.logical_shards=4", "trainer.devices=2",
          "data.batch_size=null", "data.global_batch_size=36"},
         ""},
        {{"trainer.devices=4", "trainer.strategy=single_device"},
         "0:0 trainer.strategy: single_device, but devices is 4 (given by --set) (write ddp or "
         "auto)\n"},
        {{"trainer.devices=4", "job.resources.cpus=2"},
         "0:0 trainer.devices: 4 ranks on 2 processors (given by --set) (give job.resources.cpus as "
         "many, or write job.resources.oversubscribe: true)\n"},
        {{"trainer.devices=4", "job.resources={cpus: 2, oversubscribe: true}"}, ""},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        size_t n = 0;

        while (n < 5 && cases[i].sets[n])
            n++;
        expect_problems_set(good_plan, cases[i].sets, n, cases[i].want);
    }
}

static void switches_against_lists(void **state)
{
    static const struct {
        const char *sets[2], *want;
    } cases[] = {
        {{"trainer.enable_checkpointing=false", "callbacks=[model_checkpoint]"},
         "0:0 callbacks[0].model_checkpoint: trainer.enable_checkpointing is false (given by "
         "--set) (remove it, or "
         "trainer.enable_checkpointing: false)\n"},
        {{"trainer.enable_logger=false", "callbacks=[learning_rate_monitor]"},
         "0:0 callbacks[0].learning_rate_monitor: has no logger to write to: trainer.enable_logger "
         "is false (given by --set) "
         "(remove it, or trainer.enable_logger: false)\n"},
        {{"trainer.enable_logger=false", "loggers=[csv]"},
         "0:0 trainer.enable_logger: enable_logger is false, but the plan lists loggers (given by "
         "--set) (remove loggers, or "
         "enable_logger: false)\n"},
        {{"trainer.fast_dev_run=1", "callbacks=[{early_stopping: {monitor: nothing}}]"}, ""},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++)
        expect_problems_set(good_plan, cases[i].sets, 2, cases[i].want);
}

static void jobs(void **state)
{
    static const struct row rows[] = {
        {"name='a\\e[2J'", NULL, NULL},
        {"name=\"a\\e[2J\"", "name", "control character at byte 1"},
        {"name=\"a\\Nb\"", "name", "control character at byte 1"},
        {"name=naïve ärger 模型", NULL, NULL},
        {"job={time_limit: \"12:00:00\", recovery: {every: 60s, keep: 2}, resources: {cpus: auto, "
         "memory: 1GiB}}",
         NULL, NULL},
        {"job={time_limit: 0}", "job.time_limit", "no time to run"},
        {"job={retries: {infrastructure: -2}}", "job.retries.infrastructure", "-2 is out of range"},
        {"job={recovery: {every: 1s, every_n_steps: 5}}", "job.recovery.every_n_steps",
         "both given"},
        {"job={recovery: {keep: 0}}", "job.recovery.keep", "0 is out of range"},
        {"job={resources: {cpus: 0}}", "job.resources.cpus", "0 processors"},
        {"job={resources: {memory: 0}}", "job.resources.memory", "0 is out of range"},
        {"resume={}", "resume.job", "is missing"},
        {"resume={job: j1}", NULL, NULL},
    };

    (void)state;
    CHECK_ROWS(rows);
}

static void everything_in_one_go(void **state)
{
    (void)state;
    expect_problems(
        "name: x\n"
        "model: {layers: [flatten, {linear: {}}]}\n"
        "data: {source: {idx: {dir: d}}, train: {split: train}, batch_size: 0}\n"
        "step: {loss: cross_entropy}\n"
        "optimizer: {adam: {lr: -1}}\n"
        "trainer: {max_epochs: 1, precision: 16-mixed}\n"
        "callbacks: [{early_stopping: {monitor: val_loss, patince: 5}}]\n",
        "2:28 model.layers[1].linear.out_features: is missing (write `out_features: …`)\n"
        "3:68 data.batch_size: 0 is out of range (write a number from 1 to 16777216)\n"
        "5:24 optimizer.adam.lr: -1 is out of range (write a number above 0)\n"
        "6:37 trainer.precision: `16-mixed`: float16 with loss scaling isn't supported yet by this "
        "version (write bf16-mixed)\n"
        "7:40 callbacks[0].early_stopping.monitor: `val_loss`: there is no validation in this plan "
        "(write "
        "train_loss, epoch or step)\n"
        "7:50 callbacks[0].early_stopping.patince: `patince`: unknown field of early_stopping (did "
        "you mean "
        "`patience`?)\n");
}

static void evaluations(void **state)
{
    (void)state;
    expect_problems("kind: evaluation\nparent: j1\n", "");
    expect_problems("kind: evaluation\n", "1:1 parent: is missing (write `parent: …`)\n");
    expect_problems(
        "kind: evaluation\nparent: j1\nplan: {model: {layers: [relu]}, data: {source: {idx: {dir: "
        "d}}, train: "
        "{split: train}, batch_size: 0}, step: {loss: mse}, optimizer: adam, trainer: {max_epochs: "
        "1}}\n",
        "1:1 mode: test needs data.test, which the plan doesn't have (give the plan that split, or "
        "evaluate "
        "another one)\n"
        "3:100 plan.data.batch_size: 0 is out of range (write a number from 1 to 16777216)\n");
}

static void templates_in_parts(void **state)
{
    const char *at = "a-{epoch:02d}{x}";
    struct lt_template_part p;

    (void)state;
    assert_int_equal(lt_template_next(&at, &p), 1);
    assert_int_equal(p.literal_len, 2);
    assert_int_equal(lt_template_next(&at, &p), 1);
    assert_memory_equal(p.name, "epoch", p.name_len);
    assert_memory_equal(p.format, "02d", p.format_len);
    assert_int_equal(lt_template_next(&at, &p), 1);
    assert_int_equal(p.name_len, 1);
    assert_int_equal(p.format_len, 0);
    assert_int_equal(lt_template_next(&at, &p), 0);
    at = "}";
    assert_true(lt_template_next(&at, &p) < 0);
    at = "{}";
    assert_true(lt_template_next(&at, &p) < 0);
}

/* The whole path of a file in examples/: read, checked, printed, read again. */
static void examples_are_good(void **state)
{
    static const char *const names[] = {"fashion-mlp", "fashion-cnn"};
    const char *root = getenv("LT_SOURCE_ROOT");

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
        const char *path =
            lt_arena_format(arena, "%s/examples/%s.yaml", root ? root : ".", names[i]);
        FILE *f = fopen(path, "r");
        char text[8192];
        size_t n;

        assert_non_null(f);
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        expect_problems(text, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_plan_is_good),
        cmocka_unit_test(limits),
        cmocka_unit_test(validation_intervals),
        cmocka_unit_test(what_this_build_cannot_do),
        cmocka_unit_test(data),
        cmocka_unit_test(models),
        cmocka_unit_test(floods_are_refused_at_once),
        cmocka_unit_test(optimizers_and_schedules),
        cmocka_unit_test(monitors_and_file_names),
        cmocka_unit_test(callbacks_against_each_other),
        cmocka_unit_test(ranks_against_batches),
        cmocka_unit_test(switches_against_lists),
        cmocka_unit_test(jobs),
        cmocka_unit_test(everything_in_one_go),
        cmocka_unit_test(evaluations),
        cmocka_unit_test(templates_in_parts),
        cmocka_unit_test(examples_are_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
