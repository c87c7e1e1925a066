/* recording.c - see recording.h */
#include "engine/train/recording.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/train/logger.h"
#include "engine/train/metric_lines.h"
#include "engine/train/recording_files.h"
#include "engine/train/stopper.h"
#include "proto/wire.h"
#include "sys/clock.h"
#include "sys/journal.h"
#include "sys/log.h"
#include "sys/page.h"

struct name {
    char *text;
    uint64_t count; /* values so far */
};

struct lt_recording {
    const Lt__V1__Command *command;
    struct lt_journal *journal;
    struct lt_page *page;
    struct lt_recording_files *files;
    struct lt_stopper stopper; /* c NULL: nothing is watched */
    bool stopped;
    bool watched; /* the monitor had a value */
    bool started; /* the journal says where the attempt began */
    struct name names[LT_RECORDING_NAMES_MAX];
    size_t n_names;
    uint64_t epoch;
    /* the record that is being gathered */
    uint64_t x;
    struct lt_record_value values[LT_RECORDING_NAMES_MAX];
    int n;
    /* what was left out */
    uint64_t beyond_names, lost;
};

/* ---- the journal */

static int append(struct lt_recording *r, Lt__V1__JournalRecord *record, struct lt_error *err)
{
    uint8_t *bytes;
    size_t n;
    int rc;

    record->has_time_ns = true;
    record->time_ns = lt_clock_wall_ns();
    n = lt__v1__journal_record__get_packed_size(record);
    bytes = lt_malloc(n + 1);
    lt__v1__journal_record__pack(record, bytes);
    rc = lt_journal_append(r->journal, bytes, n, err);
    lt_free(bytes);
    return rc;
}

static void degrade(struct lt_recording *r, const char *what)
{
    Lt__V1__JournalRecord record = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Condition c = LT__V1__CONDITION__INIT;

    lt_warning("%s", what);
    record.type_case = LT__V1__JOURNAL_RECORD__TYPE_CONDITION;
    record.condition = &c;
    c.has_kind = true;
    c.kind = LT__V1__CONDITION__KIND__DEGRADED;
    c.detail = (char *)what;
    append(r, &record, NULL);
}

static int append_started(struct lt_recording *r, struct lt_error *err)
{
    Lt__V1__JournalRecord record = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Started s = LT__V1__STARTED__INIT;

    record.type_case = LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    record.started = &s;
    s.has_step = s.has_epoch = true;
    s.step = r->x;
    s.epoch = r->epoch;
    return append(r, &record, err);
}

static int append_values(struct lt_recording *r, struct lt_error *err)
{
    Lt__V1__JournalRecord record = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__MetricValues m = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__MetricValue v[LT_RECORDING_NAMES_MAX], *list[LT_RECORDING_NAMES_MAX];

    record.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    record.metrics = &m;
    m.has_step = m.has_epoch = true;
    m.step = r->x;
    m.epoch = r->epoch;
    for (int i = 0; i < r->n; i++) {
        lt__v1__metric_value__init(&v[i]);
        v[i].name = (char *)r->values[i].name;
        v[i].has_value = true;
        v[i].value = r->values[i].value;
        list[i] = &v[i];
    }
    m.n_values = (size_t)r->n;
    m.values = list;
    return append(r, &record, err);
}

/* The coordinator ends the job when it reads this. */
static void append_stopped(struct lt_recording *r)
{
    Lt__V1__JournalRecord record = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__EarlyStopped s = LT__V1__EARLY_STOPPED__INIT;
    struct lt_error err = {0};

    record.type_case = LT__V1__JOURNAL_RECORD__TYPE_EARLY_STOPPED;
    record.early_stopped = &s;
    s.reason = r->stopper.reason;
    s.monitor = r->stopper.c->monitor;
    s.has_step = true;
    s.step = r->x;
    if (append(r, &record, &err) < 0 || lt_journal_sync(r->journal, &err) < 0)
        lt_warning("early stopping: %s", err.text);
    else
        lt_info("early stopping: %s; the job is asked to end", r->stopper.reason);
    r->stopped = err.code == 0; /* else at the next value */
}

/* ---- names and early stopping */

static struct name *name_of(struct lt_recording *r, const char *text)
{
    for (size_t i = 0; i < r->n_names; i++)
        if (!strcmp(r->names[i].text, text))
            return &r->names[i];
    if (r->n_names == LT_RECORDING_NAMES_MAX)
        return NULL;
    r->names[r->n_names].text = lt_strdup(text);
    return &r->names[r->n_names++];
}

static bool is_monitor(const struct lt_recording *r, const char *name)
{
    return r->stopper.c && lt_str_eq(r->stopper.c->monitor, name);
}

static void look(struct lt_recording *r, double v)
{
    bool best;

    r->watched = true;
    if (r->stopped)
        return;
    best = lt_stopper_check(&r->stopper, v);
    if (best && r->stopper.c->verbose && isfinite(r->stopper.gain))
        lt_info("early stopping: %s improved by %.3f to %.3f", r->stopper.c->monitor,
                r->stopper.gain, v);
    if (r->stopper.stop)
        append_stopped(r);
}

/* ---- an earlier recorder of this attempt */

static void recall(struct lt_recording *r, const Lt__V1__JournalRecord *j)
{
    r->started = r->started || j->type_case == LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    r->stopped = r->stopped || j->type_case == LT__V1__JOURNAL_RECORD__TYPE_EARLY_STOPPED;
    if (j->type_case != LT__V1__JOURNAL_RECORD__TYPE_METRICS)
        return;
    r->epoch = j->metrics->epoch;
    for (size_t i = 0; i < j->metrics->n_values; i++) {
        const Lt__V1__MetricValue *v = j->metrics->values[i];
        struct name *name = v->name ? name_of(r, v->name) : NULL;

        if (!name)
            continue;
        name->count++;
        if (is_monitor(r, v->name)) {
            r->watched = true;
            lt_stopper_check(&r->stopper, v->value);
        }
    }
}

static int recall_all(struct lt_recording *r, const char *path, struct lt_error *err)
{
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *reader = NULL;
    const void *payload;
    uint64_t end;
    size_t n;
    int rc = lt_journal_reader_open(path, 0, &reader, err);

    while (rc == 0 && (rc = lt_journal_read(reader, &payload, &n, &end, err)) > 0) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        ProtobufCMessage *m;

        rc = lt_wire_decode(&lt__v1__journal_record__descriptor, payload, n, arena, &m, err);
        if (rc == 0)
            recall(r, (const Lt__V1__JournalRecord *)m);
    }
    return rc;
}

/* ---- */

int lt_recording_open(const struct lt_recording_config *c, struct lt_recording **out, struct lt_error *err)
{
    LT_AUTO(lt_recording_close) struct lt_recording *r = lt_calloc(1, sizeof *r);
    int rc;

    r->command = c->start->spec->command;
    r->page = c->page;
    if (r->command->early_stopping)
        lt_stopper_init(&r->stopper, r->command->early_stopping);
    rc = lt_journal_open(c->journal_path, &r->journal, err);
    if (rc == 0)
        rc = recall_all(r, c->journal_path, err);
    if (rc < 0)
        return rc;
    r->files = lt_recording_files_new(c->start, r->started);
    *out = LT_TAKE(r);
    return 0;
}

static bool is_gathered(const struct lt_recording *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (r->values[i].name == name)
            return true;
    return false;
}

static void set_epoch(struct lt_recording *r, double v)
{
    lt_recording_flush(r);
    if (v >= 0 && v < 1e15)
        r->epoch = (uint64_t)v;
}

void lt_recording_add(struct lt_recording *r, const struct lt_metric_value *v)
{
    struct name *name;
    uint64_t x;

    if (!strcmp(v->name, "epoch")) {
        set_epoch(r, v->value);
        return;
    }
    name = name_of(r, v->name);
    if (!name) {
        if (r->beyond_names++ == 0)
            lt_warning("metric %s: a job may have %d; further ones are left out", v->name,
                       LT_RECORDING_NAMES_MAX);
        return;
    }
    x = v->has_step ? v->step : name->count;
    name->count++;
    if (r->n && (r->x != x || is_gathered(r, name->text)))
        lt_recording_flush(r);
    r->x = x;
    r->values[r->n++] = (struct lt_record_value){name->text, v->value};
}

bool lt_recording_pending(const struct lt_recording *r)
{
    return r->n > 0;
}

static void to_files(struct lt_recording *r)
{
    const struct lt_record record = {.x = r->x, .epoch = r->epoch, .values = r->values, .n = r->n};
    struct lt_error err = {0};

    if (lt_recording_files_write(r->files, &record, &err) < 0)
        degrade(r, err.text);
}

static void to_page(const struct lt_recording *r)
{
    if (!r->page)
        return;
    if (atomic_load_explicit(&r->page->step, memory_order_relaxed) <= r->x)
        atomic_store_explicit(&r->page->step, r->x + 1, memory_order_relaxed);
    atomic_store_explicit(&r->page->epoch, r->epoch, memory_order_relaxed);
}

void lt_recording_flush(struct lt_recording *r)
{
    struct lt_error err = {0};
    int rc = 0;

    if (!r->n)
        return;
    if (!r->started)
        rc = append_started(r, &err);
    r->started = r->started || rc == 0;
    if (rc == 0)
        rc = append_values(r, &err);
    if (rc < 0 && r->lost == 0)
        lt_warning("metrics are lost: %s", err.text);
    if (rc < 0)
        r->lost += (uint64_t)r->n;
    to_page(r);
    to_files(r);
    for (int i = 0; i < r->n; i++)
        if (is_monitor(r, r->values[i].name))
            look(r, r->values[i].value);
    r->n = 0;
}

void lt_recording_finish(struct lt_recording *r)
{
    LT_AUTO(lt_free) char *lost = NULL;
    struct lt_error err = {0};

    lt_recording_flush(r);
    if (lt_recording_files_sync(r->files, &err) < 0)
        degrade(r, err.text);
    if (r->beyond_names)
        lt_warning("%llu values of metrics beyond the first %d were left out",
                   (unsigned long long)r->beyond_names, LT_RECORDING_NAMES_MAX);
    if (r->lost) {
        lost = lt_format("%llu values of metrics couldn't be recorded", (unsigned long long)r->lost);
        degrade(r, lost);
    }
    if (r->stopper.c && r->stopper.c->strict && !r->watched)
        lt_warning("early stopping: there was no metric %s", r->stopper.c->monitor);
    if (r->started && lt_journal_sync(r->journal, &err) < 0)
        lt_warning("%s", err.text);
}

void lt_recording_close(struct lt_recording *r)
{
    if (!r)
        return;
    lt_recording_files_free(r->files);
    lt_journal_close(r->journal);
    for (size_t i = 0; i < r->n_names; i++)
        lt_free(r->names[i].text);
    lt_free(r);
}
