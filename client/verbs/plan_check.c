/* plan_check.c - ltctl plan check PLAN: all levels of checking, and what the plan would cost */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"
#include "client/checker.h"
#include "client/command.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/plan_file.h"
#include "proto/plan.h"
#include "proto/text/text.h"
#include "sys/cpuset.h"

static const struct lt_option options[] = {
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.max_epochs=3; may be repeated"},
    LT_COMMAND_OPTIONS,
};

static const struct lt_column layer_columns[] = {
    {"LAYER", "name", LT_COLUMN_TEXT},
    {"KIND", "kind", LT_COLUMN_TEXT},
    {"OUTPUT", "output", LT_COLUMN_TEXT},
    {"PARAMETERS", "parameters", LT_COLUMN_NUMBER},
};
static const struct lt_column node_columns[] = {
    {"NODE", "name", LT_COLUMN_TEXT},     {"OPERATOR", "op", LT_COLUMN_TEXT},
    {"TYPE", "type", LT_COLUMN_TEXT},     {"KERNEL", "kernel", LT_COLUMN_TEXT},
    {"FLOPS", "flops", LT_COLUMN_NUMBER},
};

/* lt-worker is our own program; its report is read back only to be shown as a table. */
static cJSON *report_of(const Lt__V1__CheckDone *d)
{
    cJSON *report = d->report_json && d->report_json[0] ? cJSON_Parse(d->report_json) : NULL;

    return report ? report : cJSON_CreateObject();
}

static void add_cost(cJSON *o, const Lt__V1__Checked *c)
{
    if (!c)
        return;
    lt_json_u64(o, "memory_bytes", c->memory_bytes);
    lt_json_u64(o, "flops_per_step", c->flops_per_step);
    lt_json_u64(o, "parameters", c->parameters);
    lt_json_u64(o, "checkpoint_bytes", c->checkpoint_bytes);
}

static void add_problems(cJSON *o, const Lt__V1__CheckDone *d)
{
    cJSON *list = cJSON_AddArrayToObject(o, "problems");

    for (size_t i = 0; i < d->n_problems; i++) {
        LT_BUF_AUTO text = {0};

        lt_text_print(&d->problems[i]->base, LT_TEXT_JSON | LT_TEXT_ENUM_LOWER | LT_TEXT_DEFAULTS,
                      &text);
        cJSON_AddItemToArray(list, cJSON_Parse(text.data));
    }
}

static void print_part(const char *title, const cJSON *array, const struct lt_column *columns,
                       size_t n)
{
    LT_BUF_AUTO out = {0};

    if (!cJSON_IsArray(array) || !array->child)
        return;
    lt_output_table(array, columns, n, &out);
    printf("%s%s\n", title, out.data);
}

static void print_cost(const Lt__V1__Checked *c)
{
    char memory[32], checkpoint[32];

    if (!c)
        return;
    lt_print_size(memory, sizeof memory, c->memory_bytes);
    lt_print_size(checkpoint, sizeof checkpoint, c->checkpoint_bytes);
    printf("parameters      %llu\n", (unsigned long long)c->parameters);
    printf("FLOPs per step  %llu\n", (unsigned long long)c->flops_per_step);
    printf("memory          %s\n", memory);
    printf("checkpoint      %s\n", checkpoint);
}

/* The nodes of the program that trains, else of the first one. */
static const cJSON *nodes_of(const cJSON *report)
{
    const cJSON *programs = cJSON_GetObjectItemCaseSensitive(report, "programs"), *best = NULL;

    for (const cJSON *p = programs ? programs->child : NULL; p; p = p->next) {
        if (!best ||
            lt_str_eq(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p, "name")), "step"))
            best = p;
    }
    return best ? cJSON_GetObjectItemCaseSensitive(best, "nodes") : NULL;
}

static void print_table(const Lt__V1__CheckDone *d)
{
    cJSON *report = report_of(d);
    const char *program = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(report, "program"));

    print_part("", cJSON_GetObjectItemCaseSensitive(report, "layers"), layer_columns,
               LT_ARRAY_LEN(layer_columns));
    print_part("one training step:\n", nodes_of(report), node_columns, LT_ARRAY_LEN(node_columns));
    if (program)
        printf("program         %s\n", program);
    else
        print_cost(d->cost);
    cJSON_Delete(report);
}

static size_t count_errors(const Lt__V1__CheckDone *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n_problems; i++)
        n += d->problems[i]->severity == LT__V1__PROBLEM__SEVERITY__ERROR;
    return n;
}

/* What submit says on the node, which may be another machine: a warning here. */
static void warn_of_ranks(struct lt_ctl *ctl, const Lt__V1__JobSpec *spec, Lt__V1__CheckDone *d)
{
    bool command = spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;
    const Lt__V1__Job *job = command ? spec->command->job : spec->plan->job;
    uint64_t ranks = command ? spec->command->nproc : lt_plan_world(spec->plan);
    int cpus = lt_cpu_usable();
    Lt__V1__Problem **problems, *p;

    if (ranks <= (uint64_t)cpus || (job && job->resources && job->resources->oversubscribe))
        return;
    p = lt_arena_alloc(ctl->arena, sizeof *p);
    lt__v1__problem__init(p);
    p->has_severity = true;
    p->severity = LT__V1__PROBLEM__SEVERITY__WARNING;
    p->path = (char *)(command ? "nproc" : "trainer.devices");
    p->reason =
        lt_arena_format(ctl->arena, "%llu ranks, but this machine has %d processor%s; %s",
                        (unsigned long long)ranks, cpus, cpus == 1 ? "" : "s",
                        command ? "they would take turns here" : "a node like it refuses them");
    p->remedy = (char *)"fewer ranks, a larger node, or job.resources.oversubscribe: true";
    problems = lt_arena_alloc(ctl->arena, (d->n_problems + 1) * sizeof *problems);
    for (size_t i = 0; i < d->n_problems; i++)
        problems[i] = d->problems[i];
    problems[d->n_problems++] = p;
    d->problems = problems;
}

static int run(struct lt_ctl *ctl)
{
    const char *path = ctl->program ? "the command" : ctl->args[0];
    Lt__V1__JobSpec *spec;
    Lt__V1__CheckDone *d;
    size_t errors;
    int rc = lt_spec_read(ctl, &spec);

    if (rc == 0)
        rc = lt_checker_run(ctl, spec, &d);
    if (rc)
        return rc;
    warn_of_ranks(ctl, spec, d);
    errors = count_errors(d);
    lt_plan_file_problems(ctl, d->problems, d->n_problems);
    if (lt_ctl_output(ctl) != LT_OUTPUT_TABLE) {
        cJSON *o = report_of(d);

        add_cost(o, d->cost);
        add_problems(o, d);
        lt_output_object(ctl, o);
    } else if (errors == 0) {
        print_table(d);
    }
    return errors ? lt_ctl_fail(ctl, LT_EXIT_REFUSED, "%s has %zu problem%s, listed above", path,
                                errors, errors == 1 ? "" : "s")
                  : 0;
}

const struct lt_verb lt_verb_plan_check = {
    .name = "plan check",
    .arguments = "PLAN | -- PROGRAM [ARGUMENT…]",
    .summary = "Check a plan and print its layers, kernels and cost",
    .details = "Everything that `submit` checks, on this machine and without a daemon: the plan's "
               "fields, its shapes, its data,\n"
               "its memory. Exit code 3 when something is wrong, with every problem listed. More ranks than "
               "this machine has processors are\n"
               "a warning: the node may be another one.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_OUTPUT | LT_VERB_COMMAND,
    .run = run,
};
