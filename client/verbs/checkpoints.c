/* checkpoints.c - ltctl checkpoints JOB */
#include <stdio.h>

#include "base/auto.h"
#include "client/ctl.h"
#include "client/output.h"

static const struct lt_option options[] = {
    {"quiet", 'q', LT_OPTION_FLAG, NULL, "names alone"},
};

static const struct lt_column columns[] = {
    {"NAME", "name", LT_COLUMN_TEXT},   {"EPOCH", "epoch", LT_COLUMN_NUMBER},
    {"STEP", "step", LT_COLUMN_NUMBER}, {"MONITOR", "monitor", LT_COLUMN_TEXT},
    {"SCORE", "score", LT_COLUMN_REAL}, {"SIZE", "bytes", LT_COLUMN_BYTES},
    {"", "mark", LT_COLUMN_TEXT},
};

static cJSON *row(const Lt__V1__CheckpointInfo *c, bool table)
{
    const Lt__V1__CheckpointSaved *s = c->saved;
    cJSON *o = cJSON_CreateObject();

    lt_json_text(o, "name", s->name);
    lt_json_u64(o, "epoch", s->epoch);
    lt_json_u64(o, "step", s->step);
    lt_json_text(o, "monitor", s->monitor && s->monitor[0] ? s->monitor : NULL);
    if (s->has_score)
        lt_json_double(o, "score", s->score);
    else
        cJSON_AddNullToObject(o, "score");
    lt_json_u64(o, "bytes", s->bytes);
    lt_json_u64(o, "attempt", c->attempt);
    cJSON_AddBoolToObject(o, "recovery", s->recovery);
    cJSON_AddBoolToObject(o, "best", c->best);
    cJSON_AddBoolToObject(o, "last", c->last);
    lt_json_text(o, "path", c->path);
    if (table)
        cJSON_AddStringToObject(o, "mark",
                                c->best && c->last ? "best, last"
                                : c->best          ? "best"
                                : c->last          ? "last"
                                                   : " ");
    return o;
}

static int run(struct lt_ctl *ctl)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__ListCheckpointsResponse *r = NULL;
    cJSON *rows;
    int rc = lt_ctl_connect(ctl);

    q.job_id = (char *)ctl->args[0];
    if (rc == 0)
        rc = lt_ctl_call(ctl, "ListCheckpoints", &q, &lt__v1__list_checkpoints_response__descriptor,
                         &r);
    if (rc)
        return rc;
    if (lt_ctl_flag(ctl, "quiet")) {
        for (size_t i = 0; i < r->n_checkpoints; i++)
            puts(r->checkpoints[i]->saved->name);
        return 0;
    }
    rows = cJSON_CreateArray();
    for (size_t i = 0; i < r->n_checkpoints; i++)
        cJSON_AddItemToArray(rows, row(r->checkpoints[i], lt_ctl_output(ctl) == LT_OUTPUT_TABLE));
    lt_output_list(ctl, "checkpoints", rows, columns, LT_ARRAY_LEN(columns));
    return 0;
}

const struct lt_verb lt_verb_checkpoints = {
    .name = "checkpoints",
    .arguments = "JOB",
    .summary = "List a job's checkpoints",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
