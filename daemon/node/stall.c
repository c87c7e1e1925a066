/* stall.c - see stall.h
 *
 * A training rank moves some number in its page at every batch and at every collective. When no
 * rank of an attempt moves any more, one of them is why: the one that was stopped, else one that
 * sleeps although the others wait for it in a collective, else the one that is furthest behind.
 * A rank that computes without moving a number is slow, not stuck: an operator may take its time.
 * So is one that sleeps before training began or while it saves: another process may decode the
 * same data for it, and disks may be slow. Both have ten times as long.
 *
 * Whoever waits in a collective alone isn't to blame, and other nodes' ranks can't be seen from
 * here: then nothing is decided.
 */
#include "daemon/node/stall.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/plan.h"
#include "sys/proc.h"

#define TOLD_PART 6
#define SLOW_TIMES 10

static const bool must_move[LT_PHASE_N] = {
    [LT_PHASE_SANITY] = true,
    [LT_PHASE_TRAINING] = true,
    [LT_PHASE_VALIDATING] = true,
    [LT_PHASE_TESTING] = true,
};

/* Which of two that stand still is rather the reason. */
static bool rather(const struct lt_still_rank *a, const struct lt_still_rank *b)
{
    static const int guilt[LT_STILL_N] = {[LT_STILL_STOPPED] = 3, [LT_STILL_BUSY] = 2,
                                          [LT_STILL_IDLE] = 1};

    if (guilt[a->how] != guilt[b->how])
        return guilt[a->how] > guilt[b->how];
    if (a->started != b->started)
        return a->started < b->started;
    return a->done < b->done;
}

/* How long it may stand still as it does; told: after how long people hear of it. */
static uint64_t patience(const struct lt_still_rank *r, uint64_t hang_ns, uint64_t *told)
{
    bool slow = r->how == LT_STILL_BUSY || (r->how == LT_STILL_IDLE && !must_move[r->phase]);

    if (r->how == LT_STILL_STOPPED)
        slow = false;
    *told = slow ? hang_ns : hang_ns / TOLD_PART;
    return slow ? SLOW_TIMES * hang_ns : hang_ns;
}

struct lt_stall lt_stall_judge(const struct lt_still_rank *ranks, size_t n, uint64_t hang_ns)
{
    struct lt_stall s = {0};
    uint64_t still = UINT64_MAX, told, limit;
    bool all = true;

    for (size_t i = 0; i < n; i++) {
        all = all && ranks[i].there;
        if (!ranks[i].there)
            continue;
        still = LT_MIN(still, ranks[i].still_ns);
        if (!s.who || rather(&ranks[i], s.who))
            s.who = &ranks[i];
    }
    if (!s.who || s.who->how == LT_STILL_MOVES || (s.who->how == LT_STILL_WAITS && !all))
        return (struct lt_stall){0};
    if (s.who->how == LT_STILL_STOPPED) /* others may go on for a while; it does not */
        still = s.who->still_ns;
    limit = patience(s.who, hang_ns, &told);
    if (still < told)
        return (struct lt_stall){0};
    s.hang = still >= limit;
    return s;
}

static void print_collective(const struct lt_collective *c, struct lt_buf *out)
{
    lt_buf_printf(out, "#%llu", (unsigned long long)c->seq);
    if (c->kind[0])
        lt_buf_printf(out, " (%s", c->kind);
    if (c->name[0])
        lt_buf_printf(out, "%s%s", c->kind[0] ? " of " : " (", c->name);
    if (c->kind[0] || c->name[0])
        lt_buf_str(out, ")");
}

static void print_waiting(const struct lt_still_rank *ranks, size_t n,
                          const struct lt_still_rank *who, struct lt_buf *out)
{
    const struct lt_still_rank *first = NULL;
    size_t waiting = 0;

    for (size_t i = 0; i < n; i++)
        if (&ranks[i] != who && ranks[i].there && ranks[i].started > ranks[i].done) {
            if (waiting++ == 0)
                first = &ranks[i];
            lt_buf_printf(out, "%s%u", waiting == 1 ? "; for it wait in collectives: rank " : ", ",
                          ranks[i].rank);
        }
    if (first && first->last.seq) {
        lt_buf_str(out, waiting == 1 ? ", in " : ", the first one in ");
        print_collective(&first->last, out);
        if (first->started > who->started)
            lt_buf_printf(out, ", which rank %u has not begun", who->rank);
    }
}

void lt_stall_describe(const struct lt_still_rank *ranks, size_t n, const struct lt_still_rank *who,
                       struct lt_buf *out)
{
    static const char *const does[LT_STILL_N] = {
        [LT_STILL_MOVES] = "moves",
        [LT_STILL_STOPPED] = "is stopped",
        [LT_STILL_IDLE] = "does nothing",
        [LT_STILL_WAITS] = "waits for the others",
        [LT_STILL_BUSY] = "computes or loads without an end",
    };

    lt_buf_printf(out, "rank %u %s: %s", who->rank, does[who->how],
                  who->state ? lt_proc_state_name(who->state) : "unknown");
    if (who->wchan[0])
        lt_buf_printf(out, " in %s", who->wchan);
    lt_buf_printf(out, ", %s, step %llu",
                  lt_phase_names[who->phase < LT_PHASE_N ? who->phase : LT_PHASE_STARTING],
                  (unsigned long long)who->step);
    if (who->last.seq) {
        lt_buf_str(out, who->started > who->done ? ", in collective " : ", behind collective ");
        print_collective(&who->last, out);
    }
    print_waiting(ranks, n, who, out);
}
