/* completion.c - shell scripts from the rows: words only, no daemon is asked */
#include <string.h>

#include "base/buf.h"
#include "client/ctl.h"
#include "client/help.h"

/* The verbs' first words, each once. */
static void verb_words(struct lt_buf *out)
{
    const char *last = "";

    for (const struct lt_verb *const *v = lt_verbs; *v; v++) {
        size_t n = strcspn((*v)->name, " ");

        if (strncmp(last, (*v)->name, n) == 0 && strcspn(last, " ") == n)
            continue;
        lt_buf_printf(out, "%s%.*s", out->len ? " " : "", (int)n, (*v)->name);
        last = (*v)->name;
    }
}

static void option_words(const struct lt_verb *v, struct lt_buf *out)
{
    const struct lt_option *o;

    for (size_t i = 0; (o = lt_verb_option(v, i)); i++) {
        lt_buf_printf(out, "%s--%s", i ? " " : "", o->name);
        if (o->letter)
            lt_buf_printf(out, " -%c", o->letter);
    }
}

static void bash(struct lt_buf *out)
{
    LT_BUF_AUTO verbs = {0};

    verb_words(&verbs);
    lt_buf_printf(out,
                  "_ltctl() {\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=\n"
                  "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                  "        COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))\n"
                  "        return\n"
                  "    fi\n"
                  "    [ \"$COMP_CWORD\" -gt 2 ] && case \"$verb ${COMP_WORDS[2]}\" in 'plan "
                  "check'|'plan show') "
                  "verb=\"$verb ${COMP_WORDS[2]}\" ;; esac\n"
                  "    case \"$verb\" in\n"
                  "    plan) words='check show' ;;\n",
                  verbs.data ? verbs.data : "");
    for (const struct lt_verb *const *v = lt_verbs; *v; v++) {
        lt_buf_printf(out, "    '%s') words='", (*v)->name);
        option_words(*v, out);
        lt_buf_str(out, "' ;;\n");
    }
    lt_buf_str(out, "    esac\n"
                    "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                    "    [ \"${cur#-}\" = \"$cur\" ] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
                    "}\n"
                    "complete -o filenames -F _ltctl ltctl\n");
}

static void zsh(struct lt_buf *out)
{
    lt_buf_str(out, "autoload -U +X bashcompinit && bashcompinit\n");
    bash(out);
}

static void fish(struct lt_buf *out)
{
    const struct lt_option *o;

    for (const struct lt_verb *const *v = lt_verbs; *v; v++) {
        int n = (int)strcspn((*v)->name, " ");

        lt_buf_printf(out, "complete -c ltctl -n __fish_use_subcommand -a '%.*s' -d '%s'\n", n,
                      (*v)->name, (*v)->summary);
        for (size_t i = 0; (o = lt_verb_option(*v, i)); i++) {
            lt_buf_printf(out, "complete -c ltctl -n '__fish_seen_subcommand_from %.*s' -l %s", n,
                          (*v)->name, o->name);
            if (o->letter)
                lt_buf_printf(out, " -s %c", o->letter);
            lt_buf_str(out, o->kind == LT_OPTION_FLAG ? "\n" : " -r\n");
        }
    }
}

static const struct {
    const char *name;
    void (*print)(struct lt_buf *out);
} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

bool lt_help_completion(const char *shell, struct lt_buf *out)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(shells); i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print(out);
            return true;
        }
    }
    return false;
}
