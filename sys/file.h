/* file.h - the seam for every file operation that must survive faults
 *
 * Product code that writes anything it later relies on goes through these, so that tests can fill the
 * disk, drop unsynced writes and crash between any two of them (lt_file_hooks). All return -errno with
 * the path in err.
 */
#ifndef LT_SYS_FILE_H
#define LT_SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lt_buf;
struct lt_error;

/* Replaceable primitives; a test sets its own table. NULL members use the system's. All return -errno. */
struct lt_file_hooks {
    int (*open)(const char *path, int flags, mode_t mode);      /* fd or -errno */
    ssize_t (*pwrite)(int fd, const void *buf, size_t n, off_t at); /* at < 0: append at the file position */
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*rmdir)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*ftruncate)(int fd, off_t size);
};
void lt_file_set_hooks(const struct lt_file_hooks *hooks); /* NULL: the system's. Not thread-safe. */

int lt_file_open(const char *path, int flags, mode_t mode, struct lt_error *err); /* fd, always O_CLOEXEC */
int lt_file_write(int fd, const void *buf, size_t n, struct lt_error *err);       /* all of it, at the file position */
int lt_file_pwrite(int fd, const void *buf, size_t n, off_t at, struct lt_error *err);
int lt_file_sync(int fd, struct lt_error *err);      /* fsync */
int lt_file_datasync(int fd, struct lt_error *err);  /* fdatasync */
/* The disk may begin with these bytes, so that a sync has less to wait for; promises nothing. */
void lt_file_write_behind(int fd, off_t at, size_t n);
int lt_file_truncate(int fd, off_t size, struct lt_error *err);
/* What lies before `end` is given back to the disk and reads as zeros; the file keeps its size and offsets, and
 * lt_file_data_from() passes over it. -EOPNOTSUPP: not on this file system. */
int lt_file_cut_front(int fd, off_t end, struct lt_error *err);
/* Where data begin at or behind `at`; the file's size when there are none; `at` where holes aren't told. */
off_t lt_file_data_from(int fd, off_t at);
int lt_file_rename(const char *from, const char *to, struct lt_error *err);
int lt_file_unlink(const char *path, struct lt_error *err); /* a missing file is no error */
int lt_file_sync_dir(const char *dir, struct lt_error *err);
/* With parents; there already is fine. Every folder made is durable in its parent. */
int lt_file_mkdirs(const char *path, mode_t mode, struct lt_error *err);
/* The same without a sync. */
int lt_file_make_dirs(const char *path, mode_t mode, struct lt_error *err);
/* Never follows links; a missing path is no error. */
int lt_file_remove_tree(const char *path, struct lt_error *err);
/* Temporary name beside it, write, fsync, rename, fsync of the folder: whole or not at all. */
int lt_file_replace(const char *path, const void *data, size_t n, mode_t mode, struct lt_error *err);
/* Whole or not at all for whoever reads it, but without a sync: for what a power cut may take along. */
int lt_file_put(const char *path, const void *data, size_t n, mode_t mode, struct lt_error *err);
/* At most max bytes (-EFBIG beyond). */
int lt_file_read(const char *path, size_t max, struct lt_buf *out, struct lt_error *err);
bool lt_file_exists(const char *path);
/* Of descriptors or memory: what failed with that says nothing of the file, and may go well in a moment. */
bool lt_file_is_lack(int rc);

#endif
