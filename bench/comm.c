/* comm.c - lt-bench-comm KIND WORLD BYTES…: all-reduce of float32, microseconds by size
 *
 * Prints a line for each size: bytes, best, median. KIND `plain` is MPI_Iallreduce itself
 * (lt-bench-comm-plain), whose sum has the order that MPICH likes.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "sys/clock.h"
#include "tests/support/ranks.h"

#define ITERATIONS_MAX 2000

struct sizes {
    int n;
    size_t bytes[64];
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int iterations(size_t bytes)
{
    size_t n = ((size_t)1 << 27) / (bytes + 65536);

    return n > ITERATIONS_MAX ? ITERATIONS_MAX : n < 5 ? 5 : (int)n;
}

static void measure(struct lt_comm *c, size_t bytes)
{
    static double us[ITERATIONS_MAX];
    size_t count = bytes / sizeof(float);
    float *data = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    struct lt_coll k = {.one = {data, data, count, 0}};
    int n = iterations(bytes);

    for (size_t i = 0; i < count; i++)
        data[i] = 0;
    lt_comm_run(c, &k, NULL);
    lt_comm_barrier(c, NULL);
    for (int i = 0; i < n; i++) {
        uint64_t from = lt_clock_mono_ns();

        lt_comm_run(c, &k, NULL);
        us[i] = (double)(lt_clock_mono_ns() - from) / 1e3;
    }
    qsort(us, (size_t)n, sizeof *us, compare);
    if (lt_comm_rank(c) == 0)
        printf("%zu %.2f %.2f\n", bytes, us[0], us[n / 2]);
    fflush(stdout);
    lt_comm_barrier(c, NULL);
    free(data);
}

static void bind_to(int cpu)
{
    cpu_set_t may, one;
    int n = 0;

    sched_getaffinity(0, sizeof may, &may);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &may) && n++ == cpu % CPU_COUNT(&may))
            CPU_SET(i, &one);
    }
    sched_setaffinity(0, sizeof one, &one);
}

static int run(struct lt_comm *c, void *arg)
{
    const struct sizes *s = arg;

    bind_to(lt_comm_rank(c));
    for (int i = 0; i < s->n; i++)
        measure(c, s->bytes[i]);
    return 0;
}

int main(int argc, char **argv)
{
    struct sizes s = {0};
    struct lt_test_ranks t = {.fn = run, .arg = &s, .timeout_s = 600};
    char *plain[66] = {NULL};

    if (argc < 4 || argc > 66) {
        fprintf(stderr, "usage: lt-bench-comm KIND|plain WORLD BYTES...\n");
        return 2;
    }
    t.world = atoi(argv[2]);
    t.kind = argv[1];
    for (int i = 3; i < argc; i++)
        s.bytes[s.n++] = (size_t)strtoull(argv[i], NULL, 10);
    if (strcmp(argv[1], "plain") == 0) {
        plain[0] = lt_format("%s-plain", argv[0]);
        memcpy(plain + 1, argv + 3, (size_t)(argc - 3) * sizeof *plain);
        t.argv = plain;
    }
    if (t.world < 1 || t.world > LT_TEST_RANKS_MAX || lt_test_ranks_run(&t) < 0)
        return 1;
    return t.first_status;
}
