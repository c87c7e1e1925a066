/* recorder.c - lt-recorder ATTEMPT_DIR: reads a command's metrics from stdin until nobody can write any more
 *
 * A process of its own beside the command (docs/decisions/0070-a-recorder-beside-the-command.md): it
 * outlives ltd as the shim does, but what parses a stranger's bytes isn't in the process that answers
 * for the rank's life. It never makes the command wait: whatever it can't record it reads and counts.
 * Its stderr is the rank's.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/train/metric_lines.h"
#include "engine/train/recording.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/page.h"

#define SPEC_MAX (64u << 20)
#define CHUNK 65536
#define GATHER_MS 100 /* so long a record waits for further values of its step */
#define AWAY_NS 30000000000ull

struct recorder {
    struct lt_arena *arena;
    const Lt__V1__StartRank *start;
    struct lt_page *page;
    struct lt_recording *recording;
    struct lt_metric_lines lines;
};

static int read_spec(struct recorder *r, const char *dir, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(dir, "spec");
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m;
    int rc = lt_file_read(path, SPEC_MAX, &bytes, err);

    if (rc == 0)
        rc = lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, r->arena, &m, err);
    if (rc < 0)
        return rc;
    r->start = (const Lt__V1__StartRank *)m;
    if (!r->start->spec || r->start->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND || !r->start->run_dir)
        return lt_error_set(err, -EPROTO, "%s: is no command's", path);
    return 0;
}

static int open_all(struct recorder *r, const char *dir, struct lt_error *err)
{
    LT_AUTO(lt_free) char *journal = lt_attempt_path(dir, "journal");
    LT_AUTO(lt_free) char *page = lt_attempt_path(dir, "page");
    struct lt_recording_config c = {.journal_path = journal};
    int rc = read_spec(r, dir, err);

    if (rc < 0)
        return rc;
    lt_page_map(page, &r->page, NULL); /* without it nobody sees how far it is */
    c.start = r->start;
    c.page = r->page;
    return lt_recording_open(&c, &r->recording, err);
}

static void on_value(void *arg, const struct lt_metric_value *v)
{
    lt_recording_add(arg, v);
}

static void say_first(const struct lt_metric_lines *m, uint64_t garbage, uint64_t dropped)
{
    if (!garbage && m->garbage)
        lt_warning("not of the form `LTD_METRIC name value [step]`: `%s`%s; such lines are left out",
                   m->example, m->too_long ? "…" : "");
    if (!dropped && m->dropped)
        lt_warning("more than %d metrics a second; what is more is left out", LT_METRIC_RATE);
}

static void take(struct recorder *r, const char *data, size_t n)
{
    uint64_t garbage = r->lines.garbage, dropped = r->lines.dropped;

    lt_metric_lines_take(&r->lines, data, n, lt_clock_mono_ns(), on_value, r->recording);
    say_first(&r->lines, garbage, dropped);
}

static void record(struct recorder *r)
{
    char chunk[CHUNK];

    for (;;) {
        struct pollfd p = {.fd = 0, .events = POLLIN};
        bool pending = lt_recording_pending(r->recording);
        ssize_t n;

        if (pending && poll(&p, 1, GATHER_MS) == 0) {
            lt_recording_flush(r->recording);
            continue;
        }
        n = read(0, chunk, sizeof chunk);
        if (n > 0)
            take(r, chunk, (size_t)n);
        else if (n == 0 || errno != EINTR)
            return;
    }
}

static void end(struct recorder *r)
{
    struct lt_metric_lines *m = &r->lines;
    uint64_t garbage = m->garbage;

    lt_metric_lines_end(m, on_value, r->recording);
    say_first(m, garbage, m->dropped);
    lt_recording_finish(r->recording);
    if (m->garbage > 1)
        lt_warning("%llu lines were no metrics", (unsigned long long)m->garbage);
    if (m->dropped)
        lt_warning("%llu metrics were left out: too many a second", (unsigned long long)m->dropped);
}

/* Nothing can be recorded: the command mustn't wait for that. After a while the shim starts another one,
 * which tries again. */
static void only_read(void)
{
    uint64_t until = lt_clock_mono_ns() + AWAY_NS;
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char chunk[CHUNK];

    while (lt_clock_mono_ns() < until)
        if (poll(&p, 1, 1000) > 0 && read(0, chunk, sizeof chunk) == 0)
            return;
}

int main(int argc, char **argv)
{
    struct recorder r = {.arena = lt_arena_new(0)};
    struct lt_error err = {0};
    int rc;

    if (argc != 2) {
        fprintf(stderr, "usage: lt-recorder ATTEMPT_DIR\nStarted by lt-shim beside a command; not "
                        "for use by hand.\n");
        return 2;
    }
    lt_log_init("lt-recorder", LT_LOG_INFO);
    rc = open_all(&r, argv[1], &err);
    if (rc == 0) {
        record(&r);
        end(&r);
    } else {
        lt_err("metrics aren't recorded: %s", err.text);
        only_read();
    }
    lt_recording_close(r.recording);
    lt_page_unmap(r.page);
    lt_arena_free(r.arena);
    return rc < 0;
}
