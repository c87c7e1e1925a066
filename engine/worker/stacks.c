/* stacks.c - lt-stacks PID FILE: what a process does, written behind FILE's end ("-": stdout)
 *
 * For ranks that stand still, and can't say so themselves. What /proc tells comes first and is
 * written before anything that could block; then every thread's stack, by ptrace and libdw, whose
 * unwinder needs no frame pointers. A process of its own: attaching to a process that is stuck may
 * take for ever, and the agent's loop doesn't wait. An alarm ends it; the kernel then lets go of
 * the threads.
 */
#include <ctype.h>
#include <dirent.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "sys/file.h"
#include "sys/proc.h"

#define SECONDS 5
#define FRAMES 48
#define SMALL 4096

struct walk {
    Dwfl *dwfl;
    pid_t pid;
    int frames;
};

/* ---- from /proc */

static char *read_of(pid_t pid, pid_t tid, const char *what)
{
    char *path = lt_format("/proc/%d/task/%d/%s", (int)pid, (int)tid, what);
    LT_BUF_AUTO text = {0};
    int rc = lt_file_read(path, SMALL, &text, NULL);
    char *copy = lt_strdup(rc == 0 && text.data ? text.data : "");

    copy[strcspn(copy, "\n")] = '\0';
    lt_free(path);
    return copy;
}

static void print_thread(pid_t pid, pid_t tid)
{
    LT_AUTO(lt_free) char *stat = read_of(pid, tid, "stat");
    LT_AUTO(lt_free) char *name = read_of(pid, tid, "comm");
    LT_AUTO(lt_free) char *wchan = read_of(pid, tid, "wchan");
    LT_AUTO(lt_free) char *call = read_of(pid, tid, "syscall");
    const char *state = strrchr(stat, ')');

    printf("  thread %d (%s): %s", (int)tid, name,
           lt_proc_state_name(state && state[1] ? state[2] : '?'));
    if (wchan[0] && strcmp(wchan, "0") != 0)
        printf(" in %s", wchan);
    call[strcspn(call, " ")] = '\0';
    if (call[0] && isdigit((unsigned char)call[0]))
        printf(", system call %s", call);
    printf("\n");
}

static void print_threads(pid_t pid)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (isdigit((unsigned char)e->d_name[0]))
            print_thread(pid, (pid_t)strtol(e->d_name, NULL, 10));
    if (d)
        closedir(d);
    fflush(stdout);
}

/* ---- by ptrace */

static int on_frame(Dwfl_Frame *frame, void *arg)
{
    struct walk *w = arg;
    const char *symbol = NULL, *file = NULL;
    Dwarf_Addr pc, at;
    GElf_Off offset = 0;
    GElf_Sym sym;
    bool activation;
    Dwfl_Module *m;

    if (!dwfl_frame_pc(frame, &pc, &activation))
        return DWARF_CB_ABORT;
    at = activation ? pc : pc - 1; /* a return address may lie behind its function's end */
    m = dwfl_addrmodule(w->dwfl, at);
    if (m) {
        symbol = dwfl_module_addrinfo(m, at, &offset, &sym, NULL, NULL, NULL);
        file = dwfl_module_info(m, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    }
    printf("    #%-2d %016llx", w->frames, (unsigned long long)pc);
    if (symbol)
        printf(" %s+0x%llx", symbol, (unsigned long long)(offset + (activation ? 0 : 1)));
    printf(" (%s)\n", file ? file : "?");
    return ++w->frames < FRAMES ? DWARF_CB_OK : DWARF_CB_ABORT;
}

static int on_thread(Dwfl_Thread *thread, void *arg)
{
    struct walk *w = arg;

    w->frames = 0;
    printf("  stack of thread %d\n", (int)dwfl_thread_tid(thread));
    if (dwfl_thread_getframes(thread, on_frame, w) < 0 && w->frames == 0)
        printf("    none: %s\n", dwfl_errmsg(-1));
    fflush(stdout);
    return DWARF_CB_OK;
}

static const char *trace(struct walk *w)
{
    int rc;

    if (dwfl_linux_proc_report(w->dwfl, w->pid) != 0 || dwfl_report_end(w->dwfl, NULL, NULL) != 0)
        return "its files can't be read";
    rc = dwfl_linux_proc_attach(w->dwfl, w->pid, false);
    if (rc != 0)
        return rc > 0 ? strerror(rc) : dwfl_errmsg(-1);
    return dwfl_getthreads(w->dwfl, on_thread, w) < 0 ? dwfl_errmsg(-1) : NULL;
}

static void print_stacks(pid_t pid)
{
    static char *no_path = (char *)"";
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_linux_proc_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .debuginfo_path = &no_path,
    };
    struct walk w = {.pid = pid};
    const char *why;

    unsetenv("DEBUGINFOD_URLS"); /* nothing is fetched */
    w.dwfl = dwfl_begin(&callbacks);
    why = w.dwfl ? trace(&w) : "out of memory";
    if (why)
        printf("  no stacks: %s\n", why);
    if (w.dwfl)
        dwfl_end(w.dwfl); /* detaches */
}

int main(int argc, char **argv)
{
    pid_t pid = argc == 3 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    int fd = 1;

    if (pid <= 1) {
        fprintf(stderr, "usage: lt-stacks PID FILE\nStarted by ltd for ranks that stand still.\n");
        return 2;
    }
    if (strcmp(argv[2], "-") != 0)
        fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || (fd != 1 && dup2(fd, 1) < 0)) {
        fprintf(stderr, "lt-stacks: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    alarm(SECONDS);
    printf("ltd: process %d, seen from outside\n", (int)pid);
    print_threads(pid);
    print_stacks(pid);
    fflush(stdout);
    return 0;
}
