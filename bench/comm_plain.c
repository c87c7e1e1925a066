/* comm_plain.c - lt-bench-comm-plain BYTES…: MPI_Iallreduce as it is, waited for as our ranks wait */
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define ITERATIONS_MAX 2000

static double us[ITERATIONS_MAX];

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void reduce(float *data, int count)
{
    MPI_Request r;
    int done = 0;

    MPI_Iallreduce(MPI_IN_PLACE, data, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &r);
    MPI_Test(&r, &done, MPI_STATUS_IGNORE);
    while (!done) {
        sched_yield();
        MPI_Test(&r, &done, MPI_STATUS_IGNORE);
    }
}

int main(int argc, char **argv)
{
    int rank;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int a = 1; a < argc; a++) {
        size_t bytes = (size_t)strtoull(argv[a], NULL, 10), n = ((size_t)1 << 27) / (bytes + 65536);
        float *data = calloc(bytes / 4 + 1, 4);

        n = n > ITERATIONS_MAX ? ITERATIONS_MAX : n < 5 ? 5 : n;
        reduce(data, (int)(bytes / 4));
        for (size_t i = 0; i < n; i++) {
            double from = MPI_Wtime();

            reduce(data, (int)(bytes / 4));
            us[i] = (MPI_Wtime() - from) * 1e6;
        }
        qsort(us, n, sizeof *us, compare);
        if (rank == 0)
            printf("%zu %.2f %.2f\n", bytes, us[0], us[n / 2]);
        free(data);
    }
    MPI_Finalize();
    return 0;
}
