/* options.c - the command line, by the verb's rows
 *
 * --name VALUE, --name=VALUE, -x VALUE, -xVALUE, flags together (-fq), -- ends options, options and
 * arguments mix.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/str.h"
#include "client/ctl.h"

static const struct lt_option common[] = {
    {"socket", 0, LT_OPTION_STRING, "PATH",
     "the daemon's socket (else $LTD_SOCKET, the user's, /run/ltd/ltd.sock)"},
    {"server", 0, LT_OPTION_STRING, "HOST:PORT", "the daemon's TCP address (else $LTD_SERVER)"},
    {"token-file", 0, LT_OPTION_STRING, "FILE",
     "whose first token is shown there (else $LTD_TOKEN_FILE)"},
    {"help", 'h', LT_OPTION_FLAG, NULL, "show this page"},
};
static const struct lt_option output = {"output", 'o', LT_OPTION_STRING, "table|json|jsonl|yaml",
                                        "form of the output"};

const struct lt_option *lt_verb_option(const struct lt_verb *v, size_t i)
{
    if (i < v->n_options)
        return &v->options[i];
    i -= v->n_options;
    if (v->flags & LT_VERB_OUTPUT) {
        if (i == 0)
            return &output;
        i--;
    }
    if (!(v->flags & LT_VERB_DAEMON))
        i += LT_ARRAY_LEN(common) - 1; /* help alone */
    return i < LT_ARRAY_LEN(common) ? &common[i] : NULL;
}

static const struct lt_option *by_name(const struct lt_verb *v, const char *name, size_t n)
{
    const struct lt_option *o;

    for (size_t i = 0; (o = lt_verb_option(v, i)); i++) {
        if (strlen(o->name) == n && strncmp(o->name, name, n) == 0)
            return o;
    }
    return NULL;
}

static const struct lt_option *by_letter(const struct lt_verb *v, char letter)
{
    const struct lt_option *o;

    for (size_t i = 0; (o = lt_verb_option(v, i)); i++) {
        if (o->letter == letter)
            return o;
    }
    return NULL;
}

static const char *suggestion(const struct lt_verb *v, const char *name)
{
    const char *names[LT_CTL_VALUES_MAX];
    const struct lt_option *o;
    size_t n = 0;

    while (n < LT_CTL_VALUES_MAX && (o = lt_verb_option(v, n)))
        names[n++] = o->name;
    return lt_suggest(name, names, n);
}

static bool is_alternative(const char *alternatives, const char *text)
{
    size_t n = strlen(text);

    for (const char *p = alternatives; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
        if (strncmp(p, text, n) == 0 && (p[n] == 0 || p[n] == '|'))
            return true;
    }
    return false;
}

static int check_value(const struct lt_ctl *ctl, const struct lt_option *o, const char *text)
{
    uint64_t u;
    double d;

    if (o->kind == LT_OPTION_NUMBER && lt_parse_u64(text, &u) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--%s takes a whole number, not `%s`", o->name,
                           text);
    if (o->kind == LT_OPTION_DURATION && lt_parse_duration(text, &d) < 0)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--%s takes a time such as 90s or 2h, not `%s`",
                           o->name, text);
    if (o->kind == LT_OPTION_STRING && strchr(o->value, '|') && !is_alternative(o->value, text))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--%s takes one of %s, not `%s`", o->name, o->value,
                           text);
    return 0;
}

static int add(struct lt_ctl *ctl, const struct lt_option *o, const char *text)
{
    if (ctl->n_values == LT_CTL_VALUES_MAX)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "more than %d options", LT_CTL_VALUES_MAX);
    ctl->values[ctl->n_values++] = (struct lt_value){o, text};
    return text ? check_value(ctl, o, text) : 0;
}

/* *i moves on when the value is the next word. */
static int add_with_value(struct lt_ctl *ctl, const struct lt_option *o, const char *attached,
                          char **argv, int argc, int *i)
{
    if (o->kind == LT_OPTION_FLAG)
        return attached ? lt_ctl_fail(ctl, LT_EXIT_USAGE, "--%s takes no value", o->name)
                        : add(ctl, o, NULL);
    if (!attached && ++*i >= argc)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "--%s needs a value: --%s %s", o->name, o->name,
                           o->value);
    return add(ctl, o, attached ? attached : argv[*i]);
}

bool lt_ctl_names_program(const struct lt_ctl *ctl)
{
    static const char *const plans[] = {".yaml", ".yml", ".json"};
    const char *name = ctl->n_args ? ctl->args[0] : "-";

    for (size_t i = 0; i < LT_ARRAY_LEN(plans); i++)
        if (lt_str_ends(name, plans[i]))
            return false;
    return (ctl->verb->flags & LT_VERB_COMMAND) && !ctl->program && strcmp(name, "-") != 0;
}

/* Behind what must be a program it is meant for that. */
static int unknown_option(struct lt_ctl *ctl, const char *word, size_t n)
{
    if (lt_ctl_names_program(ctl))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                           "unknown option %.*s; a program stands behind `--`: ltctl %s -- %s %.*s",
                           (int)n, word, ctl->verb->name, ctl->args[0], (int)n, word);
    return lt_ctl_fail(ctl, LT_EXIT_USAGE, "unknown option %.*s; `ltctl help %s` lists them",
                       (int)n, word, ctl->verb->name);
}

static int long_option(struct lt_ctl *ctl, char **argv, int argc, int *i)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct lt_option *o = by_name(ctl->verb, name, n);
    const char *near;

    if (o)
        return add_with_value(ctl, o, equals ? equals + 1 : NULL, argv, argc, i);
    near = suggestion(ctl->verb, name);
    if (near)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "unknown option --%.*s; did you mean --%s?", (int)n,
                           name, near);
    return unknown_option(ctl, argv[*i], n + 2);
}

static int short_options(struct lt_ctl *ctl, char **argv, int argc, int *i)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        const struct lt_option *o = by_letter(ctl->verb, *p);

        if (!o)
            return unknown_option(ctl, (const char[]){'-', *p}, 2);
        if (o->kind != LT_OPTION_FLAG)
            return add_with_value(ctl, o, p[1] ? p + 1 : NULL, argv, argc, i);
        if (add(ctl, o, NULL) != 0)
            return LT_EXIT_USAGE;
    }
    return 0;
}

static int check_count(const struct lt_ctl *ctl)
{
    const struct lt_verb *v = ctl->verb;

    if (lt_ctl_flag(ctl, "help"))
        return 0;
    if (ctl->program)
        return ctl->n_args ? 0 : lt_ctl_fail(ctl, LT_EXIT_USAGE, "there is no program behind `--`");
    if (ctl->n_args > 1 && (v->flags & LT_VERB_COMMAND))
        return lt_ctl_fail(ctl, LT_EXIT_USAGE,
                           "`%s` is one argument too many; a program stands behind `--`: ltctl %s -- %s %s",
                           ctl->args[1], v->name, ctl->args[0], ctl->args[1]);
    if (ctl->n_args < v->min_args)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "too few arguments; usage: ltctl %s %s", v->name,
                           v->arguments);
    if (v->max_args >= 0 && ctl->n_args > v->max_args)
        return lt_ctl_fail(ctl, LT_EXIT_USAGE, "`%s` is one argument too many; usage: ltctl %s %s",
                           ctl->args[v->max_args], v->name, v->arguments);
    return 0;
}

int lt_ctl_parse(struct lt_ctl *ctl, int argc, char **argv)
{
    const char **args = lt_arena_alloc(ctl->arena, ((size_t)argc + 1) * sizeof *args);
    bool options = true;
    int rc = 0;

    ctl->args = args;
    ctl->n_args = 0;
    for (int i = 0; i < argc && rc == 0; i++) {
        if (!options || argv[i][0] != '-' || argv[i][1] == 0) {
            args[ctl->n_args++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            options = false;
            ctl->program = (ctl->verb->flags & LT_VERB_COMMAND) && ctl->n_args == 0;
        } else if (argv[i][1] == '-') {
            rc = long_option(ctl, argv, argc, &i);
        } else {
            rc = short_options(ctl, argv, argc, &i);
        }
    }
    return rc ? rc : check_count(ctl);
}

static const struct lt_value *find(const struct lt_ctl *ctl, const char *name)
{
    for (size_t i = ctl->n_values; i-- > 0;) {
        if (strcmp(ctl->values[i].option->name, name) == 0)
            return &ctl->values[i];
    }
    return NULL;
}

bool lt_ctl_flag(const struct lt_ctl *ctl, const char *name)
{
    return find(ctl, name) != NULL;
}

const char *lt_ctl_string(const struct lt_ctl *ctl, const char *name)
{
    const struct lt_value *v = find(ctl, name);

    return v ? v->text : NULL;
}

bool lt_ctl_number(const struct lt_ctl *ctl, const char *name, uint64_t *out)
{
    const struct lt_value *v = find(ctl, name);

    return v && lt_parse_u64(v->text, out) == 0;
}

bool lt_ctl_duration(const struct lt_ctl *ctl, const char *name, double *seconds)
{
    const struct lt_value *v = find(ctl, name);

    return v && lt_parse_duration(v->text, seconds) == 0;
}

const char *const *lt_ctl_list(const struct lt_ctl *ctl, const char *name, size_t *n)
{
    const char **list = lt_arena_alloc(ctl->arena, (ctl->n_values + 1) * sizeof *list);

    *n = 0;
    for (size_t i = 0; i < ctl->n_values; i++) {
        if (strcmp(ctl->values[i].option->name, name) == 0)
            list[(*n)++] = ctl->values[i].text;
    }
    return list;
}
