/* gone.c - why did a rank end?
 *
 *   the worker's last record says so      its result and class
 *   it stood still for good (still.c)     INFRASTRUCTURE
 *   the kernel was out of memory          OOM
 *   no exit record: the shim was killed   INFRASTRUCTURE
 *   death by a signal                     INFRASTRUCTURE; of a command by one that comes from its own fault: JOB
 *   a command's exit code                 0 SUCCEEDED, else JOB
 *   an exit without a last record         INFRASTRUCTURE where the worker's status is that class's
 *                                         (it couldn't write the record), else JOB
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "proto/plan.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/log.h"

#define HUNG_MAX 4096
#define INFRASTRUCTURE LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE

/* The journal's last record, when it is a worker's last word. */
static void look_for_finish(struct lt_rank *r, uint64_t from)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "journal");
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *reader = NULL;
    const void *payload;
    uint64_t end;
    size_t n;

    if (lt_journal_reader_open(path, from, &reader, NULL) < 0)
        return;
    while (lt_journal_read(reader, &payload, &n, &end, NULL) > 0) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        ProtobufCMessage *m;
        const Lt__V1__JournalRecord *j;

        if (lt_wire_decode(&lt__v1__journal_record__descriptor, payload, n, arena, &m, NULL) < 0)
            continue;
        j = (const Lt__V1__JournalRecord *)m;
        if (j->type_case != LT__V1__JOURNAL_RECORD__TYPE_FINISHED)
            continue;
        r->finished = true;
        r->result = j->finished->result;
        r->class = j->finished->class_;
        lt_free(r->reason);
        r->reason = j->finished->reason ? lt_strdup(j->finished->reason) : NULL;
    }
}

/* It may not have been sent, and read, yet; or it was acknowledged in an earlier agent's life. */
static void find_finish(struct lt_rank *r)
{
    if (!r->finished)
        look_for_finish(r, r->sent);
    if (!r->finished && r->sent > 0)
        look_for_finish(r, 0);
}

static void set(Lt__V1__RankExited *x, Lt__V1__FailureClass class, char *reason)
{
    x->has_class_ = true;
    x->class_ = class;
    x->reason = reason;
}

/* Nobody sends these: a program that does the like again and again isn't helped by a new start. */
static bool is_own_fault(int sig)
{
    return sig == SIGSEGV || sig == SIGABRT || sig == SIGFPE || sig == SIGILL || sig == SIGBUS ||
           sig == SIGSYS || sig == SIGTRAP;
}

static void classify_exit(const struct lt_rank *r, const struct lt_exit_record *e,
                          Lt__V1__RankExited *x)
{
    bool command = r->spec->spec && r->spec->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND;

    if (e->oom) {
        set(x, LT__V1__FAILURE_CLASS__CLASS_OOM,
            lt_strdup("killed by the kernel: its memory limit was reached"));
    } else if (e->signaled) {
        set(x, command && is_own_fault(e->status) ? LT__V1__FAILURE_CLASS__CLASS_JOB : INFRASTRUCTURE,
            lt_format("killed by signal %d (%s)", e->status, strsignal(e->status)));
    } else if (command && e->status == 0) {
        x->has_result = true;
        x->result = LT__V1__JOB_RESULT__SUCCEEDED;
        set(x, LT__V1__FAILURE_CLASS__CLASS_NONE, NULL);
    } else if (!command &&
               e->status == lt_job_exit_code(LT__V1__JOB_RESULT__FAILED, INFRASTRUCTURE)) {
        set(x, INFRASTRUCTURE, lt_strdup("the worker couldn't record its end; see its log"));
    } else {
        set(x, LT__V1__FAILURE_CLASS__CLASS_JOB,
            lt_format(command ? "exit code %d" : "exit code %d without a last record; see its log",
                      e->status));
    }
}

static bool found_hung(const struct lt_rank *r, Lt__V1__RankExited *x)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "hung");
    LT_BUF_AUTO text = {0};

    if (lt_file_read(path, HUNG_MAX, &text, NULL) < 0 || !text.data)
        return false;
    set(x, INFRASTRUCTURE, lt_format("hung: %s", text.data));
    return true;
}

static void classify(struct lt_rank *r, Lt__V1__RankExited *x)
{
    struct lt_exit_record e = {0};
    int rc = lt_attempt_read_exit(r->dir, &e, NULL);

    x->has_at_ns = true;
    x->at_ns = rc == 0 && e.at_ns ? e.at_ns : r->gone_ns;
    if (rc == 0) {
        x->has_status = true;
        x->status = e.signaled ? 128 + e.status : e.status;
    }
    if (!r->finished && found_hung(r, x))
        return;
    if (r->finished) {
        x->has_result = true;
        x->result = r->result;
        set(x, r->class, r->reason ? lt_strdup(r->reason) : NULL);
    } else if (rc < 0) {
        set(x, INFRASTRUCTURE, lt_strdup("lt-shim died, and the worker with it"));
    } else {
        classify_exit(r, &e, x);
    }
}

/* As the coordinator sees it (lt_exit_failed in daemon/core). */
bool lt_rank_failed(struct lt_rank *r)
{
    Lt__V1__RankExited x = LT__V1__RANK_EXITED__INIT;

    find_finish(r);
    classify(r, &x);
    lt_free(x.reason);
    return x.class_ != LT__V1__FAILURE_CLASS__CLASS_NONE || !x.has_result ||
           x.result == LT__V1__JOB_RESULT__RESULT_NONE || x.result == LT__V1__JOB_RESULT__FAILED;
}

/* Of several ranks, which one it was. */
static void name_rank(const struct lt_rank *r, Lt__V1__RankExited *x)
{
    char *bare = x->reason;

    if (!bare || r->spec->world_size < 2)
        return;
    x->reason = lt_format("rank %u: %s", r->spec->rank, bare);
    lt_free(bare);
}

void lt_rank_tell_gone(struct lt_rank *r)
{
    Lt__V1__RankGone m = LT__V1__RANK_GONE__INIT;
    Lt__V1__RankExited x = LT__V1__RANK_EXITED__INIT;

    find_finish(r);
    classify(r, &x);
    name_rank(r, &x);
    lt_rank_sample(r); /* what an ended job keeps */
    x.has_rank = true;
    x.rank = r->spec->rank;
    m.job = r->spec->job;
    m.has_attempt = m.has_generation = true;
    m.attempt = r->spec->attempt;
    m.generation = r->spec->generation;
    m.exited = &x;
    lt_info("agent: %s ended: %s", r->name, x.reason ? x.reason : "by itself");
    lt_node_send(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE, &m);
    lt_free(x.reason);
}
