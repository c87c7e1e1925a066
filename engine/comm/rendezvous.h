/* rendezvous.h - a rank's side of PMI-1: key-values and a barrier among the ranks of a job, through lt-shim
 *
 * For implementations that only need to exchange a name before they begin (shared memory's descriptor, NCCL's unique id).
 * These wait for the other ranks; they are for lt_comm_open() alone. Keys and values: sys/pmi.h's limits, no blanks.
 */
#ifndef LT_COMM_RENDEZVOUS_H
#define LT_COMM_RENDEZVOUS_H

#include <stdbool.h>
#include <stddef.h>

struct lt_error;

struct lt_rendezvous {
    int fd;                     /* PMI_FD's; stays open: it isn't ours */
    bool (*give_up)(void *arg); /* NULL: never */
    void *arg;
    char kvs[256];
    char line[4096];
};

/* From the environment. -EINVAL: this process has no launcher. */
int lt_rendezvous_init(struct lt_rendezvous *r, struct lt_error *err);
int lt_rendezvous_put(struct lt_rendezvous *r, const char *key, const char *value, struct lt_error *err);
int lt_rendezvous_barrier(struct lt_rendezvous *r, struct lt_error *err);
int lt_rendezvous_get(struct lt_rendezvous *r, const char *key, char *value, size_t n, struct lt_error *err);

#endif
