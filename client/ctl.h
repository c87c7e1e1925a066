/* ctl.h - one call of ltctl: its arguments, its connection, and how it says that something went
 * wrong */
#ifndef LT_CLIENT_CTL_H
#define LT_CLIENT_CTL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "client/verb.h"
#include "lt/v1/jobs.pb-c.h"

struct lt_address;
struct lt_arena;
struct lt_client;
struct lt_ctl_file;
struct lt_problems;
struct lt_rpc_status;

#define LT_CTL_VALUES_MAX 64

struct lt_value {
    const struct lt_option *option;
    const char *text; /* NULL: a flag */
};

struct lt_ctl {
    const struct lt_verb *verb;
    struct lt_value values[LT_CTL_VALUES_MAX]; /* options in the order given */
    size_t n_values;
    const char *const *args; /* without options; NULL-ended */
    int n_args;
    bool program;             /* they are a program's, behind -- (LT_VERB_COMMAND) */
    struct lt_arena *arena;   /* lives as long as the call */
    struct lt_client *client; /* when LT_VERB_DAEMON; NULL before lt_ctl_connect() */
    char *socket;             /* path, or HOST:PORT, that is used */
    struct lt_address *tcp;   /* in the arena; NULL: a Unix socket */
    const char *plan_path;    /* the plan that was read (plan_file.c), in the arena */
    const char *plan_text;
    size_t plan_len;
    struct lt_ctl_file *files; /* of the plan, by content (files.c), in the arena */
};

/* ---- arguments (options.c) */
/* Parses what follows the verb. 0, or LT_EXIT_USAGE with the reason printed. */
int lt_ctl_parse(struct lt_ctl *ctl, int argc, char **argv);
/* The first argument stands where a plan or `-- PROGRAM` does, and has no plan's name. */
bool lt_ctl_names_program(const struct lt_ctl *ctl);
bool lt_ctl_flag(const struct lt_ctl *ctl, const char *name);
const char *lt_ctl_string(const struct lt_ctl *ctl,
                          const char *name); /* the last one given, or NULL */
bool lt_ctl_number(const struct lt_ctl *ctl, const char *name,
                   uint64_t *out); /* false: not given */
bool lt_ctl_duration(const struct lt_ctl *ctl, const char *name, double *seconds);
/* All values of a list, in the arena. */
const char *const *lt_ctl_list(const struct lt_ctl *ctl, const char *name, size_t *n);
/* The rows that this verb takes, with the common ones: index 0 … until NULL. */
const struct lt_option *lt_verb_option(const struct lt_verb *verb, size_t i);

/* ---- connection (connect.c) */
/* 0, or an exit code with the reason printed. Starts an embedded daemon for verbs that may. */
int lt_ctl_connect(struct lt_ctl *ctl);
/* Again, after the connection was lost: also restarts a daemon that was embedded. Quiet; false:
 * still nobody there. */
bool lt_ctl_reconnect(struct lt_ctl *ctl);
/* HOST:PORT from --server, or $LTD_SERVER where no socket is named; NULL: a socket. */
const char *lt_ctl_server(const struct lt_ctl *ctl);
/* Opens ctl->client to that server, with the token; 0, or an exit code with the reason printed. */
int lt_ctl_connect_tcp(struct lt_ctl *ctl, const char *server);

/* ---- calls (call.c) */
#define LT_CTL_TIMEOUT_MS 30000
/* One unary call of service lt.v1.Jobs ("Get") or a full path; retried for a while when the daemon
 * is restarting (all of them are idempotent). 0, or an exit code with the reason printed. */
int lt_ctl_call(struct lt_ctl *ctl, const char *method, const void *request,
                const ProtobufCMessageDescriptor *out, void *reply);
int lt_ctl_get(struct lt_ctl *ctl, const char *job, Lt__V1__JobStatus **out);
/* A random id for submissions, in the arena. */
const char *lt_ctl_request_id(struct lt_ctl *ctl);

/* ---- saying things (say.c): to stderr, `ltctl VERB: sentence` */
int lt_ctl_fail(const struct lt_ctl *ctl, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void lt_ctl_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How a call ended, with what to do next; the exit code that stands for it. */
int lt_ctl_fail_status(const struct lt_ctl *ctl, const struct lt_rpc_status *status);
/* One line each: file:line:column: path: reason; remedy. file may be NULL. */
void lt_ctl_problems(const char *file, const struct lt_problems *problems);
void lt_ctl_problem_messages(const char *file, Lt__V1__Problem *const *problems, size_t n);

#endif
