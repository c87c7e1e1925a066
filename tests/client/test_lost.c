/* test_lost.c - a daemon is waited for from when it was missed, not from when it last said something */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>

#include <cmocka.h>

#include "client/lost.h"
#include "client/verb.h"
#include "rpc/client.h"

const struct lt_verb *const lt_verbs[] = {NULL};

#define S 1000000000ull
#define NOON (100000 * S)

static struct lt_client *client; /* nobody listens there */

static int setup(void **state)
{
    (void)state;
    return lt_client_open("unix:/nowhere/ltd.sock", &client, NULL);
}

static int teardown(void **state)
{
    (void)state;
    lt_client_close(client);
    return 0;
}

static void a_silent_stream_has_the_whole_time_when_it_breaks(void **state)
{
    struct lt_lost l = {0};

    (void)state;
    lt_lost_read(&l, client, 1);
    assert_false(lt_lost_for_good(&l, NOON)); /* hours after the message */
    assert_false(lt_lost_for_good(&l, NOON + LT_RECONNECT_NS));
    assert_true(lt_lost_for_good(&l, NOON + LT_RECONNECT_NS + 1));
}

static void a_message_shows_that_it_is_back(void **state)
{
    struct lt_lost l = {0};

    (void)state;
    assert_false(lt_lost_for_good(&l, NOON));
    lt_lost_read(&l, client, 1);
    assert_false(lt_lost_for_good(&l, NOON + 1000 * S));
    assert_true(lt_lost_for_good(&l, NOON + 1061 * S));
}

static void nothing_to_read_without_a_connection_shows_nothing(void **state)
{
    struct lt_lost l = {0};

    (void)state;
    assert_false(lt_lost_for_good(&l, NOON));
    lt_lost_read(&l, client, -EAGAIN);
    lt_lost_read(&l, client, -ECONNREFUSED);
    assert_true(lt_lost_for_good(&l, NOON + 61 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_stream_has_the_whole_time_when_it_breaks),
        cmocka_unit_test(a_message_shows_that_it_is_back),
        cmocka_unit_test(nothing_to_read_without_a_connection_shows_nothing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
