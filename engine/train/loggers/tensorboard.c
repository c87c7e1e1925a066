/* tensorboard.c - <run>/tensorboard/events.out.tfevents.TIME.HOST.PID.ATTEMPT, one file per attempt
 *
 * State: each file's name and size, and the highest step written. A resumed run removes files that
 * the state doesn't know, cuts the others to their sizes, and begins a new file with a purge step,
 * so that a TensorBoard which watched drops what was rewound, too. The tag `epoch` accompanies
 * every record, as in Lightning.
 */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/train/logger.h"
#include "engine/train/tfevents.h"
#include "sys/clock.h"
#include "sys/file.h"

#define PREFIX "events.out.tfevents."

struct board {
    char *dir, *name;
    int fd;
    uint64_t bytes;
    int64_t last_x; /* -1: nothing yet */
    cJSON *earlier; /* [{name, bytes}] of earlier attempts */
};

static double now(void)
{
    return (double)lt_clock_wall_ns() * 1e-9;
}

static int put(struct board *b, const struct lt_buf *records, struct lt_error *err)
{
    int rc = lt_file_write(b->fd, records->data, records->len, err);

    if (rc < 0)
        return lt_error_prefix(err, "%s/%s", b->dir, b->name);
    b->bytes += records->len;
    return 0;
}

/* Size the state gives a file; -1: it doesn't know it. */
static int64_t known_size(const cJSON *files, const char *name)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, files)
    {
        const cJSON *n = cJSON_GetObjectItemCaseSensitive(f, "name"),
                    *bytes = cJSON_GetObjectItemCaseSensitive(f, "bytes");

        if (cJSON_IsString(n) && cJSON_IsNumber(bytes) && !strcmp(n->valuestring, name))
            return (int64_t)bytes->valuedouble;
    }
    return -1;
}

static int rewind_file(const char *path, int64_t size, struct lt_error *err)
{
    int fd, rc;

    if (size < 0)
        return lt_file_unlink(path, err);
    fd = lt_file_open(path, O_WRONLY, 0, err);
    if (fd < 0)
        return fd;
    rc = lt_file_truncate(fd, (off_t)size, err);
    close(fd);
    return rc;
}

/* Every event file becomes what it was when the state was taken; without a state they all go. */
static int rewind_files(const struct board *b, const cJSON *files, struct lt_error *err)
{
    DIR *d = opendir(b->dir);
    const struct dirent *e;
    int rc = 0;

    if (!d)
        return lt_error_set(err, -errno, "%s: %s", b->dir, strerror(errno));
    while (rc == 0 && (e = readdir(d))) {
        if (!lt_str_starts(e->d_name, PREFIX))
            continue;
        LT_AUTO(lt_free) char *path = lt_format("%s/%s", b->dir, e->d_name);
        rc = rewind_file(path, known_size(files, e->d_name), err);
    }
    closedir(d);
    return rc;
}

static int begin(struct board *b, uint32_t attempt, struct lt_error *err)
{
    LT_BUF_AUTO head = {0};
    char host[256] = "localhost";
    double t = now();

    gethostname(host, sizeof host - 1);
    b->name = lt_format(PREFIX "%010.0f.%s.%d.%" PRIu32, t, host, (int)getpid(), attempt);
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", b->dir, b->name);
    b->fd = lt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);
    if (b->fd < 0)
        return b->fd;
    lt_tfevents_version(t, &head);
    if (b->last_x >= 0)
        lt_tfevents_purge(t, b->last_x + 1, &head);
    return put(b, &head, err);
}

static void board_close(void *self)
{
    struct board *b = self;

    if (b->fd >= 0)
        close(b->fd);
    cJSON_Delete(b->earlier);
    lt_free(b->dir);
    lt_free(b->name);
    lt_free(b);
}

static int board_open(const struct lt_logger_config *c, void **out, struct lt_error *err)
{
    struct board *b = lt_calloc(1, sizeof *b);
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(c->state, "files");
    const cJSON *last = cJSON_GetObjectItemCaseSensitive(c->state, "last_x");
    int rc;

    b->fd = -1;
    b->dir = lt_format("%s/tensorboard", c->run_dir);
    b->earlier = files ? cJSON_Duplicate(files, true) : cJSON_CreateArray();
    b->last_x = cJSON_IsNumber(last) ? (int64_t)last->valuedouble : -1;
    rc = lt_file_mkdirs(b->dir, 0755, err);
    if (rc == 0)
        rc = rewind_files(b, files, err);
    if (rc == 0)
        rc = begin(b, c->attempt, err);
    if (rc < 0)
        board_close(b);
    else
        *out = b;
    return rc;
}

static int board_write(void *self, const struct lt_record *r, struct lt_error *err)
{
    struct board *b = self;
    LT_BUF_AUTO records = {0};
    double t = now();

    for (int i = 0; i < r->n; i++)
        lt_tfevents_scalar(t, (int64_t)r->x, r->values[i].name, (float)r->values[i].value,
                           &records);
    lt_tfevents_scalar(t, (int64_t)r->x, "epoch", (float)r->epoch, &records);
    b->last_x = b->last_x > (int64_t)r->x ? b->last_x : (int64_t)r->x;
    return put(b, &records, err);
}

static cJSON *board_state(void *self)
{
    const struct board *b = self;
    cJSON *o = cJSON_CreateObject(), *files = cJSON_Duplicate(b->earlier, true),
          *f = cJSON_CreateObject();

    cJSON_AddStringToObject(f, "name", b->name);
    cJSON_AddNumberToObject(f, "bytes", (double)b->bytes);
    cJSON_AddItemToArray(files, f);
    cJSON_AddItemToObject(o, "files", files);
    cJSON_AddNumberToObject(o, "last_x", (double)b->last_x);
    return o;
}

static int board_sync(void *self, struct lt_error *err)
{
    const struct board *b = self;
    int rc = lt_file_datasync(b->fd, err);

    return rc < 0 ? lt_error_prefix(err, "%s/%s", b->dir, b->name) : 0;
}

const struct lt_logger lt_logger_tensorboard = {
    .name = "tensorboard",
    .which = LT__V1__LOGGER__LOGGER_TENSORBOARD,
    .open = board_open,
    .write = board_write,
    .state = board_state,
    .sync = board_sync,
    .close = board_close,
};
