/* test_roundtrip.c - random messages of every shape the schema allows: print → parse gives the same
 * canonical bytes
 *
 * A failing seed is printed; LT_SEED=N runs it alone.
 */
#include <math.h>
#include "helpers.h"
#include "base/philox.h"
#include "lt/v1/events.pb-c.h"
#include "lt/v1/jobs.pb-c.h"
#include "proto/reflect.h"
#include "proto/wire.h"

struct dice {
    struct lt_rng rng;
    uint64_t n;
    struct lt_arena *arena;
};

static uint64_t roll(struct dice *d, uint64_t n)
{
    return lt_rng_below(&d->rng, d->n++, 0, n);
}

static const char *const words[] = {
    "",
    "a",
    "true",
    "null",
    "~",
    "12",
    "1e5",
    "0x1f",
    "- a",
    "a: b",
    "# no comment",
    "no",
    "On",
    "inf",
    ".nan",
    "1:30",
    "2026-01-01",
    "32-true",
    "{x}",
    "[x]",
    "model-{epoch:02d}",
    "it's",
    "a\"b",
    "a\\b",
    "a\nb",
    "\t",
    " lead",
    "trail ",
    "\x01\x7f",
    "ü→😀",
    "\xc2\x85\xe2\x80\xa8",
    "\xef\xbb\xbf",
    "&a",
    "*a",
    "!t",
    "%d",
    "@x",
    "`x`",
    "a,b",
    "a #b",
    ":",
    "-",
    "=",
    "<<",
    "0",
    "00",
    "-0",
    "kind",
    "key with blanks",
    "\xef\xbf\xbe",
};

static double random_double(struct dice *d)
{
    static const double some[] = {0,    -0.0,          1,    -1, 0.1, 1e-5, 1e300, 5e-324, 1e15,
                                  1e16, 123456789.125, 3600, 90, 0.5};
    uint64_t bits = roll(d, UINT64_MAX);
    double v;

    if (roll(d, 2))
        return some[roll(d, LT_ARRAY_LEN(some))];
    memcpy(&v, &bits, sizeof v);
    return isnan(v) ? NAN : v;
}

static ProtobufCMessage *random_message(struct dice *d, const ProtobufCMessageDescriptor *type,
                                        int depth);

static void random_value(struct dice *d, const ProtobufCFieldDescriptor *f, void *out, int depth)
{
    static const uint64_t some[] = {
        0, 1, 2, 60, 1024, 4ull << 30, INT64_MAX, UINT64_MAX, INT32_MAX, (uint64_t)INT64_MIN};
    const ProtobufCEnumDescriptor *e = f->descriptor;
    const uint64_t number = roll(d, 2) ? some[roll(d, LT_ARRAY_LEN(some))] : roll(d, UINT64_MAX);
    ProtobufCBinaryData *bytes = out;

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(const char **)out = words[roll(d, LT_ARRAY_LEN(words))];
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)out = random_message(d, f->descriptor, depth + 1);
        return;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)out = e->values[roll(d, e->n_values)].value;
        return;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)out = (protobuf_c_boolean)roll(d, 2);
        return;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)out = random_double(d);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        bytes->len = roll(d, 5);
        bytes->data = lt_arena_alloc(d->arena, 8);
        memcpy(bytes->data, &number, bytes->len);
        return;
    default:
        memcpy(out, &number, lt_type_size(f->type));
    }
}

static void random_list(struct dice *d, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m,
                        int depth)
{
    const size_t n = roll(d, 4);
    char *items = lt_arena_alloc(d->arena, n * lt_type_size(f->type) + 1);

    for (size_t i = 0; i < n; i++) {
        random_value(d, f, items + i * lt_type_size(f->type), depth);
        if (lt_field_is_map(f)) {
            ProtobufCMessage *e = *(ProtobufCMessage **)(items + i * lt_type_size(f->type));
            const ProtobufCFieldDescriptor *key = &e->descriptor->fields[0];

            *(const char **)((char *)e + key->offset) =
                lt_arena_format(d->arena, "%s%zu", words[roll(d, LT_ARRAY_LEN(words))], i);
        }
    }
    memcpy((char *)m + f->offset, &items, sizeof items);
    memcpy((char *)m + f->quantifier_offset, &n, sizeof n);
}

static void random_field(struct dice *d, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m,
                         int depth)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        random_list(d, f, m, depth);
        return;
    }
    random_value(d, f, (char *)m + f->offset, depth);
    if (lt_field_is_oneof(f))
        memcpy((char *)m + f->quantifier_offset, &f->id, sizeof f->id);
    else if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
        *(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = 1;
}

static ProtobufCMessage *random_message(struct dice *d, const ProtobufCMessageDescriptor *type,
                                        int depth)
{
    ProtobufCMessage *m = lt_arena_alloc(d->arena, type->sizeof_message);

    assert_non_null(m);
    protobuf_c_message_init(type, m);
    if (lt_message_is_choice(type) && roll(d, 20)) {
        const ProtobufCFieldDescriptor *f = &type->fields[roll(d, type->n_fields)];

        random_field(d, f, m, depth);
        return m;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        const bool nests = f->type == PROTOBUF_C_TYPE_MESSAGE;

        if (lt_field_is_oneof(f) ? lt_oneof_set(m, f) || roll(d, 4) : roll(d, 2))
            continue;
        if (!nests || depth < 6)
            random_field(d, f, m, depth);
    }
    return m;
}

static void canonical(const ProtobufCMessage *m, struct lt_buf *out)
{
    out->len = 0;
    lt_plan_canonical(m, out);
}

static void expect_same(const ProtobufCMessage *m, int flags, const struct lt_buf *want,
                        uint64_t seed)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_problems problems = {0};
    LT_BUF_AUTO text = {0};
    LT_BUF_AUTO got = {0};
    LT_BUF_AUTO said = {0};
    ProtobufCMessage *back;

    lt_text_print(m, flags, &text);
    back = lt_text_parse(m->descriptor, text.data, text.len, NULL, arena, &problems);
    problems_text(&problems, &said);
    if (back)
        canonical(back, &got);
    if (!back || got.len != want->len || (got.len && memcmp(got.data, want->data, got.len)))
        fail_msg("LT_SEED=%llu flags %d\n%s\n%s", (unsigned long long)seed, flags,
                 said.data ? said.data : "", text.data);
    lt_problems_done(&problems);
}

static void one_seed(const ProtobufCMessageDescriptor *type, uint64_t seed)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct dice d = {.rng = lt_rng_make(seed, LT_RNG_INIT, 0), .arena = arena};
    ProtobufCMessage *m = random_message(&d, type, 0), *again;
    const size_t packed = protobuf_c_message_get_packed_size(m);
    LT_BUF_AUTO want = {0};
    LT_BUF_AUTO copy = {0};
    uint8_t *bytes = lt_malloc(packed + 1);

    canonical(m, &want);
    assert_true(want.len <= packed);
    canonical(lt_message_copy(m, arena), &copy);
    assert_true(copy.len == want.len && (!want.len || !memcmp(copy.data, want.data, want.len)));
    protobuf_c_message_pack(m, bytes);
    assert_int_equal(lt_wire_decode(type, bytes, packed, arena, &again, NULL), 0);
    canonical(again, &copy);
    assert_true(copy.len == want.len && (!want.len || !memcmp(copy.data, want.data, want.len)));
    lt_free(bytes);
    expect_same(m, 0, &want, seed);
    expect_same(m, LT_TEXT_DEFAULTS, &want, seed);
    expect_same(m, LT_TEXT_JSON, &want, seed);
    expect_same(m, LT_TEXT_JSON | LT_TEXT_PRETTY | LT_TEXT_DEFAULTS, &want, seed);
}

static void every_text_reads_back(void **state)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &lt__v1__training_plan__descriptor, &lt__v1__command__descriptor,
        &lt__v1__evaluation__descriptor,    &lt__v1__job_spec__descriptor,
        &lt__v1__event__descriptor,         &lt__v1__job_status__descriptor,
        &lt__v1__logs_response__descriptor,
    };
    const char *only = getenv("LT_SEED");

    (void)state;
    for (uint64_t seed = only ? strtoull(only, NULL, 10) : 1, end = only ? seed : 700; seed <= end;
         seed++)
        one_seed(types[seed % LT_ARRAY_LEN(types)], seed);
}

/* A plan file, with its own way of naming the kind. */
static void specs_read_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
        struct dice d = {.rng = lt_rng_make(seed, LT_RNG_SHUFFLE, 0), .arena = arena};
        Lt__V1__JobSpec *spec =
                            (Lt__V1__JobSpec *)random_message(&d, &lt__v1__job_spec__descriptor, 0),
                        *back;
        LT_BUF_AUTO text = {0};
        LT_BUF_AUTO want = {0};
        LT_BUF_AUTO got = {0};
        struct lt_problems problems = {0};

        if (!spec->kind_case)
            continue;
        lt_text_print_spec(spec, seed % 2 ? LT_TEXT_JSON : LT_TEXT_DEFAULTS, &text);
        back = lt_text_parse_spec(text.data, text.len, NULL, NULL, 0, arena, &problems);
        if (!back)
            fail_msg("seed %llu: %s\n%s", (unsigned long long)seed, problems.items[0].reason,
                     text.data);
        canonical(&spec->base, &want);
        canonical(&back->base, &got);
        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.data, want.data, got.len);
        lt_problems_done(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_reads_back),
        cmocka_unit_test(specs_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
