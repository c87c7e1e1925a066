/* test_stall.c - who is to blame when ranks stand still, and when it is for good */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/node/stall.h"

#define S UINT64_C(1000000000)
#define HANG (60 * S)
#define TRAINING LT_PHASE_TRAINING
#define COMPILING LT_PHASE_COMPILING
#define SAVING LT_PHASE_CHECKPOINTING

struct one {
    enum lt_still how;
    unsigned still_s;
    uint64_t started, done;
    enum lt_phase phase;
};

enum outcome { NOTHING, TOLD, HANGS };

static struct lt_still_rank rank_of(uint32_t i, const struct one *o)
{
    struct lt_still_rank r = {.rank = i, .there = o->still_s > 0 || o->how == LT_STILL_MOVES};

    r.how = o->how;
    r.still_ns = o->still_s * S;
    r.started = o->started;
    r.done = o->done;
    r.phase = o->phase;
    return r;
}

static void the_right_one_is_blamed(void **state)
{
    static const struct {
        const char *what;
        struct one a, b;
        enum outcome want;
        uint32_t who;
    } rows[] = {
        {"they move", {LT_STILL_MOVES, 0, 5, 5, TRAINING}, {LT_STILL_MOVES, 0, 5, 5, TRAINING}, NOTHING, 0},
        {"for a moment", {LT_STILL_WAITS, 9, 5, 4, TRAINING}, {LT_STILL_STOPPED, 9, 4, 4, TRAINING}, NOTHING, 0},
        {"stopped", {LT_STILL_WAITS, 10, 5, 4, TRAINING}, {LT_STILL_STOPPED, 10, 4, 4, TRAINING}, TOLD, 1},
        {"stopped for good", {LT_STILL_WAITS, 60, 5, 4, TRAINING}, {LT_STILL_STOPPED, 60, 4, 4, TRAINING}, HANGS, 1},
        {"the other goes on a little", {LT_STILL_MOVES, 0, 4, 4, TRAINING}, {LT_STILL_STOPPED, 61, 4, 4, TRAINING}, HANGS, 1},
        {"stopped within a collective", {LT_STILL_WAITS, 60, 5, 4, TRAINING}, {LT_STILL_STOPPED, 60, 5, 4, TRAINING}, HANGS, 1},
        {"asleep", {LT_STILL_IDLE, 60, 4, 4, TRAINING}, {LT_STILL_WAITS, 60, 5, 4, TRAINING}, HANGS, 0},
        {"a long operator", {LT_STILL_BUSY, 59, 4, 4, TRAINING}, {LT_STILL_WAITS, 59, 5, 4, TRAINING}, NOTHING, 0},
        {"a very long operator", {LT_STILL_BUSY, 61, 4, 4, TRAINING}, {LT_STILL_WAITS, 61, 5, 4, TRAINING}, TOLD, 0},
        {"an endless one", {LT_STILL_BUSY, 600, 4, 4, TRAINING}, {LT_STILL_WAITS, 600, 5, 4, TRAINING}, HANGS, 0},
        {"one left it out", {LT_STILL_WAITS, 60, 6, 5, TRAINING}, {LT_STILL_WAITS, 60, 5, 4, TRAINING}, HANGS, 1},
        {"one decodes for both", {LT_STILL_BUSY, 300, 0, 0, COMPILING}, {LT_STILL_IDLE, 300, 0, 0, COMPILING}, TOLD, 0},
        {"another job decodes", {LT_STILL_IDLE, 50, 0, 0, COMPILING}, {LT_STILL_IDLE, 50, 0, 0, COMPILING}, NOTHING, 0},
        {"a slow disk", {LT_STILL_IDLE, 100, 4, 4, SAVING}, {LT_STILL_WAITS, 100, 5, 4, SAVING}, TOLD, 0},
        {"stopped before it trains", {LT_STILL_BUSY, 60, 0, 0, COMPILING}, {LT_STILL_STOPPED, 60, 0, 0, COMPILING}, HANGS, 1},
        {"the other one is elsewhere", {LT_STILL_WAITS, 60, 5, 4, TRAINING}, {LT_STILL_WAITS, 0, 0, 0, TRAINING}, NOTHING, 0},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        const struct lt_still_rank ranks[] = {rank_of(0, &rows[i].a), rank_of(1, &rows[i].b)};
        struct lt_stall s = lt_stall_judge(ranks, 2, HANG);
        enum outcome got = !s.who ? NOTHING : s.hang ? HANGS : TOLD;

        if (got != rows[i].want || (s.who && s.who->rank != rows[i].who))
            fail_msg("%s: outcome %d, rank %d", rows[i].what, (int)got,
                     s.who ? (int)s.who->rank : -1);
    }
}

static void a_single_rank_is_judged_alike(void **state)
{
    struct lt_still_rank r = rank_of(0, &(struct one){LT_STILL_STOPPED, 60, 0, 0, TRAINING});

    (void)state;
    assert_true(lt_stall_judge(&r, 1, HANG).hang);
    r.how = LT_STILL_IDLE;
    r.still_ns = 10 * S;
    assert_non_null(lt_stall_judge(&r, 1, HANG).who);
    assert_false(lt_stall_judge(&r, 1, HANG).hang);
    r.how = LT_STILL_MOVES;
    r.still_ns = 0;
    assert_null(lt_stall_judge(&r, 1, HANG).who);
}

static void it_is_described(void **state)
{
    struct lt_still_rank ranks[] = {
        rank_of(0, &(struct one){LT_STILL_WAITS, 60, 8, 7, TRAINING}),
        rank_of(1, &(struct one){LT_STILL_STOPPED, 60, 7, 7, TRAINING}),
        rank_of(2, &(struct one){LT_STILL_WAITS, 60, 8, 7, TRAINING}),
    };
    LT_BUF_AUTO text = {0};

    (void)state;
    ranks[0].last = (struct lt_collective){.seq = 8, .kind = "all_reduce", .name = "conv2.weight"};
    ranks[1].last = (struct lt_collective){.seq = 7, .kind = "all_reduce", .name = "fc.bias"};
    ranks[1].state = 'T';
    ranks[1].step = 57;
    strcpy(ranks[1].wchan, "do_signal_stop");
    lt_stall_describe(ranks, 3, &ranks[1], &text);
    assert_string_equal(text.data,
                        "rank 1 is stopped: stopped in do_signal_stop, training, step 57, behind "
                        "collective #7 (all_reduce of fc.bias); for it wait in collectives: rank 0, "
                        "2, the first one in #8 (all_reduce of conv2.weight), which rank 1 has not "
                        "begun");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_one_is_blamed),
        cmocka_unit_test(a_single_rank_is_judged_alike),
        cmocka_unit_test(it_is_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
