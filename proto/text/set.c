/* set.c - `path=value` applied to a tree
 *
 * The path is the one that problems are reported with: callbacks[0].model_checkpoint.save_top_k.
 * What is missing on the way is made; an index may name an item or the place behind the last. The
 * value is YAML, so lists and maps can be given, and it goes through the same mapping as the text.
 */
#include "proto/text/set.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/reflect.h"
#include "proto/text/tree.h"

struct set {
    const char *text; /* the whole path=value */
    const char *at;   /* what is left of the path */
    struct lt_node *node;
    const ProtobufCMessageDescriptor *message; /* of node; NULL: no message, or not known */
    const ProtobufCFieldDescriptor *field;     /* a list's */
    struct lt_arena *arena;
    struct lt_problems *problems;
    int number;
};

static bool fail(struct set *s, const char *remedy, const char *reason)
{
    const size_t n = strcspn(s->text, "=");

    lt_problem_add(s->problems, "", remedy, "--set %.*s: %s", (int)LT_MIN(n, (size_t)200), s->text,
                   reason);
    return false;
}

/* The node keeps its place among its siblings and takes over what `from` holds. */
static void become(struct lt_node *n, const struct lt_node *from)
{
    struct lt_node kept = *n;

    *n = *from;
    n->key = kept.key;
    n->next = kept.next;
    n->key_line = n->key_column = 0;
}

static bool make_container(struct set *s, enum lt_node_kind kind)
{
    struct lt_node *n = s->node, *word;

    if (n->kind == kind)
        return true;
    if (n->kind != LT_NODE_SCALAR)
        return kind == LT_NODE_MAP ? fail(s, "write an index: callbacks[0]", "a list is in the way")
                                   : fail(s, NULL, "a map is in the way of the index");
    word = lt_node_new(s->arena, LT_NODE_SCALAR);
    if (!word)
        return fail(s, NULL, "out of memory");
    *word = *n;
    word->next = NULL;
    n->kind = kind;
    n->first = n->last = NULL;
    n->n = 0;
    n->broken = false;
    if (kind == LT_NODE_MAP && s->message && lt_message_is_choice(s->message) &&
        !lt_node_is_null(word)) {
        lt_node_add(n, word->text, word); /* `loss: cross_entropy` is short for {cross_entropy: } */
        word->text = "";
        word->quoted = false;
    }
    return true;
}

static bool step_name(struct set *s)
{
    const size_t len = strcspn(s->at, ".[=");
    char *name = lt_arena_alloc(s->arena, len + 1);
    const ProtobufCFieldDescriptor *f;
    struct lt_node *child;

    if (!name || !len)
        return fail(s, "write path.to.field=value",
                    name ? "a name is missing in the path" : "out of memory");
    memcpy(name, s->at, len);
    if (!make_container(s, LT_NODE_MAP))
        return false;
    f = s->message ? protobuf_c_message_descriptor_get_field_by_name(s->message, name) : NULL;
    child = lt_node_child(s->node, name);
    if (!child && f && lt_message_is_choice(s->message)) {
        s->node->first = s->node->last = NULL;
        s->node->n = 0;
    }
    if (!child) {
        child = lt_node_scalar(s->arena, "", false);
        if (!child)
            return fail(s, NULL, "out of memory");
        child->set = s->number;
        lt_node_add(s->node, name, child);
    }
    s->node = child;
    s->field = f && f->label == PROTOBUF_C_LABEL_REPEATED ? f : NULL;
    s->message = f && f->type == PROTOBUF_C_TYPE_MESSAGE && !s->field ? f->descriptor : NULL;
    s->at += len;
    return true;
}

static bool step_index(struct set *s)
{
    char *end;
    const unsigned long index = strtoul(s->at + 1, &end, 10);
    struct lt_node *item;

    if (end == s->at + 1 || *end != ']')
        return fail(s, "write an index: callbacks[0]", "the index isn't a number");
    if (!make_container(s, LT_NODE_LIST))
        return false;
    if (index > s->node->n)
        return fail(s, "append with the index that follows the last",
                    "the index is beyond the end of the list");
    item = lt_node_item(s->node, index);
    if (!item) {
        item = lt_node_scalar(s->arena, "", false);
        if (!item)
            return fail(s, NULL, "out of memory");
        item->set = s->number;
        lt_node_add(s->node, NULL, item);
    }
    s->node = item;
    s->message =
        s->field && s->field->type == PROTOBUF_C_TYPE_MESSAGE ? s->field->descriptor : NULL;
    s->field = NULL;
    s->at = end + 1;
    return true;
}

/* A map field's keys are names in the path like any other. */
static void enter_map_field(struct set *s)
{
    if (s->field && lt_field_is_map(s->field) && *s->at == '.') {
        s->message = NULL;
        s->field = NULL;
    }
}

static bool step(struct set *s)
{
    if (*s->at == '[')
        return step_index(s);
    if (*s->at == '.') {
        enter_map_field(s);
        s->at++;
    }
    return step_name(s);
}

void lt_tree_set(struct lt_node *root, const ProtobufCMessageDescriptor *d, const char *text,
                 int number, struct lt_arena *arena, struct lt_problems *problems)
{
    struct set s = {.text = text,
                    .at = text,
                    .node = root,
                    .message = d,
                    .arena = arena,
                    .problems = problems,
                    .number = number};
    const char *equals = strchr(text, '=');
    struct lt_node *value;

    if (!equals || equals == text) {
        fail(&s, "write --set path=value", "no path=value");
        return;
    }
    if (equals[1]) {
        value = lt_tree_read(equals + 1, strlen(equals + 1), number, arena, problems);
    } else {
        value = lt_node_scalar(arena, "", true);
        if (value)
            value->set = number;
    }
    while (value && s.at < equals)
        if (!step(&s))
            return;
    if (value)
        become(s.node, value);
}
