/* test_loader.c - the reading thread gives the plan's order, from anywhere */
#include "tests/data/fixture.h"

#include "engine/data/loader.h"

static struct lt_loader *open_loader(const struct lt_data *d, struct lt_loader_config c)
{
    struct lt_loader *l = NULL;

    c.data = d;
    c.world = 1;
    assert_int_equal(lt_loader_open(&c, &l, NULL), 0);
    return l;
}

/* Two epochs from the start are the reference; every later start must continue them exactly. */
static void starts_anywhere(void **state)
{
    struct fixture f;
    int64_t want[40][8], n = 0;

    (void)state;
    fixture_init(&f, 4);
    f.train.shuffle = true;
    struct lt_data *d = fixture_open(&f);
    struct lt_loader *l =
        open_loader(d, (struct lt_loader_config){.batch_size = 7, .limit = -1, .seed = 5});
    assert_int_equal(lt_loader_batches(l), 12);
    assert_int_equal(lt_loader_batch_size(l, 11), 3);
    assert_int_equal(lt_loader_start(l, 0, 0, NULL), 0);
    for (n = 0; n < 24; n++) {
        const struct lt_batch *b = lt_loader_next(l);

        assert_int_equal(b->epoch, n / 12);
        assert_int_equal(b->index, n % 12);
        assert_int_equal(b->n, n % 12 == 11 ? 3 : 7);
        memcpy(want[n], b->sample_index, (size_t)b->n * sizeof(int64_t));
    }
    assert_memory_not_equal(want[0], want[12], 7 * sizeof(int64_t));
    for (int64_t from = 0; from < 24; from += 5) {
        assert_int_equal(lt_loader_start(l, (uint64_t)from / 12, (uint64_t)from % 12, NULL), 0);
        for (int64_t i = from; i < 24; i++) {
            const struct lt_batch *b = lt_loader_next(l);
            const int64_t *label = b->field[1];

            assert_memory_equal(want[i], b->sample_index, (size_t)b->n * sizeof(int64_t));
            for (int64_t k = 0; k < b->n; k++)
                assert_int_equal(label[k], label_of((size_t)b->sample_index[k]));
        }
    }
    lt_loader_close(l);
    lt_data_close(d);
    fixture_done(&f);
}

static void an_epoch_is_a_permutation(void **state)
{
    struct fixture f;
    int seen[80] = {0};

    (void)state;
    fixture_init(&f, 4);
    f.train.shuffle = true;
    struct lt_data *d = fixture_open(&f);
    struct lt_loader *l = open_loader(d, (struct lt_loader_config){.batch_size = 32, .limit = -1});
    lt_loader_start(l, 9, 0, NULL);
    for (uint64_t i = 0; i < lt_loader_batches(l); i++) {
        const struct lt_batch *b = lt_loader_next(l);

        for (int64_t k = 0; k < b->n; k++) {
            seen[b->sample_index[k]]++;
            assert_true(b->weight[k] == 1.0f);
        }
    }
    for (int i = 0; i < 80; i++)
        assert_int_equal(seen[i], 1);
    lt_loader_close(l);
    lt_data_close(d);
    fixture_done(&f);
}

static void limit_and_sequential(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, 4);
    f.train.shuffle = true;
    struct lt_data *d = fixture_open(&f);
    struct lt_loader *l =
        open_loader(d, (struct lt_loader_config){.batch_size = 8, .limit = 3, .sequential = true});
    assert_int_equal(lt_loader_batches(l), 3);
    lt_loader_start(l, 0, 0, NULL);
    for (int i = 0; i < 200; i++) {
        const struct lt_batch *b = lt_loader_next(l);

        assert_int_equal(b->epoch, i / 3);
        assert_int_equal(b->sample_index[0], i % 3 * 8);
    }
    lt_loader_close(l);
    lt_data_close(d);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_anywhere),
        cmocka_unit_test(an_epoch_is_a_permutation),
        cmocka_unit_test(limit_and_sequential),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
