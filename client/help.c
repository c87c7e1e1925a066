/* help.c - help pages and docs/cli.md, from the rows */
#include "client/help.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/ctl.h"

static const char intro[] = "ltctl hands training plans to ltd and shows what becomes of them.\n";

static const char after[] =
    "Exit codes. `run`, `logs -f`, `watch`, `submit --wait`, `resume -f`, `test`, `validate` and "
    "`predict` return the job's:\n"
    "0 succeeded, 100 failed, 103 cancelled, 104 timed out, 105 preempted, "
    "106 infrastructure failed, 107 stopped on request.\n"
    "Every verb: 2 usage, 3 plan invalid or refused, 4 what was named doesn't exist, "
    "5 not permitted,\n"
    "7 daemon unreachable or outcome unknown, 9 still running when the time given was over, "
    "130 detached by Ctrl-C.\n";

static void option_usage(const struct lt_option *o, struct lt_buf *out)
{
    if (o->letter)
        lt_buf_printf(out, "-%c, --%s", o->letter, o->name);
    else
        lt_buf_printf(out, "--%s", o->name);
    if (o->value)
        lt_buf_printf(out, " %s", o->value);
}

void lt_help_overview(struct lt_buf *out)
{
    lt_buf_str(out, intro);
    lt_buf_str(out, "\nusage: ltctl VERB [options] [arguments]\n\n");
    for (const struct lt_verb *const *v = lt_verbs; *v; v++)
        lt_buf_printf(out, "  %-12s %s\n", (*v)->name, (*v)->summary);
    lt_buf_str(out, "\n`ltctl help VERB` tells more.\n\n");
    lt_buf_str(out, after);
}

void lt_help_verb(const struct lt_verb *v, struct lt_buf *out)
{
    const struct lt_option *o;

    lt_buf_printf(out, "usage: ltctl %s [options]%s%s\n\n%s.\n", v->name,
                  v->arguments[0] ? " " : "", v->arguments, v->summary);
    if (v->details)
        lt_buf_printf(out, "\n%s\n", v->details);
    lt_buf_str(out, "\noptions:\n");
    for (size_t i = 0; (o = lt_verb_option(v, i)); i++) {
        LT_BUF_AUTO usage = {0};

        option_usage(o, &usage);
        lt_buf_printf(out, "  %-30s %s\n", usage.data, o->summary);
    }
}

/* `|` separates cells. */
static void cell(const char *text, struct lt_buf *out)
{
    for (; *text; text++) {
        if (*text == '|')
            lt_buf_char(out, '\\');
        lt_buf_char(out, *text);
    }
}

static void verb_markdown(const struct lt_verb *v, struct lt_buf *out)
{
    const struct lt_option *o;

    lt_buf_printf(out, "\n## ltctl %s\n\n`ltctl %s [options]%s%s`\n\n%s.\n", v->name, v->name,
                  v->arguments[0] ? " " : "", v->arguments, v->summary);
    if (v->details)
        lt_buf_printf(out, "\n%s\n", v->details);
    lt_buf_str(out, "\n| option | meaning |\n|---|---|\n");
    for (size_t i = 0; (o = lt_verb_option(v, i)); i++) {
        LT_BUF_AUTO usage = {0};

        option_usage(o, &usage);
        lt_buf_str(out, "| `");
        cell(usage.data, out);
        lt_buf_str(out, "` | ");
        cell(o->summary, out);
        lt_buf_str(out, " |\n");
    }
}

void lt_help_markdown(struct lt_buf *out)
{
    lt_buf_str(out, "# ltctl\n\n<!-- made by `ltctl help --markdown`; a test compares -->\n\n");
    lt_buf_str(out, intro);
    lt_buf_str(out, "\n");
    lt_buf_str(out, after);
    for (const struct lt_verb *const *v = lt_verbs; *v; v++)
        verb_markdown(*v, out);
}

const struct lt_verb *lt_verb_find(const char *first, const char *second, int *words)
{
    LT_AUTO(lt_free) char *both = second ? lt_format("%s %s", first, second) : NULL;

    for (const struct lt_verb *const *v = lt_verbs; *v; v++) {
        if (both && strcmp((*v)->name, both) == 0) {
            *words = 2;
            return *v;
        }
        if (strcmp((*v)->name, first) == 0) {
            *words = 1;
            return *v;
        }
    }
    return NULL;
}
