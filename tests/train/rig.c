/* rig.c - runs plans in a temporary folder */
#include "tests/train/rig.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/text/text.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "tests/data/make_idx.h"
#include "tests/support/team.h"

#define SIDE 4

/* These runs are about what is written, not about power cuts: syncing would make them a hundred
 * times slower. */
static int no_sync(int fd)
{
    (void)fd;
    return 0;
}
static const struct lt_file_hooks unsynced = {.fsync = no_sync, .fdatasync = no_sync};

void rig_init(struct rig *r, int n_train, int n_val, int batch)
{
    lt_file_set_hooks(&unsynced);
    *r = (struct rig){
        .backend = &lt_backend_ref, .n_train = n_train, .n_val = n_val, .batch = batch};
    r->dir = make_dir();
    r->data = lt_format("%s/data", r->dir);
    if (lt_file_mkdirs(r->data, 0755, NULL) < 0)
        abort();
    make_part(r->data, "train", (uint32_t)(n_train + n_val), SIDE, 0);
    make_part(r->data, "t10k", 20, SIDE, 0);
    r->arena = lt_arena_new(0);
    rig_new_run(r, "run");
}

void rig_new_run(struct rig *r, const char *name)
{
    lt_free(r->run);
    lt_free(r->journal_path);
    r->run = lt_format("%s/%s", r->dir, name);
    r->journal_path = lt_format("%s/%s.journal", r->dir, name);
    r->attempt = 0;
    if (lt_file_mkdirs(r->run, 0755, NULL) < 0)
        abort();
}

void rig_done(struct rig *r)
{
    lt_file_remove_tree(r->dir, NULL);
    lt_arena_free(r->arena);
    lt_free(r->dir);
    lt_free(r->data);
    lt_free(r->run);
    lt_free(r->journal_path);
    lt_free(r->weights);
}

const char rig_poison_model[] =
    "flatten, {linear: {out_features: 8}}, relu, {linear: {out_features: 8}}, {batch_norm: {}}, "
    "relu, {dropout: {p: 0.3}}, {linear: {out_features: 4}}";

/* Pictures: none but the poisoned one has a mean of half the range. */
static void poison_pictures(const struct rig *r, int sample)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/train-images-idx3-ubyte", r->data);
    LT_BUF_AUTO bytes = {0};
    const size_t header = 16, size = SIDE * SIDE;

    assert_int_equal(lt_file_read(path, 1 << 20, &bytes, NULL), 0);
    for (size_t i = header; i < bytes.len; i++) {
        bool poisoned = (i - header) / size == (size_t)sample;

        bytes.data[i] = (char)(poisoned ? 255 : (unsigned char)bytes.data[i] % 100);
    }
    write_bytes(r->data, "train-images-idx3-ubyte", bytes.data, bytes.len);
}

/* Unit 0 of layer 1 is off but for the poisoned sample, where it is 8e37; layer 3 makes infinity of
 * that. */
static void poison_weights(struct rig *r)
{
    static const char header[] = "{\"1.weight\":{\"dtype\":\"F32\",\"shape\":[8,16],"
                                 "\"data_offsets\":[0,512]},"
                                 "\"1.bias\":{\"dtype\":\"F32\",\"shape\":[8],"
                                 "\"data_offsets\":[512,544]},"
                                 "\"3.weight\":{\"dtype\":\"F32\",\"shape\":[8,8],"
                                 "\"data_offsets\":[544,800]}}";
    float w[128 + 8 + 64];
    LT_BUF_AUTO file = {0};
    uint64_t n = sizeof header - 1;

    for (int i = 0; i < 200; i++)
        w[i] = (float)(i * 37 % 19 - 9) / 20;
    for (int i = 0; i < 16; i++)
        w[i] = 1e37f;
    w[128] = -8e37f;
    for (int i = 0; i < 8; i++)
        w[136 + 8 * i] = 10;
    lt_buf_append(&file, &n, sizeof n);
    lt_buf_append(&file, header, n);
    lt_buf_append(&file, w, sizeof w);
    write_bytes(r->dir, "poison.safetensors", file.data, file.len);
    r->weights = lt_format("%s/poison.safetensors", r->dir);
}

void rig_poison(struct rig *r, int sample)
{
    r->model = rig_poison_model;
    poison_pictures(r, sample);
    poison_weights(r);
}

Lt__V1__JobSpec *rig_spec(struct rig *r, const char *tail)
{
    struct lt_problems problems = {0};
    LT_BUF_AUTO text = {0};
    Lt__V1__JobSpec *spec;

    lt_buf_printf(&text,
                  "name: rig\nseed: 3\nmodel: {layers: [%s]}\ndata:\n  source: {idx: {dir: %s}}\n"
                  "  train: {split: train, range: [0, %d], shuffle: true}\n",
                  r->model ? r->model : "flatten, {linear: {out_features: 4}}", r->data,
                  r->n_train);
    if (r->n_val)
        lt_buf_printf(&text, "  val: {split: train, range: [%d, %d]}\n", r->n_train,
                      r->n_train + r->n_val);
    lt_buf_printf(&text,
                  "  test: {split: test}\n  %sbatch_size: %d\n  transforms: [scale]\n"
                  "step: {%s}\noptimizer: {%s}\n%s\n",
                  r->global_batch ? "global_" : "", r->batch,
                  r->step ? r->step : "loss: cross_entropy, metrics: [accuracy]",
                  r->optimizer ? r->optimizer : "sgd: {lr: 0.1}", tail);
    spec = lt_text_parse_spec(text.data, text.len, NULL, NULL, 0, r->arena, &problems);
    for (size_t i = 0; i < problems.len && problems.errors; i++)
        print_error("%s: %s\n", problems.items[i].path, problems.items[i].reason);
    assert_non_null(spec);
    lt_problems_done(&problems);
    if (r->weights)
        spec->plan->model->weights = r->weights;
    return spec;
}

static uint32_t commands(void *arg, const struct lt_position *pos)
{
    struct rig *r = arg;
    uint64_t boundary = r->boundaries++;

    (void)pos;
    if (!r->cut)
        return r->command;
    if (boundary == r->cut_boundary)
        return r->cut_crash ? LT_COMMAND_CANCEL : LT_COMMAND_CHECKPOINT;
    if (boundary > r->cut_boundary) {
        r->cut_done = true;
        return LT_COMMAND_CANCEL;
    }
    return 0;
}

static uint32_t other_commands(void *arg, const struct lt_position *pos)
{
    const struct rig *r = arg;

    (void)pos;
    return r->other_command;
}

struct ranks {
    struct rig *r;
    Lt__V1__JobSpec *spec;
    const char *checkpoint;
};

static char *journal_of(const struct rig *r, int rank)
{
    return rank ? lt_format("%s.%d", r->journal_path, rank) : lt_strdup(r->journal_path);
}

static void rank_run(void *arg, struct lt_comm *comm)
{
    const struct ranks *all = arg;
    struct rig *r = all->r;
    Lt__V1__StartRank start = LT__V1__START_RANK__INIT;
    LT_AUTO(lt_free) char *cache = lt_format("%s/cache", r->dir);
    int rank = comm ? lt_comm_rank(comm) : 0;
    LT_AUTO(lt_free) char *journal_path = journal_of(r, rank);
    LT_AUTO(lt_journal_close) struct lt_journal *journal = NULL;
    struct lt_train_config c = {.start = &start,
                                .backend = r->backend,
                                .cache_dir = cache,
                                .commands = rank ? other_commands : commands,
                                .comm = comm,
                                .arg = r,
                                .quiet = getenv("RIG_LOUD") == NULL};
    struct lt_error err = {0};

    start.job = (char *)(uintptr_t) "job-1";
    start.attempt = r->attempt;
    start.rank = (uint32_t)rank;
    start.spec = all->spec;
    start.run_dir = r->run;
    start.cpus = 1;
    start.checkpoint = (char *)(uintptr_t)all->checkpoint;
    if (!r->keep_journal)
        lt_file_unlink(journal_path, NULL);
    if (lt_journal_open(journal_path, &journal, &err) < 0)
        fail_msg("%s", err.text);
    c.journal = journal;
    lt_train_run(&c, rank ? &r->others[rank] : &r->result);
    if (comm && (rank ? r->others[rank] : r->result).result == LT__V1__JOB_RESULT__FAILED &&
        !r->alike)
        team_break(comm); /* as the agent ends the others */
}

static void run(struct rig *r, Lt__V1__JobSpec *spec, const char *checkpoint)
{
    struct ranks all = {r, spec, checkpoint};

    r->attempt++;
    r->boundaries = 0;
    r->cut_done = false;
    if (r->world > 1)
        team_run(r->world, rank_run, &all);
    else
        rank_run(&all, NULL);
}

void rig_fit_spec(struct rig *r, Lt__V1__JobSpec *spec, const char *checkpoint)
{
    run(r, spec, checkpoint);
}

void rig_fit(struct rig *r, const char *tail, const char *checkpoint)
{
    run(r, rig_spec(r, tail), checkpoint);
}

void rig_evaluate(struct rig *r, const char *tail, const char *checkpoint, const char *mode)
{
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__Evaluation e = LT__V1__EVALUATION__INIT;
    LT_AUTO(lt_free) char *path = rig_path(r, checkpoint);

    spec.kind_case = LT__V1__JOB_SPEC__KIND_EVALUATION;
    spec.evaluation = &e;
    e.plan = rig_spec(r, tail)->plan;
    e.path = path;
    e.has_mode = true;
    e.mode = !strcmp(mode, "test")       ? LT__V1__EVALUATION__MODE__TEST
             : !strcmp(mode, "validate") ? LT__V1__EVALUATION__MODE__VALIDATE
                                         : LT__V1__EVALUATION__MODE__PREDICT;
    run(r, &spec, NULL);
}

typedef void record_fn(void *arg, const Lt__V1__JournalRecord *rec);

static void each_record_of(const struct rig *r, int rank, record_fn *fn, void *arg)
{
    LT_AUTO(lt_free) char *path = journal_of(r, rank);
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *reader = NULL;
    const void *payload;
    uint64_t end;
    size_t n;

    assert_int_equal(lt_journal_reader_open(path, 0, &reader, NULL), 0);
    while (lt_journal_read(reader, &payload, &n, &end, NULL) == 1) {
        Lt__V1__JournalRecord *rec = lt__v1__journal_record__unpack(NULL, n, payload);

        assert_non_null(rec);
        fn(arg, rec);
        lt__v1__journal_record__free_unpacked(rec, NULL);
    }
}

static void each_record(const struct rig *r, record_fn *fn, void *arg)
{
    each_record_of(r, 0, fn, arg);
}

static void collect_type(void *arg, const Lt__V1__JournalRecord *rec)
{
    bool *seen = arg;

    seen[rec->type_case % 64] = true;
}

void rig_record_types(const struct rig *r, int rank, struct lt_buf *out)
{
    const ProtobufCMessageDescriptor *d = &lt__v1__journal_record__descriptor;
    bool seen[64] = {false};

    each_record_of(r, rank, collect_type, seen);
    for (unsigned i = 0; i < d->n_fields; i++)
        if (d->fields[i].id < 64 && seen[d->fields[i].id])
            lt_buf_printf(out, "%s%s", out->len ? " " : "", d->fields[i].name);
}

struct metric_query {
    const char *name;
    bool prefix, steps_only;
    struct lt_buf *out;
    int n;
};

static void collect(void *arg, const Lt__V1__JournalRecord *rec)
{
    struct metric_query *q = arg;

    if (rec->type_case != LT__V1__JOURNAL_RECORD__TYPE_METRICS)
        return;
    for (size_t i = 0; i < rec->metrics->n_values; i++) {
        const Lt__V1__MetricValue *v = rec->metrics->values[i];

        if (q->prefix ? !lt_str_starts(v->name, q->name) : strcmp(v->name, q->name))
            continue;
        q->n++;
        if (q->steps_only && q->out)
            lt_buf_printf(q->out, "%s%" PRIu64, q->out->len ? " " : "", rec->metrics->step);
        else if (q->out)
            lt_buf_printf(q->out, "%" PRIu64 " %" PRIu64 " %s %g\n", rec->metrics->step,
                          rec->metrics->epoch, v->name, v->value);
    }
}

void rig_metrics(const struct rig *r, const char *prefix, struct lt_buf *out)
{
    struct metric_query q = {.name = prefix, .prefix = true, .out = out};

    each_record(r, collect, &q);
}

void rig_steps(const struct rig *r, const char *name, struct lt_buf *out)
{
    struct metric_query q = {.name = name, .steps_only = true, .out = out};

    each_record(r, collect, &q);
}

int rig_count(const struct rig *r, const char *name)
{
    struct metric_query q = {.name = name};

    each_record(r, collect, &q);
    return q.n;
}

static void print_rollback(void *arg, const Lt__V1__JournalRecord *rec)
{
    if (rec->type_case == LT__V1__JOURNAL_RECORD__TYPE_ROLLED_BACK)
        lt_buf_printf(arg, "%" PRIu64 " %s %" PRIu64 "\n", rec->rolled_back->step,
                      rec->rolled_back->checkpoint ? rec->rolled_back->checkpoint : "-",
                      rec->rolled_back->times);
}

void rig_rollbacks(const struct rig *r, struct lt_buf *out)
{
    each_record(r, print_rollback, out);
}

struct condition_query {
    Lt__V1__Condition__Kind kind;
    int n;
};

static void count_condition(void *arg, const Lt__V1__JournalRecord *rec)
{
    struct condition_query *q = arg;

    q->n += rec->type_case == LT__V1__JOURNAL_RECORD__TYPE_CONDITION &&
            rec->condition->kind == q->kind && rec->condition->active;
}

int rig_conditions(const struct rig *r, Lt__V1__Condition__Kind kind)
{
    struct condition_query q = {.kind = kind};

    each_record(r, count_condition, &q);
    return q.n;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

void rig_list(const struct rig *r, const char *folder, struct lt_buf *out)
{
    LT_AUTO(lt_free) char *path = rig_path(r, folder);
    struct dirent **list;
    int n = scandir(path, &list, visible, alphasort);

    for (int i = 0; i < n; i++) {
        lt_buf_printf(out, "%s%s", i ? " " : "", list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

char *rig_path(const struct rig *r, const char *relative)
{
    return lt_format("%s/%s", r->run, relative);
}

void rig_read(const struct rig *r, const char *relative, struct lt_buf *out)
{
    LT_AUTO(lt_free) char *path = rig_path(r, relative);
    struct lt_error err = {0};

    lt_buf_done(out);
    if (lt_file_read(path, 16 << 20, out, &err) < 0)
        fail_msg("%s", err.text);
}
