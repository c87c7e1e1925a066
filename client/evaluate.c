/* evaluate.c - submits, waits, prints what was computed */
#include "client/evaluate.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/str.h"
#include "client/changed.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/status.h"
#include "client/submit.h"
#include "client/watch.h"

const struct lt_option lt_evaluate_options[2] = {
    {"checkpoint", 0, LT_OPTION_STRING, "NAME",
     "of this one: a name, best, or last (best; without a monitor last)"},
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.devices=2; may be repeated"},
};

static void print(const struct lt_ctl *ctl, const Lt__V1__JobStatus *s)
{
    enum lt_output form = lt_ctl_output(ctl);
    cJSON *o = cJSON_CreateObject();
    LT_BUF_AUTO yaml = {0};

    for (size_t i = 0; i < s->n_results; i++) {
        const Lt__V1__MetricValue *v = s->results[i];

        if (form == LT_OUTPUT_TABLE)
            printf("%-12s %.6g\n", v->name, v->value);
        else
            lt_json_double(o, v->name, v->value);
    }
    if (form == LT_OUTPUT_YAML) {
        lt_output_yaml(o, 0, &yaml);
        fputs(yaml.data, stdout);
    }
    if (form == LT_OUTPUT_JSON || form == LT_OUTPUT_JSONL)
        lt_output_line(o); /* the bare object, as documented */
    else
        cJSON_Delete(o);
}

/* The parent's plan as --set changes it; NULL: as it is. */
static int plan_of(struct lt_ctl *ctl, const char *parent, Lt__V1__TrainingPlan **out)
{
    Lt__V1__JobSpec *spec = NULL;
    size_t n;
    const char *const *sets = lt_ctl_list(ctl, "set", &n);
    int rc;

    *out = NULL;
    for (size_t i = 0; i < n; i++)
        if (lt_str_starts(sets[i], "job.hold="))
            return lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                               "job.hold: this waits for its end; `submit --hold` takes a file of "
                               "`kind: evaluation`");
    rc = lt_changed_spec(ctl, parent, &spec);
    if (rc == 0 && spec && spec->kind_case != LT__V1__JOB_SPEC__KIND_PLAN)
        return lt_ctl_fail(ctl, LT_EXIT_REFUSED, "job %s is a command: it has no plan", parent);
    if (rc == 0 && spec)
        *out = spec->plan;
    return rc;
}

int lt_evaluate(struct lt_ctl *ctl, Lt__V1__Evaluation__Mode mode, const char **job)
{
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__Evaluation e = LT__V1__EVALUATION__INIT;
    Lt__V1__JobStatus *parent, *last;
    int rc = lt_ctl_connect(ctl);

    if (rc == 0)
        rc = lt_ctl_get(ctl, ctl->args[0], &parent);
    if (rc == 0)
        rc = plan_of(ctl, parent->id, &e.plan);
    if (rc)
        return rc;
    e.has_mode = true;
    e.mode = mode;
    e.parent = parent->id;
    e.checkpoint = (char *)lt_ctl_string(ctl, "checkpoint");
    spec.kind_case = LT__V1__JOB_SPEC__KIND_EVALUATION;
    spec.evaluation = &e;
    rc = lt_submit(ctl, &spec, job);
    if (rc)
        return rc;
    lt_interrupt_catch();
    rc = lt_submit_wait_done(ctl, *job, -1, &last);
    if (rc == LT_EXIT_DETACHED)
        return lt_ctl_fail(
            ctl, rc, "detached; `ltctl status %s` shows the results when they are there", *job);
    if (rc == 0 && last && mode != LT__V1__EVALUATION__MODE__PREDICT)
        print(ctl, last);
    else if (rc >= 100)
        lt_ctl_fail(ctl, rc, "job %s: %s; `ltctl logs %s` shows its output", *job,
                    last && last->reason && last->reason[0] ? last->reason : "didn't succeed", *job);
    return rc;
}
