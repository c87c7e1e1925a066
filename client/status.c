/* status.c - the one place that turns JobStatus into what is shown */
#include "client/status.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/output.h"
#include "proto/plan.h"
#include "proto/text/text.h"
#include "sys/clock.h"

static cJSON *message_json(const ProtobufCMessage *m)
{
    LT_BUF_AUTO text = {0};

    lt_text_print(m, LT_TEXT_JSON | LT_TEXT_ENUM_LOWER, &text); /* our own output */
    return cJSON_Parse(text.data ? text.data : "{}");
}

static cJSON *best_json(const Lt__V1__CheckpointSaved *c)
{
    cJSON *o = cJSON_CreateObject();

    lt_json_text(o, "name", c->name);
    lt_json_u64(o, "step", c->step);
    lt_json_u64(o, "epoch", c->epoch);
    lt_json_text(o, "monitor", c->monitor);
    if (c->has_score)
        lt_json_double(o, "score", c->score);
    else
        cJSON_AddNullToObject(o, "score");
    return o;
}

static cJSON *rank_json(const Lt__V1__RankStatus *r)
{
    cJSON *o = cJSON_CreateObject();

    lt_json_u64(o, "rank", r->rank);
    lt_json_text(o, "node", r->node);
    lt_json_u64(o, "pid", r->pid);
    lt_json_text(o, "state", r->state);
    lt_json_text(o, "phase", r->phase);
    lt_json_u64(o, "step", r->step);
    lt_json_double(o, "step_ms", r->step_ms);
    lt_json_u64(o, "memory", r->memory_bytes);
    return o;
}

static cJSON *metrics_json(Lt__V1__MetricValue *const *list, size_t n)
{
    cJSON *o = cJSON_CreateObject();

    for (size_t i = 0; i < n; i++) {
        if (list[i]->name)
            lt_json_double(o, list[i]->name, list[i]->value);
    }
    return o;
}

static void add_lists(cJSON *o, const Lt__V1__JobStatus *s)
{
    cJSON *ranks = cJSON_AddArrayToObject(o, "ranks");
    cJSON *conditions = cJSON_AddArrayToObject(o, "conditions");
    cJSON *problems = cJSON_AddArrayToObject(o, "problems");

    for (size_t i = 0; i < s->n_ranks; i++)
        cJSON_AddItemToArray(ranks, rank_json(s->ranks[i]));
    for (size_t i = 0; i < s->n_conditions; i++)
        cJSON_AddItemToArray(conditions, message_json(&s->conditions[i]->base));
    for (size_t i = 0; i < s->n_problems; i++)
        cJSON_AddItemToArray(problems, message_json(&s->problems[i]->base));
    cJSON_AddItemToObject(o, "metrics", metrics_json(s->metrics, s->n_metrics));
    cJSON_AddItemToObject(o, "results", metrics_json(s->results, s->n_results));
}

cJSON *lt_status_json(const Lt__V1__JobStatus *s)
{
    bool done = s->state == LT__V1__JOB_STATE__DONE;
    cJSON *o = cJSON_CreateObject();

    lt_json_text(o, "id", s->id);
    lt_json_text(o, "name", s->name);
    lt_json_text(o, "kind", s->kind);
    lt_json_text(o, "state", lt_job_state_name(s->state));
    lt_json_text(o, "result", done ? lt_job_result_name(s->result) : NULL);
    lt_json_text(o, "class", s->class_ ? lt_failure_class_name(s->class_) : NULL);
    lt_json_text(o, "reason", s->reason && s->reason[0] ? s->reason : NULL);
    lt_json_u64(o, "attempt", s->attempt);
    lt_json_u64(o, "generation", s->generation);
    lt_json_u64(o, "epoch", s->epoch);
    lt_json_u64(o, "step", s->step);
    lt_json_u64(o, "total_epochs", s->total_epochs);
    lt_json_u64(o, "total_steps", s->total_steps);
    if (s->best)
        cJSON_AddItemToObject(o, "best", best_json(s->best));
    else
        cJSON_AddNullToObject(o, "best");
    lt_json_text(o, "run_dir", s->run_dir);
    lt_json_text(o, "parent", s->parent && s->parent[0] ? s->parent : NULL);
    lt_json_time(o, "submitted", s->submitted_ns);
    lt_json_time(o, "started", s->started_ns);
    lt_json_time(o, "ended", s->ended_ns);
    add_lists(o, s);
    return o;
}

void lt_status_word(const Lt__V1__JobStatus *s, struct lt_buf *out)
{
    if (s->state != LT__V1__JOB_STATE__DONE) {
        lt_buf_str(out, lt_job_state_name(s->state));
        return;
    }
    lt_buf_str(out, lt_job_result_name(s->result));
    if (s->class_)
        lt_buf_printf(out, " (%s)", lt_failure_class_name(s->class_));
}

const Lt__V1__MetricValue *lt_status_metric(const Lt__V1__JobStatus *s, const char *name)
{
    for (size_t i = 0; i < s->n_metrics; i++) {
        if (lt_str_eq(s->metrics[i]->name, name))
            return s->metrics[i];
    }
    return NULL;
}

const Lt__V1__MetricValue *lt_status_loss(const Lt__V1__JobStatus *s)
{
    static const char *const names[] = {"train_loss", "train_loss_step", "loss"};
    const Lt__V1__MetricValue *m = NULL;

    for (size_t i = 0; i < LT_ARRAY_LEN(names) && !m; i++)
        m = lt_status_metric(s, names[i]);
    return m;
}

int lt_status_exit_code(const Lt__V1__JobStatus *s)
{
    return lt_job_exit_code(s->result, s->class_);
}

/* ---- for people */

static void line(struct lt_buf *out, const char *key, const char *value)
{
    if (value && value[0])
        lt_buf_printf(out, "%-11s %s\n", key, value);
}

static void time_line(struct lt_buf *out, const char *key, uint64_t ns)
{
    char text[32];

    if (!ns)
        return;
    lt_clock_format(ns, text);
    line(out, key, text);
}

static void of_total(struct lt_buf *out, const char *key, uint64_t value, uint64_t total)
{
    lt_buf_printf(out, "%-11s %llu", key, (unsigned long long)value);
    if (total)
        lt_buf_printf(out, " of %llu", (unsigned long long)total);
    lt_buf_char(out, '\n');
}

static void metric_lines(struct lt_buf *out, const char *key, Lt__V1__MetricValue *const *list,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i]->name)
            lt_buf_printf(out, "%-11s %s %.6g\n", i ? "" : key, list[i]->name, list[i]->value);
    }
}

const char *lt_status_doing(const Lt__V1__RankStatus *r)
{
    bool running = !r->state || strcmp(r->state, "running") == 0;

    if (running && r->phase && r->phase[0])
        return r->phase;
    return r->state ? r->state : "?";
}

/* Nothing is shown of what isn't known: a program has no steps to time. */
static void one_rank(struct lt_buf *out, const Lt__V1__RankStatus *r)
{
    char size[32];

    lt_print_size(size, sizeof size, r->memory_bytes);
    lt_buf_printf(out, "%-11s %u on %s, pid %u, %s, step %llu", "rank", r->rank,
                  r->node ? r->node : "?", r->pid, lt_status_doing(r), (unsigned long long)r->step);
    if (r->step_ms > 0)
        lt_buf_printf(out, ", %.3g ms a step", r->step_ms);
    if (r->memory_bytes)
        lt_buf_printf(out, ", %s", size);
    lt_buf_char(out, '\n');
}

void lt_status_rank_cells(cJSON *o, const Lt__V1__RankStatus *r)
{
    char ms[32];

    lt_json_u64(o, "rank", r->rank);
    lt_json_text(o, "node", r->node);
    if (r->pid)
        lt_json_u64(o, "pid", r->pid);
    lt_json_text(o, "phase", lt_status_doing(r));
    if (r->has_step)
        lt_json_u64(o, "step", r->step);
    if (r->step_ms > 0) {
        snprintf(ms, sizeof ms, "%.3g", r->step_ms);
        lt_json_text(o, "step_ms", ms);
    }
    if (r->memory_bytes)
        lt_json_u64(o, "memory", r->memory_bytes);
}

static const struct lt_column rank_columns[] = {
    {"RANK", "rank", LT_COLUMN_NUMBER},   {"NODE", "node", LT_COLUMN_TEXT},
    {"PID", "pid", LT_COLUMN_NUMBER},     {"PHASE", "phase", LT_COLUMN_TEXT},
    {"STEP", "step", LT_COLUMN_NUMBER},   {"MS/STEP", "step_ms", LT_COLUMN_NUMBER},
    {"MEMORY", "memory", LT_COLUMN_BYTES},
};

/* Several: a table, a row for each. */
static void rank_table(struct lt_buf *out, const Lt__V1__JobStatus *s)
{
    cJSON *rows = cJSON_CreateArray();
    LT_BUF_AUTO table = {0};
    const char *line;

    for (size_t i = 0; i < s->n_ranks; i++) {
        cJSON *o = cJSON_CreateObject();

        lt_status_rank_cells(o, s->ranks[i]);
        cJSON_AddItemToArray(rows, o);
    }
    lt_output_table(rows, rank_columns, LT_ARRAY_LEN(rank_columns), &table);
    cJSON_Delete(rows);
    for (line = table.data; line && *line; line += strcspn(line, "\n") + 1)
        lt_buf_printf(out, "%-11s %.*s\n", line == table.data ? "ranks" : "",
                      (int)strcspn(line, "\n"), line);
}

static void rank_lines(struct lt_buf *out, const Lt__V1__JobStatus *s)
{
    if (s->n_ranks == 1)
        one_rank(out, s->ranks[0]);
    else if (s->n_ranks > 1)
        rank_table(out, s);
}

static void condition_lines(struct lt_buf *out, const Lt__V1__JobStatus *s)
{
    for (size_t i = 0; i < s->n_conditions; i++) {
        const Lt__V1__Condition *c = s->conditions[i];
        const ProtobufCEnumValue *v =
            protobuf_c_enum_descriptor_get_value(&lt__v1__condition__kind__descriptor, c->kind);

        lt_buf_printf(out, "%-11s %s %s\n", "condition", v ? v->name : "?",
                      c->detail ? c->detail : "");
    }
}

void lt_status_text(const Lt__V1__JobStatus *s, struct lt_buf *out)
{
    LT_BUF_AUTO word = {0};

    lt_status_word(s, &word);
    line(out, "job", s->id);
    line(out, "name", s->name);
    line(out, "state", word.data);
    line(out, "reason", s->reason);
    condition_lines(out, s);
    if (s->attempt) {
        of_total(out, "attempt", s->attempt, 0);
        of_total(out, "epoch", s->epoch, s->total_epochs);
        of_total(out, "step", s->step, s->total_steps);
    }
    metric_lines(out, "metrics", s->metrics, s->n_metrics);
    metric_lines(out, "results", s->results, s->n_results);
    if (s->best)
        lt_buf_printf(out, "%-11s %s (%s %.6g at step %llu)\n", "best",
                      s->best->name ? s->best->name : "?", s->best->monitor ? s->best->monitor : "",
                      s->best->score, (unsigned long long)s->best->step);
    rank_lines(out, s);
    line(out, "parent", s->parent);
    line(out, "run", s->run_dir);
    time_line(out, "submitted", s->submitted_ns);
    time_line(out, "started", s->started_ns);
    time_line(out, "ended", s->ended_ns);
}
