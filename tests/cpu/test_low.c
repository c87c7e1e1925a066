/* test_low.c - how bfloat16 is computed: what was measured is kept and believed, and a profile decides
 *
 * A process of its own: others cap oneDNN's instruction set, which can be done only once.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "bed.h"
#include "sys/file.h"

/* The kernel of a product of bfloat16; empty: the device was refused. */
static void product_kernel(const struct lt_device_config *c, char *kernel, size_t n)
{
    struct bed_values v;
    struct bed t;

    bed_open(&t);
    lt_id in[] = {bed_input(&t, "a", LT_BF16, 2, (int64_t[]){64, 64}),
                  bed_input(&t, "b", LT_BF16, 2, (int64_t[]){64, 64})};
    bed_outputs(&t, bed_node(&t, "matmul", "product", in, 2, NULL, 0));
    bed_fill(&t, &v, 1, 3);
    kernel[0] = '\0';
    bed_run(&t, &lt_backend_cpu, c, &v, 1, kernel, n);
    bed_free(&v);
    bed_close(&t);
}

/* By oneDNN's name of it: avx512_core_bf16, avx512_core_bf16_amx_bf16 (2.6), avx10_1_512_amx (3.7). */
static bool is_native(const char *kernel)
{
    return strstr(kernel, "bf16") || strstr(kernel, "amx");
}

/* The one file of the folder whose name begins so. */
static bool answer_path(const char *cache, char *path, size_t n)
{
    char folder[300];
    struct dirent *e;
    bool found = false;
    DIR *d;

    snprintf(folder, sizeof folder, "%s/measured", cache);
    d = opendir(folder);
    while (d && (e = readdir(d)))
        if (!strncmp(e->d_name, "bfloat16-", 9)) {
            assert_false(found);
            found = true;
            snprintf(path, n, "%s/%s", folder, e->d_name);
        }
    if (d)
        closedir(d);
    return found;
}

static void what_was_measured_is_kept(void **state)
{
    char cache[] = "/tmp/lt-test-XXXXXX", path[600], kernel[400], *answer;
    struct lt_device_config c = {.threads = 1};
    LT_BUF_AUTO text = {0};

    (void)state;
    assert_non_null(mkdtemp(cache));
    c.cache_dir = cache;
    product_kernel(&c, kernel, sizeof kernel);
    if (!answer_path(cache, path, sizeof path)) { /* the processor has no bfloat16: nothing to measure */
        assert_false(is_native(kernel));
        assert_int_equal(lt_file_remove_tree(cache, NULL), 0);
        return;
    }
    assert_int_equal(lt_file_read(path, 8192, &text, NULL), 0);
    answer = strchr(text.data, '\n') + 1;
    assert_true(is_native(kernel) == !strncmp(answer, "native: ", 8));
    for (int native = 0; native < 2; native++) { /* whatever stands there is believed */
        LT_AUTO(lt_free)
        char *other = lt_format("%.*s%s: by hand\n", (int)(answer - text.data), text.data,
                                native ? "native" : "emulated");

        assert_int_equal(lt_file_put(path, other, strlen(other), 0600, NULL), 0);
        product_kernel(&c, kernel, sizeof kernel);
        assert_int_equal(is_native(kernel), native);
    }
    assert_int_equal(lt_file_put(path, "another machine's\nnative\n", 25, 0600, NULL), 0);
    product_kernel(&c, kernel, sizeof kernel);
    text.len = 0;
    assert_int_equal(lt_file_read(path, 8192, &text, NULL), 0);
    assert_non_null(strstr(text.data, "float32")); /* measured anew */
    assert_int_equal(lt_file_remove_tree(cache, NULL), 0);
}

static void the_profile_decides_how_bfloat16_is_computed(void **state)
{
    struct lt_device_config c = {.threads = 1};
    char kernel[400], profile[200];
    const char *isa;
    bool native;

    (void)state;
    product_kernel(&c, kernel, sizeof kernel);
    native = is_native(kernel);
    isa = strstr(kernel, "avx2") ? "avx2" : "avx512_core";
    snprintf(profile, sizeof profile,
             "{\"backend\":\"cpu\",\"isa\":\"%s\",\"threads\":1,\"bfloat16\":\"emulated\"}", isa);
    c.profile = profile;
    product_kernel(&c, kernel, sizeof kernel);
    assert_true(*kernel && !is_native(kernel));
    snprintf(profile, sizeof profile,
             "{\"backend\":\"cpu\",\"isa\":\"%s\",\"threads\":1,\"bfloat16\":\"native\"}", isa);
    product_kernel(&c, kernel, sizeof kernel);
    if (native)
        assert_true(is_native(kernel));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_measured_is_kept),
        cmocka_unit_test(the_profile_decides_how_bfloat16_is_computed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
