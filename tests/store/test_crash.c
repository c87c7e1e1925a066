/* test_crash.c - the event log through crashes at every write and sync, failing operations, full
 * disks
 *
 * What was acknowledged is there afterwards, in order and unchanged; what was not is there as a
 * whole batch or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "daemon/store/store.h"
#include "tests/store/crashfs.h"

#define BATCHES 12

static const struct lt_store_options options = {.vfs = "crashfs"};

/* Content of event `seq`: big ones now and then, so that transactions span pages. */
static size_t payload(uint64_t seq, char out[6000])
{
    size_t n = seq % 5 == 0 ? 5000 : 40;

    memset(out, 'a' + (int)(seq % 26), n);
    snprintf(out, n, "event %llu", (unsigned long long)seq);
    return n;
}

/* One batch of 1 to 3 events. */
static int append_batch(struct lt_store *s, size_t n)
{
    char text[3][6000];
    struct lt_store_event events[3];
    uint64_t first = lt_store_last_seq(s) + 1;

    for (size_t i = 0; i < n; i++) {
        events[i] = (struct lt_store_event){.seq = first + i, .job = "job", .data = text[i]};
        events[i].len = payload(first + i, text[i]);
    }
    return lt_store_append(s, events, n, NULL);
}

struct run {
    uint64_t acked;     /* last event of an acknowledged batch */
    uint64_t attempted; /* last event of the batch that failed */
};

static struct run work(void)
{
    struct run r = {0};
    struct lt_store *s = NULL;

    if (lt_store_open("/d", &options, &s, NULL) < 0)
        return r;
    for (size_t b = 0; b < BATCHES; b++) {
        size_t n = b % 3 + 1;

        r.attempted = lt_store_last_seq(s) + n;
        if (append_batch(s, n) < 0)
            break;
        r.acked = r.attempted;
        if (b % 5 == 4 && lt_store_snapshot_save(s, r.acked, "fold", 4, NULL) < 0)
            break;
    }
    lt_store_close(s);
    return r;
}

struct seen {
    uint64_t last;
    bool wrong;
};

static int see(void *arg, const struct lt_store_event *e)
{
    struct seen *seen = arg;
    char text[6000];
    size_t n = payload(e->seq, text);

    seen->wrong =
        seen->wrong || e->seq != seen->last + 1 || e->len != n || memcmp(e->data, text, n) != 0;
    seen->last = e->seq;
    return 0;
}

static uint64_t check_log(struct lt_store *s)
{
    struct seen seen = {0};
    struct lt_error err = {0};
    int rc = lt_store_read(s, 0, NULL, 0, see, &seen, &err);

    if (rc < 0)
        fail_msg("%s", err.text);
    assert_false(seen.wrong);
    assert_int_equal(seen.last, lt_store_last_seq(s));
    return seen.last;
}

static void nothing_acknowledged_is_lost_at_any_crash(void **state)
{
    unsigned k = 0;

    (void)state;
    for (bool over = false; !over; k++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct lt_store *s = NULL;
            struct lt_error err = {0};
            struct run r;
            uint64_t last;

            crashfs_reset();
            crashfs_arm(CRASHFS_DIE, k);
            r = work();
            over = !crashfs_fired();
            crashfs_power_cut(seed);
            if (lt_store_open("/d", &options, &s, &err) < 0)
                fail_msg("operation %u, seed %llu: %s", k, (unsigned long long)seed, err.text);
            last = check_log(s);
            if (last != r.acked && last != r.attempted)
                fail_msg("operation %u, seed %llu: acknowledged %llu, attempted %llu, found %llu",
                         k, (unsigned long long)seed, (unsigned long long)r.acked,
                         (unsigned long long)r.attempted, (unsigned long long)last);
            assert_int_equal(append_batch(s, 2), 0); /* and it goes on */
            assert_int_equal(check_log(s), last + 2);
            lt_store_close(s);
        }
    assert_true(k > 50);
    print_message("# %u points\n", k);
}

static void a_failed_operation_is_a_failed_batch(void **state)
{
    (void)state;
    for (unsigned k = 0;; k++) {
        struct lt_store *s = NULL;
        uint64_t acked = 0;

        crashfs_reset();
        assert_int_equal(lt_store_open("/d", &options, &s, NULL), 0);
        crashfs_arm(CRASHFS_ONCE, k);
        for (size_t b = 0; b < 6; b++) {
            size_t n = b % 3 + 1;
            uint64_t before = lt_store_last_seq(s);
            int rc = append_batch(s, n);

            if (rc == 0) {
                acked = before + n;
                continue;
            }
            assert_int_equal(append_batch(s, 1), -EIO); /* not before the probe */
            assert_int_equal(lt_store_probe(s, NULL), 0);
            assert_true(check_log(s) >= acked);
            assert_true(lt_store_last_seq(s) == before || lt_store_last_seq(s) == before + n);
        }
        assert_true(check_log(s) >= acked);
        lt_store_close(s);
        if (!crashfs_fired())
            break;
        crashfs_power_cut(k);
        assert_int_equal(lt_store_open("/d", &options, &s, NULL), 0);
        assert_true(check_log(s) >= acked);
        lt_store_close(s);
    }
}

static void a_full_disk_refuses_and_loses_nothing(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 40; k++) {
        struct lt_store *s = NULL;
        uint64_t acked = 0, attempted = 0, last;
        int rc = 0;

        crashfs_reset();
        assert_int_equal(lt_store_open("/d", &options, &s, NULL), 0);
        crashfs_arm(CRASHFS_FULL, k);
        for (size_t b = 0; b < 100 && rc == 0; b++) {
            attempted = lt_store_last_seq(s) + b % 3 + 1;
            rc = append_batch(s, b % 3 + 1);
            if (rc == 0)
                acked = attempted;
        }
        assert_int_equal(rc, -ENOSPC);
        last = check_log(s); /* still readable */
        assert_true(last == acked || last == attempted);
        crashfs_arm(CRASHFS_NONE, 0);
        assert_int_equal(lt_store_probe(s, NULL), 0);
        assert_int_equal(append_batch(s, 3), 0);
        assert_int_equal(check_log(s), last + 3);
        lt_store_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_at_any_crash),
        cmocka_unit_test(a_failed_operation_is_a_failed_batch),
        cmocka_unit_test(a_full_disk_refuses_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
