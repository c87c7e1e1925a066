/* top.c - jobs and ranks as one table: a job's cells stand in the row of its first rank */
#include "client/top.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/output.h"
#include "client/status.h"
#include "proto/plan.h"

static const struct lt_column columns[] = {
    {"JOB", "job", LT_COLUMN_TEXT},       {"NAME", "name", LT_COLUMN_TEXT},
    {"STATE", "state", LT_COLUMN_TEXT},   {"EPOCH", "epoch", LT_COLUMN_NUMBER},
    {"LOSS", "loss", LT_COLUMN_NUMBER},   {"RANK", "rank", LT_COLUMN_NUMBER},
    {"NODE", "node", LT_COLUMN_TEXT},     {"PID", "pid", LT_COLUMN_NUMBER},
    {"PHASE", "phase", LT_COLUMN_TEXT},   {"STEP", "step", LT_COLUMN_NUMBER},
    {"OF", "of", LT_COLUMN_NUMBER},       {"MS/STEP", "step_ms", LT_COLUMN_NUMBER},
    {"MEMORY", "memory", LT_COLUMN_BYTES},
};

#define BLANK " " /* an empty text is shown as - */

static void epoch_cell(cJSON *o, const Lt__V1__JobStatus *s)
{
    char text[48];

    if (!s->attempt)
        return;
    if (s->total_epochs)
        snprintf(text, sizeof text, "%llu/%llu",
                 (unsigned long long)LT_MIN(s->epoch + 1, s->total_epochs),
                 (unsigned long long)s->total_epochs);
    else
        snprintf(text, sizeof text, "%llu", (unsigned long long)s->epoch);
    lt_json_text(o, "epoch", text);
}

static void loss_cell(cJSON *o, const Lt__V1__JobStatus *s)
{
    const Lt__V1__MetricValue *loss = lt_status_loss(s);
    char text[32];

    if (!loss)
        return;
    snprintf(text, sizeof text, "%.4g", loss->value);
    lt_json_text(o, "loss", text);
}

static void job_cells(cJSON *o, const Lt__V1__JobStatus *s)
{
    LT_BUF_AUTO word = {0};

    lt_status_word(s, &word);
    lt_json_text(o, "job", s->id);
    lt_json_text(o, "name", s->name);
    lt_json_text(o, "state", word.data);
    epoch_cell(o, s);
    loss_cell(o, s);
}

static void blank_cells(cJSON *o)
{
    static const char *const keys[] = {"job", "name", "state", "epoch", "loss"};

    for (size_t i = 0; i < LT_ARRAY_LEN(keys); i++)
        lt_json_text(o, keys[i], BLANK);
}

static void job_rows(cJSON *rows, const Lt__V1__JobStatus *s)
{
    size_t i = 0;

    do {
        cJSON *o = cJSON_CreateObject();

        if (i == 0)
            job_cells(o, s);
        else
            blank_cells(o);
        if (i < s->n_ranks) {
            lt_status_rank_cells(o, s->ranks[i]);
            if (s->total_steps)
                lt_json_u64(o, "of", s->total_steps);
        }
        cJSON_AddItemToArray(rows, o);
    } while (++i < s->n_ranks);
}

/* How many are in which state, in the order of a job's life. */
static void jobs_line(const Lt__V1__ListResponse *jobs, struct lt_buf *out)
{
    size_t ranks = 0;
    const char *between = ": ";

    for (size_t i = 0; i < jobs->n_jobs; i++)
        ranks += jobs->jobs[i]->n_ranks;
    lt_buf_printf(out, "%zu job%s", jobs->n_jobs, jobs->n_jobs == 1 ? "" : "s");
    for (int state = 0; state <= LT__V1__JOB_STATE__DONE; state++) {
        size_t n = 0;

        for (size_t i = 0; i < jobs->n_jobs; i++)
            n += jobs->jobs[i]->state == (Lt__V1__JobState)state;
        if (!n)
            continue;
        lt_buf_printf(out, "%s%zu %s", between, n, lt_job_state_name((Lt__V1__JobState)state));
        between = ", ";
    }
    lt_buf_printf(out, "; %zu rank%s\n", ranks, ranks == 1 ? "" : "s");
}

static void nodes_line(const Lt__V1__NodesListResponse *nodes, struct lt_buf *out)
{
    uint64_t cpus = 0, cpus_free = 0, memory = 0, memory_free = 0;
    char all[32], left[32];
    size_t ready = 0;

    for (size_t i = 0; i < nodes->n_nodes; i++) {
        const Lt__V1__NodeStatus *n = nodes->nodes[i];

        if (!n->inventory || !lt_str_eq(n->state, "ready"))
            continue;
        ready++;
        cpus += n->inventory->cpus;
        cpus_free += n->cpus_free;
        memory += n->inventory->memory_bytes;
        memory_free += n->memory_free_bytes;
    }
    lt_print_size(all, sizeof all, memory);
    lt_print_size(left, sizeof left, memory_free);
    lt_buf_printf(out, "%zu of %zu node%s ready: %llu of %llu processors free, %s of %s\n\n", ready,
                  nodes->n_nodes, nodes->n_nodes == 1 ? "" : "s", (unsigned long long)cpus_free,
                  (unsigned long long)cpus, left, all);
}

void lt_top_text(const Lt__V1__ListResponse *jobs, const Lt__V1__NodesListResponse *nodes,
                 struct lt_buf *out)
{
    cJSON *rows = cJSON_CreateArray();

    jobs_line(jobs, out);
    nodes_line(nodes, out);
    for (size_t i = 0; i < jobs->n_jobs; i++)
        job_rows(rows, jobs->jobs[i]);
    lt_output_table(rows, columns, LT_ARRAY_LEN(columns), out);
    cJSON_Delete(rows);
}
