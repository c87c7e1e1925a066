/* test_lines.c - lines of several ranks on one pipe, or one terminal */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "client/lines.h"
#include "client/verb.h"

const struct lt_verb *const lt_verbs[] = {NULL};

#define RANKS 3

struct world {
    int read_out, read_err, out, err;
    struct lt_lines_paper *paper;
    struct lt_lines *lines[RANKS][2];
};
static struct world w;

static void begin(void)
{
    w.paper = lt_lines_paper_new(w.out, w.err);
    for (int i = 0; i < RANKS; i++)
        for (int s = 0; s < 2; s++)
            w.lines[i][s] = lt_lines_new(w.paper, (uint32_t)i * 6, s);
}

static int on_pipes(void **state)
{
    int out[2], err[2];

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    fcntl(out[1], F_SETPIPE_SZ, 1 << 20);
    w = (struct world){out[0], err[0], out[1], err[1], NULL, {{NULL}}};
    begin();
    return 0;
}

static int on_terminal(void **state)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY), tty;
    struct termios raw;

    (void)state;
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    assert_true(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
    tty = open(ptsname(fd), O_RDWR | O_NOCTTY);
    assert_true(tty >= 0 && tcgetattr(tty, &raw) == 0);
    cfmakeraw(&raw);
    tcsetattr(tty, TCSANOW, &raw);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    w = (struct world){fd, dup(fd), tty, dup(tty), NULL, {{NULL}}};
    begin();
    return 0;
}

static int in_colour(void **state)
{
    on_terminal(state);
    for (int i = 0; i < RANKS; i++)
        for (int s = 0; s < 2; s++)
            lt_lines_free(w.lines[i][s]);
    lt_lines_paper_free(w.paper);
    setenv("NO_COLOR", "", 1);
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < RANKS; i++)
        for (int s = 0; s < 2; s++)
            lt_lines_free(w.lines[i][s]);
    lt_lines_paper_free(w.paper);
    close(w.read_out);
    close(w.read_err);
    close(w.out);
    close(w.err);
    return 0;
}

static void written(int fd, struct lt_buf *out)
{
    char chunk[65536];
    ssize_t n;

    lt_buf_str(out, "");
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        lt_buf_append(out, chunk, (size_t)n);
}

#define WRITTEN(fd, expected)                                                                      \
    do {                                                                                           \
        LT_BUF_AUTO got_ = {0};                                                                    \
        written(fd, &got_);                                                                        \
        assert_string_equal(got_.data, expected);                                                  \
    } while (0)

static void say(int rank, int err, const char *text)
{
    assert_int_equal(lt_lines_add(w.lines[rank][err], text, strlen(text)), 0);
}

static void end(int rank, int err)
{
    assert_int_equal(lt_lines_end(w.lines[rank][err]), 0);
}

static void a_line_is_written_when_it_is_whole(void **state)
{
    (void)state;
    say(0, 0, "one ");
    say(1, 0, "two\nthr");
    WRITTEN(w.read_out, "[6] two\n");
    say(0, 0, "line\n\n");
    say(2, 1, "trouble\n");
    say(1, 0, "ee\n");
    WRITTEN(w.read_out, "[0] one line\n[0] \n[6] three\n");
    WRITTEN(w.read_err, "[12] trouble\n");
}

static void the_end_is_a_line(void **state)
{
    (void)state;
    say(0, 0, "no newline");
    say(1, 1, "neither");
    end(0, 0);
    end(0, 0);
    end(2, 0);
    end(1, 1);
    WRITTEN(w.read_out, "[0] no newline\n");
    WRITTEN(w.read_err, "[6] neither\n");
    say(0, 0, "again\n");
    WRITTEN(w.read_out, "[0] again\n");
}

static void a_line_without_end_comes_in_pieces(void **state)
{
    LT_AUTO(lt_free) char *xs = lt_malloc(2 * LT_LINE_MAX + 2);
    LT_BUF_AUTO expected = {0};

    (void)state;
    memset(xs, 'x', 2 * LT_LINE_MAX);
    memcpy(xs + 2 * LT_LINE_MAX, "y", 2);
    say(0, 0, xs);
    end(0, 0);
    lt_buf_printf(&expected, "[0] %.*s\n[0] %.*s\n[0] y\n", (int)LT_LINE_MAX, xs, (int)LT_LINE_MAX,
                  xs);
    WRITTEN(w.read_out, expected.data);
    memcpy(xs + LT_LINE_MAX, "\n", 2); /* a line of just that length is one */
    say(0, 0, xs);
    lt_buf_done(&expected);
    lt_buf_printf(&expected, "[0] %s", xs);
    WRITTEN(w.read_out, expected.data);
}

/* By whole calls and byte by byte. */
static void returns_on_a_pipe(void **state)
{
    const char *text = "\r 10%\r 20%\r\r100%\nwindows\r\nlast\r";

    (void)state;
    say(0, 0, text);
    end(0, 0);
    WRITTEN(w.read_out, "[0]  10%\n[0]  20%\n[0] 100%\n[0] windows\r\n[0] last\n");
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_equal(lt_lines_add(w.lines[0][0], text + i, 1), 0);
    end(0, 0);
    WRITTEN(w.read_out, "[0]  10%\n[0]  20%\n[0] 100%\n[0] windows\r\n[0] last\n");
}

static void every_byte_comes_through(void **state)
{
    char all[256], expected[300] = "[0] ";
    LT_BUF_AUTO got = {0};
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_int_equal(lt_lines_add(w.lines[0][0], all, 256), 0);
    end(0, 0);
    written(w.read_out, &got);
    for (int i = 0; i < 256; i++) {
        memcpy(expected + 4 + n, &(char){(char)(i == '\r' ? '\n' : i)}, 1);
        n++;
        if (i == '\n' || i == '\r') {
            memcpy(expected + 4 + n, "[0] ", 4);
            n += 4;
        }
    }
    expected[4 + n++] = '\n';
    assert_int_equal(got.len, n + 4);
    assert_memory_equal(got.data, expected, n + 4);
}

static void returns_on_a_terminal(void **state)
{
    (void)state;
    say(0, 1, "\r10%\r20%\r30");
    WRITTEN(w.read_out, "[0] 10%\r[0] 20%");
    say(0, 1, "%\r");
    WRITTEN(w.read_out, "");
    say(0, 1, "40");
    WRITTEN(w.read_out, "\r[0] 30%");
    say(1, 0, "other\n"); /* ends what stands there */
    WRITTEN(w.read_out, "\n[6] other\n");
    say(0, 1, "%\r100%\n");
    WRITTEN(w.read_out, "[0] 40%\r[0] 100%\n");
    say(0, 1, "a\rb\rc");
    end(0, 1);
    WRITTEN(w.read_out, "[0] a\r[0] b\r[0] c\n");
    say(0, 1, "a\r\r");
    say(0, 1, "\r");
    WRITTEN(w.read_out, "[0] a");
    end(0, 1);
    WRITTEN(w.read_out, "\n");
}

static void colours(void **state)
{
    (void)state;
    say(0, 0, "a\n");
    say(1, 0, "b\n");
    WRITTEN(w.read_out, "\033[36m[0]\033[0m a\n\033[36m[6]\033[0m b\n");
}

static void a_reader_that_is_gone(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    close(w.read_out);
    w.read_out = -1;
    assert_int_equal(lt_lines_add(w.lines[0][0], "x\n", 2), -EPIPE);
    signal(SIGPIPE, SIG_DFL);
}

int main(void)
{
#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_line_is_written_when_it_is_whole, on_pipes), T(the_end_is_a_line, on_pipes),
        T(a_line_without_end_comes_in_pieces, on_pipes), T(returns_on_a_pipe, on_pipes),
        T(every_byte_comes_through, on_pipes),           T(a_reader_that_is_gone, on_pipes),
        T(returns_on_a_terminal, on_terminal),           T(colours, in_colour),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
