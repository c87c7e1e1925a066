/* checkpoint.c - writes checkpoint folders, lists them, cleans up behind crashes
 *
 * Order of durability: every file, the temporary folder, the rename, the parent folder. A reader
 * therefore never sees a folder with a MANIFEST whose files are not all there, unless the disk
 * itself damaged them.
 */
#include "engine/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* One file of the folder being written: summed up as it goes. */
struct out {
    int fd;
    struct lt_manifest_file *file;
};

static int out_open(const char *dir, const char *name, struct lt_manifest *meta, struct out *o,
                    struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, name);

    o->fd = lt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, err);
    if (o->fd < 0)
        return o->fd;
    o->file = &meta->files[meta->n_files++];
    *o->file = (struct lt_manifest_file){.bytes = 0};
    snprintf(o->file->name, sizeof o->file->name, "%s", name);
    return 0;
}

static int out_write(struct out *o, const void *data, size_t n, struct lt_error *err)
{
    o->file->crc = lt_crc32c(o->file->crc, data, n);
    o->file->bytes += n;
    return lt_file_write(o->fd, data, n, err);
}

static int out_close(struct out *o, int rc, struct lt_error *err)
{
    if (rc == 0)
        rc = lt_file_sync(o->fd, err);
    close(o->fd);
    return rc;
}

static int write_tensors(const char *dir, const char *name, const struct lt_tensor *t, int n,
                         struct lt_manifest *meta, struct lt_error *err)
{
    LT_BUF_AUTO header = {0};
    struct out o;
    int rc = out_open(dir, name, meta, &o, err);

    if (rc < 0)
        return rc;
    lt_safetensors_header(t, n, &header);
    rc = out_write(&o, header.data, header.len, err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = out_write(&o, t[i].data, t[i].bytes, err);
    return out_close(&o, rc, err);
}

static int write_text(const char *dir, const char *name, const char *text, struct lt_manifest *meta,
                      struct lt_error *err)
{
    struct out o;
    int rc = out_open(dir, name, meta, &o, err);

    return rc < 0 ? rc : out_close(&o, out_write(&o, text, strlen(text), err), err);
}

static int write_manifest(const char *dir, const struct lt_manifest *meta, struct lt_error *err)
{
    struct lt_manifest none = {.n_files = 0};
    LT_BUF_AUTO text = {0};

    lt_manifest_print(meta, &text);
    return write_text(dir, "MANIFEST", text.data, &none, err);
}

static int write_files(const struct lt_checkpoint_content *c, struct lt_manifest *meta,
                       const char *tmp, struct lt_error *err)
{
    int rc;

    meta->n_files = 0;
    rc = write_tensors(tmp, "model.safetensors", c->model, c->n_model, meta, err);
    if (rc == 0 && !meta->weights_only)
        rc = write_tensors(tmp, "optimizer.safetensors", c->optimizer, c->n_optimizer, meta, err);
    if (rc == 0 && !meta->weights_only)
        rc = write_text(tmp, "trainer.json", c->trainer_json, meta, err);
    if (rc == 0)
        rc = write_manifest(tmp, meta, err);
    return rc < 0 ? rc : lt_file_sync_dir(tmp, err);
}

/* tmp becomes path; what stood there before goes away, or comes back when this fails. */
static int put_in_place(const char *tmp, const char *path, const char *old, const char *dir,
                        struct lt_error *err)
{
    bool replaces = lt_file_exists(path);
    int rc = 0;

    if (replaces) {
        rc = lt_file_remove_tree(old, err);
        if (rc == 0)
            rc = lt_file_rename(path, old, err);
    }
    if (rc == 0)
        rc = lt_file_rename(tmp, path, err);
    if (rc < 0 && replaces && !lt_file_exists(path))
        lt_file_rename(old, path, NULL);
    if (rc == 0)
        rc = lt_file_sync_dir(dir, err);
    if (rc == 0 && replaces)
        lt_file_remove_tree(old, NULL);
    return rc;
}

int lt_checkpoint_write(const struct lt_checkpoint_content *c, struct lt_manifest *meta,
                        const char *dir, const char *name, struct lt_error *err)
{
    LT_AUTO(lt_free) char *tmp = lt_format("%s/.%s.tmp", dir, name);
    LT_AUTO(lt_free) char *old = lt_format("%s/.%s.old", dir, name);
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, name);
    int rc = lt_file_mkdirs(dir, 0755, err);

    if (rc == 0)
        rc = lt_file_remove_tree(tmp, err);
    if (rc == 0)
        rc = lt_file_mkdirs(tmp, 0755, err);
    if (rc == 0)
        rc = write_files(c, meta, tmp, err);
    if (rc == 0)
        rc = put_in_place(tmp, path, old, dir, err);
    if (rc < 0)
        lt_file_remove_tree(tmp, NULL);
    return rc;
}

uint64_t lt_manifest_bytes(const struct lt_manifest *m)
{
    uint64_t bytes = 0;

    for (int i = 0; i < m->n_files; i++)
        bytes += m->files[i].bytes;
    return bytes;
}

static int clean_one(const char *dir, const char *entry, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, entry);
    LT_AUTO(lt_free) char *name = NULL, *final = NULL;

    if (entry[0] != '.' || strlen(entry) < 6 ||
        !(lt_str_ends(entry, ".tmp") || lt_str_ends(entry, ".old")))
        return 0;
    name = lt_strndup(entry + 1, strlen(entry) - 5);
    final = lt_format("%s/%s", dir, name);
    if (lt_str_ends(entry, ".old") && !lt_file_exists(final))
        return lt_file_rename(path, final, err);
    return lt_file_remove_tree(path, err);
}

int lt_checkpoint_clean(const char *dir, struct lt_error *err)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    int rc = 0;

    if (!d)
        return errno == ENOENT ? 0 : lt_error_set(err, -errno, "%s: %s", dir, strerror(errno));
    while (rc == 0 && (e = readdir(d)))
        rc = clean_one(dir, e->d_name, err);
    closedir(d);
    return rc;
}

void lt_checkpoint_list_add(struct lt_checkpoint_list *l, const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        struct lt_checkpoint_entry entry = {.path = NULL};

        if (e->d_name[0] == '.')
            continue;
        entry.path = lt_format("%s/%s", dir, e->d_name);
        if (lt_manifest_read(entry.path, &entry.meta, NULL) < 0) {
            lt_free(entry.path);
            continue;
        }
        LT_GROW(l->items, l->n, l->cap);
        l->items[l->n++] = entry;
    }
    if (d)
        closedir(d);
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = ((const struct lt_checkpoint_entry *)a)->meta.sequence,
             y = ((const struct lt_checkpoint_entry *)b)->meta.sequence;

    return x < y ? 1 : x > y ? -1 : 0;
}

void lt_checkpoint_list_sort(struct lt_checkpoint_list *l)
{
    if (l->n > 1)
        qsort(l->items, (size_t)l->n, sizeof *l->items, newest_first);
}

void lt_checkpoint_list_done(struct lt_checkpoint_list *l)
{
    for (int i = 0; i < l->n; i++)
        lt_free(l->items[i].path);
    lt_free(l->items);
    *l = (struct lt_checkpoint_list){0};
}
