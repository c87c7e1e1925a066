/* coord.c - the coordinator's beginning, end, and recovery from a store that refused */
#include "daemon/coord/coord.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "daemon/coord/internal.h"
#include "daemon/store/blobs.h"
#include "daemon/store/metrics.h"
#include "daemon/store/store.h"
#include "rpc/loop.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/log.h"
#include "sys/paths.h"

#define PROBE_MS 1000
#define NS_PER_MS 1000000u

static int replay_event(void *arg, const struct lt_store_event *e)
{
    struct lt_coord *c = arg;
    struct lt_error err = {0};
    int rc = lt_core_replay(c->core, e->data, e->len, &err);

    if (rc < 0)
        lt_err("event %llu of %s/events.db: %s", (unsigned long long)e->seq, c->state_dir,
               err.text);
    return rc;
}

/* A snapshot that can't be restored is left out: the log is the truth. */
static uint64_t restore_snapshot(struct lt_coord *c)
{
    LT_BUF_AUTO bytes = {0};
    struct lt_error err = {0};
    uint64_t seq = 0;

    if (lt_store_snapshot_load(c->store, &seq, &bytes, &err) < 0)
        return 0;
    if (lt_core_restore(c->core, bytes.data, bytes.len, &err) == 0)
        return seq;
    lt_warning("snapshot of event %llu: %s; the whole log is read instead", (unsigned long long)seq,
               err.text);
    lt_core_free(c->core);
    c->core = lt_core_new();
    return 0;
}

int lt_coord_rebuild(struct lt_coord *c, struct lt_error *err)
{
    uint64_t seq;
    int rc;

    lt_core_free(c->core);
    c->core = lt_core_new();
    seq = restore_snapshot(c);
    rc = lt_store_read(c->store, seq, NULL, 0, replay_event, c, err);
    if (rc == 0)
        return 0;
    lt_core_free(c->core);
    c->core = NULL;
    if (!err->text[0])
        lt_error_set(err, rc, "%s/events.db can't be replayed: %s", c->state_dir, strerror(-rc));
    return rc;
}

static void on_prepare(uv_prepare_t *h)
{
    lt_coord_flush(h->data);
}

static void on_check(uv_check_t *h)
{
    lt_coord_flush(h->data);
}

static void on_deadline(uv_timer_t *h)
{
    lt_coord_step(h->data, &(struct lt_core_input){.kind = LT_IN_TIMER});
}

void lt_coord_arm(struct lt_coord *c)
{
    uint64_t now = lt_clock_mono_ns(),
             at = c->core && !c->broken.code ? lt_core_deadline(c->core) : UINT64_MAX;

    uv_update_time(c->uv); /* a timer counts from the loop's time, which a long turn leaves behind */
    if (at == UINT64_MAX)
        uv_timer_stop(&c->deadline);
    else
        uv_timer_start(&c->deadline, on_deadline, at > now ? (at - now) / NS_PER_MS + 1 : 0, 0);
}

/* Does the store take writes again? */
static void on_probe(uv_timer_t *h)
{
    struct lt_coord *c = h->data;
    struct lt_error err = {0};

    if (lt_store_probe(c->store, &err) < 0 || lt_coord_rebuild(c, &err) < 0) {
        c->broken = err;
        return;
    }
    uv_timer_stop(&c->probe);
    lt_info("the store takes writes again");
    memset(&c->broken, 0, sizeof c->broken);
    lt_coord_metrics_look(c);
    lt_coord_step(c, &(struct lt_core_input){.kind = LT_IN_TIMER});
}

void lt_coord_probe_later(struct lt_coord *c)
{
    uv_timer_start(&c->probe, on_probe, PROBE_MS, PROBE_MS);
}

static int open_store(struct lt_coord *c, struct lt_error *err)
{
    LT_AUTO(lt_free) char *lock = lt_path_join(c->state_dir, "lock");
    bool renewed = false;
    int rc = lt_file_mkdirs(c->state_dir, 0700, err);

    if (rc < 0)
        return rc;
    c->lock = lt_lock_take(lock, err);
    if (c->lock < 0) {
        if (c->lock == -EWOULDBLOCK)
            lt_error_prefix(err, "state folder %s is in use", c->state_dir);
        return c->lock;
    }
    rc = lt_store_open(c->state_dir, NULL, &c->store, err);
    if (rc == 0)
        rc = lt_metrics_open(c->state_dir, &c->metrics, &renewed, err);
    if (rc == 0)
        rc = lt_blobs_open(c->state_dir, err);
    if (renewed)
        lt_warning("%s/metrics.db was damaged and is filled again from the ranks' journals",
                   c->state_dir);
    if (rc == 0)
        rc = lt_coord_rebuild(c, err);
    if (rc == 0)
        lt_coord_metrics_look(c);
    return rc;
}

static void free_coord(struct lt_coord *c)
{
    lt_actions_done(&c->actions);
    lt_coord_metrics_done(c);
    lt_core_free(c->core);
    lt_metrics_close(c->metrics);
    lt_store_close(c->store);
    if (c->lock >= 0)
        close(c->lock);
    lt_free(c->waiters);
    lt_free(c->state_dir);
    lt_free(c->runs_dir);
    lt_free(c->blobs_dir);
    lt_free(c);
}

static void start_handles(struct lt_coord *c)
{
    uv_prepare_init(c->uv, &c->prepare);
    uv_check_init(c->uv, &c->check);
    uv_timer_init(c->uv, &c->deadline);
    uv_timer_init(c->uv, &c->tick);
    uv_timer_init(c->uv, &c->probe);
    uv_timer_init(c->uv, &c->sweep);
    uv_timer_init(c->uv, &c->mend);
    c->prepare.data = c->check.data = c->deadline.data = c->tick.data = c->probe.data =
        c->sweep.data = c->mend.data = c;
    uv_prepare_start(&c->prepare, on_prepare);
    uv_check_start(&c->check, on_check);
    c->handles = 7;
}

int lt_coord_open(const struct lt_coord_config *config, struct lt_coord **out, struct lt_error *err)
{
    struct lt_coord *c = lt_calloc(1, sizeof *c);
    int rc;

    c->config = *config;
    c->uv = lt_rpc_loop_uv(config->loop);
    c->state_dir = lt_strdup(config->state_dir);
    c->runs_dir = lt_strdup(config->runs_dir);
    c->blobs_dir = lt_strdup(config->state_dir);
    c->lock = -1;
    c->behind = lt_map_new(lt_free);
    rc = open_store(c, err);
    if (rc < 0) {
        free_coord(c);
        return rc;
    }
    start_handles(c);
    lt_coord_blobs_start(c);
    lt_coord_step(c, &(struct lt_core_input){.kind = LT_IN_TIMER});
    *out = c;
    return 0;
}

void lt_coord_release(struct lt_coord *c)
{
    void (*done)(void *arg) = c->done;
    void *arg = c->arg;

    if (--c->handles > 0)
        return;
    free_coord(c);
    if (done)
        done(arg);
}

static void handle_closed(uv_handle_t *h)
{
    lt_coord_release(h->data);
}

void lt_coord_close(struct lt_coord *c, void (*done)(void *arg), void *arg)
{
    lt_coord_flush(c);
    c->closing = true;
    c->done = done;
    c->arg = arg;
    uv_close((uv_handle_t *)&c->prepare, handle_closed);
    uv_close((uv_handle_t *)&c->check, handle_closed);
    uv_close((uv_handle_t *)&c->deadline, handle_closed);
    uv_close((uv_handle_t *)&c->tick, handle_closed);
    uv_close((uv_handle_t *)&c->probe, handle_closed);
    uv_close((uv_handle_t *)&c->sweep, handle_closed);
    uv_close((uv_handle_t *)&c->mend, handle_closed);
}

const struct lt_core *lt_coord_core(struct lt_coord *c)
{
    lt_coord_flush(c);
    return c->core;
}

struct lt_store *lt_coord_store(struct lt_coord *c)
{
    return c->store;
}

struct lt_metrics *lt_coord_metrics(struct lt_coord *c)
{
    return c->metrics;
}

const char *lt_coord_blobs(const struct lt_coord *c)
{
    return c->blobs_dir;
}

const char *lt_coord_broken(const struct lt_coord *c)
{
    return c->broken.code ? c->broken.text : NULL;
}

unsigned lt_coord_agents(const struct lt_coord *c)
{
    unsigned n = 0;

    for (const struct lt_coord_agent *a = c->agents; a; a = a->next)
        n++;
    return n;
}
