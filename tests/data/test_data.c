/* test_data.c - idx sources: what is read, what is refused and how */
#include "tests/data/fixture.h"

#include <math.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/error.h"

static void reads_samples_of_a_range(void **state)
{
    struct fixture f;
    uint32_t index[2] = {3, 19};
    float image[2 * 16];
    int64_t label[2];

    (void)state;
    fixture_init(&f, 4);
    struct lt_data *d = fixture_open(&f);
    assert_int_equal(lt_data_count(d, LT_SPLIT_TRAIN), 80);
    assert_int_equal(lt_data_count(d, LT_SPLIT_VAL), 20);
    assert_false(lt_data_has(d, LT_SPLIT_PREDICT));
    lt_data_read(d, LT_SPLIT_VAL, index, 2, (void *[]){image, label});
    for (int i = 0; i < 2; i++) {
        assert_int_equal(label[i], label_of(80 + index[i]));
        for (int k = 0; k < 16; k++)
            assert_true(image[i * 16 + k] == (float)pixel_of((80 + index[i]) * 16 + (size_t)k));
    }
    lt_data_close(d);
    fixture_done(&f);
}

static void describes_fields(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, 4);
    struct lt_data *d = fixture_open(&f);
    const struct lt_data_field *x = lt_data_field(d, 0), *y = lt_data_field(d, 1);
    assert_string_equal(x->name, "image");
    assert_int_equal(x->ndim, 3);
    assert_int_equal(x->dim[0], 1);
    assert_int_equal(x->dim[1], 4);
    assert_int_equal(x->bytes, 64);
    assert_int_equal(y->ndim, 0);
    assert_int_equal(y->dtype, LT_I64);
    assert_int_equal(y->classes, 4);
    lt_data_close(d);
    fixture_done(&f);
}

static void transforms_are_torchvisions(void **state)
{
    struct fixture f;
    Lt__V1__Transform scale = LT__V1__TRANSFORM__INIT, norm = LT__V1__TRANSFORM__INIT;
    Lt__V1__Scale s = LT__V1__SCALE__INIT;
    Lt__V1__Normalize n = LT__V1__NORMALIZE__INIT;
    double mean = 0.286, std = 0.353;
    float image[16];
    int64_t label;

    (void)state;
    fixture_init(&f, 4);
    scale.transform_case = LT__V1__TRANSFORM__TRANSFORM_SCALE;
    scale.scale = &s;
    norm.transform_case = LT__V1__TRANSFORM__TRANSFORM_NORMALIZE;
    norm.normalize = &n;
    n.n_mean = n.n_std = 1;
    n.mean = &mean;
    n.std = &std;
    f.data.n_transforms = 2;
    f.data.transforms = (Lt__V1__Transform *[]){&scale, &norm};
    struct lt_data *d = fixture_open(&f);
    lt_data_read(d, LT_SPLIT_TEST, &(uint32_t){0}, 1, (void *[]){image, &label});
    for (size_t k = 0; k < 16; k++)
        assert_true(fabsf(image[k] - ((float)pixel_of(k) / 255.0f - 0.286f) / 0.353f) < 5e-7f);
    lt_data_close(d);
    n.n_mean = 2;
    n.mean = (double[]){1, 2};
    struct lt_problems problems = {0};
    assert_int_equal(lt_data_open(&(struct lt_data_config){.plan = &f.data, .cache_dir = f.cache},
                                  &d, &problems),
                     -22);
    assert_string_equal(problems.items[0].path, "data.transforms");
    lt_problems_done(&problems);
    fixture_done(&f);
}

/* Gzipped files read the same, are decoded once, and again when they change. */
static void gzip_through_the_cache(void **state)
{
    struct fixture f;
    float a[16], b[16];
    int64_t label;
    struct stat st, st2;

    (void)state;
    fixture_init(&f, 4);
    struct lt_data *d = fixture_open(&f);
    lt_data_read(d, LT_SPLIT_TRAIN, &(uint32_t){7}, 1, (void *[]){a, &label});
    lt_data_close(d);
    make_part(f.dir, "train", 100, 4, 1);
    make_part(f.dir, "t10k", 20, 4, 1);
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
        char *path = lt_format("%s/%s", f.dir, names[i]);

        lt_file_unlink(path, NULL);
        lt_free(path);
    }
    char *decoded = lt_format("%s/decoded", f.cache);
    for (int round = 0; round < 2; round++) {
        d = fixture_open(&f);
        lt_data_read(d, LT_SPLIT_TRAIN, &(uint32_t){7}, 1, (void *[]){b, &label});
        assert_memory_equal(a, b, sizeof a);
        lt_data_close(d);
        stat(decoded, round ? &st2 : &st);
    }
    assert_int_equal(st.st_mtim.tv_nsec, st2.st_mtim.tv_nsec);
    make_part(f.dir, "train", 101, 4, 1);
    d = fixture_open(&f);
    lt_data_close(d);
    lt_free(decoded);
    fixture_done(&f);
}

static void cut(const char *dir, const char *name, size_t n)
{
    char *path = lt_format("%s/%s", dir, name);

    if (truncate(path, (off_t)n) < 0)
        abort();
    lt_free(path);
}

static void refuses_damage(void **state)
{
    struct fixture f;
    size_t size;

    (void)state;
    fixture_init(&f, 4);
    cut(f.dir, "train-images-idx3-ubyte", 1000);
    fixture_refuses(&f, "data.source.idx.dir",
                    "truncated idx file: 984 bytes of data, its header promises 1600");
    cut(f.dir, "train-images-idx3-ubyte", 3);
    fixture_refuses(&f, "data.source.idx.dir", "not even a header");
    write_bytes(f.dir, "train-images-idx3-ubyte", "PNG....................", 20);
    fixture_refuses(&f, "data.source.idx.dir", "not an idx file");
    write_bytes(f.dir, "train-images-idx3-ubyte", "\0\0\x0d\3................", 20);
    fixture_refuses(&f, "data.source.idx.dir", "element type 0x0d");
    write_bytes(f.dir, "train-images-idx3-ubyte",
                "\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    fixture_refuses(&f, "data.source.idx.dir", "overflow");
    make_part(f.dir, "train", 100, 4, 0);
    unsigned char *p = idx_bytes(1, (uint32_t[]){99}, label_of, &size);
    write_bytes(f.dir, "train-labels-idx1-ubyte", p, size);
    lt_free(p);
    fixture_refuses(&f, "data.source.idx.dir", "100 samples");
    char *path = lt_format("%s/train-labels-idx1-ubyte", f.dir);
    lt_file_unlink(path, NULL);
    lt_free(path);
    fixture_refuses(&f, "data.source.idx.dir", "neither this file nor train-labels-idx1-ubyte.gz");
    fixture_done(&f);
}

/* Each cut and each flipped byte of the compressed file is noticed. */
static void refuses_damaged_gzip(void **state)
{
    struct fixture f;
    LT_BUF_AUTO good = {0};

    (void)state;
    fixture_init(&f, 4);
    make_part(f.dir, "t10k", 20, 4, 1);
    char *plain = lt_format("%s/t10k-images-idx3-ubyte", f.dir), *gz = lt_format("%s.gz", plain);
    lt_file_unlink(plain, NULL);
    assert_int_equal(lt_file_read(gz, 1 << 20, &good, NULL), 0);
    for (size_t i = 11; i < good.len; i += 7) {
        write_bytes(f.dir, "t10k-images-idx3-ubyte.gz", good.data, i);
        fixture_refuses(&f, "data.source.idx.dir", "damaged gzip");
        good.data[i] = (char)(good.data[i] ^ 0x10);
        write_bytes(f.dir, "t10k-images-idx3-ubyte.gz", good.data, good.len);
        fixture_refuses(&f, "data.source.idx.dir", "damaged gzip");
        good.data[i] = (char)(good.data[i] ^ 0x10);
    }
    lt_free(plain);
    lt_free(gz);
    fixture_done(&f);
}

static void refuses_ranges_and_names(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, 4);
    f.val_range[1] = 101;
    fixture_refuses(&f, "data.val.range", "not inside the 100 samples");
    f.val_range[1] = 80;
    fixture_refuses(&f, "data.val.range", "not inside");
    f.val_range[1] = 100;
    f.val.split = (char *)(uintptr_t) "valid";
    fixture_refuses(&f, "data.val.split", "'valid' is no split");
    f.val.split = f.train.split;
    f.idx.dir = (char *)(uintptr_t) "/nonexistent";
    fixture_refuses(&f, "data.source.idx.dir", "no such folder");
    f.idx.dir = f.dir;
    fixture_done(&f);
}

static void scan_names_the_sample(void **state)
{
    struct fixture f;
    struct lt_error err = {0};

    (void)state;
    fixture_init(&f, 4);
    struct lt_data *d = fixture_open(&f);
    assert_int_equal(lt_data_scan_labels(d, 4, -100, &err), 0);
    assert_int_equal(lt_data_scan_labels(d, 3, 3, &err), 0);
    assert_int_equal(lt_data_scan_labels(d, 3, -100, &err), 1);
    assert_non_null(strstr(err.text, "sample 1 has label 3"));
    lt_data_close(d);
    fixture_done(&f);
}

static void fingerprint_sees_changes(void **state)
{
    struct fixture f;
    LT_BUF_AUTO a = {0};
    LT_BUF_AUTO b = {0};

    (void)state;
    fixture_init(&f, 4);
    struct lt_data *d = fixture_open(&f);
    assert_int_equal(lt_data_fingerprint(d, &a, NULL), 0);
    assert_int_equal(lt_data_fingerprint(d, &b, NULL), 0);
    assert_string_equal(a.data, b.data);
    lt_data_close(d);
    make_part(f.dir, "train", 100, 4, 0);
    d = fixture_open(&f);
    lt_buf_done(&b);
    assert_int_equal(lt_data_fingerprint(d, &b, NULL), 0);
    assert_string_not_equal(a.data, b.data);
    lt_data_close(d);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_samples_of_a_range),
        cmocka_unit_test(describes_fields),
        cmocka_unit_test(transforms_are_torchvisions),
        cmocka_unit_test(gzip_through_the_cache),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(refuses_damaged_gzip),
        cmocka_unit_test(refuses_ranges_and_names),
        cmocka_unit_test(scan_names_the_sample),
        cmocka_unit_test(fingerprint_sees_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
