/* call.c - where the time of a short ltctl goes: loading, opening a channel, one call, closing it
 *
 * lt-bench-call SOCKET T0; linked against what ltctl is linked against. T0 is the monotonic clock in ns
 * just before the exec. Prints microseconds as one line of JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "lt/v1/jobs.pb-c.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define CALL_MS 10000

int main(int argc, char **argv)
{
    uint64_t at[5] = {0, lt_clock_mono_ns()};
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__ListRequest q = LT__V1__LIST_REQUEST__INIT;
    LT_AUTO(lt_free) char *target = NULL;
    struct lt_rpc_status status = {0};
    struct lt_error err = {0};
    struct lt_client *c;
    ProtobufCMessage *reply;
    int rc;

    if (argc != 3)
        return 2;
    at[0] = strtoull(argv[2], NULL, 10);
    target = lt_format("unix:%s", argv[1]);
    if (lt_client_open(target, &c, &err) < 0)
        return 1;
    at[2] = lt_clock_mono_ns();
    rc = lt_client_call(c, "/lt.v1.Jobs/List", &q.base, &lt__v1__list_response__descriptor, CALL_MS,
                        arena, &reply, &status);
    at[3] = lt_clock_mono_ns();
    lt_rpc_status_done(&status);
    lt_client_close(c);
    at[4] = lt_clock_mono_ns();
    printf("{\"loading\": %.0f, \"channel\": %.0f, \"call\": %.0f, \"closing\": %.0f}\n",
           (double)(at[1] - at[0]) / 1e3, (double)(at[2] - at[1]) / 1e3,
           (double)(at[3] - at[2]) / 1e3, (double)(at[4] - at[3]) / 1e3);
    return rc < 0;
}
