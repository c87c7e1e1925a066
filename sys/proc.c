/* proc.c - /proc/PID/{stat,io,wchan,task} in one look */
#include "sys/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sys/file.h"

#define SMALL 4096

static int read_of(pid_t pid, const char *what, struct lt_buf *text)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/%s", (int)pid, what);
    int rc = lt_file_read(path, SMALL, text, NULL);

    return rc < 0 ? rc : text->data ? 0 : -ESRCH;
}

/* Behind the name, which may hold anything: the state is field 3, utime and stime 14 and 15. */
static int look_stat(pid_t pid, struct lt_proc *out)
{
    LT_BUF_AUTO text = {0};
    unsigned long long user = 0, system = 0;
    long hz = sysconf(_SC_CLK_TCK);
    const char *p;

    if (read_of(pid, "stat", &text) < 0 || !(p = strrchr(text.data, ')')))
        return -ESRCH;
    if (sscanf(p + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &out->state, &user,
               &system) != 3)
        return -ESRCH;
    out->cpu_ms = (user + system) * 1000 / (uint64_t)(hz > 0 ? hz : 100);
    return 0;
}

static char state_of_thread(pid_t pid, const char *tid)
{
    LT_AUTO(lt_free) char *what = lt_format("task/%s/stat", tid);
    LT_BUF_AUTO text = {0};
    const char *p;

    return read_of(pid, what, &text) == 0 && (p = strrchr(text.data, ')')) && p[1] ? p[2] : 0;
}

static void look_threads(pid_t pid, struct lt_proc *out)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    const struct dirent *e;

    while (d && out->state != 'R' && (e = readdir(d)))
        if (isdigit((unsigned char)e->d_name[0]) && state_of_thread(pid, e->d_name) == 'R')
            out->state = 'R';
    if (d)
        closedir(d);
}

static void look_io(pid_t pid, struct lt_proc *out)
{
    LT_BUF_AUTO text = {0};
    unsigned long long n;

    if (read_of(pid, "io", &text) < 0)
        return;
    for (char *save = NULL, *line = strtok_r(text.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, "rchar: %llu", &n) == 1 || sscanf(line, "wchar: %llu", &n) == 1 ||
            sscanf(line, "read_bytes: %llu", &n) == 1)
            out->io += n;
}

int lt_proc_look(pid_t pid, struct lt_proc *out)
{
    LT_BUF_AUTO where = {0};

    memset(out, 0, sizeof *out);
    if (look_stat(pid, out) < 0)
        return -ESRCH;
    if (out->state == 'S')
        look_threads(pid, out);
    look_io(pid, out);
    if (read_of(pid, "wchan", &where) == 0 && strcmp(where.data, "0") != 0)
        snprintf(out->wchan, sizeof out->wchan, "%s", where.data);
    return 0;
}

const char *lt_proc_state_name(char state)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'R', "running"}, {'S', "sleeping"}, {'D', "waiting for the kernel"},
                 {'T', "stopped"}, {'t', "stopped by a debugger"}, {'Z', "dead"}, {'I', "idle"}};

    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++)
        if (names[i].letter == state)
            return names[i].name;
    return "in an unknown state";
}
