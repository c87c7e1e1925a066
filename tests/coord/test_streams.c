/* test_streams.c - logs, events, metrics, files: from a cursor on, across attempts, to an END */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "daemon/rpc/tail.h"
#include "fixture.h"
#include "lt/v1/blobs.pb-c.h"
#include "proto/plan.h"

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    world_make(w);
    world_up(w, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    world_down(w);
    world_drop(w);
    free(w);
    return 0;
}

/* ---- logs ---- */

struct reader {
    struct lt_client_stream *stream;
    struct lt_buf out, err;
    uint8_t cursor[64];
    size_t cursor_len;
    unsigned rewound;
    bool ended;
    Lt__V1__JobResult result;
};

static void logs_open(struct world *w, struct reader *r, const char *job, bool follow, int64_t tail)
{
    Lt__V1__LogsRequest q = LT__V1__LOGS_REQUEST__INIT;

    q.job_id = (char *)job;
    q.has_follow = true;
    q.follow = follow;
    q.has_tail = tail >= 0;
    q.tail = (uint64_t)tail;
    q.has_cursor = r->cursor_len > 0;
    q.cursor = (ProtobufCBinaryData){r->cursor_len, r->cursor};
    r->stream = world_stream(w, "/lt.v1.Jobs/Logs", &q, &lt__v1__logs_response__descriptor);
}

/* One frame. false: the stream is over. */
static bool logs_read(struct world *w, struct reader *r)
{
    Lt__V1__LogsResponse *m;
    int rc = lt_client_stream_read(r->stream, LONG_MS, (ProtobufCMessage **)&m, &w->status);

    if (rc != 1)
        return false;
    memcpy(r->cursor, m->cursor.data, m->cursor.len);
    r->cursor_len = m->cursor.len;
    switch (m->frame_case) {
    case LT__V1__LOGS_RESPONSE__FRAME_CHUNK:
        assert_true(m->chunk->data.len <= 16384);
        lt_buf_append(m->chunk->stream == LT__V1__LOG_STREAM__OUT ? &r->out : &r->err,
                      m->chunk->data.data, m->chunk->data.len);
        break;
    case LT__V1__LOGS_RESPONSE__FRAME_END:
        r->ended = true;
        r->result = m->end->result;
        break;
    case LT__V1__LOGS_RESPONSE__FRAME_REWOUND:
        r->rewound++;
        break;
    default:
        break;
    }
    return true;
}

static void logs_close(struct reader *r)
{
    lt_client_stream_close(r->stream);
    lt_buf_done(&r->out);
    lt_buf_done(&r->err);
}

static void logs_follow_a_job_to_its_end(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    struct reader r = {0};

    logs_open(w, &r, job, true, -1);
    world_write(w, job, "logs/1/0.out", "first\n");
    while (r.out.len < 6)
        assert_true(logs_read(w, &r));
    world_write(w, job, "logs/1/0.out", "second\n");
    world_write(w, job, "logs/1/0.err", "oh\n");
    while (r.out.len < 13 || r.err.len < 3)
        assert_true(logs_read(w, &r));
    world_write(w, job, "logs/1/0.out", "last");
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    while (logs_read(w, &r))
        ;
    assert_true(r.ended);
    assert_int_equal(r.result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_string_equal(r.out.data, "first\nsecond\nlast");
    assert_string_equal(r.err.data, "oh\n");
    logs_close(&r);
}

static void logs_go_on_from_a_cursor_without_loss_or_repetition(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    struct reader whole = {0}, parts = {0};
    LT_BUF_AUTO text = {0};
    LT_BUF_AUTO got = {0};

    for (int i = 0; i < 20000; i++)
        lt_buf_printf(&text, "line %d of a longer log\n", i);
    world_write(w, job, "logs/1/0.out", text.data);
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    logs_open(w, &whole, job, true, -1);
    while (logs_read(w, &whole))
        ;
    assert_int_equal(whole.out.len, text.len);
    assert_memory_equal(whole.out.data, text.data, text.len);
    logs_close(&whole);
    while (!parts.ended) { /* a new stream after every third frame */
        logs_open(w, &parts, job, true, -1);
        for (int i = 0; i < 3 && logs_read(w, &parts); i++)
            ;
        lt_buf_append(&got, parts.out.data, parts.out.len);
        logs_close(&parts);
    }
    assert_int_equal(got.len, text.len);
    assert_memory_equal(got.data, text.data, text.len);
}

static void logs_span_attempts_in_order(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    struct reader r = {0};

    logs_open(w, &r, job, true, -1);
    world_write(w, job, "logs/1/0.out", "a\n");
    world_gone(w, job, 1, LT__V1__JOB_RESULT__RESULT_NONE,
               LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
    world_await(&w->started, 2);
    world_write(w, job, "logs/2/0.out", "b\n");
    world_gone(w, job, 2, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    while (logs_read(w, &r))
        ;
    assert_true(r.ended);
    assert_int_equal(r.rewound, 1);
    assert_string_equal(r.out.data, "a\nb\n");
    logs_close(&r);
}

static void tail_gives_the_last_lines(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    struct reader r = {0};

    world_write(w, job, "logs/1/0.out", "1\n2\n3\n4\n");
    logs_open(w, &r, job, false, 2);
    while (logs_read(w, &r))
        ;
    assert_true(r.ended);
    assert_int_equal(r.result, LT__V1__JOB_RESULT__RESULT_NONE);
    assert_string_equal(r.out.data, "3\n4\n");
    logs_close(&r);
}

/* The file as it is, asked in blocks, for every number of lines. */
static void tail_finds_every_beginning(void **state)
{
    LT_BUF_AUTO text = {0};
    size_t begins[3001], n = 0;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        begins[n++] = text.len;
        for (int k = 0; k < i % 97; k++)
            lt_buf_char(&text, 'x');
        lt_buf_char(&text, '\n');
    }
    for (uint64_t lines = 0; lines <= n + 1; lines++) {
        struct lt_tail t;
        size_t have;

        lt_tail_init(&t, lines);
        do
            have = t.offset >= text.len ? 0 : LT_MIN(text.len - t.offset, (size_t)LT_TAIL_BLOCK);
        while (!lt_tail_step(&t, (uint8_t *)text.data + (have ? t.offset : 0), have, text.len));
        assert_int_equal(t.offset, lines == 0 ? text.len : lines > n ? 0 : begins[n - lines]);
    }
}

static void a_foreign_cursor_is_refused(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    struct reader r = {.cursor = "nonsense", .cursor_len = 8};

    logs_open(w, &r, job, true, -1);
    assert_false(logs_read(w, &r));
    assert_int_equal(w->status.code, LT_RPC_INVALID_ARGUMENT);
    logs_close(&r);
}

/* ---- events ---- */

static size_t events_of(struct world *w, const char *job, uint8_t *cursor, size_t *cursor_len,
                        char *types, size_t max)
{
    Lt__V1__EventsRequest q = LT__V1__EVENTS_REQUEST__INIT;
    struct lt_client_stream *s;
    Lt__V1__EventsResponse *m;
    uint64_t last = 0;
    size_t n = 0;

    q.job_id = (char *)job;
    q.has_cursor = *cursor_len > 0;
    q.cursor = (ProtobufCBinaryData){*cursor_len, cursor};
    s = world_stream(w, "/lt.v1.Jobs/Events", &q, &lt__v1__events_response__descriptor);
    types[0] = '\0';
    while (lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status) == 1) {
        for (size_t i = 0; i < m->n_events; i++, n++) {
            assert_true(m->events[i]->seq > last);
            last = m->events[i]->seq;
            snprintf(types + strlen(types), max - strlen(types), "%s ",
                     lt_event_type_name(m->events[i]));
        }
        if (m->has_cursor) {
            memcpy(cursor, m->cursor.data, m->cursor.len);
            *cursor_len = m->cursor.len;
        }
        if (m->end)
            snprintf(types + strlen(types), max - strlen(types), "END");
    }
    lt_client_stream_close(s);
    return n;
}

static void events_tell_the_story_and_go_on_from_a_cursor(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one"), *other;
    uint8_t cursor[8];
    size_t len = 0, first, rest;
    char types[2048];

    first = events_of(w, job, cursor, &len, types, sizeof types);
    assert_true(first >= 4);
    assert_non_null(strstr(types, "submitted checked queued"));
    assert_int_equal(len, 8);
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    rest = events_of(w, job, cursor, &len, types, sizeof types);
    assert_null(strstr(types, "submitted"));
    assert_non_null(strstr(types, "done END"));
    assert_int_equal(world_submit(w, "other", &other), 0);
    memset(cursor, 0xee, sizeof cursor); /* of a log that isn't ours: a gap, then everything */
    assert_int_equal(events_of(w, job, cursor, &len, types, sizeof types), first + rest);
    assert_non_null(strstr(types, "submitted"));
}

static void followed_events_end_with_the_job(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    Lt__V1__EventsRequest q = LT__V1__EVENTS_REQUEST__INIT;
    struct lt_client_stream *s;
    Lt__V1__EventsResponse *m;
    bool ended = false;

    q.job_id = (char *)job;
    q.has_follow = q.follow = true;
    s = world_stream(w, "/lt.v1.Jobs/Events", &q, &lt__v1__events_response__descriptor);
    world_gone(w, job, 1, LT__V1__JOB_RESULT__RESULT_NONE, LT__V1__FAILURE_CLASS__CLASS_JOB);
    while (lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status) == 1)
        if (m->end) {
            ended = true;
            assert_int_equal(m->end->result, LT__V1__JOB_RESULT__FAILED);
        }
    assert_true(ended);
    lt_client_stream_close(s);
}

/* ---- metrics ---- */

static void record_metric(struct world *w, const char *job, uint32_t attempt, uint64_t step,
                          double value)
{
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__MetricValues values = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__MetricValue v = LT__V1__METRIC_VALUE__INIT, *list[] = {&v};

    v.name = (char *)"train_loss";
    v.has_value = true;
    v.value = value;
    values.has_step = values.has_epoch = true;
    values.step = step;
    values.values = list;
    values.n_values = 1;
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    j.metrics = &values;
    world_record(w, job, attempt, &j);
}

static void metrics_are_streamed_and_in_the_status(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    Lt__V1__MetricsRequest q = LT__V1__METRICS_REQUEST__INIT;
    Lt__V1__MetricsResponse *m;
    struct lt_client_stream *s;
    Lt__V1__JobStatus *status;
    uint64_t n = 0;
    bool ended = false;

    q.job_id = (char *)job;
    q.has_follow = q.follow = true;
    s = world_stream(w, "/lt.v1.Jobs/Metrics", &q, &lt__v1__metrics_response__descriptor);
    for (uint64_t i = 0; i < 1000; i++)
        record_metric(w, job, 1, i, 1.0 / (double)(i + 1));
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    while (lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status) == 1) {
        for (size_t i = 0; i < m->n_points; i++)
            assert_int_equal(m->points[i]->step, n++);
        ended = ended || m->end;
    }
    assert_int_equal(n, 1000);
    assert_true(ended);
    lt_client_stream_close(s);
    assert_int_equal(world_get(w, job, &status), 0);
    assert_int_equal(status->n_metrics, 1);
    assert_true(status->metrics[0]->value == 0.001);
}

/* ---- files ---- */

static void await_event(struct world *w, const char *job, Lt__V1__Event__TypeCase type)
{
    Lt__V1__EventsRequest q = LT__V1__EVENTS_REQUEST__INIT;
    struct lt_client_stream *s;
    Lt__V1__EventsResponse *m;
    bool seen = false;

    q.job_id = (char *)job;
    q.has_follow = q.follow = true;
    s = world_stream(w, "/lt.v1.Jobs/Events", &q, &lt__v1__events_response__descriptor);
    while (!seen) {
        assert_int_equal(
            lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status), 1);
        for (size_t i = 0; i < m->n_events; i++)
            seen = seen || m->events[i]->type_case == type;
    }
    lt_client_stream_close(s);
}

static void saved(struct world *w, const char *job, const char *name)
{
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__CheckpointSaved c = LT__V1__CHECKPOINT_SAVED__INIT;

    c.name = (char *)name;
    c.has_step = true;
    c.step = 10;
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_CHECKPOINT_SAVED;
    j.checkpoint_saved = &c;
    world_record(w, job, 1, &j);
    await_event(w, job, LT__V1__EVENT__TYPE_CHECKPOINT_SAVED);
}

static void a_checkpoints_files_are_downloaded(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    Lt__V1__DownloadRequest q = LT__V1__DOWNLOAD_REQUEST__INIT;
    Lt__V1__DownloadResponse *m;
    struct lt_client_stream *s;
    LT_BUF_AUTO text = {0};
    LT_BUF_AUTO got = {0};
    bool ended = false;

    while (text.len < 300000)
        lt_buf_printf(&text, "%zu,", text.len);
    world_write(w, job, "checkpoints/model-1/MANIFEST", "manifest");
    world_write(w, job, "checkpoints/model-1/model.safetensors", text.data);
    saved(w, job, "model-1");
    q.job_id = (char *)job;
    q.checkpoint = (char *)"model-1";
    s = world_stream(w, "/lt.v1.Jobs/Download", &q, &lt__v1__download_response__descriptor);
    while (lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status) == 1) {
        if (m->file)
            lt_buf_printf(&got, "[%s %llu]", m->file, (unsigned long long)m->size);
        assert_true(m->data.len <= 65536);
        lt_buf_append(&got, m->data.data, m->data.len);
        ended = m->end;
    }
    assert_int_equal(w->status.code, LT_RPC_OK);
    assert_true(ended);
    assert_non_null(strstr(got.data, "[MANIFEST 8]manifest[model.safetensors"));
    assert_true(got.len > text.len);
    assert_memory_equal(got.data + got.len - text.len, text.data, text.len);
    lt_client_stream_close(s);
}

static void resume_makes_a_job_that_begins_at_the_checkpoint(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "one");
    Lt__V1__ResumeRequest q = LT__V1__RESUME_REQUEST__INIT;
    Lt__V1__SubmitResponse *r;
    Lt__V1__JobStatus *s;
    const char *first;

    q.request_id = (char *)"again";
    q.job_id = (char *)job;
    q.checkpoint = (char *)"model-1";
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), -ENOENT);
    saved(w, job, "model-1");
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), 0);
    first = r->job_id;
    assert_int_equal(world_get(w, first, &s), 0);
    assert_string_equal(s->parent, job);
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), 0);
    assert_string_equal(r->job_id, first);
}

static int put(struct world *w, const char *text, const char *hash, Lt__V1__PutResponse **r)
{
    Lt__V1__PutRequest q = LT__V1__PUT_REQUEST__INIT;
    struct lt_client_stream *s;
    int rc;

    q.has_data = true;
    q.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    q.hash = (char *)hash;
    assert_int_equal(lt_client_upload_open(w->client, "/lt.v1.Blobs/Put",
                                           &lt__v1__put_response__descriptor, LONG_MS, &s,
                                           &w->status),
                     0);
    lt_client_upload_write(s, &q.base);
    rc = lt_client_upload_finish(s, w->arena, (ProtobufCMessage **)r, &w->status);
    lt_client_stream_close(s);
    return rc;
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* FIPS 180-2, B.1 */

static void a_damaged_upload_is_an_error(void **state)
{
    struct world *w = *state;
    Lt__V1__StatRequest q = LT__V1__STAT_REQUEST__INIT;
    Lt__V1__StatResponse *there;
    Lt__V1__PutResponse *r;

    assert_int_equal(put(w, "abd", ABC, &r), -EBADMSG);
    assert_int_equal(w->status.code, LT_RPC_DATA_LOSS);
    lt_rpc_status_done(&w->status);
    assert_int_equal(put(w, "abc", "abc", &r), -EINVAL);
    lt_rpc_status_done(&w->status);
    q.hash = (char *)ABC;
    assert_int_equal(
        world_call(w, "/lt.v1.Blobs/Stat", &q, &lt__v1__stat_response__descriptor, &there), 0);
    assert_false(there->exists);
    assert_int_equal(put(w, "abc", ABC, &r), 0);
    assert_string_equal(r->hash, ABC);
    assert_int_equal(
        world_call(w, "/lt.v1.Blobs/Stat", &q, &lt__v1__stat_response__descriptor, &there), 0);
    assert_true(there->exists);
    assert_int_equal(there->size, 3);
}

static void a_plan_needs_its_blobs(void **state)
{
    struct world *w = *state;
    Lt__V1__PutResponse *r;
    const char *job;

    w->spec->plan->model->weights = (char *)"/home/me/w.safetensors";
    assert_int_equal(world_submit(w, "path", &job), -EINVAL);
    assert_int_equal(w->status.problems.len, 1);
    assert_string_equal(w->status.problems.items[0].path, "model.weights");
    lt_rpc_status_done(&w->status);
    w->spec->plan->model->weights = (char *)"sha256:" ABC;
    assert_int_equal(world_submit(w, "blob", &job), -EINVAL);
    assert_string_equal(w->status.problems.items[0].path, "model.weights");
    assert_non_null(strstr(w->status.problems.items[0].reason, ABC));
    lt_rpc_status_done(&w->status);
    assert_int_equal(put(w, "abc", ABC, &r), 0);
    assert_int_equal(world_submit(w, "blob", &job), 0);
    w->spec->plan->model->weights = (char *)"node:/there/w.safetensors";
    assert_int_equal(world_submit(w, "node", &job), 0);
}

static int remove_job(struct world *w, const char *job)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
    Lt__V1__JobStatus *s = NULL;

    q.job_id = (char *)job;
    return world_call(w, "/lt.v1.Jobs/Remove", &q, &lt__v1__job_status__descriptor, &s);
}

/* A client that never got its answer asks again, however late. */
static void a_repeated_request_finds_its_job_without_the_parent(void **state)
{
    struct world *w = *state;
    const char *job = world_running(w, "train"), *resumed, *evaluated;
    Lt__V1__ResumeRequest q = LT__V1__RESUME_REQUEST__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__Evaluation e = LT__V1__EVALUATION__INIT;
    Lt__V1__SubmitRequest again = LT__V1__SUBMIT_REQUEST__INIT;
    Lt__V1__SubmitResponse *r;
    char prefix[6];

    saved(w, job, "m");
    world_gone(w, job, 1, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE);
    world_await_state(w, job, LT__V1__JOB_STATE__DONE);
    snprintf(prefix, sizeof prefix, "%.5s", job);
    q.request_id = (char *)"resume";
    q.job_id = prefix;
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), 0);
    resumed = r->job_id;
    e.parent = (char *)job;
    spec.kind_case = LT__V1__JOB_SPEC__KIND_EVALUATION;
    spec.evaluation = &e;
    again.request_id = (char *)"evaluate";
    again.spec = &spec;
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Submit", &again, &lt__v1__submit_response__descriptor, &r), 0);
    evaluated = r->job_id;
    assert_int_equal(remove_job(w, job), 0);
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), 0);
    assert_string_equal(r->job_id, resumed);
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Submit", &again, &lt__v1__submit_response__descriptor, &r), 0);
    assert_string_equal(r->job_id, evaluated);
    q.checkpoint = (char *)"m"; /* another request under the same id */
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), -EEXIST);
    lt_rpc_status_done(&w->status);
    q.request_id = (char *)"new";
    assert_int_equal(
        world_call(w, "/lt.v1.Jobs/Resume", &q, &lt__v1__submit_response__descriptor, &r), -ENOENT);
}

static void blobs_come_back_as_they_went(void **state)
{
    struct world *w = *state;
    Lt__V1__PutRequest q = LT__V1__PUT_REQUEST__INIT;
    Lt__V1__GetRequest g = LT__V1__GET_REQUEST__INIT;
    Lt__V1__PutResponse *r;
    Lt__V1__GetResponse *m;
    struct lt_client_stream *s;
    uint8_t data[100000];
    size_t n = 0;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    q.has_data = true;
    q.data = (ProtobufCBinaryData){sizeof data, data};
    assert_int_equal(lt_client_upload_open(w->client, "/lt.v1.Blobs/Put",
                                           &lt__v1__put_response__descriptor, LONG_MS, &s,
                                           &w->status),
                     0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(lt_client_upload_write(s, &q.base), 0);
    assert_int_equal(lt_client_upload_finish(s, w->arena, (ProtobufCMessage **)&r, &w->status), 0);
    lt_client_stream_close(s);
    assert_int_equal(r->size, 5 * sizeof data);
    g.hash = r->hash;
    s = world_stream(w, "/lt.v1.Blobs/Get", &g, &lt__v1__get_response__descriptor);
    while (lt_client_stream_read(s, LONG_MS, (ProtobufCMessage **)&m, &w->status) == 1)
        for (size_t i = 0; i < m->data.len; i++, n++)
            assert_int_equal(m->data.data[i], data[n % sizeof data]);
    assert_int_equal(n, 5 * sizeof data);
    lt_client_stream_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tail_finds_every_beginning),
        cmocka_unit_test_setup_teardown(logs_follow_a_job_to_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(logs_go_on_from_a_cursor_without_loss_or_repetition, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(logs_span_attempts_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_gives_the_last_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(a_foreign_cursor_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(events_tell_the_story_and_go_on_from_a_cursor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(followed_events_end_with_the_job, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_are_streamed_and_in_the_status, setup, teardown),
        cmocka_unit_test_setup_teardown(a_checkpoints_files_are_downloaded, setup, teardown),
        cmocka_unit_test_setup_teardown(resume_makes_a_job_that_begins_at_the_checkpoint, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_upload_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_needs_its_blobs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeated_request_finds_its_job_without_the_parent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(blobs_come_back_as_they_went, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
