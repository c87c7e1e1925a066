/* channel.c - what server, client and session have in common towards the C core */
#include <assert.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <stdlib.h>
#include "base/auto.h"
#include "rpc/bytes.h"
#include "rpc/internal.h"
#include "sys/log.h"

#define DETAILS_KEY "grpc-status-details-bin"
#define MESSAGE_MAX (8 << 20)
#define CONNECT_MS                                                                                 \
    10000 /* the core's "minimum back-off" is how long one attempt may take, refusals aside */

void lt_rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, void *tag)
{
    grpc_call_error e = grpc_call_start_batch(call, ops, n, tag, NULL);

    if (e != GRPC_CALL_OK) {
        lt_err("grpc_call_start_batch: %s", grpc_call_error_to_string(e));
        abort();
    }
}

void lt_rpc_status_take(struct lt_rpc_status *out, grpc_status_code code, grpc_slice text,
                        const grpc_metadata_array *trailers)
{
    lt_rpc_status_done(out);
    out->code = (enum lt_rpc_code)code;
    lt_bytes_text(text, out->text, sizeof out->text);
    for (size_t i = 0; i < trailers->count; i++)
        if (grpc_slice_str_cmp(trailers->metadata[i].key, DETAILS_KEY) == 0) {
            grpc_slice v = trailers->metadata[i].value;

            lt_rpc_status_unpack(out, GRPC_SLICE_START_PTR(v), GRPC_SLICE_LENGTH(v));
        }
}

grpc_channel *lt_rpc_channel(const char *target)
{
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.compression_enabled_algorithms_bitset",
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.max_receive_message_length",
         .value.integer = MESSAGE_MAX},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.initial_reconnect_backoff_ms",
         .value.integer = 200},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.min_reconnect_backoff_ms",
         .value.integer = CONNECT_MS},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.max_reconnect_backoff_ms",
         .value.integer = 5000},
        {.type = GRPC_ARG_INTEGER, .key = (char *)"grpc.keepalive_time_ms", .value.integer = 30000},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.keepalive_timeout_ms",
         .value.integer = 10000},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.keepalive_permit_without_calls",
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = (char *)"grpc.enable_http_proxy", .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = (char *)"grpc.enable_retries", .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.use_local_subchannel_pool",
         .value.integer = 1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)"grpc.service_config_disable_resolution",
         .value.integer = 1},
    };
    grpc_channel_args list = {LT_ARRAY_LEN(args), args};
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, plain, &list);

    grpc_channel_credentials_release(plain);
    return channel;
}
