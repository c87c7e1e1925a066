/* server.c - the server object: its arguments, its beginning and its end
 *
 * `handles` counts what still refers to the server: armed requests and calls (the core says that it
 * is down before their last completions have come through the loop), listeners, the grace timer,
 * the shutdown tag. The last one to go calls `done` and frees.
 */
#include "rpc/server.h"

#include <errno.h>
#include <grpc/grpc.h>
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "rpc/internal.h"
#include "sys/clock.h"
#include "sys/token.h"

#define OUTBOX_BYTES (256u << 10)
#define OUTBOX_TOTAL (32u << 20)
#define CALLS_PER_UID 4096
#define CALLS_PER_PID 256
#define QUOTA ((size_t)128 << 20) /* of calls and connections, in gRPC */
#define ARMED 16                  /* calls that may arrive in one turn without waiting */
#define MESSAGE_MAX (4 << 20)

static grpc_server *make_core(void)
{
    grpc_resource_quota *quota = grpc_resource_quota_create("ltd");
    grpc_server *core;
    grpc_arg args[] = {
        /* who never acknowledges our settings isn't held to max_concurrent_streams: the core stops
         * reading from connections instead, once its share is used up */
        {.type = GRPC_ARG_POINTER,
         .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
        /* gzip is unpacked before its size is checked */
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.compression_enabled_algorithms_bitset",
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.max_receive_message_length",
         .value.integer = MESSAGE_MAX},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.max_concurrent_streams",
         .value.integer = CALLS_PER_PID},
        /* a strike too many is a GOAWAY of 4 KiB per further ping, queued without bound for who
         * doesn't read; an answered ping is 17 bytes, and held back with the rest */
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.http2.max_ping_strikes",
         .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)"grpc.so_reuseport", .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.http2.min_ping_interval_without_data_ms",
         .value.integer = 5000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)"grpc.keepalive_time_ms", .value.integer = 30000},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.keepalive_timeout_ms",
         .value.integer = 10000},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.keepalive_permit_without_calls",
         .value.integer = 1},
    };
    grpc_channel_args list = {LT_ARRAY_LEN(args), args};

    grpc_resource_quota_resize(quota, QUOTA);
    core = grpc_server_create(&list, NULL);
    grpc_resource_quota_unref(quota);
    return core;
}

void lt_rpc_server_unref(struct lt_rpc_server *s)
{
    if (--s->handles > 0)
        return;
    if (s->done)
        s->done(s->arg);
    lt_tokens_close(s->tokens);
    lt_free(s);
}

static void grace_closed(uv_handle_t *h)
{
    lt_rpc_server_unref(h->data);
}

static void grace_over(uv_timer_t *t)
{
    struct lt_rpc_server *s = t->data;

    grpc_server_cancel_all_calls(s->core);
}

/* All calls are over. */
static void down(struct lt_rpc_op *op, int ok)
{
    struct lt_rpc_server *s = LT_CONTAINER_OF(op, struct lt_rpc_server, down);

    (void)ok;
    grpc_server_destroy(s->core);
    s->core = NULL;
    uv_close((uv_handle_t *)&s->grace, grace_closed);
    lt_rpc_server_unref(s);
}

int lt_rpc_server_open(const struct lt_rpc_server_config *config, struct lt_rpc_server **out,
                       struct lt_error *err)
{
    struct lt_rpc_server *s = lt_calloc(1, sizeof *s);
    int rc;

    s->config = *config;
    if (!s->config.outbox_bytes)
        s->config.outbox_bytes = OUTBOX_BYTES;
    if (!s->config.outbox_total)
        s->config.outbox_total = OUTBOX_TOTAL;
    if (!s->config.calls_per_uid)
        s->config.calls_per_uid = CALLS_PER_UID;
    if (!s->config.calls_per_pid)
        s->config.calls_per_pid = CALLS_PER_PID;
    s->down.fn = down;
    s->last_call_ns = lt_clock_mono_ns();
    rc = uv_timer_init(lt_rpc_loop_uv(config->loop), &s->grace);
    if (rc < 0) {
        lt_free(s);
        return lt_error_set(err, rc, "event loop: %s", uv_strerror(rc));
    }
    s->grace.data = s;
    s->handles = 1; /* the grace timer */
    s->core = make_core();
    grpc_server_register_completion_queue(s->core, lt_rpc_loop_queue(config->loop), NULL);
    grpc_server_start(s->core);
    for (int i = 0; i < ARMED; i++)
        lt_rpc_call_arm(s);
    *out = s;
    return 0;
}

void lt_rpc_server_close(struct lt_rpc_server *s, unsigned grace_ms, void (*done)(void *arg),
                         void *arg)
{
    if (s->closing) { /* asked twice: no grace */
        grpc_server_cancel_all_calls(s->core);
        return;
    }
    s->closing = true;
    s->done = done;
    s->arg = arg;
    s->handles++; /* the shutdown tag */
    lt_rpc_listeners_close(s);
    lt_rpc_calls_drain(s);
    grpc_server_shutdown_and_notify(s->core, lt_rpc_loop_queue(s->config.loop), &s->down);
    if (grace_ms == 0)
        grpc_server_cancel_all_calls(s->core);
    else
        uv_timer_start(&s->grace, grace_over, grace_ms, 0);
}

unsigned lt_rpc_server_calls(const struct lt_rpc_server *s)
{
    return s->open;
}

uint64_t lt_rpc_server_last_call_ns(const struct lt_rpc_server *s)
{
    return s->last_call_ns;
}
