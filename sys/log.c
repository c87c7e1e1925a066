/* log.c - a line is formatted on the stack and leaves in one write(2): lines of threads and processes
 * that share the file don't mix */
#include "sys/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/str.h"
#include "sys/clock.h"

#define LINE_MAX_BYTES 4096 /* longer ones are cut */

static const char *const level_names[LT_LOG_N] = {"debug", "info", "warning", "error"};
static char component_name[32] = "ltd";
static enum lt_log_level least_level = LT_LOG_INFO;

void lt_log_init(const char *component, enum lt_log_level least)
{
    snprintf(component_name, sizeof component_name, "%s", component);
    least_level = least;
}

int lt_log_level_parse(const char *name, enum lt_log_level *out)
{
    for (int i = 0; i < LT_LOG_N; i++)
        if (lt_str_eq(name, level_names[i])) {
            *out = (enum lt_log_level)i;
            return 0;
        }
    return -EINVAL;
}

void lt_log(enum lt_log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES], time[32];
    size_t n, room = sizeof line - 1; /* one for the line's end */
    int saved = errno, more;
    va_list ap;
    ssize_t done;

    if (level < least_level)
        return;
    lt_clock_format(lt_clock_wall_ns(), time);
    n = (size_t)snprintf(line, room, "%s %s %s: ", time, level_names[level], component_name);
    va_start(ap, format);
    more = vsnprintf(line + n, room - n, format, ap);
    va_end(ap);
    if (more > 0)
        n += (size_t)more < room - n ? (size_t)more : room - n - 1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ') /* a message is one line, whatever it quotes */
            line[i] = ' ';
    line[n++] = '\n';
    do
        done = write(STDERR_FILENO, line, n);
    while (done < 0 && errno == EINTR);
    errno = saved;
}
