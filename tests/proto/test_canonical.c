/* test_canonical.c - one plan, one encoding: whatever was written out, in whatever order */
#include "helpers.h"
#include "base/error.h"
#include "proto/wire.h"

static void canonical_of(const char *text, const char *const *sets, size_t n_sets,
                         struct lt_buf *out)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);

    lt_plan_canonical(&read_spec(text, sets, n_sets, arena)->base, out);
}

static bool same(const char *set)
{
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    canonical_of(good_plan, NULL, 0, &a);
    canonical_of(good_plan, &set, 1, &b);
    return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static void a_declared_default_is_no_difference(void **state)
{
    (void)state;
    assert_true(same("seed=0"));
    assert_true(same("trainer.strategy=auto"));
    assert_true(same("trainer.max_steps=-1"));
    assert_true(same("optimizer.adam.eps=1e-8"));
    assert_true(same("optimizer.adam.lr=0.001"));
    assert_true(same("data.scan=before"));
    assert_true(same("model.layers[1].linear.bias=true"));
    assert_true(same("step.loss.cross_entropy.target=label"));
}

static void everything_else_is(void **state)
{
    (void)state;
    assert_false(same("seed=1"));
    assert_false(same("name=x"));
    assert_false(same("job={}")); /* a message without a declared default: kept */
    assert_false(same("optimizer.adam.lr=0.0010000001"));
    assert_false(same("trainer.limit_val_batches=1.0"));
    assert_false(same("callbacks[0].model_checkpoint.save_last=false")); /* no default declared */
    assert_false(same("model.layers[2]=relu"));
    assert_false(same("optimizer.sgd.lr=0.001"));
}

/* 1 is one batch, 1.0 is all. */
static void the_form_of_a_limit_counts(void **state)
{
    const char *one[] = {"trainer.limit_val_batches=1"}, *all[] = {"trainer.limit_val_batches=1.0"};
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    (void)state;
    canonical_of(good_plan, one, 1, &a);
    canonical_of(good_plan, all, 1, &b);
    assert_true(a.len != b.len || memcmp(a.data, b.data, a.len) != 0);
}

static void expect_bytes(const ProtobufCMessageDescriptor *d, const char *wire, size_t n,
                         const char *want, size_t n_want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_BUF_AUTO got = {0};
    ProtobufCMessage *m = NULL;

    assert_int_equal(lt_wire_decode(d, wire, n, arena, &m, NULL), 0);
    lt_plan_canonical(m, &got);
    assert_int_equal(got.len, n_want);
    if (n_want)
        assert_memory_equal(got.data, want, n_want);
}

/* The bytes themselves: the hash of a plan must not change with a release. */
static void bytes_are_these(void **state)
{
    (void)state;
    /* tags out of order; seed 0 is the default */
    expect_bytes(&lt__v1__training_plan__descriptor, "\x10\x00\x0a\x01x", 5, "\x0a\x01x", 3);
    /* a packed list is written unpacked */
    expect_bytes(&lt__v1__split__descriptor, "\x12\x02\x00\x05", 4, "\x10\x00\x10\x05", 4);
    /* map entries by key */
    expect_bytes(&lt__v1__data__descriptor,
                 "\x52\x06\x0a\x01"
                 "b\x12\x01x"
                 "\x52\x06\x0a\x01"
                 "a\x12\x01y",
                 16,
                 "\x52\x06\x0a\x01"
                 "a\x12\x01y"
                 "\x52\x06\x0a\x01"
                 "b\x12\x01x",
                 16);
    /* negative numbers take ten bytes, as protobuf's int64 does */
    expect_bytes(&lt__v1__softmax__descriptor, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11,
                 "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    /* a member of a oneof is kept, whatever its value */
    expect_bytes(&lt__v1__batch_limit__descriptor, "\x08\x00", 2, "\x08\x00", 2);
}

static void many_map_entries_are_sorted(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_BUF_AUTO up = {0};
    LT_BUF_AUTO down = {0};
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    (void)state;
    for (int i = 0; i < 300; i++) {
        lt_buf_printf(&up, "%sk%03d: v%d", i ? ", " : "{argv: [x], env: {", i, i);
        lt_buf_printf(&down, "%sk%03d: v%d", i ? ", " : "{argv: [x], env: {", 299 - i, 299 - i);
    }
    lt_buf_str(&up, "}}");
    lt_buf_str(&down, "}}");
    struct lt_problems problems = {0};
    lt_plan_canonical(
        lt_text_parse(&lt__v1__command__descriptor, up.data, up.len, NULL, arena, &problems), &a);
    lt_plan_canonical(
        lt_text_parse(&lt__v1__command__descriptor, down.data, down.len, NULL, arena, &problems),
        &b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_declared_default_is_no_difference), cmocka_unit_test(everything_else_is),
        cmocka_unit_test(the_form_of_a_limit_counts),          cmocka_unit_test(bytes_are_these),
        cmocka_unit_test(many_map_entries_are_sorted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
