/* lower_chain.c - pointwise operators become chains; a chain that only one other reads becomes part
 * of it */
#include <string.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/mem.h"
#include "engine/cpu/chain.h"
#include "engine/cpu/lower.h"
#include "engine/graph/edit.h"

static const struct lt_attr_spec chain_attrs[] = {{.name = "code", .kind = LT_ATTR_INTS}, {0}};
const struct lt_op lt_cpu_op_chain = {.name = "cpu_chain",
                                      .cls = LT_OP_POINTWISE,
                                      .min_in = 0,
                                      .max_in = LT_CHAIN_INPUTS,
                                      .n_out = 1,
                                      .attrs = chain_attrs,
                                      .inplace = {~0u},
                                      .infer = lt_cpu_infer_same};

static const struct {
    const char *op, *approximate; /* the attribute's value, where it has one */
    enum lt_chain_code code;
    int n_in;
} table[] = {
    {"relu", NULL, LT_CHAIN_RELU, 1},
    {"gelu", "none", LT_CHAIN_GELU, 1},
    {"gelu", "tanh", LT_CHAIN_GELU_TANH, 1},
    {"tanh", NULL, LT_CHAIN_TANH, 1},
    {"sigmoid", NULL, LT_CHAIN_SIGMOID, 1},
    {"exp", NULL, LT_CHAIN_EXP, 1},
    {"log", NULL, LT_CHAIN_LOG, 1},
    {"sqrt", NULL, LT_CHAIN_SQRT, 1},
    {"neg", NULL, LT_CHAIN_NEG, 1},
    {"cast", NULL, LT_CHAIN_COPY, 1},
    {"expand", NULL, LT_CHAIN_COPY, 1},
    {"add", NULL, LT_CHAIN_ADD, 2},
    {"sub", NULL, LT_CHAIN_SUB, 2},
    {"mul", NULL, LT_CHAIN_MUL, 2},
    {"div", NULL, LT_CHAIN_DIV, 2},
    {"relu_grad", NULL, LT_CHAIN_RELU_GRAD, 2},
    {"gelu_grad", "none", LT_CHAIN_GELU_GRAD, 2},
    {"gelu_grad", "tanh", LT_CHAIN_GELU_TANH_GRAD, 2},
    {"tanh_grad", NULL, LT_CHAIN_TANH_GRAD, 2},
    {"sigmoid_grad", NULL, LT_CHAIN_SIGMOID_GRAD, 2},
    {"dropout_grad", NULL, LT_CHAIN_MASK, 2},
};

static bool types_fit(const struct lt_graph *g, const struct lt_node *n, enum lt_chain_code code,
                      int n_in)
{
    enum lt_dtype first = g->values[n->in[0]].type.dtype;
    const struct lt_type *out = &g->values[n->out[0]].type;

    if (out->dtype != LT_F32 && out->dtype != LT_BF16 && (out->dtype != LT_F64 || !out->ndim))
        return false;
    if (code == LT_CHAIN_COPY && !strcmp(n->op->name, "cast"))
        return first != LT_F16 && (first != LT_BF16 || out->dtype != LT_F64);
    if (first != out->dtype)
        return false;
    return n_in < 2 || code == LT_CHAIN_MASK || g->values[n->in[1]].type.dtype == first;
}

/* Of bfloat16 operands these give what bfloat16 has: nothing is left to round. */
static bool exact(enum lt_chain_code code)
{
    return code == LT_CHAIN_RELU || code == LT_CHAIN_NEG || code == LT_CHAIN_RELU_GRAD ||
           code == LT_CHAIN_FILL || code == LT_CHAIN_ROUND;
}

bool lt_chain_instr_of(const struct lt_graph *g, const struct lt_node *n,
                       struct lt_chain_instr *out)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(table); i++) {
        if (strcmp(table[i].op, n->op->name) != 0 ||
            (table[i].approximate &&
             strcmp(table[i].approximate, lt_node_str(n, "approximate")) != 0))
            continue;
        *out = (struct lt_chain_instr){table[i].code, 0, table[i].n_in > 1, 0, 0};
        if (table[i].code == LT_CHAIN_MASK) {
            double p = lt_node_float(n, "p");

            out->imm = p < 1 ? 1 / (1 - p) : 0;
        }
        return types_fit(g, n, table[i].code, table[i].n_in);
    }
    return false;
}

void lt_chain_encode(struct lt_graph *g, struct lt_node *n, const struct lt_chain_instr *code,
                     int n_code)
{
    int64_t *ints = lt_arena_alloc(g->arena, (size_t)(1 + 5 * n_code) * sizeof *ints);

    if (!ints)
        abort(); /* a graph's arena has no cap */
    ints[0] = n_code;
    for (int i = 0; i < n_code; i++) {
        int64_t *at = ints + 1 + 5 * i;
        double imm = code[i].imm;

        at[0] = code[i].code;
        at[1] = code[i].a;
        at[2] = code[i].b;
        at[3] = i == n_code - 1 ? 0 : -1;
        memcpy(&at[4], &imm, sizeof imm);
    }
    n->attrs[0] =
        (struct lt_attr){.name = "code", .kind = LT_ATTR_INTS, .i = 1 + 5 * n_code, .ints = ints};
}

void lt_chain_decode(const struct lt_node *n, struct lt_chain *c)
{
    const int64_t *ints = lt_node_ints(n, "code", NULL);

    c->n_in = n->n_in;
    c->n_out = n->n_out;
    c->n_code = (int)ints[0];
    for (int i = 0; i < c->n_code; i++) {
        const int64_t *at = ints + 1 + 5 * i;
        double imm;

        memcpy(&imm, &at[4], sizeof imm);
        c->code[i] = (struct lt_chain_instr){(enum lt_chain_code)at[0], (int)at[1], (int)at[2],
                                             imm, (int)at[3]};
    }
}

/* A chain under construction: the inputs without repetition, and the code over them. */
struct draft {
    lt_id in[LT_CHAIN_INPUTS];
    int n_in;
    struct lt_chain_instr code[LT_CHAIN_LENGTH];
    int n_code;
};

static int draft_input(struct draft *d, lt_id v)
{
    for (int i = 0; i < d->n_in; i++)
        if (d->in[i] == v)
            return i;
    if (d->n_in == LT_CHAIN_INPUTS)
        return -1;
    d->in[d->n_in] = v;
    return d->n_in++;
}

#define RESULT 1000 /* operands from here on are results while inputs still come in */

/* Appends a chain's code; operands that read `inner` get the result `inner_result`. */
static bool draft_append(struct draft *d, const struct lt_node *n, lt_id inner, int inner_result)
{
    struct lt_chain c;
    int base = d->n_code;

    lt_chain_decode(n, &c);
    if (base + c.n_code > LT_CHAIN_LENGTH)
        return false;
    for (int i = 0; i < c.n_code; i++) {
        int *operand[2] = {&c.code[i].a, &c.code[i].b};

        for (int k = 0; k < 2; k++) {
            int o = *operand[k];

            if (o >= c.n_in)
                *operand[k] = RESULT + base + o - c.n_in;
            else if (n->in[o] == inner)
                *operand[k] = RESULT + inner_result;
            else if ((*operand[k] = draft_input(d, n->in[o])) < 0)
                return false;
        }
        d->code[d->n_code++] = c.code[i];
    }
    return true;
}

static void draft_settle(struct draft *d)
{
    for (int i = 0; i < d->n_code; i++) {
        if (d->code[i].a >= RESULT)
            d->code[i].a += d->n_in - RESULT;
        if (d->code[i].b >= RESULT)
            d->code[i].b += d->n_in - RESULT;
    }
}

static void node_write(struct lt_graph *g, int node, const struct draft *d)
{
    lt_cpu_rewrite(g, node, &lt_cpu_op_chain, d->in, d->n_in);
    lt_chain_encode(g, &g->nodes[node], d->code, d->n_code);
}

/* Is what the instruction gives rounded to bfloat16? */
static bool rounds(const struct lt_graph *g, const struct lt_node *n, enum lt_chain_code code)
{
    if (g->values[n->out[0]].type.dtype != LT_BF16)
        return false;
    return code == LT_CHAIN_COPY ? g->values[n->in[0]].type.dtype != LT_BF16 : !exact(code);
}

/* A node of one instruction; "like" inputs fall away. */
static void to_chain(struct lt_graph *g, int node)
{
    const struct lt_node *n = &g->nodes[node];
    struct draft d = {0};
    struct lt_chain_instr i;

    if (n->dead || !lt_chain_instr_of(g, n, &i))
        return;
    if (i.b)
        i.b = 1;
    d.in[d.n_in++] = n->in[0];
    if (i.b && n->in[1] != n->in[0])
        d.in[d.n_in++] = n->in[1];
    else
        i.b = 0;
    if (rounds(g, n, i.code)) {
        if (i.code == LT_CHAIN_COPY)
            i.code = LT_CHAIN_ROUND;
        else
            d.code[d.n_code++] = i;
        i = i.code == LT_CHAIN_ROUND ? i : (struct lt_chain_instr){LT_CHAIN_ROUND, d.n_in, 0, 0, 0};
    }
    d.code[d.n_code++] = i;
    node_write(g, node, &d);
}

/* Content that an update replaces somewhere must not be read later than the graph says. */
static bool reads_persistent(const struct lt_graph *g, const struct lt_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (lt_value_persists(g->values[n->in[i]].kind) || g->values[n->in[i]].alias != LT_NONE)
            return true;
    return false;
}

/* Chains over float64 are another kernel's. */
static bool over_float64(const struct lt_graph *g, lt_id v)
{
    return g->values[v].type.dtype == LT_F64;
}

static bool absorb(struct lt_graph *g, const struct lt_binding *b, int node, const int *uses)
{
    struct lt_node *n = &g->nodes[node];

    for (int i = 0; i < n->n_in; i++) {
        lt_id v = n->in[i];
        int from = g->values[v].node;
        struct draft d = {0};

        if (from < 0 || g->nodes[from].op != &lt_cpu_op_chain || uses[v] != 1 ||
            g->nodes[from].dead || reads_persistent(g, &g->nodes[from]) ||
            !lt_shape_eq(&g->values[v].type, &g->values[n->out[0]].type) ||
            over_float64(g, v) != over_float64(g, n->out[0]))
            continue;
        if (!draft_append(&d, &g->nodes[from], LT_NONE, 0) || !draft_append(&d, n, v, d.n_code - 1))
            continue;
        draft_settle(&d);
        node_write(g, node, &d);
        lt_graph_kill(g, from);
        return true;
    }
    (void)b;
    return false;
}

void lt_cpu_chains(struct lt_graph *g, const struct lt_binding *b)
{
    int *uses;

    for (int i = 0; i < g->n_nodes; i++)
        to_chain(g, i);
    uses = lt_graph_uses(g);
    for (int i = 0; i < g->n_nodes; i++)
        while (!g->nodes[i].dead && g->nodes[i].op == &lt_cpu_op_chain && absorb(g, b, i, uses))
            ;
    lt_free(uses);
}

/* The output may lie where an input lay only if it takes each element's own place: not where that is
 * broadcast, nor where elements are of another size. */
void lt_cpu_chains_in_place(struct lt_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct lt_node *n = &g->nodes[i];
        uint32_t mask = 0;
        struct lt_op *op;

        if (n->dead || n->op != &lt_cpu_op_chain)
            continue;
        for (int k = 0; k < n->n_in; k++) {
            const struct lt_type *a = &g->values[n->in[k]].type, *b = &g->values[n->out[0]].type;

            if (lt_shape_eq(a, b) && lt_dtype_sizes[a->dtype] == lt_dtype_sizes[b->dtype])
                mask |= 1u << k;
        }
        if (mask == (n->n_in < 32 ? (1u << n->n_in) - 1 : ~0u))
            continue;
        op = lt_arena_alloc(g->arena, sizeof *op);
        if (!op)
            abort(); /* a graph's arena has no cap */
        *op = lt_cpu_op_chain;
        op->inplace[0] = mask;
        n->op = op;
    }
}

/* A chain of one instruction, code(v), that gives `out`. */
void lt_cpu_chain_add(struct lt_graph *g, enum lt_chain_code code, lt_id v, lt_id out)
{
    struct draft d = {.in = {v}, .n_in = 1, .code = {{code, 0, 0, 0, 0}}, .n_code = 1};
    struct lt_node n = {.op = &lt_cpu_op_chain, .n_out = 1};

    n.name = lt_arena_format(g->arena, "%s/%s",
                             g->values[v].node >= 0 ? g->nodes[g->values[v].node].name
                                                    : g->values[v].name,
                             lt_dtype_names[g->values[out].type.dtype]);
    n.out = lt_arena_alloc(g->arena, sizeof *n.out);
    if (!n.name || !n.out)
        abort(); /* a graph's arena has no cap */
    n.out[0] = out;
    g->values[out].node = g->n_nodes;
    g->values[out].out = 0;
    LT_GROW(g->nodes, g->n_nodes, g->cap_nodes);
    g->nodes[g->n_nodes++] = n;
    node_write(g, g->n_nodes - 1, &d);
}
