/* rank_main.c - opens the attempt's folder, runs the job, ends with its status
 *
 * Commands come through the shared page; SIGTERM counts as STOP. Nothing here waits for the daemon:
 * it may be away from the first line to the last.
 */
#include "engine/worker/rank_main.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/train/train.h"
#include "engine/worker/backend.h"
#include "engine/worker/wake.h"
#include "proto/plan.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/log.h"
#include "sys/page.h"
#include "sys/paths.h"

#define SPEC_MAX (64u << 20)
#define ARENA_CAP (512u << 20)
#define STATUS_INFRASTRUCTURE 106

static volatile sig_atomic_t terminated;

static void on_term(int sig)
{
    (void)sig;
    terminated = 1;
}

struct rank {
    const char *dir;
    struct lt_arena *arena;
    Lt__V1__StartRank *start;
    struct lt_page *page;
    struct lt_journal *journal;
    struct lt_wake *wake;
    struct lt_comm *comm;
    uint64_t told; /* the journal's size when the agent was last told */
};

static uint32_t commands(void *arg, const struct lt_position *pos)
{
    struct rank *r = arg;

    if (pos->step > 0 && lt_journal_size(r->journal) != r->told) {
        r->told = lt_journal_size(r->journal);
        lt_wake_poke(r->wake);
    }
    return (r->start->rank ? 0 : atomic_load_explicit(&r->page->command, memory_order_relaxed)) |
           (terminated ? LT_COMMAND_STOP : 0);
}

/* Small results of 1e-38 and below cost a hundred times what others do. */
static void flush_denormals(void)
{
#if defined(__x86_64__) || defined(__i386__)
    _mm_setcsr(_mm_getcsr() | 0x8040); /* FTZ, DAZ */
#endif
}

/* One heap, and memory that is given back stays mapped: what was touched before step 1 is what
 * there is. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_term};

    sigemptyset(&a.sa_mask);
    sigaction(SIGTERM, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int read_spec(struct rank *r, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "spec");
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m = NULL;
    int rc = lt_file_read(path, SPEC_MAX, &bytes, err);

    if (rc == 0)
        rc = lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, r->arena, &m,
                            err);
    r->start = (Lt__V1__StartRank *)(void *)m;
    if (rc == 0 && (!r->start->spec || !r->start->run_dir || !r->start->job))
        rc = lt_error_set(err, -EPROTO, "%s: job, spec or run_dir is missing", path);
    return rc < 0 ? lt_error_prefix(err, "attempt") : 0;
}

static int open_attempt(struct rank *r, struct lt_error *err)
{
    LT_AUTO(lt_free) char *page = lt_attempt_path(r->dir, "page");
    LT_AUTO(lt_free) char *journal = lt_attempt_path(r->dir, "journal");
    int rc = read_spec(r, err);

    if (rc == 0)
        rc = lt_page_create(page, &r->page, err);
    if (rc == 0)
        rc = lt_journal_open(journal, &r->journal, err);
    if (rc == 0)
        rc = lt_file_mkdirs(r->start->run_dir, 0755, err);
    if (rc == 0)
        atomic_store(&r->page->pid, (uint32_t)getpid());
    return rc;
}

/* Waits for the other ranks, where there are any (comm.h); whoever ends them ends us. */
static int open_comm(struct rank *r, struct lt_error *err)
{
    const struct lt_train_config nothing = {.start = r->start, .journal = r->journal};
    int rc;

    const struct lt_comm_config c = {.kind = getenv("LT_COMM"),
                                     .rank = (int)r->start->rank,
                                     .world = (int)r->start->world_size,
                                     .local_rank = (int)r->start->local_rank,
                                     .local_world = (int)r->start->local_world_size,
                                     .page = r->page};

    rc = lt_comm_open(&c, &r->comm, err);
    if (rc < 0)
        lt_train_failed(&nothing, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, err->text);
    return rc;
}

static int run(struct rank *r, const struct lt_backend *backend)
{
    LT_AUTO(lt_free) char *cache = lt_path_cache_dir();
    LT_AUTO(lt_free) char *state = lt_attempt_state(r->dir);
    struct lt_train_config c = {.start = r->start,
                                .backend = backend,
                                .cache_dir = cache,
                                .blobs = state,
                                .journal = r->journal,
                                .page = r->page,
                                .comm = r->comm,
                                .commands = commands,
                                .arg = r};
    struct lt_train_result result;

    lt_train_run(&c, &result);
    if (result.result == LT__V1__JOB_RESULT__FAILED)
        lt_err("%s", result.reason);
    return lt_job_exit_code(result.result, result.class);
}

int lt_rank_main(const char *attempt_dir)
{
    struct rank r = {
        .dir = attempt_dir, .arena = lt_arena_new(ARENA_CAP), .wake = lt_wake_new(attempt_dir)};
    struct lt_error err = {0};
    const struct lt_backend *backend = lt_worker_backend(&err);
    int status = STATUS_INFRASTRUCTURE;

    setvbuf(stdout, NULL, _IOLBF, 0);
    tune_malloc();
    flush_denormals();
    catch_signals();
    if (backend && open_attempt(&r, &err) == 0 && open_comm(&r, &err) == 0)
        status = run(&r, backend);
    else
        lt_err("%s", err.text);
    lt_journal_close(r.journal);
    lt_page_unmap(r.page);
    lt_wake_free(r.wake);
    lt_comm_close(r.comm);
    if (r.start && r.start->world_size > 1) { /* nothing of a library's that would wait for others */
        fflush(NULL);
        _exit(status);
    }
    lt_arena_free(r.arena);
    return status;
}
