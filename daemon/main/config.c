/* config.c - flags are the fields of lt.v1.DaemonConfig: --state-dir is state_dir
 *
 * The file goes through the same mapper as plans: every problem is named with its line. A flag sets
 * its field by the message's descriptor; the table below only holds what --help says.
 */
#include "daemon/main/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/plan.h"
#include "proto/text/text.h"
#include "sys/file.h"
#include "sys/paths.h"

#define FILE_MAX (1u << 20)
#define NAME_LEN 64

static const struct {
    const char *name; /* of the field */
    const char *value;
    const char *help;
} flags[] = {
    {"socket", "PATH",
     "listen here (default: $LTD_SOCKET, else ltd.sock in the user's runtime folder)"},
    {"state_dir", "DIR", "keep jobs and attempts here (default: ltd in the user's state folder)"},
    {"listen", "HOST:PORT", "also listen on TCP here, on this machine alone (127.0.0.1:0: any free port)"},
    {"token_file", "FILE", "tokens, one a line, for who comes over TCP; mode 600"},
    {"runs_dir", "DIR", "make run directories here (default: ltd/runs in the user's data folder)"},
    {"role", "ROLE", "coordinator, agent or both (default)"},
    {"coordinator", "ADDR", "where an agent finds its coordinator: a socket's path, or HOST:PORT"},
    {"node", "NAME", "this node's name (default: the host's)"},
    {"hang_after", "SECONDS", "how long a rank may stand still before it is ended (default: 60)"},
    {"log_level", "LEVEL", "debug, info (default), warning or error"},
    {"embedded", NULL, "end by itself when there has been nothing to do for a while"},
    {"idle_exit", "SECONDS", "how long that while is (default: 600)"},
};

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print_help(void)
{
    printf("usage: ltd [--config FILE] [OPTIONS]\n\nRuns training jobs on this machine; `ltctl` "
           "talks to it.\n\n"
           "  --config FILE            read options from FILE (YAML or JSON; the same names, with "
           "_ for -)\n");
    for (size_t i = 0; i < LT_ARRAY_LEN(flags); i++) {
        char text[NAME_LEN];

        snprintf(text, sizeof text, "--%s%s%s", flags[i].name, flags[i].value ? " " : "",
                 flags[i].value ? flags[i].value : "");
        for (char *c = text; *c && *c != ' '; c++)
            if (*c == '_')
                *c = '-';
        printf("  %-24s %s\n", text, flags[i].help);
    }
    printf("  --version                print the version\n  --help                   print this\n");
}

static int usage(const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "ltd: ");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "; `ltd --help` lists the options\n");
    return -EINVAL;
}

static int load(const char *path, struct lt_arena *arena, Lt__V1__DaemonConfig *out)
{
    LT_AUTO(lt_free) char *full = realpath(path, NULL);
    struct lt_problems problems = {0};
    struct lt_error err = {0};
    LT_BUF_AUTO text = {0};
    ProtobufCMessage *m;

    if (lt_file_read(path, FILE_MAX, &text, &err) < 0) {
        fprintf(stderr, "ltd: %s\n", err.text);
        return -ENOENT;
    }
    if (full && strrchr(full, '/'))
        *strrchr(full, '/') = '\0';
    m = lt_text_parse(&lt__v1__daemon_config__descriptor, text.data ? text.data : "", text.len,
                      full && full[0] ? full : "/", arena, &problems);
    for (size_t i = 0; i < problems.len; i++) {
        const struct lt_problem *p = &problems.items[i];

        fprintf(stderr, "%s:%d:%d: %s%s%s\n", path, p->line, p->column, p->reason,
                p->remedy[0] ? "; " : "", p->remedy);
    }
    if (m)
        *out = *(Lt__V1__DaemonConfig *)m;
    lt_problems_done(&problems);
    return m ? 0 : -EINVAL;
}

static const ProtobufCFieldDescriptor *field_of(const char *flag)
{
    char name[NAME_LEN];

    snprintf(name, sizeof name, "%s", flag);
    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    return protobuf_c_message_descriptor_get_field_by_name(&lt__v1__daemon_config__descriptor,
                                                           name);
}

static char *absolute(struct lt_arena *arena, const char *path)
{
    char here[4096];

    if (path[0] == '/' || !getcwd(here, sizeof here))
        return lt_arena_strdup(arena, path);
    return lt_arena_format(arena, "%s/%s", here, path);
}

static int set(Lt__V1__DaemonConfig *c, const ProtobufCFieldDescriptor *f, const char *value,
               struct lt_arena *arena)
{
    void *at = (char *)c + f->offset;
    const ProtobufCEnumValue *word;
    char upper[NAME_LEN];

    if (f->quantifier_offset)
        *(protobuf_c_boolean *)((char *)c + f->quantifier_offset) = true;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = lt_field_is_path(&lt__v1__daemon_config__descriptor, f)
                           ? absolute(arena, value)
                           : lt_arena_strdup(arena, value);
        return 0;
    case PROTOBUF_C_TYPE_UINT64:
        return lt_parse_u64(value, at);
    case PROTOBUF_C_TYPE_ENUM:
        snprintf(upper, sizeof upper, "%s", value);
        for (char *p = upper; *p; p++)
            *p = (char)toupper((unsigned char)*p);
        word = protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, upper);
        if (!word)
            return -EINVAL;
        *(int *)at = word->value;
        return 0;
    default:
        return -EINVAL;
    }
}

/* One flag at argv[*i]; moves *i to its last word. */
static int take_flag(int argc, char **argv, int *i, Lt__V1__DaemonConfig *out,
                     struct lt_arena *arena)
{
    const char *word = argv[*i], *value = strchr(word, '=');
    char name[NAME_LEN];
    const ProtobufCFieldDescriptor *f;

    if (!lt_str_starts(word, "--"))
        return usage("`%s` isn't an option", word);
    snprintf(name, sizeof name, "%.*s", (int)(value ? value - word : (int)strlen(word)) - 2,
             word + 2);
    f = field_of(name);
    if (!f)
        return usage("unknown option `%s`", word);
    if (f->type == PROTOBUF_C_TYPE_BOOL) {
        if (value)
            return usage("`%s` takes no value", word);
        out->has_embedded = out->embedded = true;
        return 0;
    }
    if (value)
        value++;
    else if (*i + 1 < argc)
        value = argv[++*i];
    if (!value)
        return usage("`%s` needs a value", word);
    return set(out, f, value, arena) < 0 ? usage("the value of `%s` makes no sense", word) : 0;
}

static int complete(Lt__V1__DaemonConfig *c, struct lt_arena *arena)
{
    const char *socket = getenv("LTD_SOCKET");
    LT_AUTO(lt_free) char *default_socket = lt_path_user_socket();
    LT_AUTO(lt_free) char *state = lt_path_state_dir();
    LT_AUTO(lt_free) char *data = lt_path_data_dir();

    if (!c->socket)
        c->socket =
            socket && socket[0] ? absolute(arena, socket) : lt_arena_strdup(arena, default_socket);
    if (!c->state_dir)
        c->state_dir = lt_arena_strdup(arena, state);
    if (!c->runs_dir)
        c->runs_dir = lt_arena_format(arena, "%s/runs", data);
    if (c->role == LT__V1__DAEMON_CONFIG__ROLE__AGENT && !c->coordinator)
        return usage("role %s needs --coordinator ADDR", "agent");
    if (c->role != LT__V1__DAEMON_CONFIG__ROLE__AGENT && c->coordinator)
        return usage("--coordinator is for --role agent; this is `%s`",
                     c->role == LT__V1__DAEMON_CONFIG__ROLE__BOTH ? "both" : "coordinator");
    if (!c->listen != !c->token_file)
        return usage("--listen and --token-file go together; without a token nobody gets in");
    if (c->listen && c->role == LT__V1__DAEMON_CONFIG__ROLE__AGENT)
        return usage("--listen is the coordinator's; this is `%s`", "agent");
    if (c->coordinator && c->coordinator[0] == '/')
        c->coordinator = lt_arena_format(arena, "unix:%s", c->coordinator);
    else if (!c->coordinator)
        c->coordinator = lt_arena_format(arena, "unix:%s", c->socket);
    return 0;
}

int lt_daemon_config(int argc, char **argv, struct lt_arena *arena, Lt__V1__DaemonConfig *out)
{
    int rc = 0;

    lt__v1__daemon_config__init(out);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 1;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("ltd %s\n", LT_VERSION);
            return 1;
        }
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            rc = load(argv[i + 1], arena, out);
        if (rc < 0)
            return rc;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0)
            rc = ++i < argc ? 0 : usage("`%s` needs a value", "--config");
        else
            rc = take_flag(argc, argv, &i, out, arena);
        if (rc < 0)
            return rc;
    }
    return complete(out, arena);
}
