/* ps.c - ltctl ps: the jobs there are */
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/status.h"

static const struct lt_option options[] = {
    {"all", 'a', LT_OPTION_FLAG, NULL, "ended ones, too"},
    {"quiet", 'q', LT_OPTION_FLAG, NULL, "ids alone"},
};

static const struct lt_column columns[] = {
    {"JOB", "id", LT_COLUMN_TEXT},        {"NAME", "name", LT_COLUMN_TEXT},
    {"STATE", "shown", LT_COLUMN_TEXT},   {"ATTEMPT", "attempt", LT_COLUMN_NUMBER},
    {"EPOCH", "epoch", LT_COLUMN_NUMBER}, {"STEP", "step", LT_COLUMN_NUMBER},
    {"AGE", "age", LT_COLUMN_AGE},
};

static cJSON *row(const Lt__V1__JobStatus *s, bool table)
{
    cJSON *o = lt_status_json(s);
    LT_BUF_AUTO word = {0};

    if (!table)
        return o;
    lt_status_word(s, &word);
    cJSON_AddStringToObject(o, "shown", word.data);
    lt_json_u64(o, "age", s->submitted_ns);
    return o;
}

static int run(struct lt_ctl *ctl)
{
    Lt__V1__ListRequest q = LT__V1__LIST_REQUEST__INIT;
    Lt__V1__ListResponse *r = NULL;
    cJSON *rows;
    int rc = lt_ctl_connect(ctl);

    q.has_all = true;
    q.all = lt_ctl_flag(ctl, "all");
    if (rc == 0)
        rc = lt_ctl_call(ctl, "List", &q, &lt__v1__list_response__descriptor, &r);
    if (rc)
        return rc;
    if (lt_ctl_flag(ctl, "quiet")) {
        for (size_t i = 0; i < r->n_jobs; i++)
            puts(r->jobs[i]->id);
        return 0;
    }
    rows = cJSON_CreateArray();
    for (size_t i = 0; i < r->n_jobs; i++)
        cJSON_AddItemToArray(rows, row(r->jobs[i], lt_ctl_output(ctl) == LT_OUTPUT_TABLE));
    lt_output_list(ctl, "jobs", rows, columns, LT_ARRAY_LEN(columns));
    return 0;
}

const struct lt_verb lt_verb_ps = {
    .name = "ps",
    .arguments = "",
    .summary = "List the jobs that haven't ended",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
