/* test_order.c - permutations, batches of several ranks, short ones */
#include "tests/data/fixture.h"

#include "engine/data/order.h"

static void every_sample_once(void **state)
{
    uint32_t perm[1000];
    bool seen[1000] = {0};

    (void)state;
    lt_order_shuffle(perm, 1000, 42, 3);
    for (int i = 0; i < 1000; i++) {
        assert_false(seen[perm[i]]);
        seen[perm[i]] = true;
    }
}

static void keyed_by_seed_and_epoch(void **state)
{
    uint32_t a[64], b[64];

    (void)state;
    lt_order_shuffle(a, 64, 42, 0);
    lt_order_shuffle(b, 64, 42, 0);
    assert_memory_equal(a, b, sizeof a);
    lt_order_shuffle(b, 64, 42, 1);
    assert_memory_not_equal(a, b, sizeof a);
    lt_order_shuffle(b, 64, 43, 0);
    assert_memory_not_equal(a, b, sizeof a);
}

/* Every order of 4 elements comes about equally often. */
static void uniform(void **state)
{
    int count[256] = {0}, kinds = 0;
    uint32_t p[4];

    (void)state;
    for (uint64_t e = 0; e < 24000; e++) {
        lt_order_shuffle(p, 4, 7, e);
        count[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    for (int i = 0; i < 256; i++)
        if (count[i]) {
            kinds++;
            assert_in_range(count[i], 850, 1150);
        }
    assert_int_equal(kinds, 24);
}

static void batches_and_sizes(void **state)
{
    struct lt_order o = {.samples = 10, .batch_size = 4, .rank = 0, .world = 1};

    (void)state;
    assert_int_equal(lt_order_batches(&o), 3);
    assert_int_equal(lt_order_size(&o, 0), 4);
    assert_int_equal(lt_order_size(&o, 2), 2);
    o.drop_last = true;
    assert_int_equal(lt_order_batches(&o), 2);
    o.samples = 8;
    o.drop_last = false;
    assert_int_equal(lt_order_batches(&o), 2);
}

/* 11 samples, 2 per rank, 3 ranks: 6 + 5; the ranks take every third, the last one lacks one in the
 * short batch. */
static void ranks_share_a_batch(void **state)
{
    int seen[11] = {0};
    uint32_t position[2];
    float weight[2];

    (void)state;
    for (uint32_t rank = 0; rank < 3; rank++) {
        struct lt_order o = {.samples = 11, .batch_size = 2, .rank = rank, .world = 3};

        assert_int_equal(lt_order_batches(&o), 2);
        for (uint64_t b = 0; b < 2; b++) {
            assert_int_equal(lt_order_size(&o, b), 2);
            lt_order_batch(&o, b, position, weight);
            for (int i = 0; i < 2; i++) {
                assert_true(position[i] < 11);
                seen[position[i]] += weight[i] > 0;
            }
            assert_true(weight[1] > 0 || (rank == 2 && b == 1));
        }
        lt_order_batch(&o, 0, position, weight);
        assert_int_equal(position[0], rank);
        assert_int_equal(position[1], rank + 3);
    }
    for (int i = 0; i < 11; i++)
        assert_int_equal(seen[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_once),
        cmocka_unit_test(keyed_by_seed_and_epoch),
        cmocka_unit_test(uniform),
        cmocka_unit_test(batches_and_sizes),
        cmocka_unit_test(ranks_share_a_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
