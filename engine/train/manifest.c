/* manifest.c - prints, reads and verifies a checkpoint's MANIFEST */
#include "engine/train/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"

#define HEAD "ltd checkpoint 1\n"
#define CHUNK (1u << 20)

void lt_manifest_print(const struct lt_manifest *m, struct lt_buf *out)
{
    size_t start = out->len;

    lt_buf_printf(out,
                  HEAD "job %s\nstep %" PRIu64 "\nepoch %" PRIu64 "\nsequence %" PRIu64
                       "\ncallback %d\nkind %s\nin_epoch %d\n",
                  m->job, m->step, m->epoch, m->sequence, m->callback,
                  m->weights_only ? "weights" : "full", m->in_epoch);
    for (int i = 0; i < m->n_files; i++)
        lt_buf_printf(out, "file %s %" PRIu64 " %08" PRIx32 "\n", m->files[i].name,
                      m->files[i].bytes, m->files[i].crc);
    lt_buf_printf(out, "end %08" PRIx32 "\n", lt_crc32c(0, out->data + start, out->len - start));
}

static bool parse_file(const char *value, struct lt_manifest *m)
{
    struct lt_manifest_file *f = &m->files[m->n_files];

    if (m->n_files == LT_MANIFEST_FILES ||
        sscanf(value, "%63s %" SCNu64 " %" SCNx32, f->name, &f->bytes, &f->crc) != 3 ||
        strchr(f->name, '/'))
        return false;
    m->n_files++;
    return true;
}

static bool parse_line(const char *key, const char *value, struct lt_manifest *m)
{
    uint64_t *const numbers[] = {&m->step, &m->epoch, &m->sequence};
    static const char *const names[] = {"step", "epoch", "sequence"};

    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++)
        if (!strcmp(key, names[i]))
            return lt_parse_u64(value, numbers[i]) == 0;
    if (!strcmp(key, "job"))
        return snprintf(m->job, sizeof m->job, "%s", value) < (int)sizeof m->job;
    if (!strcmp(key, "callback"))
        return sscanf(value, "%d", &m->callback) == 1;
    if (!strcmp(key, "kind"))
        return m->weights_only = !strcmp(value, "weights"), true;
    if (!strcmp(key, "in_epoch"))
        return m->in_epoch = !strcmp(value, "1"), true;
    return !strcmp(key, "file") && parse_file(value, m);
}

int lt_manifest_parse(const char *text, const char *path, struct lt_manifest *out,
                      struct lt_error *err)
{
    const char *end = strstr(text, "\nend ");
    LT_AUTO(lt_free) char *copy = NULL;
    char *save = NULL;

    *out = (struct lt_manifest){.callback = -1};
    if (!lt_str_starts(text, HEAD) || !end ||
        (uint32_t)strtoul(end + 5, NULL, 16) != lt_crc32c(0, text, (size_t)(end + 1 - text)))
        return lt_error_set(err, -EPROTO, "%s: damaged", path);
    copy = lt_strndup(text + strlen(HEAD), (size_t)(end - text) - strlen(HEAD) + 1);
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');

        if (!space || (*space = '\0', !parse_line(line, space + 1, out)))
            return lt_error_set(err, -EPROTO, "%s: line '%s' cannot be read", path, line);
    }
    return 0;
}

int lt_manifest_read(const char *dir, struct lt_manifest *out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/MANIFEST", dir);
    LT_BUF_AUTO text = {0};
    int rc = lt_file_read(path, LT_MANIFEST_MAX, &text, err);

    if (rc < 0)
        return rc;
    return lt_manifest_parse(text.data ? text.data : "", path, out, err);
}

static int verify_file(const char *dir, const struct lt_manifest_file *f, char *chunk,
                       struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, f->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint32_t crc = 0;
    uint64_t bytes = 0;
    ssize_t n = 0;

    if (fd < 0)
        return lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    while ((n = read(fd, chunk, CHUNK)) > 0) {
        crc = lt_crc32c(crc, chunk, (size_t)n);
        bytes += (uint64_t)n;
    }
    close(fd);
    if (n < 0)
        return lt_error_set(err, -EIO, "%s: cannot be read", path);
    if (bytes != f->bytes)
        return lt_error_set(err, -EPROTO, "%s: damaged: %" PRIu64 " bytes, expected %" PRIu64, path,
                            bytes, f->bytes);
    return crc == f->crc ? 0
                         : lt_error_set(err, -EPROTO,
                                        "%s: damaged: checksum %08" PRIx32 ", expected %08" PRIx32,
                                        path, crc, f->crc);
}

int lt_manifest_verify(const char *dir, struct lt_manifest *out, struct lt_error *err)
{
    char *chunk;
    int rc = lt_manifest_read(dir, out, err);

    if (rc < 0)
        return rc;
    chunk = lt_malloc(CHUNK);
    for (int i = 0; i < out->n_files && rc == 0; i++)
        rc = verify_file(dir, &out->files[i], chunk, err);
    lt_free(chunk);
    return rc;
}
