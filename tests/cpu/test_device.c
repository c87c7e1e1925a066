/* test_device.c - the device beside its operators: bad labels, skipped updates, profiles, refusals,
 * inputs that move, layouts, denormals */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <xmmintrin.h>
#include <cmocka.h>
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "bed.h"

static const struct lt_device_config one = {.threads = 1};

static void a_label_out_of_range_names_its_sample(void **state)
{
    struct bed_values v;
    struct bed t;
    int64_t label[4] = {0, 1, 7, 2};

    (void)state;
    bed_open(&t);
    lt_id in[] = {bed_input(&t, "x", LT_F32, 2, (int64_t[]){4, 3}),
                  bed_input(&t, "y", LT_I64, 1, (int64_t[]){4}),
                  bed_input(&t, "w", LT_F32, 1, (int64_t[]){4})};
    bed_outputs(&t, bed_node(&t, "cross_entropy", "loss", in, 3, NULL, 0));
    bed_fill(&t, &v, 1, 3);
    memcpy(v.in[1], label, sizeof label);
    assert_int_equal(bed_run(&t, &lt_backend_cpu, &one, &v, 1, NULL, 0), -EDOM);
    ((float *)v.in[2])[2] = 0; /* a sample that doesn't count may have any label */
    assert_int_equal(bed_run(&t, &lt_backend_cpu, &one, &v, 1, NULL, 0), 0);
    bed_free(&v);
    bed_close(&t);
}

static void an_update_whose_scale_is_nan_changes_nothing(void **state)
{
    struct bed_values v, before;
    struct bed t;

    (void)state;
    bed_open(&t);
    lt_id in[] = {bed_param(&t, "p", LT_F32, 1, (int64_t[]){100}),
                  bed_input(&t, "g", LT_F32, 1, (int64_t[]){100}),
                  bed_param(&t, "m", LT_F32, 1, (int64_t[]){100}),
                  bed_param(&t, "v", LT_F32, 1, (int64_t[]){100}),
                  bed_input(&t, "lr", LT_F64, 0, NULL),
                  bed_input(&t, "step", LT_I64, 0, NULL),
                  bed_input(&t, "scale", LT_F64, 0, NULL)};
    bed_outputs(&t, bed_node(&t, "adam", "p/adam", in, 7, NULL, 0));
    bed_fill(&t, &v, 1, 3);
    bed_copy(&t, &v, &before);
    *(double *)v.in[3] = NAN;
    assert_int_equal(bed_run(&t, &lt_backend_cpu, &one, &v, 1, NULL, 0), 0);
    assert_true(bed_same_bits(&t, &v, &before));
    bed_free(&v);
    bed_free(&before);
    bed_close(&t);
}

/* Does the processor know the mode? Valgrind's doesn't. */
static bool processor_flushes(void)
{
    volatile float tiny = 1e-20f, product;
    unsigned before = _mm_getcsr();

    _mm_setcsr(before | 0x8040); /* FTZ, DAZ */
    product = tiny * tiny;
    _mm_setcsr(before);
    return product == 0;
}

/* Adam's second moment of a unit that died decays into denormals; they must become 0. */
static void denormals_are_flushed(void **state)
{
    struct bed_values v;
    struct bed t;

    (void)state;
    if (!processor_flushes())
        return;
    bed_open(&t);
    lt_id in[] = {bed_input(&t, "a", LT_F32, 1, (int64_t[]){70000}),
                  bed_input(&t, "b", LT_F32, 1, (int64_t[]){70000})};
    bed_outputs(&t, bed_node(&t, "mul", "product", in, 2, NULL, 0));
    bed_fill(&t, &v, 1, 3);
    for (int i = 0; i < 70000; i++) {
        ((float *)v.in[0])[i] = 1e-20f;
        ((float *)v.in[1])[i] = 1e-20f;
    }
    assert_int_equal(
        bed_run(&t, &lt_backend_cpu, &(struct lt_device_config){.threads = 2}, &v, 1, NULL, 0), 0);
    for (int i = 0; i < 70000; i++)
        if (((float *)v.out[0])[i] != 0)
            fail_msg("element %d is %g", i, (double)((float *)v.out[0])[i]);
    bed_free(&v);
    bed_close(&t);
}

static int open_with(const char *profile, const char *isa, struct lt_device **d, struct lt_error *err)
{
    struct lt_device_config c = {.threads = 1, .profile = profile, .max_isa = isa};

    return lt_backend_cpu.open(&c, d, err);
}

static void a_profile_is_replayed(void **state)
{
    struct lt_device *d = NULL, *again = NULL;
    struct lt_error err = {0};
    LT_BUF_AUTO first = {0};
    LT_BUF_AUTO second = {0};

    (void)state;
    assert_int_equal(open_with(NULL, "avx2", &d, &err), 0);
    lt_backend_cpu.profile(d, &first);
    lt_backend_cpu.close(d);
    assert_non_null(strstr(first.data, "\"isa\":\"avx2\""));
    assert_non_null(strstr(first.data, "\"threads\":1"));
    assert_int_equal(open_with(first.data, NULL, &again, &err), 0);
    lt_backend_cpu.profile(again, &second);
    lt_backend_cpu.close(again);
    assert_string_equal(first.data, second.data);
}

static void bad_profiles_and_caps_are_refused(void **state)
{
    struct lt_device *d = NULL;
    struct lt_error err = {0};

    (void)state;
    assert_int_equal(open_with("{\"backend\":\"cpu\"}", NULL, &d, &err), -EINVAL);
    assert_int_equal(open_with("{\"isa\":\"sse\",\"threads\":1}", NULL, &d, &err), -EINVAL);
    assert_int_equal(open_with(NULL, "mmx", &d, &err), -EINVAL);
    assert_non_null(strstr(err.text, "mmx"));
}

/* An operator of which the back end knows nothing. */
static int strange_infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                         struct lt_type *out, struct lt_error *err)
{
    (void)g;
    (void)n;
    (void)err;
    out[0] = in[0];
    return 0;
}

static int strange_ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    (void)err;
    for (int64_t i = 0; i < k->out[0].count; i++)
        ((float *)k->out[0].data)[i] = 1 - ((const float *)k->in[0].data)[i];
    return 0;
}

static const struct lt_op strange = {.name = "strange",
                                     .min_in = 1,
                                     .max_in = 1,
                                     .n_out = 1,
                                     .infer = strange_infer,
                                     .ref = strange_ref};

static void the_reference_kernel_runs_only_where_allowed(void **state)
{
    struct lt_device_config allowed = {.threads = 1, .allow_reference = true};
    struct bed_values v;
    struct bed t;
    char kernels[200];

    (void)state;
    bed_open(&t);
    lt_id x = bed_input(&t, "x", LT_F32, 2, (int64_t[]){4, 3});
    int node = lt_graph_add(t.g, &strange, "odd", &x, 1, NULL, 0, NULL);

    bed_outputs(&t, node);
    bed_fill(&t, &v, 1, 3);
    assert_int_equal(bed_run(&t, &lt_backend_cpu, &one, &v, 1, NULL, 0), -ENOTSUP);
    assert_int_equal(bed_run(&t, &lt_backend_cpu, &allowed, &v, 1, kernels, sizeof kernels), 0);
    assert_string_equal(kernels, "strange=ref\n");
    assert_true(((float *)v.out[0])[5] == 1 - ((float *)v.in[0])[5]);
    bed_free(&v);
    bed_close(&t);
}

/* A kernel for float32 isn't one for other types: float16 softmax is the reference's or nobody's. */
static void other_types_are_not_taken_for_float32(void **state)
{
    static const char *const ops[] = {"softmax", "layer_norm", "gelu", "argmax", "matmul"};
    struct lt_device_config allowed = {.threads = 1, .allow_reference = true};
    char kernels[200];

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(ops); i++) {
        struct bed_values v;
        struct bed t;

        bed_open(&t);
        lt_id x = bed_input(&t, "x", LT_F16, 2, (int64_t[]){3, 3}), both[2] = {x, x};
        int node = lt_graph_add(t.g, lt_op_find(ops[i]), "wide", both, lt_op_find(ops[i])->min_in, NULL, 0, NULL);

        bed_outputs(&t, node);
        bed_fill(&t, &v, 1, 3);
        assert_int_equal(bed_run(&t, &lt_backend_cpu, &one, &v, 1, NULL, 0), -ENOTSUP);
        assert_int_equal(bed_run(&t, &lt_backend_cpu, &allowed, &v, 1, kernels, sizeof kernels), 0);
        assert_non_null(strstr(kernels, "=ref"));
        bed_free(&v);
        bed_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_is_replayed), /* first: oneDNN takes a cap only before it works */
        cmocka_unit_test(a_label_out_of_range_names_its_sample),
        cmocka_unit_test(an_update_whose_scale_is_nan_changes_nothing),
        cmocka_unit_test(denormals_are_flushed),
        cmocka_unit_test(the_reference_kernel_runs_only_where_allowed),
        cmocka_unit_test(other_types_are_not_taken_for_float32),
        cmocka_unit_test(bad_profiles_and_caps_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
