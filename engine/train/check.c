/* check.c - levels 2 and 3: does this plan fit its data, its operators and this machine?
 *
 * Every problem that can be found is found: each part is checked as far as the parts before it
 * allow. Nothing is allocated but what a look needs.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/train/evaluate.h"
#include "engine/train/memory.h"
#include "engine/train/trainer.h"
#include "proto/plan.h"
#include "sys/rss.h"

struct checker {
    const struct lt_train_check *c;
    const Lt__V1__TrainingPlan *plan;
    const Lt__V1__Job *job;                 /* may be NULL */
    const struct lt_evaluation *evaluation; /* NULL: a fit */
    struct lt_problems *problems;
    struct lt_data *data;
    struct lt_limits limits;
    struct lt_shares shares;
    struct lt_session *session;
    struct lt_field fields[LT_DIMS_MAX];
};

static bool check_data(struct checker *k)
{
    struct lt_data_config c = {.plan = k->plan->data,
                               .cache_dir = k->c->cache_dir,
                               .progress = k->c->progress,
                               .arg = k->c->arg};
    struct lt_batch_counts counts;
    struct lt_error err = {0};

    if (lt_shares_of(k->plan, (int)lt_plan_world(k->plan), &k->shares, &err) < 0) {
        lt_problem_add(k->problems, "data", NULL, "%s", err.text);
        return false;
    }
    if (lt_data_open(&c, &k->data, k->problems) < 0)
        return false;
    lt_count_batches(k->data, k->plan, &k->shares, &counts);
    lt_limits_init(&k->limits, k->plan->trainer, &counts, k->problems);
    lt_session_fields(k->data, k->fields);
    return true;
}

static struct lt_session_config session_config(const struct checker *k)
{
    struct lt_session_config c = {
        .plan = k->plan,
        .fields = k->fields,
        .n_fields = lt_data_n_fields(k->data),
        .backend = k->c->backend,
        .device = {.threads = k->c->threads,
                   .allow_reference =
                       k->plan->trainer && k->plan->trainer->allow_reference_kernels,
                   .cache_dir = k->c->cache_dir},
        .plan_only = true,
        .world = k->shares.world,
    };

    if (k->evaluation)
        c.programs = 1u << k->evaluation->program;
    else
        c.programs = 1u << LT_PROGRAM_STEP |
                     (k->limits.accumulate > 1 ? 1u << LT_PROGRAM_MICRO : 0) |
                     (k->limits.val_batches ? 1u << LT_PROGRAM_EVAL : 0);
    return c;
}

/* A label that the model has no class for: say where, once the check of the model has said that
 * there is one. */
static void name_bad_label(const struct checker *k, size_t before)
{
    for (size_t i = before; i < k->problems->len; i++) {
        const char *at = strstr(k->problems->items[i].reason, "has classes 0");
        struct lt_error err = {0};

        if (!at)
            continue;
        for (int f = 0; f < lt_data_n_fields(k->data); f++)
            if (k->fields[f].classes > 0 &&
                lt_data_scan_labels(k->data, k->fields[f].classes - 1, -1, &err) == 1) {
                lt_problem_add(k->problems, "data.source",
                               "correct the label, or give the model's last layer more outputs",
                               "%.*s", (int)strcspn(err.text, ","), err.text);
                return;
            }
    }
}

static int prepare(struct checker *k, enum lt_split_kind split, enum lt_program_kind full,
                   enum lt_program_kind last, struct lt_error *err)
{
    struct lt_loader_config l;

    lt_loader_plan(k->data, k->plan, &k->shares, 0, &k->limits, split, &l);
    return lt_trainer_prepare(k->session, &l, full, last, err);
}

static int open_session(struct checker *k, struct lt_error *err)
{
    struct lt_session_config c = session_config(k);
    enum lt_program_kind full = k->limits.accumulate > 1 ? LT_PROGRAM_MICRO : LT_PROGRAM_STEP;
    int rc = lt_session_open(&c, &k->session, err);

    if (rc < 0)
        return rc;
    if (k->evaluation)
        return prepare(k, k->evaluation->split, k->evaluation->program, k->evaluation->program,
                       err);
    if (k->limits.train_batches)
        rc = prepare(k, LT_SPLIT_TRAIN, full, LT_PROGRAM_STEP, err);
    if (rc == 0 && k->limits.val_batches)
        rc = prepare(k, LT_SPLIT_VAL, LT_PROGRAM_EVAL, LT_PROGRAM_EVAL, err);
    return rc;
}

static void check_model(struct checker *k)
{
    struct lt_error err = {0};
    size_t before = k->problems->len, errors = k->problems->errors;

    lt_session_check(k->plan, k->fields, lt_data_n_fields(k->data), k->problems);
    if (k->problems->errors > errors) {
        name_bad_label(k, before);
        return;
    }
    if (open_session(k, &err) < 0)
        lt_problem_add(k->problems, "model", NULL, "%s", err.text);
    else if (lt_session_slower(k->session))
        lt_problem_warn(k->problems, "trainer.precision", "32-true is faster here",
                        "%s", lt_session_slower(k->session));
}

static void check_tensors(struct checker *k, const struct lt_safetensors *file, const char *name)
{
    int matched = 0;

    for (int i = 0; i < lt_session_n_tensors(k->session); i++) {
        const struct lt_tensor_info *info = lt_session_tensor(k->session, i);
        const struct lt_tensor *t = lt_safetensors_find(file, info->name);

        if (!t || (info->kind != LT_VALUE_PARAM && info->kind != LT_VALUE_BUFFER))
            continue;
        matched++;
        if (!lt_tensor_fits(info, t))
            lt_problem_add(k->problems, "model.weights",
                           "weights of this very model, or `weights` left out",
                           "%s: tensor %s has another shape or type than the model's", name,
                           info->name);
    }
    if (!matched)
        lt_problem_add(k->problems, "model.weights",
                       "names are those of the model's layers: 1.weight, 1.bias, …",
                       "%s: no tensor of it has the name of one of the model's", name);
}

static void check_weights(struct checker *k)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *file = NULL;
    const char *name = k->plan->model->weights;
    LT_AUTO(lt_free) char *path = name && *name ? lt_train_file(name, k->c->blobs) : NULL;
    struct lt_error err = {0};

    if (!name || !*name)
        return;
    if (!path) {
        lt_problem_warn(k->problems, "model.weights", "they are when it is submitted",
                        "%s lies with the daemon: its names and shapes aren't checked here", name);
    } else if (lt_safetensors_open(path, &file, &err) < 0) {
        lt_train_file_named(&err, path, name);
        lt_problem_add(k->problems, "model.weights", "a safetensors file", "%s", err.text);
    } else if (k->session) {
        check_tensors(k, file, name);
    }
}

static void check_memory(struct checker *k, const struct lt_memory_plan *m)
{
    const Lt__V1__Resources *res = k->job ? k->job->resources : NULL;
    const char *what = k->evaluation ? "the evaluation" : "training";
    uint64_t total = 0, available = 0;
    char need[32], have[32];

    lt_print_size(need, sizeof need, m->total);
    if (lt_memory_of_machine(&total, &available) == 0 && m->total > total) {
        lt_print_size(have, sizeof have, total);
        lt_problem_add(
            k->problems, "data.batch_size", "a smaller batch or model, or a node with more memory",
            "%s needs %s (%" PRIu64 " bytes), the machine has %s", what, need, m->total, have);
    }
    if (res && res->memory && m->total > res->memory->bytes) {
        lt_print_size(have, sizeof have, res->memory->bytes);
        lt_problem_add(k->problems, "job.resources.memory", "leave it out: it is planned",
                       "%s needs %s (%" PRIu64 " bytes), the job asks for %s", what, need, m->total,
                       have);
    }
}

static void add_report(const struct checker *k, const struct lt_memory_plan *m,
                       struct lt_buf *report)
{
    LT_BUF_AUTO text = {0};
    cJSON *o, *mem;
    char *printed;
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = {{"persistent", m->persistent},
                {"arena", m->arena},
                {"device", m->device},
                {"snapshot", m->snapshot},
                {"batches", m->batches},
                {"process", m->process},
                {"total", m->total}};

    lt_session_report(k->session, &text);
    o = cJSON_Parse(text.data ? text.data : "{}");
    if (!o)
        o = cJSON_CreateObject();
    mem = cJSON_AddObjectToObject(o, "memory");
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++)
        cJSON_AddNumberToObject(mem, rows[i].name, (double)rows[i].bytes);
    cJSON_AddNumberToObject(o, "steps_per_epoch", (double)lt_limits_steps_per_epoch(&k->limits));
    printed = cJSON_PrintUnformatted(o);
    lt_buf_str(report, printed);
    cJSON_free(printed);
    cJSON_Delete(o);
}

static struct lt_memory_use memory_use(const struct checker *k)
{
    const struct lt_limits *l = &k->limits;

    if (k->evaluation)
        return (struct lt_memory_use){1u << k->evaluation->split, false};
    return (struct lt_memory_use){(l->train_batches ? 1u << LT_SPLIT_TRAIN : 0) |
                                      (l->val_batches ? 1u << LT_SPLIT_VAL : 0),
                                  !l->fast_dev_run};
}

static void check_plan(struct checker *k, struct lt_train_cost *cost, struct lt_buf *report)
{
    struct lt_memory_plan m;
    struct lt_memory_use use;
    struct lt_session_cost c;

    if (!k->plan->model || !k->plan->data || !k->plan->step) {
        lt_problem_add(k->problems, "", NULL, "a plan has model, data and step");
        return;
    }
    if (check_data(k))
        check_model(k);
    if (!k->evaluation) /* its weights are the checkpoint's */
        check_weights(k);
    if (!k->session)
        return;
    use = memory_use(k);
    lt_memory_plan(k->session, k->data, k->plan, &k->shares, &k->limits, &use, &m);
    check_memory(k, &m);
    lt_session_cost(k->session, &c);
    *cost = (struct lt_train_cost){m.total, c.flops_per_step, c.parameters, c.checkpoint_bytes};
    add_report(k, &m, report);
}

static void check_checkpoint(struct checker *k, const char *path, const char *field)
{
    struct lt_manifest meta;
    struct lt_error err = {0};

    if (path && *path && lt_manifest_verify(path, &meta, &err) < 0)
        lt_problem_add(k->problems, field, "a whole checkpoint", "%s", err.text);
}

void lt_train_check(const struct lt_train_check *c, struct lt_problems *problems,
                    struct lt_train_cost *cost, struct lt_buf *report)
{
    struct checker k = {.c = c, .problems = problems};
    struct lt_evaluation what = {LT_SPLIT_TEST, LT_PROGRAM_EVAL, LT_TEST_STAGE};

    *cost = (struct lt_train_cost){0};
    if (c->spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN) {
        k.plan = c->spec->plan;
        k.job = k.plan->job;
        check_plan(&k, cost, report);
        if (k.plan->resume)
            check_checkpoint(&k, k.plan->resume->path, "resume.checkpoint");
    } else if (c->spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION &&
               c->spec->evaluation->plan) {
        k.plan = c->spec->evaluation->plan;
        k.job = c->spec->evaluation->job;
        if (k.plan->data)
            what = lt_evaluation_of(c->spec->evaluation);
        k.evaluation = &what;
        check_plan(&k, cost, report);
        check_checkpoint(&k, c->spec->evaluation->path, "checkpoint");
    }
    lt_session_close(k.session);
    lt_data_close(k.data);
}

int lt_train_dump_passes(const struct lt_train_check *c, struct lt_buf *out, struct lt_error *err)
{
    struct lt_problems problems = {0};
    struct checker k = {.c = c, .plan = c->spec->plan, .problems = &problems};
    int rc = 0;

    if (c->spec->kind_case != LT__V1__JOB_SPEC__KIND_PLAN || !k.plan->data)
        return lt_error_set(err, -EINVAL, "not a training plan");
    if (!check_data(&k)) {
        rc = lt_error_set(err, -EINVAL, "%s: %s", problems.items[0].path, problems.items[0].reason);
    } else {
        struct lt_session_config s = session_config(&k);

        rc = lt_session_dump_passes(&s, out, err);
    }
    lt_problems_done(&problems);
    lt_data_close(k.data);
    return rc;
}
