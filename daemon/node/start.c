/* start.c - from StartRank to a running rank
 *
 * Files that the plan names by content come first. On the thread pool: the run's folder with the plan, then the attempt's, the spec last. On the
 * loop: the shim, in a session of its own, so that it survives us; it says by one line how that
 * went. The folder is synced while the worker comes up: only a power cut could take it, and the
 * worker with it. Idempotent: a start for what there is already is answered again; one of an older
 * generation than the node knows of the job is refused.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "proto/text/text.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/page.h"
#include "sys/paths.h"

#define LINE_MAX_BYTES 4096
#define INFRASTRUCTURE LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE

static void tell_failed(struct lt_node *n, const Lt__V1__StartRank *spec, const char *reason,
                        Lt__V1__FailureClass class)
{
    Lt__V1__StartFailed m = LT__V1__START_FAILED__INIT;

    m.job = spec->job;
    m.has_attempt = m.has_generation = m.has_rank = true;
    m.attempt = spec->attempt;
    m.generation = spec->generation;
    m.rank = spec->rank;
    m.reason = (char *)reason;
    m.has_class_ = true;
    m.class_ = class;
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED, &m);
}

void lt_rank_tell_started(struct lt_rank *r)
{
    Lt__V1__RankStarted m = LT__V1__RANK_STARTED__INIT;

    m.job = r->spec->job;
    m.has_attempt = m.has_generation = m.has_rank = m.has_pid = true;
    m.attempt = r->spec->attempt;
    m.generation = r->spec->generation;
    m.rank = r->spec->rank;
    m.pid = (uint32_t)r->worker;
    lt_node_send(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED, &m);
}

/* Nothing runs: the folder goes, too, so that the same start may come again. One that comes before
 * it is gone hears the same again. */
static void fail(struct lt_rank *r, const char *reason, Lt__V1__FailureClass class)
{
    lt_warning("agent: %s could not be started: %s", r->name, reason);
    tell_failed(r->node, r->spec, reason, class);
    lt_free(r->reason);
    r->reason = lt_strdup(reason);
    r->class = class;
    lt_rank_remove(r);
}

/* ---- on the thread pool */

/* As submitted; a later attempt finds it there. */
static int write_plan(const Lt__V1__StartRank *s, struct lt_error *err)
{
    LT_AUTO(lt_free) char *yaml = lt_path_join(s->run_dir, "plan.yaml");
    LT_AUTO(lt_free) char *pb = lt_path_join(s->run_dir, "plan.pb");
    LT_BUF_AUTO text = {0};
    LT_BUF_AUTO bytes = {0};
    int rc = lt_file_mkdirs(s->run_dir, 0777, err);

    if (rc < 0 || lt_file_exists(pb))
        return rc;
    lt_text_print_spec(s->spec, 0, &text);
    rc = lt_file_put(yaml, text.data, text.len, 0666, err);
    if (rc < 0)
        return rc;
    lt_buf_reserve(&bytes, lt__v1__job_spec__get_packed_size(s->spec) + 1);
    bytes.len = lt__v1__job_spec__pack(s->spec, (uint8_t *)bytes.data);
    return lt_file_put(pb, bytes.data, bytes.len, 0666, err);
}

static int write_folder(struct lt_rank *r, struct lt_error *err)
{
    LT_AUTO(lt_free) char *page_path = lt_attempt_path(r->dir, "page");
    LT_AUTO(lt_free) char *wake_path = lt_attempt_path(r->dir, "wake");
    LT_AUTO(lt_free) char *spec_path = lt_attempt_path(r->dir, "spec");
    const char *address = lt_node_wake_address(r->node->wake);
    LT_BUF_AUTO bytes = {0};
    struct lt_page *page;
    int rc = lt_file_make_dirs(r->dir, 0700, err);

    if (rc == 0)
        rc = lt_page_create(page_path, &page, err);
    if (rc < 0)
        return rc;
    lt_page_unmap(page);
    if (address) {
        LT_AUTO(lt_free) char *line = lt_format("%s\n", address);

        rc = lt_file_put(wake_path, line, strlen(line), 0600, err);
        if (rc < 0)
            return rc;
    }
    lt_rank_cgroup_make(r); /* the spec names it */
    lt_buf_reserve(&bytes, lt__v1__start_rank__get_packed_size(r->spec) + 1);
    bytes.len = lt__v1__start_rank__pack(r->spec, (uint8_t *)bytes.data);
    return lt_file_put(spec_path, bytes.data, bytes.len, 0600, err);
}

static void sync_file(const char *dir, const char *name)
{
    LT_AUTO(lt_free) char *path = lt_path_join(dir, name);
    int fd = lt_file_open(path, O_RDONLY, 0, NULL);

    if (fd < 0)
        return;
    lt_file_sync(fd, NULL); /* a disk that can't says so at the next checkpoint */
    close(fd);
}

/* While the worker comes up: a power cut from now on leaves a folder that a later agent can tell
 * the end of. */
static void make_durable(uv_work_t *w)
{
    const struct lt_rank *r = w->data;

    sync_file(r->dir, "spec");
    lt_file_sync_dir(r->dir, NULL);
    lt_file_sync_dir(r->node->attempts_dir, NULL);
    sync_file(r->spec->run_dir, "plan.yaml");
    sync_file(r->spec->run_dir, "plan.pb");
    lt_file_sync_dir(r->spec->run_dir, NULL);
}

static void prepare(uv_work_t *w)
{
    struct lt_rank *r = w->data;

    if (write_plan(r->spec, &r->work_error) == 0)
        write_folder(r, &r->work_error);
}

/* ---- on the loop again: the shim */

static void on_handle_closed(uv_handle_t *h)
{
    lt_rank_release(h->data);
}

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, on_handle_closed);
}

void lt_rank_leave_shim(struct lt_rank *r)
{
    if (!r->spawned)
        return;
    if (r->node->closing) /* else it waits for its process, to reap it */
        close_handle((uv_handle_t *)&r->process);
    close_handle((uv_handle_t *)&r->report);
}

static void started(struct lt_rank *r, const char *pid)
{
    uint64_t v = 0;

    lt_parse_u64(pid, &v);
    r->worker = (pid_t)v;
    lt_rank_set_state(r, LT_RANK_RUNNING);
    lt_rank_tell_started(r);
    lt_rank_watch(r);
    lt_rank_tail(r);
    lt_rank_signal_asked(r);
    if (r->doomed) /* meanwhile */
        lt_rank_kill_all(r);
}

/* By a shim that an agent before us started just when it was killed: it is the rank. */
static void runs_already(struct lt_rank *r)
{
    r->shim = 0;
    lt_rank_set_state(r, LT_RANK_RUNNING);
    lt_rank_watch(r); /* and at every tick, until its worker is known */
    if (r->doomed)
        lt_rank_kill_all(r);
}

static void on_line(struct lt_rank *r)
{
    char *line = r->line.data ? r->line.data : (char *)"";

    line[strcspn(line, "\n")] = 0;
    if (lt_str_starts(line, "started "))
        started(r, line + strlen("started "));
    else if (lt_str_starts(line, "unfit "))
        fail(r, line + strlen("unfit "), LT__V1__FAILURE_CLASS__CLASS_PLAN);
    else if (lt_str_starts(line, "held "))
        runs_already(r);
    else if (lt_str_starts(line, "failed "))
        fail(r, line + strlen("failed "), INFRASTRUCTURE);
    else
        fail(r, "lt-shim died before it started the worker", INFRASTRUCTURE);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct lt_rank *r = h->data;

    (void)suggested;
    lt_buf_reserve(&r->line, LINE_MAX_BYTES);
    *buf = uv_buf_init(r->line.data + r->line.len, LINE_MAX_BYTES - 1);
}

static void on_report(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct lt_rank *r = s->data;

    (void)buf;
    if (n > 0) {
        r->line.len += (size_t)n;
        r->line.data[r->line.len] = 0;
        if (!memchr(r->line.data, '\n', r->line.len) && r->line.len < LINE_MAX_BYTES)
            return;
    }
    lt_rank_hold(r);
    if (!r->dropped && r->state == LT_RANK_STARTING)
        on_line(r);
    close_handle((uv_handle_t *)s);
    lt_rank_release(r);
}

static void on_shim_exit(uv_process_t *p, int64_t status, int sig)
{
    (void)status;
    (void)sig; /* the folder tells; this only reaps */
    close_handle((uv_handle_t *)p);
}

static int spawn(struct lt_rank *r)
{
    LT_AUTO(lt_free) char *log_path = lt_attempt_path(r->dir, "shim.log");
    int log = lt_file_open(log_path, O_WRONLY | O_APPEND | O_CREAT, 0600, NULL);
    char *argv[] = {r->node->shim, r->dir, r->node->worker, NULL};
    uv_stdio_container_t io[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->report},
        {.flags = log >= 0 ? UV_INHERIT_FD : UV_IGNORE, .data.fd = log},
    };
    const uv_process_options_t options = {
        .file = r->node->shim,
        .args = argv,
        .exit_cb = on_shim_exit,
        .flags = UV_PROCESS_DETACHED,
        .stdio = io,
        .stdio_count = 3,
    };
    int rc;

    uv_pipe_init(r->node->loop, &r->report, 0);
    r->report.data = lt_rank_hold(r);
    r->process.data = lt_rank_hold(r);
    r->spawned = true; /* the handles are initialised also when it fails */
    rc = uv_spawn(r->node->loop, &r->process, &options);
    if (log >= 0)
        close(log);
    if (rc < 0) {
        close_handle((uv_handle_t *)&r->process);
        return rc;
    }
    r->shim = r->process.pid;
    return uv_read_start((uv_stream_t *)&r->report, on_alloc, on_report);
}

static void on_durable(uv_work_t *w, int status)
{
    (void)status;
    lt_rank_release(w->data);
}

static void on_prepared(uv_work_t *w, int status)
{
    struct lt_rank *r = w->data;
    int rc;

    (void)status;
    if (r->dropped) {
        lt_rank_release(r);
        return;
    }
    if (r->doomed) {
        fail(r, "killed before it was started", INFRASTRUCTURE);
    } else if (r->work_error.code) {
        fail(r, r->work_error.text, INFRASTRUCTURE);
    } else {
        rc = spawn(r);
        if (rc < 0) {
            LT_AUTO(lt_free) char *reason = lt_format("%s: %s", r->node->shim, uv_strerror(rc));

            fail(r, reason, INFRASTRUCTURE);
        } else {
            uv_queue_work(r->node->loop, w, make_durable,
                          on_durable); /* takes over the reference */
            return;
        }
    }
    lt_rank_release(r);
}

/* ---- its files first */

static void go(struct lt_rank *r)
{
    lt_rank_assign_cpus(r);
    lt_rank_assign_port(r);
    r->work.data = lt_rank_hold(r);
    uv_queue_work(r->node->loop, &r->work, prepare, on_prepared);
}

static void fetched(void *arg, int rc, const char *why)
{
    struct lt_rank *r = arg;

    r->need = NULL;
    if (!r->dropped && rc < 0)
        fail(r, why, INFRASTRUCTURE);
    else if (!r->dropped)
        go(r);
    lt_rank_release(r);
}

static void fetch(struct lt_rank *r)
{
    struct lt_error err = {0};
    int rc = lt_node_need(r->node->blobs, r->spec->spec, fetched, r, &r->need, &err);

    if (rc < 0)
        fail(r, err.text, INFRASTRUCTURE);
    else if (r->need)
        lt_rank_hold(r);
    else
        go(r);
}

bool lt_rank_give_up(struct lt_rank *r)
{
    if (!r->need)
        return false;
    fail(r, "it was ended while its files were fetched", INFRASTRUCTURE);
    return true;
}

/* ---- the request */

/* Job ids become names of folders. */
static bool id_is_sane(const char *job)
{
    for (const char *p = job; *p; p++) {
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
    }
    return job[0] && strlen(job) <= 64;
}

static uint32_t newest_generation(const struct lt_node *n, const char *job)
{
    uint32_t newest = 0;
    void *p;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        const struct lt_rank *r = p;

        if (strcmp(r->spec->job, job) == 0 && r->spec->generation > newest)
            newest = r->spec->generation;
    }
    return newest;
}

void lt_rank_start(struct lt_node *n, const Lt__V1__StartRank *spec)
{
    struct lt_rank *r;

    if (!spec->job || !id_is_sane(spec->job) || !spec->run_dir || spec->run_dir[0] != '/' ||
        !spec->spec) {
        tell_failed(n, spec, "malformed StartRank: job, absolute run_dir and spec are needed",
                    INFRASTRUCTURE);
        return;
    }
    r = lt_rank_find(n, spec->job, spec->attempt, spec->rank);
    if (r && r->spec->generation == spec->generation) {
        if (r->state == LT_RANK_STARTING && r->removing) {
            tell_failed(n, spec, r->reason, r->class);
        } else if (r->state != LT_RANK_STARTING) {
            lt_rank_tell_started(r);
            lt_rank_tail_again(r, r->sent);
        }
        return;
    }
    if (r || spec->generation < newest_generation(n, spec->job)) {
        tell_failed(n, spec, "the node knows a newer generation of this job", INFRASTRUCTURE);
        return;
    }
    fetch(lt_rank_new(n, spec));
}
