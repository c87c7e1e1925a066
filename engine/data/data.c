/* data.c - an idx source: its two parts (train, test), the plan's splits over them
 *
 * All checks happen when it is opened, so that lt_data_read() is nothing but copying.
 */
#include "engine/data/data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "engine/data/fingerprint.h"
#include "engine/data/idx.h"
#include "engine/data/mapped.h"
#include "engine/data/transform.h"

enum { PART_TRAIN, PART_TEST, PART_N };
enum { FIELD_IMAGE, FIELD_LABEL, FIELD_N };

static const char *const part_names[PART_N] = {"train", "test"};
static const char *const file_names[PART_N][FIELD_N] = {
    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};
const char *const lt_split_names[LT_SPLIT_N] = {"train", "val", "test", "predict"};

struct part {
    bool used, good;
    struct lt_mapped file[FIELD_N];
    struct lt_idx idx[FIELD_N];
};

struct split {
    const Lt__V1__Split *plan; /* NULL: not in the plan */
    const struct part *part;
    int64_t first, count;
    struct lt_transform *transform;
};

struct lt_data {
    const Lt__V1__Data *plan;
    struct part part[PART_N];
    struct split split[LT_SPLIT_N];
    struct lt_data_field field[FIELD_N];
};

#define AT_DIR "data.source.idx.dir"

static const char *remedy_of(int rc)
{
    switch (rc) {
    case -ENOENT:
        return "put the file there, gzipped or not";
    case -ENOSPC:
    case -EDQUOT:
    case -EROFS:
        return "make room for the decoded data, or set XDG_CACHE_HOME to where there is";
    case -EACCES:
    case -EPERM:
        return "make it readable to who runs the job";
    case -ENOMEM:
        return "free memory on the node";
    default:
        return "get an undamaged copy of the file";
    }
}

static void open_file(struct part *p, int part, int f, const struct lt_mapped_config *m,
                      const char *dir, struct lt_problems *problems)
{
    struct lt_error err = {0};
    int rc = lt_mapped_open(m, dir, file_names[part][f], &p->file[f], &err);

    if (rc == 0)
        rc = lt_idx_parse(p->file[f].data, p->file[f].size, p->file[f].path, &p->idx[f], &err);
    if (rc < 0) {
        lt_problem_add(problems, AT_DIR, remedy_of(rc), "%s", err.text);
        p->good = false;
    }
}

static void check_part(struct part *p, struct lt_problems *problems)
{
    const struct lt_idx *images = &p->idx[FIELD_IMAGE], *labels = &p->idx[FIELD_LABEL];

    if (!p->good)
        return;
    if (labels->ndim != 1) {
        lt_problem_add(problems, AT_DIR, "labels are one byte per sample",
                       "%s: %d dimensions, expected 1", p->file[FIELD_LABEL].path, labels->ndim);
        p->good = false;
    } else if (images->dim[0] != labels->dim[0]) {
        lt_problem_add(problems, AT_DIR, "the two files must belong together",
                       "%s has %" PRId64 " samples, %s has %" PRId64 " labels",
                       p->file[FIELD_IMAGE].path, images->dim[0], p->file[FIELD_LABEL].path,
                       labels->dim[0]);
        p->good = false;
    } else if (images->ndim < 2 || !images->item_bytes) {
        lt_problem_add(problems, AT_DIR, "samples need at least one dimension",
                       "%s: samples without content", p->file[FIELD_IMAGE].path);
        p->good = false;
    }
}

static void open_part(struct lt_data *d, int part, const struct lt_data_config *c,
                      struct lt_problems *problems)
{
    struct lt_mapped_config m = {c->cache_dir, c->progress, c->arg};
    struct part *p = &d->part[part];

    if (p->used)
        return;
    p->used = p->good = true;
    for (int f = 0; f < FIELD_N; f++)
        open_file(p, part, f, &m, d->plan->source->idx->dir, problems);
    check_part(p, problems);
}

static void split_range(struct split *s, const char *name, struct lt_problems *problems)
{
    LT_AUTO(lt_free) char *path = lt_format("data.%s.range", name);
    int64_t all = s->part->idx[FIELD_LABEL].dim[0];

    s->first = 0;
    s->count = all;
    if (s->plan->n_range != 2)
        return;
    uint64_t from = s->plan->range[0], to = s->plan->range[1];
    if (from >= to || to > (uint64_t)all) {
        lt_problem_add(problems, path, "ranges are half-open: [first, last + 1]",
                       "[%" PRIu64 ", %" PRIu64 "] is not inside the %" PRId64
                       " samples of split '%s'",
                       from, to, all, s->plan->split);
        return;
    }
    s->first = (int64_t)from;
    s->count = (int64_t)(to - from);
}

static void split_transform(struct lt_data *d, struct split *s, const char *name,
                            struct lt_problems *problems)
{
    LT_AUTO(lt_free)
    char *path = s->plan->n_transforms ? lt_format("data.%s.transforms", name)
                                       : lt_strdup("data.transforms");
    const struct lt_idx *x = &s->part->idx[FIELD_IMAGE];
    size_t channels = x->ndim == 4 ? (size_t)x->dim[1] : 1;

    s->transform =
        lt_transform_new(d->plan->transforms, d->plan->n_transforms, s->plan->transforms,
                         s->plan->n_transforms, channels, x->item_bytes / channels, path, problems);
}

static void open_split(struct lt_data *d, enum lt_split_kind kind, const Lt__V1__Split *plan,
                       const struct lt_data_config *c, struct lt_problems *problems)
{
    struct split *s = &d->split[kind];
    int part = -1;

    if (!plan)
        return;
    for (int i = 0; i < PART_N; i++)
        if (lt_str_eq(plan->split, part_names[i]))
            part = i;
    if (part < 0) {
        LT_AUTO(lt_free) char *path = lt_format("data.%s.split", lt_split_names[kind]);

        lt_problem_add(problems, path, "an idx source has the splits `train` and `test`",
                       plan->split ? "'%s' is no split of the source" : "missing", plan->split);
        return;
    }
    open_part(d, part, c, problems);
    if (!d->part[part].good)
        return;
    s->plan = plan;
    s->part = &d->part[part];
    split_range(s, lt_split_names[kind], problems);
    split_transform(d, s, lt_split_names[kind], problems);
}

static const char *field_name(const Lt__V1__Data *plan, const char *of_source)
{
    for (size_t i = 0; i < plan->n_fields; i++)
        if (lt_str_eq(plan->fields[i]->key, of_source))
            return plan->fields[i]->value;
    return of_source;
}

static void describe_image(struct lt_data_field *f, const struct lt_idx *x)
{
    f->dtype = LT_F32;
    f->bytes = x->item_bytes * sizeof(float);
    if (x->ndim == 3) /* one channel, as torchvision's ToTensor gives it */
        f->dim[f->ndim++] = 1;
    for (int i = 1; i < x->ndim; i++)
        f->dim[f->ndim++] = x->dim[i];
}

/* Largest label of the splits in use, plus 1. */
static int64_t count_classes(const struct lt_data *d)
{
    int64_t classes = 0;

    for (int k = 0; k < LT_SPLIT_N; k++) {
        const struct split *s = &d->split[k];

        for (int64_t i = 0; s->plan && i < s->count; i++) {
            int64_t label = s->part->idx[FIELD_LABEL].data[s->first + i];

            classes = LT_MAX(classes, label + 1);
        }
    }
    return classes;
}

static void describe_fields(struct lt_data *d, struct lt_problems *problems)
{
    const struct part *first = NULL;

    d->field[FIELD_IMAGE].name = field_name(d->plan, "image");
    d->field[FIELD_LABEL] = (struct lt_data_field){
        .name = field_name(d->plan, "label"), .dtype = LT_I64, .bytes = sizeof(int64_t)};
    for (int i = 0; i < PART_N; i++) {
        const struct part *p = &d->part[i];

        if (!p->used || !p->good)
            continue;
        if (first && (first->idx[FIELD_IMAGE].ndim != p->idx[FIELD_IMAGE].ndim ||
                      memcmp(first->idx[FIELD_IMAGE].dim + 1, p->idx[FIELD_IMAGE].dim + 1,
                             sizeof(int64_t) * (size_t)(p->idx[FIELD_IMAGE].ndim - 1)) != 0))
            lt_problem_add(problems, AT_DIR, "both parts must hold samples of one shape",
                           "%s and %s differ in the shape of a sample",
                           first->file[FIELD_IMAGE].path, p->file[FIELD_IMAGE].path);
        if (!first)
            describe_image(&d->field[FIELD_IMAGE], &p->idx[FIELD_IMAGE]);
        first = p;
    }
    for (size_t i = 0; i < d->plan->n_fields; i++)
        if (!lt_str_eq(d->plan->fields[i]->key, "image") &&
            !lt_str_eq(d->plan->fields[i]->key, "label"))
            lt_problem_add(problems, "data.fields",
                           "an idx source has the fields `image` and `label`",
                           "'%s' is no field of the source", d->plan->fields[i]->key);
}

static bool dir_exists(const char *dir, struct lt_problems *problems)
{
    struct stat st;

    if (dir && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    lt_problem_add(problems, AT_DIR, "the folder with train-images-idx3-ubyte and its companions",
                   dir ? "%s: no such folder" : "missing", dir);
    return false;
}

int lt_data_open(const struct lt_data_config *c, struct lt_data **out, struct lt_problems *problems)
{
    LT_AUTO(lt_data_close) struct lt_data *d = lt_calloc(1, sizeof *d);
    const Lt__V1__Split *const plans[LT_SPLIT_N] = {c->plan->train, c->plan->val, c->plan->test,
                                                    c->plan->predict};
    size_t before = problems->errors;

    d->plan = c->plan;
    if (!c->plan->source || c->plan->source->source_case != LT__V1__SOURCE__SOURCE_IDX) {
        lt_problem_add(problems, "data.source", "idx: {dir: …}", "no source");
        return -EINVAL;
    }
    if (!dir_exists(c->plan->source->idx->dir, problems))
        return -EINVAL;
    for (int k = 0; k < LT_SPLIT_N; k++)
        open_split(d, (enum lt_split_kind)k, plans[k], c, problems);
    describe_fields(d, problems);
    if (problems->errors > before)
        return -EINVAL;
    if (d->plan->scan == LT__V1__DATA__SCAN__before)
        d->field[FIELD_LABEL].classes = count_classes(d);
    *out = LT_TAKE(d);
    return 0;
}

void lt_data_close(struct lt_data *d)
{
    if (!d)
        return;
    for (int k = 0; k < LT_SPLIT_N; k++)
        lt_transform_free(d->split[k].transform);
    for (int p = 0; p < PART_N; p++)
        for (int f = 0; f < FIELD_N; f++)
            lt_mapped_done(&d->part[p].file[f]);
    lt_free(d);
}

const Lt__V1__Data *lt_data_plan(const struct lt_data *d)
{
    return d->plan;
}

int lt_data_n_fields(const struct lt_data *d)
{
    (void)d;
    return FIELD_N;
}

const struct lt_data_field *lt_data_field(const struct lt_data *d, int i)
{
    return &d->field[i];
}

bool lt_data_has(const struct lt_data *d, enum lt_split_kind kind)
{
    return d->split[kind].plan != NULL;
}

int64_t lt_data_count(const struct lt_data *d, enum lt_split_kind kind)
{
    return d->split[kind].count;
}

#define AHEAD 3 /* samples: enough to keep as many cache misses under way as a core can have */
#define LINE 64

/* Samples of a shuffled batch lie anywhere in the file: waiting for each line in turn would take
 * longer than the rest. */
static void prefetch(const uint8_t *p, size_t n)
{
    for (size_t at = 0; at < n; at += LINE)
        __builtin_prefetch(p + at);
}

void lt_data_read(const struct lt_data *d, enum lt_split_kind kind, const uint32_t *index,
                  int64_t n, void *const *dst)
{
    const struct split *s = &d->split[kind];
    const struct lt_idx *x = &s->part->idx[FIELD_IMAGE], *y = &s->part->idx[FIELD_LABEL];
    float *image = dst[FIELD_IMAGE];
    int64_t *label = dst[FIELD_LABEL];

    for (int64_t i = 0; i < n; i++) {
        size_t at = (size_t)s->first + index[i];

        if (i + AHEAD < n)
            prefetch(x->data + ((size_t)s->first + index[i + AHEAD]) * x->item_bytes,
                     x->item_bytes);
        lt_transform_run(s->transform, x->data + at * x->item_bytes,
                         image + (size_t)i * x->item_bytes);
        label[i] = y->data[at];
    }
}

void lt_data_describe(const struct lt_data *d, enum lt_split_kind kind, int64_t index,
                      struct lt_buf *out)
{
    const struct split *s = &d->split[kind];

    lt_buf_printf(out, "%s: sample %" PRId64 ", label %d", s->part->file[FIELD_LABEL].path,
                  s->first + index, s->part->idx[FIELD_LABEL].data[s->first + index]);
}

int lt_data_scan_labels(const struct lt_data *d, int64_t classes, int64_t ignore,
                        struct lt_error *err)
{
    for (int k = 0; k < LT_SPLIT_N; k++) {
        const struct split *s = &d->split[k];

        for (int64_t i = 0; s->plan && i < s->count; i++) {
            int64_t label = s->part->idx[FIELD_LABEL].data[s->first + i];

            if (label < classes || label == ignore)
                continue;
            lt_error_set(err, -EDOM,
                         "%s: sample %" PRId64 " has label %" PRId64 ", the model has %" PRId64
                         " classes",
                         s->part->file[FIELD_LABEL].path, s->first + i, label, classes);
            return 1;
        }
    }
    return 0;
}

int lt_data_fingerprint(const struct lt_data *d, struct lt_buf *out, struct lt_error *err)
{
    for (int p = 0; p < PART_N; p++)
        for (int f = 0; d->part[p].used && f < FIELD_N; f++) {
            int rc = lt_fingerprint_file(d->part[p].file[f].path, out, err);

            if (rc < 0)
                return rc;
        }
    return 0;
}

size_t lt_data_bytes(const struct lt_data *d)
{
    size_t bytes = sizeof *d;

    for (int k = 0; k < LT_SPLIT_N; k++)
        if (d->split[k].plan) {
            const struct lt_idx *x = &d->split[k].part->idx[FIELD_IMAGE];

            bytes += (x->ndim == 4 ? (size_t)x->dim[1] : 1) * 2 * sizeof(double);
        }
    return bytes;
}
