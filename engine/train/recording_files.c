/* recording_files.c - a command's metrics through the loggers that training jobs have
 *
 * What those get from a checkpoint (how far their files count) is made up here from the files
 * themselves and the step at which the attempt began.
 */
#include "engine/train/recording_files.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/train/csv_recast.h"
#include "engine/train/logger.h"
#include "engine/train/recording.h"

enum { CSV, BOARD, LOGGERS };

struct out {
    const struct lt_logger *type; /* NULL: not wanted, or given up */
    void *self;                   /* NULL: not open */
};

struct lt_recording_files {
    const Lt__V1__StartRank *start;
    bool again;
    uint64_t cut; /* rows from here on are this attempt's to write; UINT64_MAX: none is cut */
    bool began;
    char *csv_path;
    char *columns[LT_RECORDING_NAMES_MAX]; /* of metrics.csv, sorted */
    size_t n;
    struct out out[LOGGERS];
};

static bool wanted(const Lt__V1__Command *c, Lt__V1__Logger__LoggerCase which)
{
    for (size_t i = 0; i < c->n_loggers; i++)
        if (c->loggers[i]->logger_case == which)
            return true;
    return c->n_loggers == 0;
}

struct lt_recording_files *lt_recording_files_new(const Lt__V1__StartRank *start, bool again)
{
    static const Lt__V1__Logger__LoggerCase which[] = {
        [CSV] = LT__V1__LOGGER__LOGGER_CSV,
        [BOARD] = LT__V1__LOGGER__LOGGER_TENSORBOARD,
    };
    struct lt_recording_files *f = lt_calloc(1, sizeof *f);

    f->start = start;
    f->again = again;
    f->csv_path = lt_format("%s/metrics.csv", start->run_dir);
    for (int i = 0; i < LOGGERS; i++)
        if (wanted(start->spec->command, which[i]))
            f->out[i].type = lt_logger_find(which[i]);
    return f;
}

static void close_out(struct out *o)
{
    if (o->self)
        o->type->close(o->self);
    o->self = NULL;
}

static int open_out(struct lt_recording_files *f, struct out *o, const cJSON *state, struct lt_error *err)
{
    const struct lt_logger_config c = {
        .run_dir = f->start->run_dir,
        .columns = (const char *const *)f->columns,
        .n_columns = (int)f->n,
        .attempt = f->start->attempt,
        .state = state,
    };

    return o->type->open(&c, &o->self, err);
}

/* ---- metrics.csv */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* True: the file needs another header. */
static bool add_columns(struct lt_recording_files *f, const struct lt_record *r)
{
    size_t before = f->n;

    for (int i = 0; i < r->n; i++) {
        bool known = false;

        for (size_t k = 0; k < f->n && !known; k++)
            known = !strcmp(f->columns[k], r->values[i].name);
        if (!known && f->n < LT_RECORDING_NAMES_MAX)
            f->columns[f->n++] = lt_strdup(r->values[i].name);
    }
    if (f->n > before)
        qsort(f->columns, f->n, sizeof *f->columns, by_text);
    return f->n > before;
}

static int prepare_csv(struct lt_recording_files *f, const struct lt_record *r, struct lt_error *err)
{
    struct out *o = &f->out[CSV];
    cJSON *state;
    uint64_t bytes = 0;
    int rc = 0;

    if (!o->self && f->n == 0)
        rc = lt_csv_columns(f->csv_path, f->columns, LT_RECORDING_NAMES_MAX, &f->n, err);
    if (rc < 0 || (!add_columns(f, r) && o->self))
        return rc;
    close_out(o);
    rc = lt_csv_recast(f->csv_path, (const char *const *)f->columns, f->n, f->cut, &bytes, err);
    if (rc < 0)
        return rc;
    f->cut = UINT64_MAX;
    state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "bytes", (double)bytes);
    rc = open_out(f, o, state, err);
    cJSON_Delete(state);
    return rc;
}

/* ---- TensorBoard */

static void add_file(cJSON *files, const char *dir, const char *name)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, name);
    struct stat st;
    cJSON *o;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", name);
    cJSON_AddNumberToObject(o, "bytes", (double)st.st_size);
    cJSON_AddItemToArray(files, o);
}

/* All files as they are; what they have from `first` on will be purged. */
static cJSON *board_state(const struct lt_recording_files *f, uint64_t first)
{
    LT_AUTO(lt_free) char *dir = lt_format("%s/tensorboard", f->start->run_dir);
    cJSON *state = cJSON_CreateObject(), *files = cJSON_AddArrayToObject(state, "files");
    DIR *d = opendir(dir);
    const struct dirent *e;

    while (d && (e = readdir(d)))
        add_file(files, dir, e->d_name);
    if (d)
        closedir(d);
    cJSON_AddNumberToObject(state, "last_x", f->again ? -1 : (double)first - 1);
    return state;
}

static int prepare_board(struct lt_recording_files *f, const struct lt_record *r, struct lt_error *err)
{
    bool anew = r->x == 0 && !f->again; /* nothing of the earlier files counts */
    cJSON *state;
    int rc;

    if (f->out[BOARD].self)
        return 0;
    state = anew ? NULL : board_state(f, r->x);
    rc = open_out(f, &f->out[BOARD], state, err);
    cJSON_Delete(state);
    return rc;
}

/* ---- */

int lt_recording_files_write(struct lt_recording_files *f, const struct lt_record *r, struct lt_error *err)
{
    static int (*const prepare[])(struct lt_recording_files *, const struct lt_record *,
                                  struct lt_error *) = {
        [CSV] = prepare_csv,
        [BOARD] = prepare_board,
    };
    int first = 0;

    if (!f->began)
        f->cut = f->again ? UINT64_MAX : r->x;
    f->began = true;
    for (int i = 0; i < LOGGERS; i++) {
        struct out *o = &f->out[i];
        int rc = o->type ? prepare[i](f, r, first ? NULL : err) : 0;

        if (o->type && rc == 0)
            rc = o->type->write(o->self, r, first ? NULL : err);
        if (rc == 0)
            continue;
        close_out(o);
        o->type = NULL;
        first = first ? first : rc;
    }
    return first;
}

int lt_recording_files_sync(struct lt_recording_files *f, struct lt_error *err)
{
    int rc = 0;

    for (int i = 0; i < LOGGERS && rc == 0; i++)
        if (f->out[i].self)
            rc = f->out[i].type->sync(f->out[i].self, err);
    return rc;
}

void lt_recording_files_free(struct lt_recording_files *f)
{
    if (!f)
        return;
    for (int i = 0; i < LOGGERS; i++)
        close_out(&f->out[i]);
    for (size_t i = 0; i < f->n; i++)
        lt_free(f->columns[i]);
    lt_free(f->csv_path);
    lt_free(f);
}
