/* events.c - ltctl events [-f] [JOB] */
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/ctl.h"
#include "client/event.h"
#include "client/output.h"
#include "client/stream.h"

static const struct lt_option options[] = {
    {"follow", 'f', LT_OPTION_FLAG, NULL, "go on until the job ends; without JOB for ever"},
};

struct view {
    struct lt_ctl *ctl;
    Lt__V1__EventsRequest request;
    cJSON *all; /* for json and yaml: printed at the end */
};

static const ProtobufCMessage *request(void *arg, ProtobufCBinaryData cursor)
{
    struct view *v = arg;

    lt__v1__events_request__init(&v->request);
    v->request.job_id = (char *)v->ctl->args[0];
    v->request.has_follow = true;
    v->request.follow = lt_ctl_flag(v->ctl, "follow");
    v->request.has_cursor = cursor.len > 0;
    v->request.cursor = cursor;
    return &v->request.base;
}

static void print_row(cJSON *event)
{
    LT_BUF_AUTO detail = {0};

    lt_event_detail(event, &detail);
    printf("%s  %-8s  %-18s  %s\n", cJSON_GetStringValue(cJSON_GetObjectItem(event, "time")),
           cJSON_GetStringValue(cJSON_GetObjectItem(event, "job")),
           cJSON_GetStringValue(cJSON_GetObjectItem(event, "type")),
           detail.data ? detail.data : "");
    cJSON_Delete(event);
}

static void print_event(struct view *v, const Lt__V1__Event *e)
{
    cJSON *o = lt_event_json(e);

    if (v->all)
        cJSON_AddItemToArray(v->all, o);
    else if (lt_ctl_output(v->ctl) == LT_OUTPUT_JSONL)
        lt_output_line(o);
    else
        print_row(o);
}

static int reply(void *arg, const ProtobufCMessage *m, ProtobufCBinaryData *cursor)
{
    const Lt__V1__EventsResponse *r = (const Lt__V1__EventsResponse *)m;
    struct view *v = arg;

    if (r->gap)
        lt_ctl_fail(v->ctl, 0, "%llu events are no longer there",
                    (unsigned long long)r->gap->missing);
    for (size_t i = 0; i < r->n_events; i++)
        print_event(v, r->events[i]);
    fflush(stdout);
    if (r->has_cursor)
        *cursor = r->cursor;
    return r->end ? 1 : 0;
}

static int run(struct lt_ctl *ctl)
{
    struct view v = {.ctl = ctl};
    const struct lt_stream s = {
        .method = "/lt.v1.Jobs/Events",
        .out = &lt__v1__events_response__descriptor,
        .request = request,
        .reply = reply,
        .arg = &v,
        .follow = lt_ctl_flag(ctl, "follow"),
    };
    enum lt_output form = lt_ctl_output(ctl);
    int rc = lt_ctl_connect(ctl);

    if (rc)
        return rc;
    if (form == LT_OUTPUT_JSON || form == LT_OUTPUT_YAML)
        v.all = cJSON_CreateArray();
    rc = lt_stream_run(ctl, &s);
    if (v.all)
        lt_output_list(ctl, "events", v.all, NULL, 0);
    return rc;
}

const struct lt_verb lt_verb_events = {
    .name = "events",
    .arguments = "[JOB]",
    .summary = "Show what happened to a job, or to all",
    .details = "Everything that ltd knows of a job follows from its events. With -o jsonl each is "
               "one line: seq, time, type, job,\n"
               "attempt, and what its type adds.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
