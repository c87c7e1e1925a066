/* test_address.c - which addresses are this machine's own */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/error.h"
#include "sys/address.h"

static void only_this_machines_own(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *printed;
    } rows[] = {
        {"127.0.0.1:7070", 0, "127.0.0.1:7070"},
        {"127.1.2.3:0", 0, "127.1.2.3:0"},
        {"[::1]:65535", 0, "[::1]:65535"},
        {"localhost:1", 0, "127.0.0.1:1"},
        {"0.0.0.0:7070", -EPERM, NULL},
        {"10.1.2.3:7070", -EPERM, NULL},
        {"128.0.0.1:7070", -EPERM, NULL},
        {"[::]:7070", -EPERM, NULL},
        {"[fe80::1]:7070", -EPERM, NULL},
        {"[::ffff:10.0.0.1]:7070", -EPERM, NULL},
        {"example.org:443", -EPERM, NULL},
        {"localhost.example.org:443", -EPERM, NULL},
        {"127.0.0.1", -EINVAL, NULL},
        {"127.0.0.1:", -EINVAL, NULL},
        {"127.0.0.1:70707", -EINVAL, NULL},
        {"127.0.0.1:70x", -EINVAL, NULL},
        {":7070", -EINVAL, NULL},
        {"::1:7070", -EINVAL, NULL},
        {"[]:7070", -EINVAL, NULL},
        {"[:7070", -EINVAL, NULL},
        {"[127.0.0.1]:7070", -EINVAL, NULL},
        {"unix:/x", -EINVAL, NULL},
        {"", -EINVAL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(rows); i++) {
        struct lt_error err = {0};
        struct lt_address a;
        char text[LT_ADDRESS_TEXT];
        int rc = lt_address_local(rows[i].text, &a, &err);

        if (rc != rows[i].rc)
            fail_msg("%s: %d, not %d", rows[i].text, rc, rows[i].rc);
        if (rc < 0) {
            assert_true(err.text[0]);
            continue;
        }
        lt_address_print(&a, text);
        assert_string_equal(text, rows[i].printed);
    }
}

static void a_port_has_one_listener(void **state)
{
    struct lt_address a, b;
    struct lt_error err = {0};
    char text[LT_ADDRESS_TEXT];
    int fd;

    (void)state;
    assert_int_equal(lt_address_local("127.0.0.1:0", &a, NULL), 0);
    fd = lt_address_listen(&a, NULL);
    assert_true(fd >= 0);
    lt_address_print(&a, text);
    assert_string_not_equal(text, "127.0.0.1:0");
    b = a;
    assert_int_equal(lt_address_listen(&b, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, text));
    assert_int_equal(lt_address_try(&a), 0);
    close(fd);
    assert_int_equal(lt_address_try(&a), -ECONNREFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_this_machines_own),
        cmocka_unit_test(a_port_has_one_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
