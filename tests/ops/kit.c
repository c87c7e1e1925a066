/* kit.c - see kit.h */
#include "tests/ops/kit.h"

#include <math.h>

#include "engine/ops/util.h"

#define GUARD 64
#define GUARD_BYTE 0xd5

/* ---- reading */

static const char *read_dim(const char *p, struct lt_dim *d)
{
    char *end;
    int64_t k = strtoll(p, &end, 10);

    d->k = end == p ? 1 : k;
    d->sym = *end == 'n' ? 0 : *end == 't' ? 1 : LT_SYM_NONE;
    return d->sym == LT_SYM_NONE ? end : end + 1;
}

static const char *read_dtype(const char *p, enum lt_dtype *out)
{
    static const char *const names[LT_DTYPE_N] = {"f32", "f64", "bf16", "f16",
                                                  "i32", "i64", "u8",   "bool"};

    *out = LT_F32;
    for (int i = 0; i < LT_DTYPE_N; i++)
        if (!strncmp(p, names[i], strlen(names[i]))) {
            *out = (enum lt_dtype)i;
            return p + strlen(names[i]);
        }
    return p;
}

static const char *read_fill(const char *p, struct kit_spec *s)
{
    if (*p && strchr("+<wd=", *p)) {
        char *end = (char *)(uintptr_t)p + 1;

        s->fill = *p;
        if (*p == '<' || *p == '=')
            s->limit = strtod(p + 1, &end);
        p = end;
    }
    s->constant = *p == '!';
    return p + s->constant;
}

int kit_types(const char *text, struct kit_spec *out)
{
    int n = 0;

    for (const char *p = text; *p; n++) {
        struct kit_spec s = {.fill = 0};

        if (n == KIT_IN_MAX)
            fail_msg("too many types: %s", text);
        p = read_dtype(p, &s.type.dtype);
        if (*p++ != '[')
            fail_msg("no [ in %s", text);
        while (*p != ']') {
            p = read_dim(p, &s.type.dim[s.type.ndim++]);
            p += *p == ',';
            if (s.type.ndim > LT_DIMS_MAX || (*p != ']' && !strchr("0123456789nt", *p)))
                fail_msg("bad dimensions in %s", text);
        }
        p = read_fill(p + 1, &s);
        if (*p && *p != ' ')
            fail_msg("what is '%s' in %s", p, text);
        p += *p == ' ';
        out[n] = s;
    }
    return n;
}

static enum lt_attr_kind kind_of(const struct lt_op *op, const char *name)
{
    for (const struct lt_attr_spec *s = op->attrs; s && s->name; s++)
        if (!strcmp(s->name, name))
            return s->kind;
    return LT_ATTR_STR; /* the graph refuses it by name */
}

static void read_attr(char *word, const struct lt_op *op, struct lt_attr *a, int64_t *ints)
{
    char *value = strchr(word, '=');

    if (!value)
        fail_msg("no = in attribute %s", word);
    *value++ = 0;
    *a = (struct lt_attr){.name = word, .kind = kind_of(op, word), .s = value, .ints = ints};
    if (a->kind == LT_ATTR_INT)
        a->i = strtoll(value, NULL, 10);
    if (a->kind == LT_ATTR_FLOAT)
        a->f = strtod(value, NULL);
    for (char *p = value; a->kind == LT_ATTR_INTS && *p; p += *p == ',')
        ints[a->i++] = strtoll(p, &p, 10);
}

void kit_attrs_read(const char *text, const struct lt_op *op, struct kit_attrs *out)
{
    char *save, *word;

    out->n = 0;
    snprintf(out->text, sizeof out->text, "%s", text ? text : "");
    for (word = strtok_r(out->text, " ", &save); word; word = strtok_r(NULL, " ", &save), out->n++)
        read_attr(word, op, &out->attr[out->n], out->ints[out->n]);
}

/* ---- graphs */

struct lt_graph *kit_graph(void)
{
    struct lt_graph *g = lt_graph_new("test");

    lt_graph_sym(g, "n", KIT_N_BOUND);
    lt_graph_sym(g, "t", 3);
    return g;
}

struct lt_binding kit_binding(int64_t n)
{
    return (struct lt_binding){.value = {n, 3}};
}

static bool is_updated(const struct lt_op *op, int input)
{
    for (int o = 0; o < op->n_out; o++)
        if (op->updates[o] == input + 1)
            return true;
    return false;
}

void kit_inputs(struct lt_graph *g, const struct lt_op *op, const struct kit_spec *spec, int n,
                bool params, lt_id *out)
{
    for (int i = 0; i < n; i++) {
        bool param = is_updated(op, i) ||
                     (params && lt_dtype_is_float(spec[i].type.dtype) && !spec[i].constant);
        char name[16];

        snprintf(name, sizeof name, "in%d", i);
        out[i] = lt_graph_value(g, param ? LT_VALUE_PARAM : LT_VALUE_INPUT, name, &spec[i].type);
    }
}

/* ---- memory */

void *kit_block(size_t bytes, unsigned char poison)
{
    unsigned char *p = lt_malloc(bytes + 2 * GUARD);

    memset(p, GUARD_BYTE, bytes + 2 * GUARD);
    memset(p + GUARD, poison, bytes);
    return p + GUARD;
}

bool kit_block_whole(const void *p, size_t bytes)
{
    const unsigned char *start = (const unsigned char *)p - GUARD;

    for (size_t i = 0; i < GUARD; i++)
        if (start[i] != GUARD_BYTE || start[GUARD + bytes + i] != GUARD_BYTE)
            return false;
    return true;
}

void kit_block_free(void *p)
{
    if (p)
        lt_free((unsigned char *)p - GUARD);
}

double kit_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static double value_at(const struct kit_spec *s, int64_t i, int64_t count, uint64_t *r)
{
    static const double weights[] = {1, 0, 0.5, 2};

    switch (s->fill) {
    case '+':
        return 0.5 + 2 * kit_random(r);
    case '<':
        return floor(kit_random(r) * s->limit);
    case 'w':
        return weights[i % 4];
    case 'd': /* 7 and 13 don't divide the counts used, so that i * 7 visits everything */
        return 0.1 * (double)(i * (count % 7 ? 7 : 13) % count - count / 2);
    case '=':
        return s->limit;
    default:
        return 4 * kit_random(r) - 2;
    }
}

void kit_fill(const struct lt_operand *o, const struct kit_spec *spec, uint64_t seed)
{
    uint64_t r = seed * 0x9e3779b97f4a7c15ull + 12345;

    for (int64_t i = 0; i < o->count; i++)
        lt_set(o, i, value_at(spec, i, o->count, &r));
}

struct lt_operand kit_operand(const struct lt_type *t, const struct lt_binding *b, void *data)
{
    struct lt_operand o = {
        .data = data, .dtype = t->dtype, .ndim = t->ndim, .count = lt_type_count(t, b)};

    for (int i = 0; i < t->ndim; i++)
        o.dim[i] = lt_dim_value(t->dim[i], b);
    return o;
}

void kit_memory_init(struct kit_memory *m, const struct lt_graph *g, const struct lt_binding *b,
                     unsigned char poison)
{
    *m = (struct kit_memory){.g = g, .binding = *b, .n_values = g->n_values};
    m->value = lt_calloc((size_t)g->n_values + 1, sizeof *m->value);
    for (lt_id v = 0; v < g->n_values; v++) {
        const struct lt_value *val = &g->values[v];
        void *data = val->alias != LT_NONE ? m->value[val->alias].data
                                           : kit_block(lt_type_bytes(&val->type, b), poison);

        m->value[v] = kit_operand(&val->type, b, data);
        if (val->kind == LT_VALUE_CONST)
            lt_set(&m->value[v], 0, val->constant);
    }
}

void kit_memory_done(struct kit_memory *m)
{
    for (lt_id v = 0; v < m->n_values; v++) {
        const struct lt_value *val = &m->g->values[v];

        if (val->alias != LT_NONE)
            continue;
        if (!kit_block_whole(m->value[v].data, lt_type_bytes(&val->type, &m->binding)))
            fail_msg("written outside value %d of node %s", v,
                     val->node < 0 ? val->name : m->g->nodes[val->node].name);
        kit_block_free(m->value[v].data);
    }
    lt_free(m->value);
}

int kit_run(struct kit_memory *m, struct lt_error *err)
{
    for (int i = 0; i < m->g->n_nodes; i++) {
        const struct lt_node *n = &m->g->nodes[i];
        struct lt_operand in[LT_NODE_IN_MAX], out[LT_NODE_OUT_MAX];
        struct lt_kernel_args k = {
            .node = n, .n_in = n->n_in, .n_out = n->n_out, .in = in, .out = out};
        int rc;

        for (int j = 0; j < n->n_in; j++)
            in[j] = m->value[n->in[j]];
        for (int j = 0; j < n->n_out; j++)
            out[j] = m->value[n->out[j]];
        rc = n->dead ? 0 : n->op->ref(&k, err);
        if (rc)
            return rc;
    }
    return 0;
}

bool kit_same(const struct lt_operand *a, const struct lt_operand *b)
{
    for (int64_t i = 0; i < a->count; i++) {
        double x = lt_get(a, i), y = lt_get(b, i);

        if (!(x == y || (isnan(x) && isnan(y))))
            return false;
    }
    return a->count == b->count;
}
