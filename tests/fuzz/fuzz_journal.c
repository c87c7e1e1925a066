/* fuzz_journal.c - any bytes as a journal: reader and writer agree on what is in it, and the writer can go on */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sys/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const char *path, int *last)
{
    LT_AUTO(lt_journal_reader_close) struct lt_journal_reader *r = NULL;
    const void *p;
    size_t n;
    uint64_t end, before = 0;
    int count = 0;

    if (lt_journal_reader_open(path, 0, &r, NULL) < 0)
        assert(0);
    while ((*last = lt_journal_read(r, &p, &n, &end, NULL)) == 1) {
        volatile uint8_t sum = 0;

        for (size_t i = 0; i < n; i++)
            sum = (uint8_t)(sum + ((const uint8_t *)p)[i]);
        assert(end > before && n <= LT_JOURNAL_RECORD_MAX);
        before = end;
        count++;
    }
    assert(*last == 0 || *last == -EPROTO);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("journal", MFD_CLOEXEC), last, count, rc;
    struct lt_journal *j;
    char path[40];

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    count = read_all(path, &last);
    rc = lt_journal_open(path, &j, NULL);
    if (rc == 0) {
        assert(last == 0);
        assert(read_all(path, &last) == count && last == 0);
        rc = lt_journal_append(j, "more", 4, NULL);
        assert(rc == 0);
        assert(read_all(path, &last) == count + 1 && last == 0);
        lt_journal_close(j);
    }
    close(fd);
    return 0;
}
