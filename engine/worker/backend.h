/* backend.h - which back end a worker uses: cpu; tests may set LT_BACKEND to ref, null or cpu */
#ifndef LT_WORKER_BACKEND_H
#define LT_WORKER_BACKEND_H

struct lt_backend;
struct lt_error;

const struct lt_backend *lt_worker_backend(struct lt_error *err); /* NULL: no such back end */

#endif
