/* clock.c - reads clocks; the test offset is looked up at most ten times a second */
#include "sys/clock.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define OFFSET_EVERY_NS (NS / 10)

static _Atomic uint64_t offset_read_ns; /* monotonic time of the last look; 0: never */
static _Atomic int64_t offset_ns;

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static int64_t read_offset(const char *path)
{
    char text[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return (int64_t)(strtod(text, NULL) * (double)NS);
}

static int64_t current_offset(void)
{
    const char *path = getenv("LT_CLOCK_OFFSET_FILE");
    uint64_t now, last;

    if (!path)
        return 0;
    now = read_clock(CLOCK_MONOTONIC);
    last = atomic_load(&offset_read_ns);
    if ((last == 0 || now - last >= OFFSET_EVERY_NS) &&
        atomic_compare_exchange_strong(&offset_read_ns, &last, now))
        atomic_store(&offset_ns, read_offset(path));
    return atomic_load(&offset_ns);
}

uint64_t lt_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME) + (uint64_t)current_offset();
}

uint64_t lt_clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void lt_clock_format(uint64_t wall_ns, char out[32])
{
    time_t s = (time_t)(wall_ns / NS);
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(wall_ns % NS / 1000000));
}
