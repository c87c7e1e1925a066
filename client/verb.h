/* verb.h - a verb of ltctl is one file verbs/NAME.c and one word in meson.build
 *
 * Everything that help, completion and docs/cli.md say of it comes from the rows here.
 */
#ifndef LT_CLIENT_VERB_H
#define LT_CLIENT_VERB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lt_arena;
struct lt_client;
struct lt_ctl;
struct lt_rpc_status;

enum lt_option_kind {
    LT_OPTION_FLAG,
    LT_OPTION_STRING,
    LT_OPTION_NUMBER, /* unsigned */
    LT_OPTION_DURATION,
    LT_OPTION_LIST, /* may be given several times */
    LT_OPTION_KIND_N
};

struct lt_option {
    const char *name; /* --name */
    char letter;      /* -x, or 0 */
    enum lt_option_kind kind;
    const char *value;   /* how help names the value: "PATH=VALUE"; alternatives as "table|json" are
                            checked */
    const char *summary; /* one line */
};

enum lt_verb_flags {
    LT_VERB_OUTPUT = 1,  /* takes -o table|json|jsonl|yaml */
    LT_VERB_DAEMON = 2,  /* needs a daemon */
    LT_VERB_STARTS = 4,  /* starts an embedded one when there is none */
    LT_VERB_COMMAND = 8, /* instead of its one argument: -- PROGRAM [ARGUMENT…] (command.h) */
};

struct lt_verb {
    const char *name;      /* one word, or two: "plan check" */
    const char *arguments; /* "JOB best|last|NAME DIR"; "" */
    const char *summary;   /* one sentence without a full stop */
    const char *details;   /* paragraphs for its help page; may be NULL */
    const struct lt_option *options;
    size_t n_options;
    int min_args, max_args; /* max_args < 0: no limit */
    unsigned flags;
    int (*run)(struct lt_ctl *ctl); /* exit code */
};

extern const struct lt_verb *const lt_verbs[]; /* NULL-ended, in the order of help */

/* control.md's exit codes; the jobs' own are lt_job_exit_code()'s. */
enum lt_exit {
    LT_EXIT_OK = 0,
    LT_EXIT_ERROR = 1,
    LT_EXIT_USAGE = 2,
    LT_EXIT_REFUSED = 3,
    LT_EXIT_NOT_FOUND = 4,
    LT_EXIT_NOT_PERMITTED = 5,
    LT_EXIT_UNREACHABLE = 7,
    LT_EXIT_TIMEOUT = 9,
    LT_EXIT_DETACHED = 130,
};

#endif
