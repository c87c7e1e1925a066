/* check_run.c - the process behind one check: spec in, answer out, in its own limits
 *
 * A plan may be hostile: what looks at its shapes and files runs in a process with limits on memory
 * and, for everything before the data are read, on time. stdout is CheckDone's bytes; a line of
 * stderr that begins with `progress ` is for people and ends the time limit; the rest of stderr is
 * kept as the reason of a failure. It dies with us (lt-shim --bound).
 */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/check.h"
#include "sys/rss.h"

#define ANSWER_MAX (16u << 20)
#define NOTE_MAX 2000
#define CHUNK 65536
#define NICE 10
/* A sanitizer's shadow memory takes more addresses than any limit would leave. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHADOWED true
#else
#define SHADOWED false
#endif

struct lt_check_run {
    uv_process_t process;
    uv_pipe_t in, out, err;
    uv_timer_t timer;
    uv_write_t write;
    struct lt_buf spec, answer, line, note;
    lt_check_progress_fn *progress;
    lt_check_done_fn *done;
    void *arg;
    unsigned waiting; /* for: exit, end of stdout, end of stderr */
    unsigned handles;
    bool late, exited;
    int64_t status;
    int sig;
};

static void free_run(struct lt_check_run *r)
{
    lt_buf_done(&r->spec);
    lt_buf_done(&r->answer);
    lt_buf_done(&r->line);
    lt_buf_done(&r->note);
    lt_free(r);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct lt_check_run *r = h->data;

    if (--r->handles == 0)
        free_run(r);
}

static void close_all(struct lt_check_run *r)
{
    uv_handle_t *all[] = {(uv_handle_t *)&r->process, (uv_handle_t *)&r->in, (uv_handle_t *)&r->out,
                          (uv_handle_t *)&r->err, (uv_handle_t *)&r->timer};

    for (size_t i = 0; i < LT_ARRAY_LEN(all); i++) {
        if (!uv_is_closing(all[i]))
            uv_close(all[i], on_handle_closed);
    }
}

static char *why_not(const struct lt_check_run *r)
{
    const char *note = r->note.len ? r->note.data : "";

    if (r->late)
        return lt_strdup("looking at the plan's shapes took longer than the time limit");
    if (r->sig)
        return lt_format("lt-worker was killed by signal %d (%s) while it looked at the plan %s",
                         r->sig, strsignal(r->sig), note);
    if (r->status)
        return lt_format("lt-worker ended with code %d while it looked at the plan %s",
                         (int)r->status, note);
    return r->answer.len >= ANSWER_MAX ? lt_strdup("lt-worker's answer is too long") : NULL;
}

static void one_less(struct lt_check_run *r)
{
    LT_AUTO(lt_free) char *reason = NULL;

    if (--r->waiting > 0)
        return;
    reason = why_not(r);
    r->done(r->arg, reason ? NULL : &r->answer, reason);
    close_all(r);
}

static void on_process_exit(uv_process_t *p, int64_t status, int sig)
{
    struct lt_check_run *r = p->data;

    r->status = status;
    r->sig = sig;
    r->exited = true;
    one_less(r);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    static char chunk[CHUNK]; /* loop thread; taken over before the next read */

    (void)h;
    (void)suggested;
    *buf = uv_buf_init(chunk, sizeof chunk);
}

static void on_answer(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct lt_check_run *r = s->data;

    if (n > 0 && r->answer.len < ANSWER_MAX)
        lt_buf_append(&r->answer, buf->base, (size_t)n);
    if (n >= 0)
        return;
    uv_read_stop(s);
    one_less(r);
}

static void on_line(struct lt_check_run *r)
{
    if (lt_str_starts(r->line.data, "progress ")) {
        uv_timer_stop(&r->timer);
        r->progress(r->arg, r->line.data + strlen("progress "));
    } else if (r->note.len + r->line.len < NOTE_MAX) {
        lt_buf_printf(&r->note, "%s%s", r->note.len ? "; " : "", r->line.data);
    }
    lt_buf_done(&r->line);
}

static void on_note(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct lt_check_run *r = s->data;

    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == '\n' && r->line.len)
            on_line(r);
        else if (buf->base[i] != '\n' && r->line.len < NOTE_MAX)
            lt_buf_char(&r->line, buf->base[i]);
    }
    if (n >= 0)
        return;
    if (r->line.len)
        on_line(r);
    uv_read_stop(s);
    one_less(r);
}

static void on_written(uv_write_t *w, int status)
{
    struct lt_check_run *r = w->data;

    (void)status; /* a reader that died says more by its exit */
    if (!uv_is_closing((uv_handle_t *)&r->in))
        uv_close((uv_handle_t *)&r->in, on_handle_closed);
}

void lt_check_run_kill(struct lt_check_run *r)
{
    if (!r->exited)
        uv_process_kill(&r->process, SIGKILL);
}

static void on_late(uv_timer_t *t)
{
    struct lt_check_run *r = t->data;

    r->late = true;
    lt_check_run_kill(r);
}

/* All address space there is to have, no core files. */
static void limit(pid_t pid)
{
    const struct rlimit none = {0, 0};
    uint64_t total, available;
    struct rlimit memory;

    prlimit(pid, RLIMIT_CORE, &none, NULL);
    if (SHADOWED || lt_memory_of_machine(&total, &available) < 0)
        return;
    memory.rlim_cur = memory.rlim_max = total;
    prlimit(pid, RLIMIT_AS, &memory, NULL);
}

/* Threads that find nothing to do sleep at once: what a check computes is not worth a spinning
 * processor. The caller frees the array, not its strings. */
static char **environment(void)
{
    size_t n = 0;
    char **env;

    while (environ[n])
        n++;
    env = lt_calloc(n + 2, sizeof *env);
    env[0] = (char *)"GOMP_SPINCOUNT=0"; /* the first of a name counts */
    memcpy(env + 1, environ, n * sizeof *env);
    return env;
}

static void init_handles(struct lt_check_run *r, uv_loop_t *loop)
{
    uv_pipe_init(loop, &r->in, 0);
    uv_pipe_init(loop, &r->out, 0);
    uv_pipe_init(loop, &r->err, 0);
    uv_timer_init(loop, &r->timer);
    r->process.data = r->in.data = r->out.data = r->err.data = r->timer.data = r->write.data = r;
    r->handles = 5;
}

int lt_check_run_start(const struct lt_check_start *s, struct lt_check_run **out)
{
    struct lt_check_run *r = lt_calloc(1, sizeof *r);
    LT_AUTO(lt_free) char *self = lt_format("%d", (int)getpid());
    char *argv[] = {(char *)s->shim,   (char *)"--bound",     self,
                    (char *)s->worker, (char *)"--plan-only", (char *)s->state_dir, NULL};
    char **env = environment();
    uv_stdio_container_t io[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&r->in},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->out},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->err},
    };
    const uv_process_options_t options = {
        .file = s->shim,
        .args = argv,
        .env = env,
        .exit_cb = on_process_exit,
        .stdio = io,
        .stdio_count = 3,
    };
    uv_buf_t bytes;
    int rc;

    init_handles(r, s->loop);
    r->progress = s->progress;
    r->done = s->done;
    r->arg = s->arg;
    rc = uv_spawn(s->loop, &r->process, &options);
    lt_free(env);
    if (rc < 0) {
        close_all(r);
        return rc;
    }
    r->waiting = 3;
    limit(r->process.pid);
    if (s->yields)
        setpriority(PRIO_PROCESS, (id_t)r->process.pid, NICE);
    lt_buf_append(&r->spec, s->spec->data, s->spec->len);
    bytes = uv_buf_init(r->spec.data, (unsigned)r->spec.len);
    uv_write(&r->write, (uv_stream_t *)&r->in, &bytes, 1, on_written);
    uv_read_start((uv_stream_t *)&r->out, on_alloc, on_answer);
    uv_read_start((uv_stream_t *)&r->err, on_alloc, on_note);
    uv_timer_start(&r->timer, on_late, s->limit_ms, 0);
    *out = r;
    return 0;
}
