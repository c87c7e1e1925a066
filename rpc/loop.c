/* loop.c - completion queue → list → uv_async_send → callbacks on the loop's thread
 *
 * The tag of every batch is the address of an lt_rpc_op inside the object that the batch belongs
 * to. An op is in flight at most once, so the hand-over list is intrusive: no allocation, no loss.
 * A thread wakes the loop only when the list was empty.
 */
#include "rpc/loop.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include "base/error.h"
#include "base/mem.h"
#include "rpc/internal.h"

/* The core does its own work on them, too: one may be kept busy by a connection that sends without
 * end, for as long as that likes. */
#define THREADS 2

struct lt_rpc_loop {
    uv_loop_t *uv;
    uv_async_t wake;
    grpc_completion_queue *cq;
    pthread_t threads[THREADS];
    pthread_mutex_t lock; /* guards head, tail, over */
    struct lt_rpc_op *head, **tail;
    int n_threads, over; /* started, at their end */
    void (*done)(void *arg);
    void *arg;
};

static void *wait_for_completions(void *arg)
{
    struct lt_rpc_loop *l = arg;
    grpc_event ev;

    pthread_setname_np(pthread_self(), "ltd-grpc");
    while (
        (ev = grpc_completion_queue_next(l->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL)).type !=
        GRPC_QUEUE_SHUTDOWN) {
        struct lt_rpc_op *op = ev.tag;
        bool first;

        op->ok = ev.success;
        op->next = NULL;
        pthread_mutex_lock(&l->lock);
        first = l->head == NULL;
        *l->tail = op;
        l->tail = &op->next;
        pthread_mutex_unlock(&l->lock);
        if (first)
            uv_async_send(&l->wake);
    }
    pthread_mutex_lock(&l->lock);
    l->over++;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->wake);
    return NULL;
}

static void wake_closed(uv_handle_t *h)
{
    struct lt_rpc_loop *l = h->data;

    if (l->done)
        l->done(l->arg);
    pthread_mutex_destroy(&l->lock);
    lt_free(l);
}

static void on_wake(uv_async_t *a)
{
    struct lt_rpc_loop *l = a->data;
    struct lt_rpc_op *op, *next;
    bool over;

    pthread_mutex_lock(&l->lock);
    op = l->head;
    l->head = NULL;
    l->tail = &l->head;
    over = l->over == l->n_threads;
    pthread_mutex_unlock(&l->lock);
    for (; op; op = next) {
        next = op->next; /* fn may free op */
        op->fn(op, op->ok);
    }
    if (over && !uv_is_closing((uv_handle_t *)a)) {
        for (int i = 0; i < l->n_threads; i++)
            pthread_join(l->threads[i], NULL);
        grpc_completion_queue_destroy(l->cq);
        uv_close((uv_handle_t *)a, wake_closed);
    }
}

int lt_rpc_loop_open(uv_loop_t *loop, struct lt_rpc_loop **out, struct lt_error *err)
{
    struct lt_rpc_loop *l = lt_calloc(1, sizeof *l);
    int rc = uv_async_init(loop, &l->wake, on_wake);

    if (rc < 0) {
        lt_free(l);
        return lt_error_set(err, rc, "event loop: %s", uv_strerror(rc));
    }
    lt_rpc_log_init();
    grpc_init();
    l->uv = loop;
    l->wake.data = l;
    l->tail = &l->head;
    pthread_mutex_init(&l->lock, NULL);
    l->cq = grpc_completion_queue_create_for_next(NULL);
    while (l->n_threads < THREADS &&
           (rc = -pthread_create(&l->threads[l->n_threads], NULL, wait_for_completions, l)) == 0)
        l->n_threads++;
    if (l->n_threads == 0) {
        grpc_completion_queue_shutdown(l->cq);
        grpc_completion_queue_destroy(l->cq);
        uv_close((uv_handle_t *)&l->wake, wake_closed);
        return lt_error_set(err, rc, "can't start the thread of the completion queue: %s",
                            strerror(-rc));
    }
    *out = l;
    return 0;
}

void lt_rpc_loop_close(struct lt_rpc_loop *l, void (*done)(void *arg), void *arg)
{
    l->done = done;
    l->arg = arg;
    grpc_completion_queue_shutdown(l->cq);
}

uv_loop_t *lt_rpc_loop_uv(const struct lt_rpc_loop *l)
{
    return l->uv;
}

grpc_completion_queue *lt_rpc_loop_queue(const struct lt_rpc_loop *l)
{
    return l->cq;
}

void lt_rpc_shutdown(void)
{
    grpc_shutdown();
    for (int i = 0; i < 100 && grpc_is_initialized(); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}
