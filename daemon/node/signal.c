/* signal.c - stop, cancel, checkpoint, kill
 *
 * Requests are bits in the shared page, seen by the engine at its next step boundary. A cancel has
 * patience: after one interval SIGTERM, after another SIGKILL to everything. A stop has none of
 * this: saving a checkpoint may take its time, and who is tired of waiting cancels.
 *
 * What is asked before the rank's process is known waits for it: there may be no page yet, and nobody to
 * send SIGTERM to. (A kill doesn't wait; and a session that is lost meanwhile asks again in the next.)
 *
 * A command doesn't read pages: its process group gets SIGTERM at once, and SIGKILL when its grace
 * (a stop) or one interval (a cancel) is over. The bits say what an earlier agent had begun.
 */
#include <signal.h>

#include "base/auto.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/attempt.h"
#include "sys/lock.h"
#include "sys/log.h"
#include "sys/page.h"

static void set_command(struct lt_rank *r, uint32_t bit)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "page");
    struct lt_error err = {0};

    if (!r->page && lt_page_map(path, &r->page, &err) < 0)
        lt_warning("agent: %s: %s", r->name, err.text);
    if (r->page)
        atomic_fetch_or(&r->page->command, bit);
}

static const Lt__V1__Command *command_of(const struct lt_rank *r)
{
    return r->spec->spec && r->spec->spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND
               ? r->spec->spec->command
               : NULL;
}

/* A command's whole process group (the shim made it one): what a shell started hears it, too. */
static void send_term(const struct lt_rank *r)
{
    struct lt_identity worker;

    if (lt_attempt_read_identity(r->dir, "worker", &worker, NULL) == 0 &&
        lt_identity_alive(&worker))
        kill(command_of(r) ? -worker.pid : worker.pid, SIGTERM);
}

static void on_ladder_closed(uv_handle_t *h)
{
    struct lt_rank *r = h->data;

    lt_free(h);
    lt_rank_release(r);
}

void lt_rank_ladder_stop(struct lt_rank *r)
{
    if (!r->ladder)
        return;
    uv_timer_stop(r->ladder);
    uv_close((uv_handle_t *)r->ladder, on_ladder_closed);
    r->ladder = NULL;
}

static void on_rung(uv_timer_t *t)
{
    struct lt_rank *r = t->data;

    if (r->state != LT_RANK_RUNNING)
        return;
    if (r->rung++ == 0) {
        lt_warning("agent: %s hasn't ended: SIGTERM", r->name);
        send_term(r);
        return;
    }
    lt_warning("agent: %s hasn't ended: SIGKILL", r->name);
    lt_rank_kill_all(r); /* again each interval, until it is gone */
}

/* From rung on; a ladder that is there is climbed sooner, never later. */
static void ladder_start(struct lt_rank *r, unsigned rung, uint64_t first_ms)
{
    if (r->ladder) {
        if (uv_timer_get_due_in(r->ladder) > first_ms)
            uv_timer_start(r->ladder, on_rung, first_ms, r->node->ladder_ms);
        return;
    }
    r->rung = rung;
    r->ladder = lt_calloc(1, sizeof *r->ladder);
    uv_timer_init(r->node->loop, r->ladder);
    r->ladder->data = lt_rank_hold(r);
    uv_timer_start(r->ladder, on_rung, first_ms, r->node->ladder_ms);
}

/* Once only: a second SIGTERM means `at once` to many a program. */
static void term_command(struct lt_rank *r, enum lt_page_command why, uint64_t patience_ms)
{
    if (!r->page || !(atomic_load(&r->page->command) & (LT_COMMAND_STOP | LT_COMMAND_CANCEL)))
        send_term(r);
    set_command(r, why);
    ladder_start(r, 1, patience_ms);
}

static uint64_t grace_ms(const Lt__V1__Command *c)
{
    return c->grace && c->grace->has_seconds ? (uint64_t)(c->grace->seconds * 1000)
                                             : LT_COMMAND_GRACE_MS;
}

static void do_stop(struct lt_rank *r)
{
    if (command_of(r))
        term_command(r, LT_COMMAND_STOP, grace_ms(command_of(r)));
    else
        set_command(r, LT_COMMAND_STOP);
}

static void do_cancel(struct lt_rank *r)
{
    if (command_of(r)) {
        term_command(r, LT_COMMAND_CANCEL, r->node->ladder_ms);
    } else {
        set_command(r, LT_COMMAND_CANCEL);
        ladder_start(r, 0, r->node->ladder_ms);
    }
}

static void do_checkpoint(struct lt_rank *r)
{
    set_command(r, LT_COMMAND_CHECKPOINT);
}

static void do_kill(struct lt_rank *r)
{
    r->doomed = true;
    lt_rank_kill_all(r);
    ladder_start(r, 1, r->node->ladder_ms);
    r->rung = 1;
}

static void (*const actions[])(struct lt_rank *r) = {
    [LT__V1__RANK_SIGNAL__SIGNAL_STOP] = do_stop,
    [LT__V1__RANK_SIGNAL__SIGNAL_CANCEL] = do_cancel,
    [LT__V1__RANK_SIGNAL__SIGNAL_CHECKPOINT] = do_checkpoint,
    [LT__V1__RANK_SIGNAL__SIGNAL_KILL] = do_kill,
};

void lt_rank_signal(struct lt_rank *r, Lt__V1__RankSignal signal)
{
    bool alive = r->state == LT_RANK_RUNNING || r->state == LT_RANK_STARTING;

    if (signal != LT__V1__RANK_SIGNAL__SIGNAL_CHECKPOINT && lt_rank_give_up(r))
        return;
    if (!alive || (unsigned)signal >= LT_ARRAY_LEN(actions))
        return;
    if (r->worker > 0 || signal == LT__V1__RANK_SIGNAL__SIGNAL_KILL) {
        actions[signal](r);
        return;
    }
    r->asked |= 1u << signal;
    if (signal == LT__V1__RANK_SIGNAL__SIGNAL_CANCEL) /* its patience counts from now */
        ladder_start(r, command_of(r) ? 1 : 0, r->node->ladder_ms);
}

void lt_rank_signal_asked(struct lt_rank *r)
{
    unsigned asked = r->asked;

    r->asked = 0;
    for (unsigned i = 0; i < LT_ARRAY_LEN(actions); i++)
        if (asked & 1u << i)
            lt_rank_signal(r, (Lt__V1__RankSignal)i);
}

void lt_rank_signal_again(struct lt_rank *r)
{
    uint32_t asked = r->page ? atomic_load(&r->page->command) : 0;

    if (asked & LT_COMMAND_CANCEL)
        do_cancel(r);
    else if ((asked & LT_COMMAND_STOP) && command_of(r))
        do_stop(r);
}
