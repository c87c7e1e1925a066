/* report.c - what `plan check` and `--dump-passes` show
 *
 * JSON: {"layers": [{name, kind, path, output, parameters}], "programs": [{name, samples,
 * arena_bytes, scratch_bytes, flops, nodes: [{name, op, type, kernel, flops}]}], "tensors": [{name,
 * kind, type, bytes}], "cost": {…}}
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"
#include "engine/session/session_in.h"

static void add_type(cJSON *o, const char *key, const struct lt_type *t)
{
    char text[LT_TYPE_TEXT];

    lt_type_print(text, sizeof text, t);
    cJSON_AddStringToObject(o, key, text);
}

static void add_layers(const struct lt_session *s, cJSON *to)
{
    for (int i = 0; i < s->rows.len; i++) {
        const struct lt_layer_row *r = &s->rows.items[i];
        cJSON *o = cJSON_CreateObject();

        cJSON_AddStringToObject(o, "name", r->name);
        cJSON_AddStringToObject(o, "kind", r->kind);
        cJSON_AddStringToObject(o, "path", r->path);
        add_type(o, "output", &r->out);
        cJSON_AddNumberToObject(o, "parameters", (double)r->parameters);
        cJSON_AddItemToArray(to, o);
    }
}

static void add_nodes(const struct lt_session *s, const struct lt_sized *z, cJSON *to)
{
    for (int i = 0; i < z->g->n_nodes; i++) {
        const struct lt_node *n = &z->g->nodes[i];
        const char *kernel = s->c.backend->kernel_name(z->program, i);
        cJSON *o;

        if (n->dead)
            continue;
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", n->name);
        cJSON_AddStringToObject(o, "op", n->op->name);
        if (n->n_out)
            add_type(o, "type", &z->g->values[n->out[0]].type);
        cJSON_AddStringToObject(o, "kernel", kernel ? kernel : "");
        cJSON_AddNumberToObject(o, "flops", (double)lt_node_flops(z->g, n, &z->binding));
        cJSON_AddItemToArray(to, o);
    }
}

static void add_programs(const struct lt_session *s, cJSON *to)
{
    for (int kind = 0; kind < LT_PROGRAM_N; kind++) {
        const struct lt_sized *z = s->kinds[kind].n_sizes ? s->kinds[kind].sizes[0] : NULL;
        cJSON *o;

        if (!z || !z->plan)
            continue;
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", lt_program_names[kind]);
        cJSON_AddNumberToObject(o, "samples", (double)z->n);
        cJSON_AddNumberToObject(o, "arena_bytes", (double)z->plan->arena_bytes);
        cJSON_AddNumberToObject(o, "scratch_bytes", (double)z->plan->scratch_bytes);
        cJSON_AddNumberToObject(o, "flops", (double)lt_graph_flops(z->g, &z->binding));
        add_nodes(s, z, cJSON_AddArrayToObject(o, "nodes"));
        cJSON_AddItemToArray(to, o);
    }
}

static void add_tensors(const struct lt_session *s, cJSON *to)
{
    static const char *const kinds[LT_VALUE_KIND_N] = {[LT_VALUE_PARAM] = "param",
                                                       [LT_VALUE_BUFFER] = "buffer",
                                                       [LT_VALUE_OPTIM] = "optimizer",
                                                       [LT_VALUE_ACCUM] = "accumulator"};

    for (int i = 0; i < s->n_shown; i++) {
        const struct lt_stored *t = &s->tensors[i];
        cJSON *o = cJSON_CreateObject();

        cJSON_AddStringToObject(o, "name", t->info.name);
        cJSON_AddStringToObject(o, "kind", kinds[t->info.kind]);
        add_type(o, "type", &t->type);
        cJSON_AddNumberToObject(o, "bytes", (double)t->info.bytes);
        cJSON_AddItemToArray(to, o);
    }
}

static void add_cost(const struct lt_session *s, cJSON *o)
{
    struct lt_session_cost c;

    lt_session_cost(s, &c);
    cJSON_AddNumberToObject(o, "persistent_bytes", (double)c.persistent_bytes);
    cJSON_AddNumberToObject(o, "arena_bytes", (double)c.arena_bytes);
    cJSON_AddNumberToObject(o, "overhead_bytes", (double)c.overhead_bytes);
    cJSON_AddNumberToObject(o, "parameters", (double)c.parameters);
    cJSON_AddNumberToObject(o, "flops_per_step", (double)c.flops_per_step);
    cJSON_AddNumberToObject(o, "checkpoint_bytes", (double)c.checkpoint_bytes);
}

void lt_session_report(const struct lt_session *s, struct lt_buf *json)
{
    cJSON *root = cJSON_CreateObject();
    char *text;

    add_layers(s, cJSON_AddArrayToObject(root, "layers"));
    add_programs(s, cJSON_AddArrayToObject(root, "programs"));
    add_tensors(s, cJSON_AddArrayToObject(root, "tensors"));
    add_cost(s, cJSON_AddObjectToObject(root, "cost"));
    text = cJSON_PrintUnformatted(root);
    lt_buf_str(json, text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* ---- passes ---- */

int lt_session_dump_passes(const struct lt_session_config *c, struct lt_buf *out,
                           struct lt_error *err)
{
    static const enum lt_program_kind kinds[] = {LT_PROGRAM_STEP, LT_PROGRAM_EVAL};
    struct lt_session_config only = *c;
    LT_AUTO(lt_session_close) struct lt_session *s = NULL;
    int rc;

    only.plan_only = true;
    rc = lt_session_open(&only, &s, err);
    for (size_t i = 0; !rc && i < LT_ARRAY_LEN(kinds); i++) {
        struct lt_kind *k = &s->kinds[kinds[i]];
        struct lt_sized *z;

        if (!k->g)
            continue;
        if (s->rows_graph == k->g)
            s->rows_graph = NULL; /* the rows are made again with the graph that replaces it */
        s->rows.len = 0;
        lt_graph_free(k->g);
        k->g = NULL;
        rc = lt_session_import(s, kinds[i], out, err);
        if (!rc)
            rc = lt_session_compile(s, kinds[i], s->batch, out, &z, err);
        if (!rc)
            rc = lt_session_place(s, z, err);
        if (rc < 0)
            return rc;
        lt_buf_str(out, "== place ==\n");
        lt_plan_print(z->plan, out);
        lt_sized_free(s, z);
    }
    return rc;
}
