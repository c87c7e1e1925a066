/* test_wire.c - hostile bytes are turned away before protobuf-c sees them, with a path */
#include <errno.h>
#include "helpers.h"
#include "base/error.h"
#include "lt/v1/jobs.pb-c.h"
#include "proto/wire.h"

static const ProtobufCMessageDescriptor *const spec_type = &lt__v1__job_spec__descriptor;

static void put_varint(struct lt_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        lt_buf_char(b, (char)(v | 0x80));
    lt_buf_char(b, (char)v);
}

/* Wraps what is in b as field `tag` of a message around it. */
static void wrap(struct lt_buf *b, unsigned tag)
{
    struct lt_buf out = {0};

    put_varint(&out, tag << 3 | 2);
    put_varint(&out, b->len);
    if (b->len)
        lt_buf_append(&out, b->data, b->len);
    lt_buf_done(b);
    *b = out;
}

static void expect_refused(const struct lt_buf *b, int code, const char *text)
{
    struct lt_error err = {0};

    assert_int_equal(lt_wire_check(spec_type, b->data, b->len, &err), code);
    assert_string_equal(err.text, text);
}

static void nesting_is_bounded(void **state)
{
    LT_BUF_AUTO b = {0};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        wrap(&b, 1);  /* Sequential.layers */
        wrap(&b, 16); /* Layer.sequential */
    }
    wrap(&b, 1); /* Model.layers */
    wrap(&b, 3); /* TrainingPlan.model */
    wrap(&b, 1); /* JobSpec.plan */
    struct lt_error err = {0};
    assert_int_equal(lt_wire_check(spec_type, b.data, b.len, &err), -EPROTO);
    assert_non_null(strstr(err.text, "plan.model.layers[0].sequential.layers[0].sequential"));
    assert_non_null(strstr(err.text, "messages nest deeper than 32 levels"));
}

static void the_deepest_allowed_message_is_unpacked(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_BUF_AUTO b = {0};
    ProtobufCMessage *m = NULL;
    struct lt_error err = {0};

    (void)state;
    for (int i = 0; i < 14; i++) { /* JobSpec, plan, model, layer, then pairs */
        wrap(&b, 1);
        wrap(&b, 16);
    }
    wrap(&b, 1);
    wrap(&b, 3);
    wrap(&b, 1);
    assert_int_equal(lt_wire_decode(spec_type, b.data, b.len, arena, &m, &err), 0);
    assert_int_equal(((Lt__V1__JobSpec *)m)->plan->model->n_layers, 1);
}

static void floods_of_fields_are_bounded(void **state)
{
    LT_BUF_AUTO b = {0};

    (void)state;
    for (int i = 0; i < LT_WIRE_FIELDS + 1; i++)
        lt_buf_append(&b, "\x78\x00", 2); /* unknown tag 15 */
    expect_refused(&b, -E2BIG, "more fields than the limit of 1000000");
}

static void packed_lists_count_too(void **state)
{
    LT_BUF_AUTO b = {0};

    (void)state;
    lt_buf_reserve(&b, 1100000);
    for (int i = 0; i < 1100000; i++)
        lt_buf_char(&b, 1);
    wrap(&b, 2); /* Split.range, packed */
    wrap(&b, 2); /* Data.train */
    wrap(&b, 4); /* data */
    wrap(&b, 1);
    expect_refused(&b, -E2BIG, "plan.data.train.range[0]: more fields than the limit of 1000000");
}

/* Names of one byte cost 2 bytes on the wire and a pointer and a block in memory. */
static void memory_is_capped(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(64 * 1024);
    LT_BUF_AUTO b = {0};
    ProtobufCMessage *m = NULL;
    struct lt_error err = {0};

    (void)state;
    for (int i = 0; i < 20000; i++)
        lt_buf_append(&b, "\x1a\x00", 2); /* Model.inputs: "" */
    wrap(&b, 3);
    wrap(&b, 1);
    assert_int_equal(lt_wire_decode(spec_type, b.data, b.len, arena, &m, &err), -ENOMEM);
    assert_null(m);
    assert_true(lt_arena_used(arena) <= 64 * 1024);
}

static void malformed_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } cases[] = {
        {"\x0a\x05"
         "ab",
         4, "malformed: a field is cut off or has no valid key"},
        {"\x0a", 1, "malformed: a field is cut off or has no valid key"},
        {"\x00\x01", 2, "malformed: a field is cut off or has no valid key"}, /* tag 0 */
        {"\x0b\x0c", 2, "malformed: a field is cut off or has no valid key"}, /* a group */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10,
         "malformed: a field is cut off or has no valid key"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
         "malformed: a field is cut off or has no valid key"},
        {"\x08\x01", 2, "plan: has the wrong wire type"},
        {"\x0a\x02\x0a\x00", 4, NULL}, /* name: "" */
        {"\x0a\x03\x0a\x01\x00", 5, "plan.name: a text with a NUL byte in it"},
        {"\x0a\x05\x22\x03\x30\x01\x32", 7,
         "plan.data: malformed: a field is cut off or has no valid key"},
        {"\x0a\x0d\x22\x0b\x42\x09\x12\x07\x0a\x05"
         "abcde",
         15, "plan.data.transforms[0].normalize.mean[0]: packed list is cut off"},
        {"\x0a\x07\x22\x05\x12\x03\x12\x01\x80", 9,
         "plan.data.train.range[0]: packed list is cut off"},
        {"\x0a\x04\x22\x02\x32\x00", 6, "plan.data.batch_size: has the wrong wire type"},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        struct lt_error err = {0};
        const int rc = lt_wire_check(spec_type, cases[i].bytes, cases[i].n, &err);

        assert_int_equal(rc, cases[i].text ? -EPROTO : 0);
        assert_string_equal(err.text, cases[i].text ? cases[i].text : "");
    }
}

/* Every prefix of a good message, and every single byte changed: never a crash, and what passes
 * unpacks. */
static void damage_never_crashes(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    Lt__V1__JobSpec *spec = read_spec(good_plan, NULL, 0, arena);
    const size_t n = protobuf_c_message_get_packed_size(&spec->base);
    uint8_t *bytes = lt_malloc(n);

    (void)state;
    protobuf_c_message_pack(&spec->base, bytes);
    for (size_t i = 0; i < n; i++) {
        LT_AUTO(lt_arena_free) struct lt_arena *scratch = lt_arena_new(1u << 20);
        const uint8_t kept = bytes[i];
        ProtobufCMessage *m;
        struct lt_error err;

        (void)lt_wire_decode(spec_type, bytes, i, scratch, &m, &err);
        for (int bit = 0; bit < 8; bit++) {
            struct lt_problems problems = {0};

            bytes[i] = (uint8_t)(kept ^ 1 << bit);
            if (lt_wire_decode(spec_type, bytes, n, scratch, &m, &err) == 0)
                lt_plan_validate((Lt__V1__JobSpec *)m, &problems);
            lt_problems_done(&problems);
        }
        bytes[i] = kept;
    }
    lt_free(bytes);
}

static void expect_invalid(const void *bytes, size_t n, const char *want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    struct lt_problems problems = {0};
    LT_BUF_AUTO got = {0};
    ProtobufCMessage *m;
    struct lt_error err = {0};

    assert_int_equal(lt_wire_decode(spec_type, bytes, n, arena, &m, &err), 0);
    lt_wire_validate(m, &problems);
    problems_text(&problems, &got);
    expect_text(got.data, want);
    lt_problems_done(&problems);
}

static void what_only_the_message_shows(void **state)
{
    (void)state;
    expect_invalid("\x0a\x04\x22\x02\x58\x07", 6,
                   "0:0 plan.data.scan: 7 stands for no value of Scan ()\n");
    expect_invalid("\x0a\x04\x0a\x02\xc3\x28", 6,
                   "0:0 plan.name: isn't valid UTF-8 (write it in UTF-8)\n");
    expect_invalid("\x0a\x05\x4a\x03\xf8\x07\x01", 7,
                   "0:0 plan.trainer: unknown field with tag 127 in Trainer (send only fields of "
                   "this version's schema, "
                   "or upgrade ltd)\n");
    expect_invalid("\x0a\x0e\x22\x0c\x52\x04\x0a\x00\x12\x00\x52\x04\x0a\x00\x12\x00", 16,
                   "0:0 plan.data.fields[1]: the key `` is given twice ()\n");
}

static void an_empty_message_is_one(void **state)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    ProtobufCMessage *m = NULL;

    (void)state;
    assert_int_equal(lt_wire_decode(&lt__v1__list_request__descriptor, NULL, 0, arena, &m, NULL),
                     0);
    assert_false(((Lt__V1__ListRequest *)m)->all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(the_deepest_allowed_message_is_unpacked),
        cmocka_unit_test(floods_of_fields_are_bounded),
        cmocka_unit_test(packed_lists_count_too),
        cmocka_unit_test(memory_is_capped),
        cmocka_unit_test(malformed_bytes),
        cmocka_unit_test(damage_never_crashes),
        cmocka_unit_test(what_only_the_message_shows),
        cmocka_unit_test(an_empty_message_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
