/* csv.c - <run>/metrics.csv as Lightning's CSVLogger writes it: sorted columns, one row per record,
 * blanks elsewhere
 *
 * Unlike there the columns are known before the first row, so the header never changes and the file
 * only grows. State: the number of bytes; a resumed run cuts the file there.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/train/logger.h"
#include "sys/file.h"

struct csv {
    int fd;
    const char **columns; /* with epoch and step, sorted */
    int n;
    uint64_t bytes;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void make_columns(struct csv *c, const struct lt_logger_config *conf)
{
    c->n = conf->n_columns + 2;
    c->columns = lt_malloc((size_t)c->n * sizeof *c->columns);
    for (int i = 0; i < conf->n_columns; i++)
        c->columns[i] = conf->columns[i];
    c->columns[conf->n_columns] = "epoch";
    c->columns[conf->n_columns + 1] = "step";
    qsort(c->columns, (size_t)c->n, sizeof *c->columns, by_text);
}

static int put(struct csv *c, const struct lt_buf *text, struct lt_error *err)
{
    int rc = lt_file_write(c->fd, text->data, text->len, err);

    if (rc == 0)
        c->bytes += text->len;
    return rc;
}

static int header(struct csv *c, struct lt_error *err)
{
    LT_BUF_AUTO line = {0};

    for (int i = 0; i < c->n; i++)
        lt_buf_printf(&line, "%s%s", i ? "," : "", c->columns[i]);
    lt_buf_char(&line, '\n');
    return put(c, &line, err);
}

static int cut(struct csv *c, const char *path, const cJSON *state, struct lt_error *err)
{
    const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(state, "bytes");
    struct stat st;

    if (!cJSON_IsNumber(bytes) || bytes->valuedouble < 0)
        return lt_error_set(err, -EPROTO, "checkpoint: no byte offset of metrics.csv");
    if (fstat(c->fd, &st) < 0 || st.st_size < (off_t)bytes->valuedouble)
        return lt_error_set(err, -EPROTO, "%s is shorter than when the checkpoint was made", path);
    c->bytes = (uint64_t)bytes->valuedouble;
    int rc = lt_file_truncate(c->fd, (off_t)c->bytes, err);
    if (rc == 0 && lseek(c->fd, 0, SEEK_END) < 0)
        rc = lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    return rc;
}

static void csv_close(void *self)
{
    struct csv *c = self;

    if (c->fd >= 0)
        close(c->fd);
    lt_free(c->columns);
    lt_free(c);
}

static int csv_open(const struct lt_logger_config *conf, void **out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/metrics.csv", conf->run_dir);
    struct csv *c = lt_calloc(1, sizeof *c);
    int rc;

    c->fd = lt_file_open(path, O_WRONLY | O_CREAT | (conf->state ? 0 : O_TRUNC), 0644, err);
    rc = c->fd < 0 ? c->fd : 0;
    make_columns(c, conf);
    if (rc == 0)
        rc = conf->state ? cut(c, path, conf->state, err) : header(c, err);
    if (rc < 0)
        csv_close(c);
    else
        *out = c;
    return rc;
}

static void cell(const struct csv *c, int i, const struct lt_record *r, struct lt_buf *line)
{
    char text[40];

    if (!strcmp(c->columns[i], "step")) {
        lt_buf_printf(line, "%" PRIu64, r->x);
    } else if (!strcmp(c->columns[i], "epoch")) {
        lt_buf_printf(line, "%" PRIu64, r->epoch);
    } else {
        for (int k = 0; k < r->n; k++)
            if (!strcmp(r->values[k].name, c->columns[i])) {
                lt_print_double(text, sizeof text, r->values[k].value);
                lt_buf_str(line, text);
                return;
            }
    }
}

static int csv_write(void *self, const struct lt_record *r, struct lt_error *err)
{
    struct csv *c = self;
    LT_BUF_AUTO line = {0};

    for (int i = 0; i < c->n; i++) {
        if (i)
            lt_buf_char(&line, ',');
        cell(c, i, r, &line);
    }
    lt_buf_char(&line, '\n');
    int rc = put(c, &line, err);
    return rc < 0 ? lt_error_prefix(err, "metrics.csv") : 0;
}

static cJSON *csv_state(void *self)
{
    const struct csv *c = self;
    cJSON *o = cJSON_CreateObject();

    cJSON_AddNumberToObject(o, "bytes", (double)c->bytes);
    return o;
}

static int csv_sync(void *self, struct lt_error *err)
{
    const struct csv *c = self;
    int rc = lt_file_datasync(c->fd, err);

    return rc < 0 ? lt_error_prefix(err, "metrics.csv") : 0;
}

const struct lt_logger lt_logger_csv = {
    .name = "csv",
    .which = LT__V1__LOGGER__LOGGER_CSV,
    .open = csv_open,
    .write = csv_write,
    .state = csv_state,
    .sync = csv_sync,
    .close = csv_close,
};
