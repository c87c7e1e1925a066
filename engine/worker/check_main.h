/* check_main.h - the modes of lt-worker that look at a plan */
#ifndef LT_WORKER_CHECK_MAIN_H
#define LT_WORKER_CHECK_MAIN_H

/* stdin → stdout; 0, 1: the question itself was bad. state_dir: the node's (its blobs), or NULL. */
int lt_check_main(const char *state_dir);
int lt_dump_passes_main(const char *plan_file); /* a JobSpec's wire bytes */

#endif
