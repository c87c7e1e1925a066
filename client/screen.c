/* screen.c - a terminal that is drawn in place
 *
 * The other screen of the terminal, so that what stood there comes back; no cursor, no echo, keys at
 * once. Ctrl-Z is taken away: a stopped program would leave the terminal like that. Whatever ends
 * us in an orderly way puts everything back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/top.h"

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define END_OF_LINE "\033[K"
#define BELOW "\033[J"
#define BOLD "\033[1m"
#define PLAIN "\033[m"

struct lt_screen {
    struct termios before;
    bool keys; /* standard input is the terminal, too */
    bool bold;
};

static volatile sig_atomic_t ended_by;

static void on_signal(int number)
{
    ended_by = number;
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};

    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    a.sa_handler = SIG_DFL;
    sigaction(SIGWINCH, &a, NULL);
}

static void say(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(1, text, n);

        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return;
        if (done > 0) {
            text += done;
            n -= (size_t)done;
        }
    }
}

struct lt_screen *lt_screen_open(void)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct lt_screen *s;
    struct termios raw;

    if (!isatty(1) || !term || strcmp(term, "dumb") == 0)
        return NULL;
    s = lt_calloc(1, sizeof *s);
    s->bold = !no_colour || !no_colour[0];
    catch_signals();
    s->keys = isatty(0) && tcgetattr(0, &s->before) == 0;
    if (s->keys) {
        raw = s->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VSUSP] = _POSIX_VDISABLE;
        tcsetattr(0, TCSANOW, &raw);
    }
    say(ENTER, strlen(ENTER));
    return s;
}

void lt_screen_close(struct lt_screen *s)
{
    if (!s)
        return;
    say(LEAVE, strlen(LEAVE));
    if (s->keys)
        tcsetattr(0, TCSADRAIN, &s->before);
    lt_free(s);
}

/* Bytes of the first n characters of a line. */
static size_t cut(const char *line, size_t len, size_t n)
{
    size_t i = 0;

    for (; i < len; i++)
        if (((unsigned char)line[i] & 0xc0) != 0x80 && n-- == 0)
            break;
    return i;
}

static void add_line(const struct lt_screen *s, struct lt_buf *out, const char *line, size_t len,
                     size_t columns)
{
    bool title = s->bold && len >= 4 && memcmp(line, "JOB ", 4) == 0;

    lt_buf_str(out, END_OF_LINE); /* before it: behind a full line the cursor is on its last cell */
    lt_buf_str(out, title ? BOLD : "");
    lt_buf_append(out, line, cut(line, len, columns));
    lt_buf_str(out, title ? PLAIN : "");
    lt_buf_str(out, "\n"); /* the terminal makes a carriage return of it, too */
}

static size_t count_lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

void lt_screen_draw(struct lt_screen *s, const char *text)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    size_t lines = count_lines(text), room;
    LT_BUF_AUTO out = {0};

    if (ioctl(1, TIOCGWINSZ, &size) < 0 || size.ws_row < 2 || size.ws_col < 1)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    room = size.ws_row - 1u; /* the last line stays empty: nothing scrolls */
    if (lines > room)
        room--; /* how many more */
    lt_buf_str(&out, HOME);
    for (size_t i = 0; i < room && *text; i++) {
        size_t len = strcspn(text, "\n");

        add_line(s, &out, text, len, size.ws_col);
        text += len + (text[len] == '\n');
    }
    if (*text) {
        LT_AUTO(lt_free) char *more = lt_format("… %zu more", count_lines(text));

        add_line(s, &out, more, strlen(more), size.ws_col);
    }
    lt_buf_str(&out, BELOW);
    say(out.data, out.len);
}

int lt_screen_wait(struct lt_screen *s, int ms)
{
    struct pollfd p = {.fd = s->keys ? 0 : -1, .events = POLLIN};
    unsigned char key;

    if (poll(&p, 1, ms) <= 0 || !(p.revents & POLLIN) || read(0, &key, 1) != 1) {
        s->keys = s->keys && !(p.revents & (POLLHUP | POLLERR));
        return 0;
    }
    return key;
}

int lt_screen_signal(const struct lt_screen *s)
{
    (void)s;
    return ended_by;
}
