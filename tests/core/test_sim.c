/* test_sim.c - daemon/core through many lives: LT_SIM_SEEDS (1000) histories from LT_SIM_SEED (1)
 *
 * A failing seed prints the command that repeats it; LT_SIM_TRACE=1 shows the history.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/core/sim/sim.h"

static uint64_t current;

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void print_repeat(void)
{
    fprintf(stderr,
            "repeat: LT_SIM_SEED=%llu LT_SIM_SEEDS=1 LT_SIM_TRACE=1 build/tests/test_core_sim\n",
            (unsigned long long)current);
}

static void on_abort(int signal)
{
    (void)signal;
    print_repeat();
    _exit(1);
}

static void histories_hold(void **state)
{
    uint64_t first = number("LT_SIM_SEED", 1), n = number("LT_SIM_SEEDS", 1000), steps = 0;
    char why[512];

    (void)state;
    signal(SIGABRT, on_abort);
    for (current = first; current < first + n; current++)
        if (!sim_run(current, number("LT_SIM_TRACE", 0) != 0, why, &steps)) {
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)current, why);
            print_repeat();
            fail();
        }
    print_message("# %llu histories, %llu steps of the core\n", (unsigned long long)n,
                  (unsigned long long)steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(histories_hold)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
