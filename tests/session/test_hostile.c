/* test_hostile.c - plans with values that nobody checked are refused or planned, never a crash
 *
 * Sound plans in which some fields, picked by descriptor, were given extreme or foreign values. Sanitizer builds give
 * the test its teeth. A failure is found again with LT_SEED.
 */
#include "tests/graph/plan_text.h"

#include <math.h>
#include <stdlib.h>
#include "engine/session/session.h"

#define TAIL                                                                                       \
    "data: {source: {idx: {dir: x}}, batch_size: 32}\n"                                            \
    "step: {loss: cross_entropy, metrics: [accuracy]}\noptimizer: adam\n"

static const char *const plans[] = {
    "model: {layers: [flatten, {linear: {out_features: 12}}, relu, {layer_norm: {normalized_shape: [12]}}, "
    "{unflatten: {sizes: [3, 4]}}, {softmax: {}}, flatten, {linear: {out_features: 10}}], freeze: ['1.*']}\n" TAIL,
    "model: {layers: [{conv2d: {out_channels: 4, kernel_size: [3, 3], padding: [1], groups: 1}}, batch_norm, "
    "{max_pool2d: {kernel_size: 2, stride: [2], padding: [1]}}, {repeat: {times: 2, layers: [{residual: {layers: [relu]}}]}}, "
    "{avg_pool2d: {kernel_size: 2}}, global_avg_pool2d, flatten, {dropout: {p: 0.1}}, {linear: {out_features: 10}}]}\n" TAIL
    "trainer: {accumulate_grad_batches: 2, gradient_clip_val: 1}\n",
    "model: {graph: {inputs: [{name: image, shape: [n, '1', '28', '28']}],\n"
    "parameters: [{name: w, shape: [10, 784]}, {name: c, shape: [1, 1, 3, 3]}, {name: rm, shape: [1]}, {name: rv, shape: [1]}],\n"
    "nodes: [{name: conv, op: conv2d, inputs: [image, c], attributes: {stride: {ints: {values: [1, 1]}}, padding: {ints: "
    "{values: [1, 1]}}, dilation: {ints: {values: [1, 1]}}, groups: {i: 1}}},\n"
    "{name: bn, op: batch_norm, inputs: [conv, rm, rv]}, {name: tr, op: transpose, inputs: [bn], attributes: {perm: {ints: "
    "{values: [0, 2, 1, 3]}}}}, {name: flat, op: reshape, inputs: [tr], attributes: {shape: {ints: {values: [0, 784]}}}},\n"
    "{name: red, op: reduce_sum, inputs: [flat], attributes: {axes: {ints: {values: [1]}}, keepdims: {i: 1}}},\n"
    "{name: sub, op: sub, inputs: [flat, red]}, {name: y, op: linear, inputs: [sub, w]}], outputs: [y]}}\n" TAIL,
};

static const uint64_t numbers[] = {0, 1, 2, 3, 7, 100, 1u << 20, 1ull << 31, 1ull << 32, 1ull << 40, 1ull << 62,
                                   UINT64_MAX, UINT64_MAX - 1};
static const double doubles[] = {0, -1, 1, 1e300, -1e300, INFINITY, NAN};
static const char *const strings[] = {"", "image", "label", "w", "conv", "relu", "matmul", "argmax", "expand", "cast", "n",
                                      "t<=4", "sgd", "lr", "a/b", "int64"};

static uint64_t random_state;
static unsigned draw(unsigned n)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(random_state >> 33) % n;
}

/* Counts the scalars and lists of a message; replaces number `pick`. */
struct walk {
    unsigned at, pick;
};

static void message_walk(struct walk *w, ProtobufCMessage *m);

static void scalar_walk(struct walk *w, const ProtobufCFieldDescriptor *f, void *at)
{
    if (w->at++ != w->pick)
        return;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        if (*(char **)at)
            *(const char **)at = strings[draw(LT_ARRAY_LEN(strings))];
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: *(uint64_t *)at = numbers[draw(LT_ARRAY_LEN(numbers))]; break;
    case PROTOBUF_C_TYPE_DOUBLE: *(double *)at = doubles[draw(LT_ARRAY_LEN(doubles))]; break;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)at ^= 1; break;
    case PROTOBUF_C_TYPE_ENUM: *(int *)at = (int)draw(5); break;
    default: break;
    }
}

static size_t field_size(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_BOOL || f->type == PROTOBUF_C_TYPE_ENUM ? sizeof(int) : 8;
}

static void field_walk(struct walk *w, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
    char *at = (char *)m + f->offset;
    size_t n = 1, *count = NULL;

    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        count = (size_t *)(void *)((char *)m + f->quantifier_offset);
        n = *count;
        if (n && w->at++ == w->pick)
            *count = draw((unsigned)n + 1);
        at = *(char **)(void *)at;
    }
    for (size_t i = 0; i < n; i++, at += field_size(f)) {
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            scalar_walk(w, f, at);
        else if (*(ProtobufCMessage **)(void *)at)
            message_walk(w, *(ProtobufCMessage **)(void *)at);
    }
}

static void message_walk(struct walk *w, ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

        if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
            *(uint32_t *)(void *)((char *)m + f->quantifier_offset) == f->id)
            field_walk(w, f, m);
    }
}

static void spoil(ProtobufCMessage *m)
{
    struct walk w = {0, UINT32_MAX};

    message_walk(&w, m);
    w.pick = draw(w.at);
    w.at = 0;
    message_walk(&w, m);
}

static bool try_seed(uint64_t seed)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const Lt__V1__TrainingPlan *plan = plan_parse(arena, plans[seed % LT_ARRAY_LEN(plans)]);
    struct lt_session_config c = {.plan = plan, .fields = mnist_fields, .n_fields = 2, .backend = &lt_backend_null,
                                  .plan_only = true};
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    struct lt_problems problems = {0};
    struct lt_error err = {0};
    bool sound;

    random_state = seed;
    for (unsigned i = 1 + draw(3); i; i--)
        spoil((ProtobufCMessage *)(uintptr_t)plan);
    sound = lt_session_check(plan, mnist_fields, 2, &problems) == 0;
    assert_true(sound == !problems.errors);
    lt_problems_done(&problems);
    if (sound && plan->data->batch_size > 0 && lt_session_open(&c, &s, &err) < 0)
        fail_msg("seed %llu: checked, then refused: %s", (unsigned long long)seed, err.text);
    return sound;
}

static void nothing_crashes_the_importer(void **state)
{
    int sound = 0, seeds = 600;

    (void)state;
    if (getenv("LT_SEED")) {
        try_seed(strtoull(getenv("LT_SEED"), NULL, 10));
        return;
    }
    for (int seed = 1; seed <= seeds; seed++)
        sound += try_seed((uint64_t)seed);
    assert_true(sound > seeds / 10 && sound < seeds * 9 / 10); /* both ways are travelled */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_crashes_the_importer)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
