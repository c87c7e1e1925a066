/* check.c - CheckRequest: a queue, a cache, and the answers
 *
 * At most `max` at once, in order. An answer is kept under lt_check_key(): the same plan over the
 * same files by the same build is not looked at twice. A lost session doesn't stop a check: the
 * coordinator asks again and finds it running or kept. A check that couldn't be made is a problem
 * of its own, so that no plan waits for ever.
 */
#include "daemon/node/check.h"

#include <string.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "proto/wire.h"
#include "sys/log.h"

#define LIMIT_MS 10000
#define HELD_LIMIT_MS 100000
#define KEPT 64
#define ARENA_MAX (256u << 20)

struct check {
    struct check *next; /* in the queue */
    struct lt_node_checks *owner;
    struct lt_check_run *run;
    char *job;
    char key[65];
    bool held;  /* by its user: the answer isn't urgent */
    bool lasts; /* the answer holds as long as the files of its key */
    struct lt_buf spec;
    struct lt_node_need *need; /* files that the plan names are being fetched */
};

struct lt_node_checks {
    struct lt_node *node;
    unsigned max, running;
    struct check *first, **last;
    struct check *active;   /* by next */
    struct check *fetching; /* by next */
    struct lt_map *kept;  /* key → struct lt_buf of CheckDone */
    bool closed;
};

static void free_kept(void *p)
{
    lt_buf_done(p);
    lt_free(p);
}

static void checks_release(struct lt_node_checks *c)
{
    struct lt_node *n = c->node;

    if (!c->closed || c->running > 0)
        return;
    lt_map_free(c->kept);
    lt_free(c);
    lt_node_release(n);
}

static void check_free(struct check *k)
{
    lt_free(k->job);
    lt_buf_done(&k->spec);
    lt_free(k);
}

static void keep(struct lt_node_checks *c, const char *key, const struct lt_buf *answer)
{
    struct lt_buf *copy = lt_calloc(1, sizeof *copy);
    const char *oldest;

    if (lt_map_count(c->kept) >= KEPT) {
        size_t i = 0;

        if (lt_map_next(c->kept, &i, &oldest, NULL))
            lt_map_remove(c->kept, oldest);
    }
    lt_buf_append(copy, answer->data, answer->len);
    lt_map_set(c->kept, key, copy);
}

static void send_failure(struct lt_node *n, char *job, const char *path, const char *reason)
{
    Lt__V1__CheckDone m = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Problem problem = LT__V1__PROBLEM__INIT, *list = &problem;

    problem.path = (char *)path;
    problem.reason = (char *)reason;
    problem.remedy = (char *)"`ltctl plan check` shows the same with all its output";
    m.job = job;
    m.problems = &list;
    m.n_problems = 1;
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE, &m);
}

/* refused, unless NULL: whether the plan is. 0, or what is wrong with the bytes. */
static int send_answer(struct lt_node *n, char *job, const struct lt_buf *answer, bool *refused,
                       struct lt_error *err)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_MAX);
    ProtobufCMessage *m;
    int rc =
        lt_wire_decode(&lt__v1__check_done__descriptor, answer->data, answer->len, arena, &m, err);

    if (rc < 0)
        return rc;
    ((Lt__V1__CheckDone *)m)->job = job;
    if (refused)
        *refused = !((Lt__V1__CheckDone *)m)->cost;
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE, m);
    return 0;
}

static void take_out(struct check **list, const struct check *k)
{
    while (*list != k)
        list = &(*list)->next;
    *list = k->next;
}

static void start_next(struct lt_node_checks *c);

static void on_progress(void *arg, const char *text)
{
    struct check *k = arg;
    Lt__V1__CheckProgress m = LT__V1__CHECK_PROGRESS__INIT;

    m.job = k->job;
    m.text = (char *)text;
    lt_node_try(k->owner->node, LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS, &m);
}

static void on_done(void *arg, const struct lt_buf *answer, const char *reason)
{
    struct check *k = arg;
    struct lt_node_checks *c = k->owner;
    struct lt_error err = {0};
    bool refused = false;

    take_out(&c->active, k);
    c->running--;
    if (!c->closed && answer && send_answer(c->node, k->job, answer, &refused, &err) == 0) {
        if (k->lasts && !refused)
            keep(c, k->key, answer);
    } else if (!c->closed) {
        send_failure(c->node, k->job, "", answer ? err.text : reason);
    }
    check_free(k);
    if (!c->closed)
        start_next(c);
    checks_release(c);
}

static int start(struct check *k)
{
    const struct lt_check_start s = {
        .loop = k->owner->node->loop,
        .shim = k->owner->node->shim,
        .worker = k->owner->node->worker,
        .state_dir = k->owner->node->state_dir,
        .spec = &k->spec,
        .limit_ms = k->held ? HELD_LIMIT_MS : LIMIT_MS,
        .yields = k->held,
        .progress = on_progress,
        .done = on_done,
        .arg = k,
    };

    return lt_check_run_start(&s, &k->run);
}

static void start_next(struct lt_node_checks *c)
{
    while (c->running < c->max && c->first) {
        struct check *k = c->first;
        int rc;

        c->first = k->next;
        if (!c->first)
            c->last = &c->first;
        rc = start(k);
        if (rc < 0) {
            LT_AUTO(lt_free)
            char *reason = lt_format("%s can't be started: %s", c->node->shim, uv_strerror(rc));

            send_failure(c->node, k->job, "", reason);
            check_free(k);
            continue;
        }
        k->next = c->active;
        c->active = k;
        c->running++;
    }
}

static bool is_known(const struct lt_node_checks *c, const char *job)
{
    const struct check *const lists[] = {c->active, c->first, c->fetching};

    for (size_t i = 0; i < LT_ARRAY_LEN(lists); i++)
        for (const struct check *k = lists[i]; k; k = k->next)
            if (strcmp(k->job, job) == 0)
                return true;
    return false;
}

/* What a command needs lies anywhere in a PATH: looked for each time. */
static bool may_be_kept(const Lt__V1__JobSpec *s)
{
    return s->kind_case != LT__V1__JOB_SPEC__KIND_COMMAND;
}

static bool on_hold(const Lt__V1__JobSpec *s)
{
    return s->kind_case == LT__V1__JOB_SPEC__KIND_PLAN && s->plan->job && s->plan->job->hold;
}

static void enqueue(struct check *k)
{
    struct lt_node_checks *c = k->owner;

    k->next = NULL;
    *c->last = k;
    c->last = &k->next;
    start_next(c);
}

static void unfetchable(struct check *k, const char *why)
{
    send_failure(k->owner->node, k->job, "model.weights", why);
    check_free(k);
}

static void fetched(void *arg, int rc, const char *why)
{
    struct check *k = arg;

    take_out(&k->owner->fetching, k);
    if (rc < 0)
        unfetchable(k, why);
    else
        enqueue(k);
}

/* The files that the plan names, then its turn. */
static void fetch(struct check *k, const Lt__V1__JobSpec *spec)
{
    struct lt_node_checks *c = k->owner;
    struct lt_error err = {0};
    int rc = lt_node_need(c->node->blobs, spec, fetched, k, &k->need, &err);

    if (rc < 0) {
        unfetchable(k, err.text);
    } else if (!k->need) {
        enqueue(k);
    } else {
        k->next = c->fetching;
        c->fetching = k;
    }
}

void lt_node_check(struct lt_node_checks *c, const Lt__V1__CheckRequest *m)
{
    const struct lt_buf *kept;
    struct check *k;

    if (!m->job || !m->spec || is_known(c, m->job))
        return;
    k = lt_calloc(1, sizeof *k);
    lt_check_key(m->spec, c->node->inventory->build, k->key);
    k->lasts = may_be_kept(m->spec);
    kept = k->lasts ? lt_map_get(c->kept, k->key) : NULL;
    if (kept && send_answer(c->node, m->job, kept, NULL, NULL) == 0) {
        check_free(k);
        return;
    }
    k->owner = c;
    k->job = lt_strdup(m->job);
    k->held = on_hold(m->spec);
    lt_buf_reserve(&k->spec, lt__v1__job_spec__get_packed_size(m->spec) + 1);
    k->spec.len = lt__v1__job_spec__pack(m->spec, (uint8_t *)k->spec.data);
    fetch(k, m->spec);
}

struct lt_node_checks *lt_node_checks_new(struct lt_node *n, unsigned max)
{
    struct lt_node_checks *c = lt_calloc(1, sizeof *c);

    c->node = n;
    c->max = max;
    c->last = &c->first;
    c->kept = lt_map_new(free_kept);
    lt_node_hold(n);
    return c;
}

void lt_node_checks_close(struct lt_node_checks *c)
{
    c->closed = true;
    while (c->first) {
        struct check *k = c->first;

        c->first = k->next;
        check_free(k);
    }
    while (c->fetching) {
        struct check *k = c->fetching;

        c->fetching = k->next;
        lt_node_need_cancel(k->need);
        check_free(k);
    }
    for (struct check *k = c->active; k; k = k->next)
        lt_check_run_kill(k->run);
    checks_release(c);
}
