/* test_docs.c - docs/operators.md is what the operators' table and their files' first lines say
 *
 * LT_GOLDEN_WRITE=1 writes it anew.
 */
#include "tests/ops/kit.h"

#include "base/buf.h"

static char *read_file(const char *name)
{
    char *path = lt_format("%s/%s", getenv("LT_SOURCE_ROOT"), name), *text = lt_calloc(1, 1 << 20);
    FILE *f = fopen(path, "re");

    if (f) {
        text[fread(text, 1, (1 << 20) - 1, f)] = 0;
        fclose(f);
    }
    lt_free(path);
    return text;
}

/* What stands in the file's first comment behind "NAME.c - ", up to an empty line, as one line. */
static void summary(const char *op, struct lt_buf *out)
{
    char name[100], *text, *p, *end;

    snprintf(name, sizeof name, "engine/ops/%s.c", op);
    text = read_file(name);
    p = strstr(text, " - ");
    if (!p)
        fail_msg("%s begins with no comment 'NAME.c - what it is'", name);
    end = strstr(p, "*/");
    if (strstr(p, "\n *\n") && strstr(p, "\n *\n") < end)
        end = strstr(p, "\n *\n");
    for (p += 3; p < end; p++) {
        if (*p == '\n') {
            p += 2; /* " *" */
            continue;
        }
        if (*p == '|')
            lt_buf_printf(out, "\\");
        lt_buf_printf(out, "%c", *p);
    }
    while (out->len && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
    lt_free(text);
}

static void attribute(const struct lt_attr_spec *a, bool first, struct lt_buf *out)
{
    lt_buf_printf(out, "%s`%s`", first ? "" : ", ", a->name);
    if (a->required)
        lt_buf_printf(out, " (needed)");
    else if (a->kind == LT_ATTR_INT || a->kind == LT_ATTR_FLOAT)
        lt_buf_printf(out, " %g", a->def);
    else if (a->kind == LT_ATTR_STR)
        lt_buf_printf(out, " \"%s\"", a->def_str ? a->def_str : "");
}

static void row(const struct lt_op *op, struct lt_buf *out)
{
    static const char *const types[] = {[LT_PRECISION_FOLLOW] = "its inputs'",
                                        [LT_PRECISION_LOW] = "bfloat16",
                                        [LT_PRECISION_KEEP] = "float32"};

    lt_buf_printf(out, "| `%s` | ", op->name);
    if (op->max_in >= LT_OP_VARIADIC)
        lt_buf_printf(out, "%d or more", op->min_in);
    else if (op->min_in == op->max_in)
        lt_buf_printf(out, "%d", op->min_in);
    else
        lt_buf_printf(out, "%d to %d", op->min_in, op->max_in);
    lt_buf_printf(out, " | %d | ", op->n_out);
    for (const struct lt_attr_spec *a = op->attrs; a && a->name; a++)
        attribute(a, a == op->attrs, out);
    lt_buf_printf(out, " | %s | %s | ", op->grad ? "yes" : "", types[op->precision]);
    summary(op->name, out);
    lt_buf_printf(out, " |\n");
}

static void document(struct lt_buf *out)
{
    lt_buf_printf(out, "# Operators\n\nWhat nodes of a model in its general form "
                       "(`model.graph.nodes[].op`, plan-reference.md) can name. "
                       "Images are [n, c, h, w], their\nweights [out, in, h, w]; attributes that "
                       "are lists have one value for both "
                       "directions or [height, width].\n\nMade from the operators' table by "
                       "`LT_GOLDEN_WRITE=1` and test ops/docs; "
                       "don't edit.\n\n| operator | inputs | outputs | attributes and what they "
                       "are without a value | gradient | type in bf16-mixed | what it "
                       "is |\n| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int i = 0; lt_ops[i]; i++)
        if (lt_ops[i]->cls != LT_OP_UPDATE && !lt_ops[i]->internal)
            row(lt_ops[i], out);
    lt_buf_printf(out, "\n`batch_norm` is written (x, running_mean, running_var, [gamma, beta]) "
                       "and `dropout` (x): sample weights and random stream "
                       "come by\nthemselves; in evaluation the one uses its running statistics and "
                       "the other does nothing. Types: docs/precision.md.\n");
}

static void the_page_is_up_to_date(void **state)
{
    LT_BUF_AUTO made = {0};
    char *there;

    (void)state;
    document(&made);
    if (getenv("LT_GOLDEN_WRITE")) {
        char *path = lt_format("%s/docs/operators.md", getenv("LT_SOURCE_ROOT"));
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(made.data, 1, made.len, f), made.len);
        assert_int_equal(fclose(f), 0);
        lt_free(path);
    }
    there = read_file("docs/operators.md");
    if (strcmp(there, made.data) != 0)
        fail_msg(
            "docs/operators.md is not what the operators say; LT_GOLDEN_WRITE=1 writes it anew");
    lt_free(there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_page_is_up_to_date)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
