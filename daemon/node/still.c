/* still.c - looks at running ranks for those that stand still (stall.h judges)
 *
 * A look costs a few loads from the shared page; /proc is read only for ranks whose numbers haven't
 * moved for a while. What people hear of it is a condition of the job, said again in every new
 * session. One that stands still for good is described once more with the stacks of all ranks of
 * its attempt, in their logs, and then killed: that is the attempt's first failure, and what
 * follows is the coordinator's. What was found lies in the folder (`hung`) before it is killed, so
 * that the reason survives us.
 *
 * Commands are left alone: what isn't ours may sleep as long as it likes.
 */
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "daemon/node/stall.h"
#include "sys/attempt.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/page.h"
#include "sys/paths.h"
#include "sys/proc.h"

#define LOOKS 60           /* so many in the time that makes a hang */
#define QUIET_LOOKS 3      /* without work: idle */
#define LATE_LOOKS 4       /* a look that comes later than so many saw nothing meanwhile … */
#define LATE_NS 1000000000u /* … and than this: the tick takes its time */
#define BUSY_PART 20       /* of a processor's time */
#define NS_PER_MS 1000000u

/* ---- one rank */

static struct lt_still_mark mark_of(const struct lt_page *p)
{
#define LOAD(field) atomic_load_explicit(&p->field, memory_order_relaxed)
    return (struct lt_still_mark){{LOAD(heartbeat_ns), LOAD(epoch), LOAD(step), LOAD(batch),
                                   LOAD(phase), LOAD(collective_seq), LOAD(collective_done),
                                   LOAD(first_step_ns)}};
#undef LOAD
}

static void look_at_process(struct lt_rank *r, uint64_t now, uint64_t look_ns)
{
    struct lt_still_since *s = &r->still;
    struct lt_proc p;

    if (lt_proc_look(r->worker, &p) < 0)
        return;
    if (!s->looked_ns || p.io > s->io ||
        (p.cpu_ms - s->cpu_ms) * NS_PER_MS >= (now - s->looked_ns) / BUSY_PART)
        s->busy_ns = now;
    s->looked_ns = now;
    s->cpu_ms = p.cpu_ms;
    s->io = p.io;
    s->state = p.state;
    memcpy(s->wchan, p.wchan, sizeof s->wchan);
    s->how = p.state == 'T' || p.state == 't'           ? LT_STILL_STOPPED
             : s->mark.v[5] > s->mark.v[6]              ? LT_STILL_WAITS /* busily, or asleep */
             : now - s->busy_ns > QUIET_LOOKS * look_ns ? LT_STILL_IDLE
                                                        : LT_STILL_BUSY;
}

static void look_at(struct lt_rank *r, uint64_t now, uint64_t look_ns)
{
    struct lt_still_since *s = &r->still;
    struct lt_still_mark mark = mark_of(r->page);

    if (!s->moved_ns || memcmp(&mark, &s->mark, sizeof mark) != 0) {
        s->mark = mark;
        s->moved_ns = now;
        s->looked_ns = 0;
        s->how = LT_STILL_MOVES;
    } else if (now - s->moved_ns >= look_ns) {
        look_at_process(r, now, look_ns);
    }
}

static bool is_watched(const struct lt_rank *r)
{
    return r->state == LT_RANK_RUNNING && r->page && r->worker > 0 && r->spec->spec &&
           r->spec->spec->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND;
}

static void fill(const struct lt_rank *r, uint64_t now, struct lt_still_rank *out)
{
    const struct lt_still_since *s = &r->still;

    out->there = true;
    out->still_ns = now - s->moved_ns;
    out->how = s->how;
    out->phase = (enum lt_phase)LT_MIN(s->mark.v[4], LT_PHASE_N - 1);
    out->step = s->mark.v[2];
    out->started = s->mark.v[5];
    out->done = s->mark.v[6];
    lt_page_collective(r->page, out->started, &out->last);
    out->state = s->state;
    memcpy(out->wchan, s->wchan, sizeof out->wchan);
}

/* ---- what is said of it */

static void tell(struct lt_rank *r, const char *text)
{
    Lt__V1__RankCondition m = LT__V1__RANK_CONDITION__INIT;
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;

    m.job = r->spec->job;
    m.has_attempt = m.has_generation = m.has_rank = true;
    m.attempt = r->spec->attempt;
    m.generation = r->spec->generation;
    m.rank = r->spec->rank;
    m.condition = &c;
    c.has_kind = c.has_active = true;
    c.kind = LT__V1__CONDITION__KIND__STALLED;
    c.active = text != NULL;
    c.detail = (char *)text;
    lt_node_send(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_RANK_CONDITION, &m);
}

/* NULL: it is over. */
static void say(struct lt_rank *r, const char *text)
{
    if (r->stalled ? text && strcmp(r->stalled, text) == 0 : !text)
        return;
    lt_info("agent: %s: %s", r->name, text ? text : "goes on");
    lt_free(r->stalled);
    r->stalled = text ? lt_strdup(text) : NULL;
    tell(r, text);
}

/* The one that is blamed speaks last: a condition of its kind replaces another one. */
static void say_of_all(struct lt_rank **ranks, uint32_t n, const struct lt_rank *who,
                       const char *text)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!ranks[i] || ranks[i] == who || !ranks[i]->stalled)
            continue;
        if (!who)
            say(ranks[i], NULL);
        lt_free(ranks[i]->stalled);
        ranks[i]->stalled = NULL;
    }
    for (uint32_t i = 0; who && i < n; i++)
        if (ranks[i] == who)
            say(ranks[i], text);
}

static bool another_stalls(const struct lt_rank *r)
{
    for (uint32_t i = 0; i < r->spec->world_size; i++) {
        const struct lt_rank *o = lt_rank_find(r->node, r->spec->job, r->spec->attempt, i);

        if (o && o->stalled)
            return true;
    }
    return false;
}

/* What an earlier session or agent said may be over by now: rank 0 says that, where nobody stalls. */
void lt_still_tell_again(struct lt_rank *r)
{
    if (is_watched(r) && (r->stalled || (r->spec->local_rank == 0 && !another_stalls(r))))
        tell(r, r->stalled);
}

/* ---- the end of it */

struct ending {
    uv_process_t process;
    struct lt_rank *blamed;
};

static void finish(struct lt_rank *r)
{
    if (--r->hung == 0 && r->state == LT_RANK_RUNNING) {
        lt_warning("agent: %s is killed: %s", r->name, r->stalled ? r->stalled : "it hung");
        lt_rank_signal(r, LT__V1__RANK_SIGNAL__SIGNAL_KILL);
    }
    lt_rank_release(r);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct ending *e = h->data;

    finish(e->blamed);
    lt_free(e);
}

static void on_described(uv_process_t *p, int64_t status, int sig)
{
    (void)status;
    (void)sig;
    uv_close((uv_handle_t *)p, on_handle_closed);
}

/* Its stacks, into its log; then finish() for the one that is blamed. */
static void describe(struct lt_rank *r, struct lt_rank *blamed)
{
    LT_AUTO(lt_free) char *program = lt_path_program("lt-stacks");
    LT_AUTO(lt_free) char *pid = lt_format("%d", (int)r->worker);
    LT_AUTO(lt_free) char *file =
        lt_format("%s/logs/%u/%u.err", r->spec->run_dir, r->spec->attempt, r->spec->rank);
    char *argv[] = {program, pid, file, NULL};
    struct ending *e = lt_calloc(1, sizeof *e);
    const uv_process_options_t options = {.file = program, .args = argv, .exit_cb = on_described};
    int rc;

    e->blamed = lt_rank_hold(blamed);
    e->process.data = e;
    blamed->hung++;
    rc = uv_spawn(r->node->loop, &e->process, &options);
    if (rc < 0) {
        lt_warning("agent: %s: no stacks: %s: %s", r->name, program, uv_strerror(rc));
        uv_close((uv_handle_t *)&e->process, on_handle_closed);
    }
}

static void end(struct lt_rank **ranks, uint32_t n, struct lt_rank *who)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(who->dir, "hung");
    struct lt_error err = {0};

    if (who->hung)
        return;
    if (lt_file_replace(path, who->stalled, strlen(who->stalled), 0600, &err) < 0)
        lt_warning("agent: %s", err.text);
    for (uint32_t i = 0; i < n; i++)
        if (ranks[i])
            describe(ranks[i], who);
}

/* ---- one attempt, and all of them */

static void judge(struct lt_rank **ranks, uint32_t n, uint64_t now, uint64_t hang_ns)
{
    struct lt_still_rank *looks = lt_calloc(n, sizeof *looks);
    LT_BUF_AUTO text = {0};
    struct lt_stall s;

    for (uint32_t i = 0; i < n; i++) {
        looks[i].rank = i;
        if (ranks[i])
            fill(ranks[i], now, &looks[i]);
    }
    s = lt_stall_judge(looks, n, hang_ns);
    if (s.who)
        lt_stall_describe(looks, n, s.who, &text);
    say_of_all(ranks, n, s.who ? ranks[s.who->rank] : NULL, text.data);
    if (s.hang)
        end(ranks, n, ranks[s.who->rank]);
    lt_free(looks);
}

static void look_at_attempt(struct lt_node *n, const struct lt_rank *first, uint64_t now)
{
    uint32_t world = LT_MAX(first->spec->world_size, 1);
    struct lt_rank **ranks = lt_calloc(world, sizeof(struct lt_rank *));
    bool any = false;

    for (uint32_t i = 0; i < world; i++) {
        struct lt_rank *r = lt_rank_find(n, first->spec->job, first->spec->attempt, i);

        if (!r || !is_watched(r))
            continue;
        look_at(r, now, n->hang_ns / LOOKS);
        ranks[i] = r;
        any = true;
    }
    if (any)
        judge(ranks, world, now, n->hang_ns);
    lt_free(ranks);
}

/* The machine, or we, stood still: nobody was seen meanwhile, so nobody is told of it. */
static void pass_over(struct lt_node *n, uint64_t gap_ns)
{
    void *p;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        struct lt_still_since *s = &((struct lt_rank *)p)->still;

        s->moved_ns += s->moved_ns ? gap_ns : 0;
        s->busy_ns += gap_ns;
        s->looked_ns += s->looked_ns ? gap_ns : 0;
    }
}

void lt_still_look(struct lt_node *n)
{
    uint64_t now = lt_clock_mono_ns(), every = n->hang_ns / LOOKS;
    void *p;

    if (now - n->looked_ns < every)
        return;
    if (n->looked_ns && now - n->looked_ns > LATE_LOOKS * every + LATE_NS)
        pass_over(n, now - n->looked_ns);
    n->looked_ns = now;
    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);) {
        const struct lt_rank *r = p;

        if (r->spec->local_rank == 0)
            look_at_attempt(n, r, now);
    }
}
