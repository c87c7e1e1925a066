/* rss.c - two lines of /proc files, without allocation: the agent asks often */
#include "sys/rss.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_text(const char *path, char *text, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = 1;

    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    while (len < n - 1 && (got = read(fd, text + len, n - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    text[len] = '\0';
    return got < 0 ? -ESRCH : 0; /* the process ended between open and read */
}

/* "Name:   123 kB" as bytes; 0 without such a line. */
static uint64_t field(const char *text, const char *name)
{
    const char *p = strstr(text, name);

    return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

int lt_rss_of(pid_t pid, uint64_t *bytes)
{
    char path[40], text[4096];
    int rc;

    if (pid)
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    else
        snprintf(path, sizeof path, "/proc/self/status");
    rc = read_text(path, text, sizeof text);
    if (rc == 0)
        *bytes = field(text, "\nRssAnon:") + field(text, "\nRssShmem:");
    return rc;
}

int lt_memory_of_machine(uint64_t *total, uint64_t *available)
{
    char text[4096];
    int rc = read_text("/proc/meminfo", text, sizeof text);

    if (rc < 0)
        return rc;
    *total = field(text, "MemTotal:");
    *available = field(text, "\nMemAvailable:");
    return 0;
}
