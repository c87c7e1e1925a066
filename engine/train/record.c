/* record.c - what happens, told: to the journal (the truth), the loggers, the shared page, and
 * people
 *
 * The journal gets every record before the loggers do; a logger that fails fails the run, since a
 * silent gap in a metrics file is worse than a stop.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/train/trainer.h"
#include "sys/clock.h"
#include "sys/journal.h"

/* What happens to the job is rank 0's to tell; the others tell of themselves. */
static bool of_every_rank(const Lt__V1__JournalRecord *r)
{
    return r->type_case == LT__V1__JOURNAL_RECORD__TYPE_PHASE ||
           r->type_case == LT__V1__JOURNAL_RECORD__TYPE_STARTED ||
           r->type_case == LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
}

int lt_journal_put(const struct lt_train_config *c, Lt__V1__JournalRecord *r, bool sync,
                   struct lt_error *err)
{
    uint8_t *bytes;
    size_t n;
    int rc;

    if (!c->journal || (c->start->rank && !of_every_rank(r)))
        return 0;
    r->has_time_ns = true;
    r->time_ns = lt_clock_wall_ns();
    n = lt__v1__journal_record__get_packed_size(r);
    bytes = lt_malloc(n + 1);
    lt__v1__journal_record__pack(r, bytes);
    rc = lt_journal_append(c->journal, bytes, n, err);
    if (rc == 0 && sync)
        rc = lt_journal_sync(c->journal, err);
    lt_free(bytes);
    return rc;
}

void lt_trainer_phase(struct lt_trainer *t, enum lt_phase phase)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__PhaseChanged p = LT__V1__PHASE_CHANGED__INIT;

    if (t->c->page)
        atomic_store_explicit(&t->c->page->phase, phase, memory_order_relaxed);
    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_PHASE;
    r.phase = &p;
    p.phase = (char *)(uintptr_t)lt_phase_names[phase];
    p.has_epoch = p.has_step = true;
    p.epoch = t->pos.epoch;
    p.step = t->pos.step;
    lt_journal_put(t->c, &r, false, NULL);
}

int lt_trainer_resolved(struct lt_trainer *t, const char *field, const char *value,
                        struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Resolved v = LT__V1__RESOLVED__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_RESOLVED;
    r.resolved = &v;
    v.field = (char *)(uintptr_t)field;
    v.value = (char *)(uintptr_t)value;
    return lt_journal_put(t->c, &r, false, err);
}

/* Of all NaNs one: a sign has no meaning, and checkpoints don't keep it. */
static double number(double v)
{
    return isnan(v) ? (double)NAN : v;
}

static int to_journal(struct lt_trainer *t, uint64_t x, const struct lt_recorded *values, int n,
                      struct lt_error *err)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__MetricValues m = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__MetricValue v[LT_QUANTITIES_MAX * 2], *list[LT_QUANTITIES_MAX * 2];

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    r.metrics = &m;
    m.has_step = m.has_epoch = true;
    m.step = x;
    m.epoch = t->pos.epoch;
    for (int i = 0; i < n; i++) {
        lt__v1__metric_value__init(&v[i]);
        v[i].name = (char *)(uintptr_t)values[i].name;
        v[i].has_value = true;
        v[i].value = number(values[i].value);
        list[i] = &v[i];
    }
    m.n_values = (size_t)n;
    m.values = list;
    return lt_journal_put(t->c, &r, false, err);
}

int lt_trainer_record(struct lt_trainer *t, uint64_t x, const struct lt_recorded *values, int n,
                      struct lt_error *err)
{
    struct lt_record_value logged[LT_QUANTITIES_MAX * 2];
    struct lt_record record = {.x = x, .epoch = t->pos.epoch, .values = logged};
    int rc;

    if (!n)
        return 0;
    rc = to_journal(t, x, values, n, err);
    for (int i = 0; i < n; i++)
        if (values[i].logged)
            logged[record.n++] = (struct lt_record_value){values[i].name, number(values[i].value)};
    for (int i = 0; i < t->n_loggers && rc == 0 && record.n; i++)
        rc = t->loggers[i].type->write(t->loggers[i].self, &record, err);
    return rc;
}

int lt_trainer_sync_loggers(void *arg, struct lt_error *err)
{
    struct lt_trainer *t = arg;
    int rc = 0;

    for (int i = 0; i < t->n_loggers && rc == 0; i++)
        rc = t->loggers[i].type->sync(t->loggers[i].self, err);
    return rc;
}

void lt_trainer_say(const struct lt_trainer *t, const char *format, ...)
{
    va_list ap;

    if (t->c->quiet || !lt_ranks_first(&t->ranks))
        return;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

void lt_trainer_say_values(const struct lt_trainer *t, const char *head,
                           const struct lt_recorded *values, int n)
{
    LT_BUF_AUTO line = {0};

    lt_buf_str(&line, head);
    for (int i = 0; i < n; i++)
        lt_buf_printf(&line, "  %s %.4g", values[i].name,
                      number(values[i].value));
    lt_trainer_say(t, "%s", line.data);
}
