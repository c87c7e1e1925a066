/* log.c - what the C core has to say goes to our log
 *
 * A peer's mistakes are errors to the core; they are warnings here, and at most LINES a minute, so
 * that nobody can fill a disk by talking nonsense.
 */
#include <grpc/support/log.h>
#include <stdatomic.h>
#include "rpc/internal.h"
#include "sys/clock.h"
#include "sys/log.h"

#define LINES 20
#define MINUTE_NS (60ull * 1000 * 1000 * 1000)

static void log_line(gpr_log_func_args *args)
{
    static _Atomic uint64_t minute, lines; /* any thread of the core */
    uint64_t now = lt_clock_mono_ns() / MINUTE_NS;

    if (args->severity != GPR_LOG_SEVERITY_ERROR) {
        lt_debug("gRPC: %s", args->message);
        return;
    }
    if (atomic_exchange(&minute, now) != now)
        lines = 0;
    if (lines++ < LINES)
        lt_warning("gRPC: %s", args->message);
}

void lt_rpc_log_init(void)
{
    gpr_set_log_function(log_line);
}
