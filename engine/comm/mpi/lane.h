/* lane.h - the state of the mpi plug-in, shared by its files */
#ifndef LT_COMM_MPI_LANE_H
#define LT_COMM_MPI_LANE_H

/* The compiler's warnings are for our own code. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <mpi.h>
#pragma GCC diagnostic pop

#include "engine/comm/impl.h"

#define MPI_LANES 4
#define MPI_CHUNK ((size_t)256 << 10) /* bytes received in the exchange of one chunk, at most */

enum lane_state { LANE_FREE, LANE_EXCHANGE, LANE_GATHER };

struct lane {
    enum lane_state state;
    int index;
    size_t at, n;    /* the chunk: elements of the flat sequence, or of `count` */
    bool direct;     /* everybody gets everything in the exchange: no gather */
    char *received;  /* MPI_CHUNK and a little; by rank */
    char *stage;     /* the same: what is sent and doesn't lie together */
    char *mine;      /* my slice, when it doesn't lie together in out */
    MPI_Request *requests; /* room for 2 * world */
    int n_requests;
};

struct mpi {
    MPI_Comm comm;
    int rank, world;
    struct lane lane[MPI_LANES];
    size_t next;  /* first element that no lane has taken yet */
    size_t total; /* elements */
    unsigned turn;
    MPI_Status *statuses; /* of one lane's requests; nobody looks */
    const void **sources; /* of a sum: LT_COLL_TERMS_MAX, or world if that is more */
    char *memory;
    size_t bytes;
    uint64_t sent, moves;
    bool barrier;
    MPI_Request barrier_request;
};

int mpi_lanes_open(struct mpi *m, struct lt_error *err);
void mpi_lanes_close(struct mpi *m);
void mpi_lanes_begin(struct mpi *m, const struct lt_coll *k);
int mpi_lanes_progress(struct mpi *m, const struct lt_coll *k); /* 1: done; 0; -EIO */

/* ---- versions.c */
void mpi_versions(struct lt_comm_versions *out);

#endif
