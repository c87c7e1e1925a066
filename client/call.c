/* call.c - unary calls, repeated while the daemon restarts
 *
 * Every call may be repeated: reads change nothing, Submit carries its request id, Cancel and its
 * like ask for a state.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/arena.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define RETRY_NS 10000000000ull
#define RETRY_PAUSE_NS 50000000

static void pause_a_little(void)
{
    const struct timespec t = {0, RETRY_PAUSE_NS};

    nanosleep(&t, NULL);
}

int lt_ctl_call(struct lt_ctl *ctl, const char *method, const void *request,
                const ProtobufCMessageDescriptor *out, void *reply)
{
    LT_AUTO(lt_free)
    char *path = method[0] == '/' ? lt_strdup(method) : lt_format("/lt.v1.Jobs/%s", method);
    uint64_t deadline = lt_clock_mono_ns() + RETRY_NS;
    struct lt_rpc_status status = {0};
    int rc, exit_code = 0;

    for (;;) {
        rc = lt_client_call(ctl->client, path, request, out, LT_CTL_TIMEOUT_MS, ctl->arena, reply,
                            &status);
        if (rc == 0 || status.code != LT_RPC_UNAVAILABLE || lt_clock_mono_ns() > deadline)
            break;
        pause_a_little();
        lt_rpc_status_done(&status);
        lt_ctl_reconnect(ctl);
    }
    if (rc < 0)
        exit_code = lt_ctl_fail_status(ctl, &status);
    lt_rpc_status_done(&status);
    return exit_code;
}

int lt_ctl_get(struct lt_ctl *ctl, const char *job, Lt__V1__JobStatus **out)
{
    Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;

    q.job_id = (char *)job;
    return lt_ctl_call(ctl, "Get", &q, &lt__v1__job_status__descriptor, out);
}

const char *lt_ctl_request_id(struct lt_ctl *ctl)
{
    unsigned char raw[16];
    char *text = lt_arena_alloc(ctl->arena, sizeof raw * 2 + 1);

    if (getrandom(raw, sizeof raw, 0) !=
        sizeof raw) /* can't be for 16 bytes; the clock is unique enough here */
        memcpy(raw, &(uint64_t[2]){lt_clock_wall_ns(), lt_clock_mono_ns()}, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(text + 2 * i, 3, "%02x", raw[i]);
    return text;
}
