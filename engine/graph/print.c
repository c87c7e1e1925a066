/* print.c - a graph as text: what `--dump-passes` and the golden tests show
 *
 * Deterministic: values and nodes by number, attributes that have their default left out.
 */
#include "engine/graph/graph.h"

#include <string.h>
#include "base/buf.h"
#include "base/str.h"
#include "engine/graph/op.h"

static const char *const kind_names[LT_VALUE_KIND_N] = {
    "node", "input", "const", "param", "buffer", "optim", "accum", "table",
};

static void print_number(struct lt_buf *out, double v)
{
    char text[40];

    lt_print_double(text, sizeof text, v);
    lt_buf_str(out, text);
}

static void print_ints(struct lt_buf *out, const struct lt_attr *a)
{
    for (int64_t i = 0; i < a->i; i++)
        lt_buf_printf(out, "%s%lld", i ? "," : "", (long long)a->ints[i]);
}

static bool ints_are(const struct lt_attr *a, const char *text)
{
    LT_BUF_AUTO b = {0};

    print_ints(&b, a);
    return !strcmp(b.data ? b.data : "", text ? text : "");
}

static bool attr_is_default(const struct lt_op *op, const struct lt_attr *a)
{
    const struct lt_attr_spec *s = op->attrs;

    while (strcmp(s->name, a->name) != 0)
        s++;
    if (s->required)
        return false;
    switch (a->kind) {
    case LT_ATTR_INT:
        return a->i == (int64_t)s->def;
    case LT_ATTR_FLOAT:
        return a->f == s->def;
    case LT_ATTR_STR:
        return lt_str_eq(a->s, s->def_str ? s->def_str : "");
    case LT_ATTR_INTS:
        return ints_are(a, s->def_str);
    }
    return false;
}

static void print_attr(struct lt_buf *out, const struct lt_attr *a)
{
    lt_buf_printf(out, "%s: ", a->name);
    switch (a->kind) {
    case LT_ATTR_INT:
        lt_buf_printf(out, "%lld", (long long)a->i);
        break;
    case LT_ATTR_FLOAT:
        print_number(out, a->f);
        break;
    case LT_ATTR_STR:
        lt_buf_str(out, a->s);
        break;
    case LT_ATTR_INTS:
        lt_buf_char(out, '[');
        print_ints(out, a);
        lt_buf_char(out, ']');
        break;
    }
}

static void print_attrs(struct lt_buf *out, const struct lt_node *n)
{
    bool any = false;

    for (int i = 0; i < n->n_attrs; i++) {
        if (attr_is_default(n->op, &n->attrs[i]))
            continue;
        lt_buf_str(out, any ? ", " : " {");
        print_attr(out, &n->attrs[i]);
        any = true;
    }
    if (any)
        lt_buf_char(out, '}');
}

static void print_type(struct lt_buf *out, const struct lt_value *v)
{
    char text[LT_TYPE_TEXT];

    lt_type_print(text, sizeof text, &v->type);
    lt_buf_str(out, text);
    if (v->layout)
        lt_buf_printf(out, "@%d", v->layout);
}

static void print_value(struct lt_buf *out, lt_id id, const struct lt_value *v)
{
    lt_buf_printf(out, "  %%%d = %s ", id, kind_names[v->kind]);
    if (v->kind == LT_VALUE_CONST)
        print_number(out, v->constant);
    else
        lt_buf_str(out, v->name);
    lt_buf_str(out, " : ");
    print_type(out, v);
    lt_buf_char(out, '\n');
}

static void print_node(struct lt_buf *out, const struct lt_graph *g, const struct lt_node *n)
{
    lt_buf_str(out, "  ");
    for (int o = 0; o < n->n_out; o++)
        lt_buf_printf(out, "%s%%%d", o ? ", " : "", n->out[o]);
    lt_buf_printf(out, " = %s(", n->op->name);
    for (int i = 0; i < n->n_in; i++)
        lt_buf_printf(out, "%s%%%d", i ? ", " : "", n->in[i]);
    lt_buf_char(out, ')');
    print_attrs(out, n);
    lt_buf_str(out, " : ");
    for (int o = 0; o < n->n_out; o++) {
        if (o)
            lt_buf_str(out, ", ");
        print_type(out, &g->values[n->out[o]]);
        if (g->values[n->out[o]].alias != LT_NONE)
            lt_buf_printf(out, " -> %%%d", g->values[n->out[o]].alias);
    }
    lt_buf_printf(out, "   # %s\n", n->name);
}

void lt_graph_print(const struct lt_graph *g, struct lt_buf *out)
{
    lt_buf_printf(out, "graph %s", g->name);
    for (int i = 0; i < g->n_syms; i++)
        lt_buf_printf(out, "%s%s<=%lld", i ? ", " : " (", g->syms[i].name,
                      (long long)g->syms[i].bound);
    lt_buf_str(out, g->n_syms ? ")\n" : "\n");
    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind != LT_VALUE_NODE)
            print_value(out, v, &g->values[v]);
    for (int i = 0; i < g->n_nodes; i++)
        if (!g->nodes[i].dead)
            print_node(out, g, &g->nodes[i]);
    for (int i = 0; i < g->n_outputs; i++)
        lt_buf_printf(out, "  output %s = %%%d\n", g->outputs[i].name, g->outputs[i].value);
}
