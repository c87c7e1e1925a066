/* shim_leftovers.h - shared memory that a killed rank couldn't remove */
#ifndef LT_ENGINE_WORKER_SHIM_LEFTOVERS_H
#define LT_ENGINE_WORKER_SHIM_LEFTOVERS_H

#include <sys/types.h>

/* Files of MPICH and UCX in /dev/shm that are ours and that no process has open or mapped, and System V segments that
 * `rank`, which is dead, has made and nobody is attached to. How many were removed. */
unsigned lt_shim_remove_leftovers(pid_t rank);

#endif
