/* metrics.c - ltctl metrics [-f] JOB, or a curve of one of them */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/plot.h"
#include "client/stream.h"

#define PLOT_COLUMNS 80
#define PLOT_ROWS 16

static const struct lt_option options[] = {
    {"follow", 'f', LT_OPTION_FLAG, NULL, "go on until the job ends"},
    {"name", 'n', LT_OPTION_LIST, "METRIC", "only this one; may be repeated"},
    {"plot", 0, LT_OPTION_STRING, "METRIC", "draw its curve"},
};

static const struct lt_column columns[] = {
    {"ATTEMPT", "attempt", LT_COLUMN_NUMBER}, {"EPOCH", "epoch", LT_COLUMN_NUMBER},
    {"STEP", "step", LT_COLUMN_NUMBER},       {"METRIC", "name", LT_COLUMN_TEXT},
    {"VALUE", "value", LT_COLUMN_REAL},
};

struct view {
    struct lt_ctl *ctl;
    Lt__V1__MetricsRequest request;
    cJSON *all;    /* everything but followed lines is printed at the end */
    double *x, *y; /* for a plot */
    size_t n, cap, cap_y;
};

static const ProtobufCMessage *request(void *arg, ProtobufCBinaryData cursor)
{
    struct view *v = arg;
    const char *plot = lt_ctl_string(v->ctl, "plot");
    size_t n;
    const char *const *names = lt_ctl_list(v->ctl, "name", &n);

    lt__v1__metrics_request__init(&v->request);
    v->request.job_id = (char *)v->ctl->args[0];
    v->request.has_follow = true;
    v->request.follow = lt_ctl_flag(v->ctl, "follow") && !plot;
    v->request.has_cursor = cursor.len > 0;
    v->request.cursor = cursor;
    v->request.names = (char **)names;
    v->request.n_names = n;
    return &v->request.base;
}

static cJSON *point_json(const struct view *v, const Lt__V1__MetricPoint *p)
{
    cJSON *o = cJSON_CreateObject();

    lt_json_text(o, "job", v->ctl->args[0]);
    lt_json_u64(o, "attempt", p->attempt);
    lt_json_u64(o, "step", p->step);
    lt_json_u64(o, "epoch", p->epoch);
    lt_json_text(o, "name", p->name);
    lt_json_double(o, "value", p->value);
    return o;
}

static void take_point(struct view *v, const Lt__V1__MetricPoint *p)
{
    const char *plot = lt_ctl_string(v->ctl, "plot");

    if (plot) {
        if (strcmp(p->name, plot) != 0)
            return;
        LT_GROW(v->x, v->n, v->cap);
        LT_GROW(v->y, v->n, v->cap_y);
        v->x[v->n] = (double)p->step;
        v->y[v->n++] = p->value;
    } else if (v->all) {
        cJSON_AddItemToArray(v->all, point_json(v, p));
    } else {
        lt_output_line(point_json(v, p));
    }
}

static void print_followed(const Lt__V1__MetricPoint *p)
{
    printf("%-8u %-6llu %-8llu %-24s %.8g\n", p->attempt, (unsigned long long)p->epoch,
           (unsigned long long)p->step, p->name, p->value);
}

static int reply(void *arg, const ProtobufCMessage *m, ProtobufCBinaryData *cursor)
{
    const Lt__V1__MetricsResponse *r = (const Lt__V1__MetricsResponse *)m;
    struct view *v = arg;
    bool lines = v->request.follow && lt_ctl_output(v->ctl) == LT_OUTPUT_TABLE;

    if (r->rewound)
        lt_ctl_note("values from step %llu on come again, from a new attempt",
                    (unsigned long long)r->rewound->to_step);
    for (size_t i = 0; i < r->n_points; i++) {
        if (lines)
            print_followed(r->points[i]);
        else
            take_point(v, r->points[i]);
    }
    fflush(stdout);
    if (r->has_cursor)
        *cursor = r->cursor;
    return r->end ? 1 : 0;
}

static int plot(struct view *v, const char *name)
{
    LT_BUF_AUTO out = {0};
    struct winsize w;
    int width = ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col > 30 ? w.ws_col : PLOT_COLUMNS;

    if (v->n == 0)
        return lt_ctl_fail(v->ctl, LT_EXIT_NOT_FOUND,
                           "job %s has no values of `%s`; `ltctl metrics %s` lists what it has",
                           v->ctl->args[0], name, v->ctl->args[0]);
    lt_plot(name, v->x, v->y, v->n, width, PLOT_ROWS, &out);
    fputs(out.data, stdout);
    return 0;
}

static int run(struct lt_ctl *ctl)
{
    struct view v = {.ctl = ctl};
    const char *name = lt_ctl_string(ctl, "plot");
    const struct lt_stream s = {
        .method = "/lt.v1.Jobs/Metrics",
        .out = &lt__v1__metrics_response__descriptor,
        .request = request,
        .reply = reply,
        .arg = &v,
        .follow = lt_ctl_flag(ctl, "follow") && !name,
    };
    int rc = lt_ctl_connect(ctl);
    Lt__V1__JobStatus *job;

    if (rc == 0)
        rc = lt_ctl_get(ctl, ctl->args[0], &job);
    if (rc)
        return rc;
    ctl->args = (const char *const[]){job->id, NULL}; /* whole, for the lines */
    if (!name && lt_ctl_output(ctl) != LT_OUTPUT_JSONL && !s.follow)
        v.all = cJSON_CreateArray();
    rc = lt_stream_run(ctl, &s);
    if (v.all)
        lt_output_list(ctl, "metrics", v.all, columns, LT_ARRAY_LEN(columns));
    if (rc == 0 && name)
        rc = plot(&v, name);
    lt_free(v.x);
    lt_free(v.y);
    return rc;
}

const struct lt_verb lt_verb_metrics = {
    .name = "metrics",
    .arguments = "JOB",
    .summary = "Show a job's metrics",
    .details =
        "A metric's step is the 0-based index of the update it belongs to. With -o jsonl each "
        "value is one line:\n"
        "{\"job\":…,\"attempt\":1,\"step\":49,\"epoch\":0,\"name\":\"val_acc\",\"value\":0.87}",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
