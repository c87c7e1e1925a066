/* doctor.c - ltctl doctor: is everything there that ltd needs? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/embedded.h"
#include "sys/cgroup.h"
#include "sys/cpuset.h"
#include "sys/file.h"
#include "sys/paths.h"
#include "sys/rss.h"

#define FREE_LEAST (1ull << 30)

static unsigned bad;

static void say(bool good, const char *what, const char *text)
{
    printf("%-4s %-14s %s\n", good ? "ok" : "BAD", what, text);
    bad += !good;
}

static void check_programs(void)
{
    static const char *const names[] = {"ltd", "lt-shim", "lt-worker", "lt-recorder"};

    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++) {
        LT_AUTO(lt_free) char *path = lt_path_program(names[i]);
        LT_AUTO(lt_free) char *text = NULL;
        bool there = access(path, X_OK) == 0;

        text = there
                   ? lt_strdup(path)
                   : lt_format("%s: %s; build and install the whole of ltd", path, strerror(errno));
        say(there, names[i], text);
    }
}

/* Folders that are made when they are needed: the nearest parent that exists must be writable. */
static void check_folder(const char *what, const char *dir)
{
    LT_AUTO(lt_free) char *parent = lt_strdup(dir);
    LT_AUTO(lt_free) char *text = NULL;
    struct statvfs fs;
    char size[32] = "?";
    uint64_t free_bytes = 0;
    bool good;

    while (strlen(parent) > 1 && !lt_file_exists(parent)) {
        char *slash = strrchr(parent, '/');

        slash[slash == parent] = 0;
    }
    good = access(parent, W_OK) == 0;
    if (statvfs(parent, &fs) == 0) {
        free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        lt_print_size(size, sizeof size, free_bytes);
    }
    text = good ? lt_format("%s, %s free%s", dir, size,
                            free_bytes < FREE_LEAST ? ": that may not last" : "")
                : lt_format("%s: %s can't be written to; choose another by $XDG_STATE_HOME, "
                            "$XDG_DATA_HOME or $XDG_CACHE_HOME",
                            dir, parent);
    say(good && free_bytes >= FREE_LEAST, what, text);
}

static void check_folders(void)
{
    LT_AUTO(lt_free) char *state = lt_path_state_dir();
    LT_AUTO(lt_free) char *data = lt_path_data_dir();
    LT_AUTO(lt_free) char *cache = lt_path_cache_dir();
    LT_AUTO(lt_free) char *runtime = lt_path_runtime_dir();
    struct lt_error err = {0};
    bool good = lt_path_make_runtime_dir(runtime, &err) == 0;

    check_folder("state", state);
    check_folder("runs", data);
    check_folder("cache", cache);
    say(good, "runtime", good ? runtime : err.text);
}

static void check_machine(void)
{
    LT_AUTO(lt_free) char *cpu = NULL;
    LT_AUTO(lt_free) char *memory = NULL;
    uint64_t total = 0, available = 0;
    char model[128], a[32], b[32];
    enum lt_isa isa = lt_cpu_isa();

    lt_cpu_model(model, sizeof model);
    cpu = lt_format("%d of %s, %s%s", lt_cpu_usable(), model, lt_isa_names[isa],
                    isa < LT_ISA_AVX2 ? ": kernels want AVX2 or better and will be slow" : "");
    say(isa >= LT_ISA_AVX2, "processors", cpu);
    lt_memory_of_machine(&total, &available);
    lt_print_size(a, sizeof a, available);
    lt_print_size(b, sizeof b, total);
    memory = lt_format("%s of %s available; limits by %s", a, b,
                       lt_cgroup_kind_names[lt_cgroup_probe()]);
    say(available > 0, "memory", memory);
}

static void check_socket(const struct lt_ctl *ctl)
{
    LT_AUTO(lt_free) char *users = lt_path_user_socket();
    const char *asked =
        lt_ctl_string(ctl, "socket") ? lt_ctl_string(ctl, "socket") : getenv("LTD_SOCKET");
    const char *socket = asked && asked[0] ? asked : users;
    LT_AUTO(lt_free) char *text = NULL;
    bool answers = lt_embedded_answers(socket);

    text = answers ? lt_format("answers at %s", socket)
           : lt_file_exists(socket)
               ? lt_format("nobody answers at %s; the next `run` or `submit` starts one", socket)
               : lt_format("none at %s; `run` and `submit` start one", socket);
    say(true, "daemon", text);
}

/* A real call: the token must be good, too. What is wrong has been said on stderr. */
static void check_server(struct lt_ctl *ctl, const char *server)
{
    Lt__V1__ListRequest q = LT__V1__LIST_REQUEST__INIT;
    Lt__V1__ListResponse *r;
    LT_AUTO(lt_free) char *text = NULL;
    bool good = lt_ctl_connect(ctl) == 0 &&
                lt_ctl_call(ctl, "List", &q, &lt__v1__list_response__descriptor, &r) == 0;

    text = good ? lt_format("answers at %s, and takes the token", server)
                : lt_format("%s: nobody lets us in", server);
    say(good, "daemon", text);
}

static void check_daemon(struct lt_ctl *ctl)
{
    const char *server = lt_ctl_server(ctl);

    if (server)
        check_server(ctl, server);
    else
        check_socket(ctl);
}

static int run(struct lt_ctl *ctl)
{
    check_programs();
    check_folders();
    check_machine();
    check_daemon(ctl);
    return bad ? lt_ctl_fail(ctl, LT_EXIT_ERROR, "%u thing%s to see to, marked BAD", bad,
                             bad == 1 ? "" : "s")
               : 0;
}

const struct lt_verb lt_verb_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Look whether everything that ltd needs is there",
    .flags = LT_VERB_DAEMON,
    .run = run,
};
