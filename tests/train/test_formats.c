/* test_formats.c - safetensors, event records, number formats, rates, exact JSON: known bytes and
 * known values */
#include "tests/train/rig.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "engine/train/json.h"
#include "engine/train/manifest.h"
#include "engine/train/safetensors.h"
#include "engine/train/schedule.h"
#include "engine/train/template.h"
#include "engine/train/tfevents.h"

static const float b_data[2] = {1, 2}, a_data[2][2] = {{3, 4}, {5, 6}};

static void two_tensors(struct lt_buf *out)
{
    struct lt_tensor t[] = {
        {.name = "b",
         .dtype = LT_F32,
         .ndim = 1,
         .dim = {2},
         .data = b_data,
         .bytes = sizeof b_data},
        {.name = "a\"",
         .dtype = LT_F32,
         .ndim = 2,
         .dim = {2, 2},
         .data = a_data,
         .bytes = sizeof a_data},
    };

    lt_tensors_sort(t, 2);
    lt_safetensors_header(t, 2, out);
    for (int i = 0; i < 2; i++)
        lt_buf_append(out, t[i].data, t[i].bytes);
}

static void safetensors_bytes(void **state)
{
    static const char json[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\\\"\":{\"dtype\":\"F32\","
                               "\"shape\":[2,2],\"data_offsets\":[0,16]},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}";
    LT_BUF_AUTO out = {0};
    size_t padded = (sizeof json - 1 + 7) / 8 * 8;

    (void)state;
    two_tensors(&out);
    assert_int_equal((unsigned char)out.data[0], padded);
    assert_int_equal(out.len, 8 + padded + 24);
    assert_memory_equal(out.data + 8, json, sizeof json - 1);
    for (size_t i = sizeof json - 1; i < padded; i++)
        assert_int_equal(out.data[8 + i], ' ');
    assert_memory_equal(out.data + 8 + padded, a_data, sizeof a_data);
}

static void safetensors_back(void **state)
{
    LT_BUF_AUTO bytes = {0};
    struct lt_safetensors *s = NULL;
    const struct lt_tensor *t;

    (void)state;
    two_tensors(&bytes);
    assert_int_equal(lt_safetensors_parse(bytes.data, bytes.len, "x", &s, NULL), 0);
    assert_int_equal(lt_safetensors_count(s), 2);
    t = lt_safetensors_find(s, "b");
    assert_non_null(t);
    assert_memory_equal(t->data, b_data, sizeof b_data);
    assert_null(lt_safetensors_find(s, "c"));
    lt_safetensors_close(s);
}

/* No cut and no flipped header byte crashes or passes for more than it is. */
static void safetensors_damaged(void **state)
{
    LT_BUF_AUTO bytes = {0};
    struct lt_safetensors *s = NULL;
    struct lt_error err;

    (void)state;
    two_tensors(&bytes);
    for (size_t n = 0; n < bytes.len; n++)
        assert_int_equal(lt_safetensors_parse(bytes.data, n, "x", &s, &err), -EPROTO);
    for (size_t i = 0; i < bytes.len - 24; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] = (char)(bytes.data[i] ^ 1 << bit);
            if (lt_safetensors_parse(bytes.data, bytes.len, "x", &s, &err) == 0)
                lt_safetensors_close(s);
            bytes.data[i] = (char)(bytes.data[i] ^ 1 << bit);
        }
}

static int parse_json(const char *json, size_t data)
{
    LT_BUF_AUTO bytes = {0};
    struct lt_safetensors *s = NULL;
    struct lt_error err;
    int rc;

    lt_buf_u64(&bytes, strlen(json));
    lt_buf_str(&bytes, json);
    for (size_t i = 0; i < data; i++)
        lt_buf_char(&bytes, 0);
    rc = lt_safetensors_parse(bytes.data, bytes.len, "x", &s, &err);
    lt_safetensors_close(s);
    return rc;
}

static void safetensors_lies(void **state)
{
    (void)state;
    assert_int_equal(parse_json("{}", 0), 0);
    assert_int_equal(parse_json("{}", 1), -EPROTO);
    assert_int_equal(parse_json("[]", 0), -EPROTO);
    assert_int_equal(
        parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), 0);
    assert_int_equal(
        parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4), -EPROTO);
    assert_int_equal(
        parse_json("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), -EPROTO);
    assert_int_equal(
        parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4),
        -EPROTO);
    assert_int_equal(
        parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 4), -EPROTO);
    assert_int_equal(parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,"
                                "4294967296],\"data_offsets\":[0,0]}}",
                                0),
                     -EPROTO);
    assert_int_equal(parse_json("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                                "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                                8),
                     -EPROTO);
}

/* As TensorBoard's own writer gives them (tensorboard 2.15: EventFileWriter with these wall times).
 */
static void event_bytes(void **state)
{
    static const unsigned char version[] = {
        0x18, 0,    0,   0,   0,   0,   0,   0,    0xa3, 0x7f, 0x4b, 0x22, /* length 24 and its
                                                                              checksum */
        0x09, 0,    0,   0,   0,   0,   0,   0xf0, 0x3f,                   /* wall_time 1.0 */
        0x1a, 0x0d, 'b', 'r', 'a', 'i', 'n', '.',  'E',  'v',  'e',  'n',  't', ':', '2'};
    static const unsigned char scalar[] = {0x09, 0,    0,    0,    0,    0,    0,    0,
                                           0x40, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 8,
                                           0x0a, 1,    'a',  0x15, 0,    0,    0x80, 0x3f};
    LT_BUF_AUTO out = {0};
    uint32_t crc;

    (void)state;
    lt_tfevents_version(1.0, &out);
    assert_int_equal(out.len, 12 + 24 + 4);
    assert_memory_equal(out.data, version, sizeof version);
    crc = lt_crc32c_masked(version + 12, 24);
    assert_memory_equal(out.data + 36, &crc, 4);
    lt_buf_done(&out);
    lt_tfevents_scalar(2.0, 300, "a", 1.0f, &out);
    assert_memory_equal(out.data + 12, scalar, sizeof scalar);
}

static void formats(bool integer, double v, const char *spec, const char *want)
{
    LT_BUF_AUTO out = {0};
    struct lt_error err = {0};
    int rc =
        lt_format_number((struct lt_template_value){integer, v}, spec, strlen(spec), &out, &err);

    if (!want) {
        assert_int_equal(rc, -EINVAL);
        return;
    }
    if (rc < 0)
        fail_msg("'%s': %s", spec, err.text);
    assert_text(out, want);
}

/* Python 3: format(value, spec). */
static void numbers_as_python_prints_them(void **state)
{
    (void)state;
    formats(true, 3, "", "3");
    formats(true, 3, "02d", "03");
    formats(true, -3, "04d", "-003");
    formats(true, 3, "+d", "+3");
    formats(true, 1234567, ",", "1,234,567");
    formats(true, 1234567, "_d", "1_234_567");
    formats(true, 3, "5", "    3");
    formats(true, 3, "<5", "3    ");
    formats(true, 3, "*^5d", "**3**");
    formats(true, 3, ".2f", "3.00");
    formats(true, 3, ".2d", NULL);
    formats(false, 0.315, ".2f", "0.32");
    formats(false, 0.03, "", "0.03");
    formats(false, 1e-5, "", "1e-05");
    formats(false, 0.03, "d", NULL);
    formats(false, 12.5, "08.3f", "0012.500");
    formats(false, -12.5, "08.3f", "-012.500");
    formats(false, 0.1234, ".1%", "12.3%");
    formats(false, 12345.678, ".3e", "1.235e+04");
    formats(false, 12345.678, ".3g", "1.23e+04");
    formats(false, (double)NAN, ".2f", "nan");
    formats(false, -(double)INFINITY, ".2f", "-inf");
    formats(false, 1, "q", NULL);
    formats(false, 1, ".f", NULL);
    formats(false, 1, "99999999999", NULL);
}

/* get_lr() of torch 2's CosineAnnealingLR(lr=0.1, T_max=4, eta_min=0.01), StepLR(2, 0.1) and
 * ConstantLR(0.5, 3), chained in CPython's doubles. */
static void rates_are_torchs(void **state)
{
    static const double cosine[] = {0.1,
                                    0.08681980515339464,
                                    0.05500000000000001,
                                    0.023180194846605363,
                                    0.01,
                                    0.023180194846605363,
                                    0.05500000000000002,
                                    0.08681980515339469,
                                    0.10000000000000006};
    static const double stepped[] = {0.1, 0.1, 0.010000000000000002, 0.010000000000000002,
                                     0.0010000000000000002};
    static const double constant[] = {0.05, 0.05, 0.05, 0.1, 0.1};
    Lt__V1__Optimizer o = LT__V1__OPTIMIZER__INIT;
    Lt__V1__Sgd sgd = LT__V1__SGD__INIT;
    Lt__V1__LrScheduler p = LT__V1__LR_SCHEDULER__INIT;
    Lt__V1__CosineAnnealing ca = LT__V1__COSINE_ANNEALING__INIT;
    Lt__V1__StepLr st = LT__V1__STEP_LR__INIT;
    Lt__V1__ConstantLr co = LT__V1__CONSTANT_LR__INIT;
    struct lt_schedule s, again;

    (void)state;
    o.optimizer_case = LT__V1__OPTIMIZER__OPTIMIZER_SGD;
    o.sgd = &sgd;
    sgd.lr = 0.1;
    p.scheduler_case = LT__V1__LR_SCHEDULER__SCHEDULER_COSINE_ANNEALING;
    p.cosine_annealing = &ca;
    ca.t_max = 4;
    ca.eta_min = 0.01;
    lt_schedule_init(&s, &o, &p);
    again = s;
    for (uint64_t e = 0; e < LT_ARRAY_LEN(cosine); e++) {
        assert_true(s.lr == cosine[e]);
        lt_schedule_seek(&again, e);
        assert_true(again.lr == s.lr);
        lt_schedule_step(&s);
    }
    p.scheduler_case = LT__V1__LR_SCHEDULER__SCHEDULER_STEP;
    p.step = &st;
    st.step_size = 2;
    lt_schedule_init(&s, &o, &p);
    for (uint64_t e = 0; e < LT_ARRAY_LEN(stepped); e++, lt_schedule_step(&s))
        assert_true(s.lr == stepped[e]);
    p.scheduler_case = LT__V1__LR_SCHEDULER__SCHEDULER_CONSTANT;
    p.constant = &co;
    co.has_factor = true;
    co.factor = 0.5;
    co.total_iters = 3;
    lt_schedule_init(&s, &o, &p);
    for (uint64_t e = 0; e < LT_ARRAY_LEN(constant); e++, lt_schedule_step(&s))
        assert_true(s.lr == constant[e]);
}

static void json_keeps_numbers(void **state)
{
    static const double values[] = {
        0.1, -1e-310, 1e300, 0.0, -0.0, (double)INFINITY, -(double)INFINITY};
    cJSON *o = cJSON_CreateObject();
    uint64_t u;
    double v;

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(values); i++) {
        char key[8];

        snprintf(key, sizeof key, "%zu", i);
        lt_json_add_double(o, key, values[i]);
        assert_true(lt_json_double(o, key, &v));
        assert_memory_equal(&v, &values[i], sizeof v);
    }
    lt_json_add_double(o, "nan", (double)NAN);
    assert_true(lt_json_double(o, "nan", &v) && isnan(v));
    lt_json_add_u64(o, "big", UINT64_MAX);
    assert_true(lt_json_u64(o, "big", &u) && u == UINT64_MAX);
    assert_false(lt_json_u64(o, "none", &u));
    cJSON_Delete(o);
}

static void manifest_notices_damage(void **state)
{
    struct lt_manifest m = {.job = "j1",
                            .step = 7,
                            .epoch = 2,
                            .sequence = 9,
                            .callback = -1,
                            .in_epoch = true,
                            .n_files = 1},
                       back;
    LT_BUF_AUTO text = {0};
    struct lt_error err;

    (void)state;
    m.files[0] = (struct lt_manifest_file){"model.safetensors", 123, 0xdeadbeef};
    lt_manifest_print(&m, &text);
    assert_int_equal(lt_manifest_parse(text.data, "x", &back, &err), 0);
    assert_memory_equal(&m, &back, sizeof m);
    for (size_t i = 0; i < text.len - 1; i++) {
        text.data[i] ^= 1;
        assert_int_equal(lt_manifest_parse(text.data, "x", &back, &err), -EPROTO);
        text.data[i] ^= 1;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_bytes),
        cmocka_unit_test(safetensors_back),
        cmocka_unit_test(safetensors_damaged),
        cmocka_unit_test(safetensors_lies),
        cmocka_unit_test(event_bytes),
        cmocka_unit_test(numbers_as_python_prints_them),
        cmocka_unit_test(rates_are_torchs),
        cmocka_unit_test(json_keeps_numbers),
        cmocka_unit_test(manifest_notices_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
