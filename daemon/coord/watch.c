/* watch.c - who wants to know that something changed */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/coord/internal.h"

#define TICK_MS 500

static void on_tick(uv_timer_t *h)
{
    struct lt_coord *c = h->data;

    if (!c->watches)
        uv_timer_stop(h);
    lt_coord_tell(c, NULL, LT_CHANGED_TICK);
}

void lt_coord_watch_add(struct lt_coord *c, struct lt_coord_watch *w, const char *job,
                        void (*changed)(struct lt_coord_watch *w, unsigned what))
{
    if (!uv_is_active((uv_handle_t *)&c->tick))
        uv_timer_start(&c->tick, on_tick, TICK_MS, TICK_MS);
    w->job = job ? lt_strdup(job) : NULL;
    w->changed = changed;
    w->next = c->watches;
    if (w->next)
        w->next->link = &w->next;
    w->link = &c->watches;
    c->watches = w;
}

void lt_coord_watch_remove(struct lt_coord_watch *w)
{
    if (!w->link)
        return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
    lt_free(w->job);
    w->job = NULL;
}

void lt_coord_tell(struct lt_coord *c, const char *job, unsigned what)
{
    for (struct lt_coord_watch *w = c->watches, *next; w; w = next) {
        next = w->next;
        if (!job || !w->job || lt_str_eq(w->job, job))
            w->changed(w, what);
    }
}
