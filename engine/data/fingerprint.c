/* fingerprint.c - size, mtime, inode and sampled content of a file
 *
 * Reading a terabyte at every start is out of the question, so content is sampled; together with
 * size, time and inode that catches every change but a deliberate forgery.
 */
#include "engine/data/fingerprint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "sys/sha256.h"

#define BLOCKS 16
#define BLOCK 4096

static int sample(int fd, off_t size, char hex[65])
{
    LT_AUTO(lt_sha256_free) struct lt_sha256 *h = lt_sha256_new();
    char block[BLOCK];
    off_t last = size > BLOCK ? size - BLOCK : 0, at = -1;

    for (int i = 0; i < BLOCKS; i++) {
        off_t next = last / (BLOCKS - 1) * i;

        if (i == BLOCKS - 1)
            next = last;
        if (next == at)
            continue;
        at = next;
        ssize_t n = pread(fd, block, sizeof block, at);
        if (n < 0)
            return -errno;
        lt_sha256_add(h, block, (size_t)n);
    }
    lt_sha256_hex(h, hex);
    return 0;
}

int lt_fingerprint_file(const char *path, struct lt_buf *out, struct lt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
    struct stat st;
    char hex[65];

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    rc = sample(fd, st.st_size, hex);
    close(fd);
    if (rc < 0)
        return lt_error_set(err, rc, "%s: %s", path, strerror(-rc));
    lt_buf_printf(out,
                  "%s size=%" PRId64 " mtime=%" PRId64 ".%09ld inode=%" PRIu64 " sample=%.32s\n",
                  path, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                  (uint64_t)st.st_ino, hex);
    return 0;
}
