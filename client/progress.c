/* progress.c - epoch, steps, rate, time to go, loss, the monitored metric and its best */
#include "client/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/status.h"

#define COLUMNS 80
#define COMMAND_METRICS 4
#define WIDE 110 /* from here on there is room for a longer bar */

struct lt_progress {
    struct lt_buf text;
    bool shown, colour;
    double done; /* 0 … 1; < 0: unknown */
};

struct lt_progress *lt_progress_new(void)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct lt_progress *p;

    if (!isatty(2) || (term && strcmp(term, "dumb") == 0))
        return NULL;
    p = lt_calloc(1, sizeof *p);
    p->colour = !no_colour || !no_colour[0];
    p->done = -1;
    return p;
}

static void time_to_go(const Lt__V1__JobStatus *s, double step_ms, struct lt_buf *out)
{
    unsigned long long left;

    if (!s->total_steps || s->step >= s->total_steps || step_ms <= 0)
        return;
    left = (unsigned long long)((double)(s->total_steps - s->step) * step_ms / 1000.0);
    lt_buf_printf(out, "  %llu:%02llu:%02llu to go", left / 3600, left / 60 % 60, left % 60);
}

static void metrics_text(const Lt__V1__JobStatus *s, struct lt_buf *out)
{
    const Lt__V1__MetricValue *loss = lt_status_loss(s);
    const char *monitor =
        s->best && s->best->monitor && s->best->monitor[0] ? s->best->monitor : "val_loss";
    const Lt__V1__MetricValue *m = lt_status_metric(s, monitor);

    if (loss)
        lt_buf_printf(out, "  loss %.4g", loss->value);
    if (m && m != loss)
        lt_buf_printf(out, "  %s %.4g", monitor, m->value);
    if (s->best && s->best->has_score)
        lt_buf_printf(out, " (best %.4g)", s->best->score);
}

/* A program has no epochs and steps but those that its metrics tell of. */
static void command_text(const Lt__V1__JobStatus *s, struct lt_buf *out)
{
    lt_buf_str(out, "running");
    if (s->n_ranks > 1)
        lt_buf_printf(out, " on %zu ranks", s->n_ranks);
    if (s->epoch)
        lt_buf_printf(out, "  epoch %llu", (unsigned long long)s->epoch);
    if (s->step)
        lt_buf_printf(out, "  step %llu", (unsigned long long)s->step);
    for (size_t i = 0; i < s->n_metrics && i < COMMAND_METRICS; i++)
        lt_buf_printf(out, "  %s %.4g", s->metrics[i]->name, s->metrics[i]->value);
}

void lt_progress_text(const Lt__V1__JobStatus *s, struct lt_buf *out)
{
    const Lt__V1__RankStatus *r = s->n_ranks ? s->ranks[0] : NULL;
    double step_ms = r ? r->step_ms : 0;

    if (s->state != LT__V1__JOB_STATE__RUNNING) {
        lt_status_word(s, out);
        if (s->reason && s->reason[0])
            lt_buf_printf(out, ": %s", s->reason);
        return;
    }
    if (lt_str_eq(s->kind, "command")) {
        command_text(s, out);
        return;
    }
    if (s->total_epochs)
        lt_buf_printf(out, "epoch %llu/%llu  ",
                      (unsigned long long)LT_MIN(s->epoch + 1, s->total_epochs),
                      (unsigned long long)s->total_epochs);
    else
        lt_buf_printf(out, "epoch %llu  ", (unsigned long long)s->epoch + 1);
    lt_buf_printf(out, "step %llu", (unsigned long long)s->step);
    if (s->total_steps)
        lt_buf_printf(out, "/%llu", (unsigned long long)s->total_steps);
    if (step_ms > 0)
        lt_buf_printf(out, "  %.0f/s", 1000.0 / step_ms);
    time_to_go(s, step_ms, out);
    metrics_text(s, out);
    if (r && r->phase && r->phase[0] && strcmp(r->phase, "training") != 0)
        lt_buf_printf(out, "  [%s]", r->phase);
}

void lt_progress_update(struct lt_progress *p, const Lt__V1__JobStatus *s)
{
    LT_BUF_AUTO text = {0};

    if (!p)
        return;
    lt_progress_text(s, &text);
    if (p->shown && lt_str_eq(text.data, p->text.data))
        return;
    lt_buf_done(&p->text);
    p->text = text;
    text = (struct lt_buf){0};
    p->done = s->total_steps ? (double)s->step / (double)s->total_steps : -1;
    p->shown = false;
    lt_progress_draw(p);
}

void lt_progress_hide(struct lt_progress *p)
{
    if (!p || !p->shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    p->shown = false;
}

static int columns(void)
{
    struct winsize w;

    return ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 10 ? w.ws_col : COLUMNS;
}

static void bar(const struct lt_progress *p, int cells, struct lt_buf *out)
{
    int full = (int)(p->done * cells);

    lt_buf_str(out, p->colour ? "\033[32m" : "");
    for (int i = 0; i < cells; i++)
        lt_buf_str(out, i < full ? "█" : "░");
    lt_buf_printf(out, "%s %3.0f%%  ", p->colour ? "\033[0m" : "", p->done * 100);
}

size_t lt_progress_fit(const char *text, size_t room)
{
    size_t len = strlen(text), n = room;

    if (len <= room)
        return len;
    while (n > 0 && strncmp(text + n, "  ", 2) != 0 && strncmp(text + n, " (", 2) != 0)
        n--;
    return n ? n : room;
}

void lt_progress_draw(struct lt_progress *p)
{
    LT_BUF_AUTO out = {0};
    int room = columns() - 1, cells = room < WIDE ? 10 : 20;

    if (!p || p->shown || !p->text.len)
        return;
    lt_buf_str(&out, "\r\033[K");
    if (p->done >= 0 && room > cells + 30) {
        bar(p, cells, &out);
        room -= cells + 7;
    }
    lt_buf_append(&out, p->text.data, lt_progress_fit(p->text.data, (size_t)room));
    fwrite(out.data, 1, out.len, stderr);
    fflush(stderr);
    p->shown = true;
}

void lt_progress_free(struct lt_progress *p)
{
    if (!p)
        return;
    lt_progress_hide(p);
    lt_buf_done(&p->text);
    lt_free(p);
}
