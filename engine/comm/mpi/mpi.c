/* mpi.c - collectives over MPICH: liblt_mpi.so
 *
 * Of MPI only messages between two ranks are used, and its barrier: they have no order of summing.
 * A large collective is cut into chunks that stay in cache; LANES of them are under way at once,
 * each in two phases (lane.c):
 *
 *   exchange  each rank gets, of its own slice of the chunk, what every other rank has of it
 *             (then it adds them up in rank order)
 *   gather    each rank sends what it now has of its slice to all
 *
 * Nothing blocks: 4 ranks on 2 cores lose 11 to 46 ms in a blocking all-reduce of 1 KiB, and 0.1 ms
 * in MPI_Testall + sched_yield. The only call that waits is MPI_Init, for the other ranks.
 * MPI_Finalize is never called: it waits for ranks that may be gone (docs/collectives.md).
 */
#include "engine/comm/mpi/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static int join(struct mpi *m, struct lt_comm *c, struct lt_error *err)
{
    int provided, rank = -1, world = -1;

    if (!getenv("PMI_FD"))
        return lt_error_set(err, -EINVAL,
                            "PMI_FD isn't set: only a rank that lt-shim started has others");
    /* UCX copies what we send, a quarter of a MiB at most, through memory that both have; else it
     * reads the peer's by a system call, which costs more up to several MiB. */
    setenv("UCX_RNDV_THRESH", "1m", 0);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS ||
        MPI_Comm_dup(MPI_COMM_WORLD, &m->comm) != MPI_SUCCESS)
        return lt_error_set(err, -EIO, "MPI_Init failed");
    MPI_Comm_set_errhandler(m->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->comm, &rank);
    MPI_Comm_size(m->comm, &world);
    if (rank != c->rank || world != c->world)
        return lt_error_set(err, -EPROTO, "MPI says rank %d of %d, we are rank %d of %d", rank,
                            world, c->rank, c->world);
    return 0;
}

static int mpi_open(struct lt_comm *c, struct lt_error *err)
{
    struct mpi *m = lt_calloc(1, sizeof *m);
    int rc;

    c->own = m;
    m->rank = c->rank;
    m->world = c->world;
    rc = mpi_lanes_open(m, err);
    return rc < 0 ? rc : join(m, c, err);
}

static void mpi_close(struct lt_comm *c)
{
    struct mpi *m = c->own;

    if (!m)
        return;
    mpi_lanes_close(m);
    lt_free(m);
}

static int begin_barrier(struct mpi *m)
{
    m->barrier = true;
    return MPI_Ibarrier(m->comm, &m->barrier_request) == MPI_SUCCESS ? 0 : -EIO;
}

static int progress_barrier(struct mpi *m)
{
    int done = 0;

    if (MPI_Test(&m->barrier_request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return -EIO;
    if (!done)
        return 0;
    m->barrier = false;
    return 1;
}

static int mpi_progress(struct lt_comm *c, struct lt_coll *k)
{
    struct mpi *m = c->own;
    int rc = m->barrier ? progress_barrier(m) : mpi_lanes_progress(m, k);

    c->stats.sent += m->sent;
    c->moves += m->moves;
    m->sent = m->moves = 0;
    return rc;
}

static int mpi_begin(struct lt_comm *c, struct lt_coll *k)
{
    struct mpi *m = c->own;
    int rc = 0;

    if (k->kind == LT_COLL_BARRIER)
        rc = begin_barrier(m);
    else
        mpi_lanes_begin(m, k);
    return rc < 0 ? rc : mpi_progress(c, k);
}

static const struct lt_comm_impl impl = {
    .name = "mpi",
    .open = mpi_open,
    .close = mpi_close,
    .begin = mpi_begin,
    .progress = mpi_progress,
    .versions = mpi_versions,
};

extern const struct lt_comm_plugin lt_comm_plugin_mpi;
__attribute__((visibility("default"))) const struct lt_comm_plugin lt_comm_plugin_mpi = {
    .abi = LT_COMM_PLUGIN_ABI, .version = LT_VERSION, .impl = &impl};
