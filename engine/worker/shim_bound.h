/* shim_bound.h - lt-shim --bound PID PROGRAM [ARGUMENT…]: PROGRAM, which dies with its parent PID */
#ifndef LT_ENGINE_WORKER_SHIM_BOUND_H
#define LT_ENGINE_WORKER_SHIM_BOUND_H

/* argv begins with PID. Returns an exit code when the program can't be had, else not at all. */
int lt_shim_bound_main(char **argv);

#endif
