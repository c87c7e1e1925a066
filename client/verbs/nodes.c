/* nodes.c - ltctl nodes: what there is to run on */
#include "base/auto.h"
#include "client/ctl.h"
#include "client/output.h"
#include "lt/v1/nodes.pb-c.h"

static const struct lt_column columns[] = {
    {"NODE", "name", LT_COLUMN_TEXT},
    {"STATE", "state", LT_COLUMN_TEXT},
    {"CPUS", "cpus", LT_COLUMN_NUMBER},
    {"FREE", "cpus_free", LT_COLUMN_NUMBER},
    {"MEMORY", "memory", LT_COLUMN_BYTES},
    {"FREE", "memory_free", LT_COLUMN_BYTES},
    {"LIMITS", "memory_limits", LT_COLUMN_TEXT},
    {"ISA", "isa", LT_COLUMN_TEXT},
    {"MPICH", "mpich", LT_COLUMN_TEXT},
    {"UCX", "ucx", LT_COLUMN_TEXT},
    {"CPU", "cpu_model", LT_COLUMN_TEXT},
};

static cJSON *row(const Lt__V1__NodeStatus *n)
{
    static const Lt__V1__Inventory none = LT__V1__INVENTORY__INIT;
    const Lt__V1__Inventory *i = n->inventory ? n->inventory : &none;
    cJSON *o = cJSON_CreateObject(), *jobs;

    lt_json_text(o, "name", n->name);
    lt_json_text(o, "state", n->state);
    lt_json_u64(o, "cpus", i->cpus);
    lt_json_u64(o, "cpus_free", n->cpus_free);
    lt_json_u64(o, "memory", i->memory_bytes);
    lt_json_u64(o, "memory_free", n->memory_free_bytes);
    lt_json_text(o, "memory_limits", i->memory_limits);
    lt_json_text(o, "isa", i->isa);
    lt_json_text(o, "cpu_model", i->cpu_model);
    lt_json_text(o, "mpich", i->mpich);
    lt_json_text(o, "ucx", i->ucx);
    lt_json_text(o, "build", i->build);
    lt_json_text(o, "ltd", n->version);
    jobs = cJSON_AddArrayToObject(o, "jobs");
    for (size_t k = 0; k < n->n_jobs; k++)
        cJSON_AddItemToArray(jobs, cJSON_CreateString(n->jobs[k]));
    return o;
}

static int run(struct lt_ctl *ctl)
{
    Lt__V1__NodesListRequest q = LT__V1__NODES_LIST_REQUEST__INIT;
    Lt__V1__NodesListResponse *r = NULL;
    cJSON *rows;
    int rc = lt_ctl_connect(ctl);

    if (rc == 0)
        rc =
            lt_ctl_call(ctl, "/lt.v1.Nodes/List", &q, &lt__v1__nodes_list_response__descriptor, &r);
    if (rc)
        return rc;
    rows = cJSON_CreateArray();
    for (size_t i = 0; i < r->n_nodes; i++)
        cJSON_AddItemToArray(rows, row(r->nodes[i]));
    lt_output_list(ctl, "nodes", rows, columns, LT_ARRAY_LEN(columns));
    return 0;
}

const struct lt_verb lt_verb_nodes = {
    .name = "nodes",
    .arguments = "",
    .summary = "List the nodes, what they have and what is free",
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
