/* rank_main.h - lt-worker as a rank */
#ifndef LT_WORKER_RANK_MAIN_H
#define LT_WORKER_RANK_MAIN_H

int lt_rank_main(const char *attempt_dir); /* exit status */

#endif
