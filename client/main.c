/* main.c - ltctl: finds the verb, reads its options, connects where it needs that, runs it */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "client/help.h"
#include "rpc/client.h"
#include "sys/log.h"
#include "verbs_list.h"

#define X(name) extern const struct lt_verb lt_verb_##name;
LT_VERBS
#undef X
#define X(name) &lt_verb_##name,
const struct lt_verb *const lt_verbs[] = {LT_VERBS NULL};
#undef X

#define NAMES_MAX 64

static int unknown(const char *word)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    const char *near;

    while (n < NAMES_MAX && lt_verbs[n]) {
        names[n] = lt_verbs[n]->name;
        n++;
    }
    near = lt_suggest(word, names, n);
    if (near)
        fprintf(stderr, "ltctl: unknown verb `%s`; did you mean `%s`?\n", word, near);
    else
        fprintf(stderr, "ltctl: unknown verb `%s`; `ltctl help` lists them\n", word);
    return LT_EXIT_USAGE;
}

static void print_overview(FILE *to)
{
    LT_BUF_AUTO page = {0};

    lt_help_overview(&page);
    fputs(page.data, to);
}

static int print_verb(const struct lt_verb *v)
{
    LT_BUF_AUTO page = {0};

    lt_help_verb(v, &page);
    fputs(page.data, stdout);
    return 0;
}

static int run(const struct lt_verb *v, int argc, char **argv)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_ctl ctl = {.verb = v, .arena = arena};
    int rc = lt_ctl_parse(&ctl, argc, argv);

    if (rc)
        return rc;
    if (lt_ctl_flag(&ctl, "help"))
        return print_verb(v);
    rc = v->run(&ctl);
    lt_client_close(ctl.client);
    lt_free(ctl.socket);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc == 0)
        rc = lt_ctl_fail(&ctl, LT_EXIT_ERROR, "the output couldn't be written; is the disk full?");
    return rc;
}

int main(int argc, char **argv)
{
    const struct lt_verb *v;
    int words = 1;

    lt_log_init("ltctl", LT_LOG_ERROR);
    if (argc < 2) {
        print_overview(stderr);
        return LT_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = (char *)"version";
    v = lt_verb_find(argv[1], argc > 2 ? argv[2] : NULL, &words);
    if (!v && strcmp(argv[1], "plan") == 0) {
        fprintf(stderr, "ltctl: usage: ltctl plan check PLAN, or ltctl plan show PLAN\n");
        return LT_EXIT_USAGE;
    }
    return v ? run(v, argc - 1 - words, argv + 1 + words) : unknown(argv[1]);
}
