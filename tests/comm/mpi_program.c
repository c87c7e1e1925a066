/* mpi_program.c - anybody's MPI program: init, some collectives, finalize
 *
 * lt-mpi-program RANKS [GATE]: waits for the file GATE.init before MPI_Init, GATE.finalize before
 * MPI_Finalize, and makes GATE.ready.RANK when it has done what is between.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for(const char *gate, const char *what)
{
    char path[4096];

    if (!gate)
        return;
    snprintf(path, sizeof path, "%s.%s", gate, what);
    while (access(path, F_OK) < 0)
        usleep(2000);
}

static void say_ready(const char *gate, int rank)
{
    char path[4096];
    FILE *f;

    if (!gate)
        return;
    snprintf(path, sizeof path, "%s.ready.%d", gate, rank);
    f = fopen(path, "w");
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    int rank, size, sum = 0, expected = argc > 1 ? atoi(argv[1]) : 0;
    const char *gate = argc > 2 ? argv[2] : NULL;

    wait_for(gate, "init");
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 0; i < 10; i++) {
        int one = rank + 1;

        MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    if (rank == 0)
        printf("# %d ranks, sum %d\n", size, sum);
    say_ready(gate, rank);
    wait_for(gate, "finalize");
    MPI_Finalize();
    return size == expected && sum == size * (size + 1) / 2 ? 0 : 1;
}
