/* plan_validate.c - level 1 of checking: everything that the spec alone shows
 *
 * The wire's rules first (unknown fields, enums), then each field by itself, then fields against
 * each other. All of it always runs: a plan's problems are shown in one go.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/problem.h"
#include "proto/checks.h"
#include "proto/plan.h"
#include "proto/reflect.h"
#include "proto/wire.h"

#define CHECK_MEMORY (4u << 20)
#define PARTS_MAX 50000 /* messages in a spec */

static void (*const checks[])(const struct lt_check *) = {
    lt_check_model,   lt_check_data,      lt_check_step,
    lt_check_trainer, lt_check_callbacks, lt_check_job,
};

const char *lt_check_path(const struct lt_check *c, const char *format, ...)
{
    char name[256];
    const char *path;
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    path = lt_arena_format(c->arena, "%s%s", c->at, name);
    return path ? path : "";
}

/* A oneof that must be set: every message that is nothing but a choice. */
static void check_choice(const ProtobufCMessage *m, struct lt_buf *path,
                         struct lt_problems *problems)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    LT_BUF_AUTO remedy = {0};

    if (!lt_message_is_choice(d) || lt_oneof_set(m, &d->fields[0]))
        return;
    lt_buf_str(&remedy, "write ");
    for (unsigned i = 0; i < d->n_fields; i++)
        lt_buf_printf(&remedy, "%s%s",
                      i == 0                 ? ""
                      : i + 1 == d->n_fields ? " or "
                                             : ", ",
                      d->fields[i].name);
    lt_problem_add(problems, lt_path_text(path), remedy.data, "is empty: it doesn't say which");
}

struct walk {
    struct lt_rules_cache cache;
    struct lt_problems *problems;
};

static void check_message(void *context, const ProtobufCMessage *m, struct lt_buf *path)
{
    struct walk *w = context;

    check_choice(m, path, w->problems);
    lt_rules_check(&w->cache, m, path, w->problems);
}

static void check_plan(const Lt__V1__TrainingPlan *plan, const char *at,
                       struct lt_problems *problems)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(CHECK_MEMORY);
    const struct lt_check c = {.plan = plan, .problems = problems, .arena = arena, .at = at};

    for (size_t i = 0; i < LT_ARRAY_LEN(checks); i++)
        checks[i](&c);
}

static void check_command(const Lt__V1__Command *command, struct lt_problems *problems)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(CHECK_MEMORY);
    const struct lt_check c = {.problems = problems, .arena = arena, .at = ""};

    lt_check_command(&c, command);
}

static void check_evaluation(const Lt__V1__Evaluation *e, struct lt_problems *problems)
{
    static const struct {
        const char *split, *mode;
    } needs[] = {
        [LT__V1__EVALUATION__MODE__TEST] = {"test", "test"},
        [LT__V1__EVALUATION__MODE__VALIDATE] = {"val", "validate"},
    };
    const Lt__V1__Data *data = e->plan ? e->plan->data : NULL;
    const Lt__V1__Split *split;

    if (!e->plan)
        return; /* filled in from the parent when the job is made */
    check_plan(e->plan, "plan.", problems);
    if (!data || (size_t)e->mode >= LT_ARRAY_LEN(needs))
        return;
    split = e->mode == LT__V1__EVALUATION__MODE__TEST ? data->test : data->val;
    if (!split)
        lt_problem_add(problems, "mode", "give the plan that split, or evaluate another one",
                       "%s needs data.%s, which the plan doesn't have", needs[e->mode].mode,
                       needs[e->mode].split);
}

/* What follows looks at every part, and must not take long: it runs on the daemon's loop, too. */
static bool is_flood(const Lt__V1__JobSpec *spec, const ProtobufCMessage *body,
                     struct lt_problems *problems)
{
    const bool evaluation = spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION;
    const Lt__V1__TrainingPlan *plan = evaluation ? spec->evaluation->plan
                                       : spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? spec->plan
                                                                                        : NULL;

    if (plan && lt_model_is_too_deep(plan->model))
        lt_problem_add(problems, evaluation ? "plan.model.layers" : "model.layers",
                       "use fewer layers", "more than %d layers, repeats included",
                       LT_PLAN_LAYERS_MAX);
    else if (lt_message_count(body, PARTS_MAX) > PARTS_MAX)
        lt_problem_add(problems, "", "make it smaller",
                       "more than %d layers, nodes and other parts", PARTS_MAX);
    else
        return false;
    return true;
}

void lt_plan_validate(const Lt__V1__JobSpec *spec, struct lt_problems *problems)
{
    const ProtobufCFieldDescriptor *f =
        lt_oneof_set(&spec->base, &spec->base.descriptor->fields[0]);
    const Lt__V1__TrainingPlan *plan =
        spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? spec->plan : NULL;
    struct walk walk = {.problems = problems};
    const ProtobufCMessage *body =
        f ? *(const ProtobufCMessage *const *)lt_field_at(&spec->base, f, 0) : NULL;

    for (unsigned i = 0; i < spec->base.n_unknown_fields; i++)
        lt_problem_add(problems, "", "send only fields of this version's schema, or upgrade ltd",
                       "unknown field with tag %u in JobSpec", spec->base.unknown_fields[i].tag);
    if (!body) {
        lt_problem_add(problems, "", "send a plan",
                       "the job says neither plan, command nor evaluation");
        return;
    }
    if (is_flood(spec, body, problems))
        return; /* not worth a look at each part */
    lt_wire_validate(body, problems);
    lt_message_walk(body, "", check_message, &walk);
    if (plan)
        check_plan(plan, "", problems);
    else if (spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION)
        check_evaluation(spec->evaluation, problems);
    else
        check_command(spec->command, problems);
}
