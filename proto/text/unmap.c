/* unmap.c - message to tree: the inverse of map.c, so that what is printed reads back as the same
 * message */
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "proto/reflect.h"
#include "proto/text/map.h"
#include "proto/text/text.h"
#include "proto/text/tree.h"
#include "proto/text/values.h"

struct unmapper {
    struct lt_arena *arena;
    int flags;
};

static struct lt_node *unmap_message(const struct unmapper *u, const ProtobufCMessage *m);

static struct lt_node *text_node(const struct unmapper *u, const struct lt_buf *text, bool quoted)
{
    return lt_node_scalar(u->arena, lt_arena_strdup(u->arena, text->data ? text->data : ""),
                          quoted);
}

static struct lt_node *unmap_value(const struct unmapper *u, const ProtobufCFieldDescriptor *f,
                                   const void *value)
{
    LT_BUF_AUTO text = {0};
    bool quoted;

    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return unmap_message(u, *(const ProtobufCMessage *const *)value);
    lt_value_print(f, value, u->flags, &text, &quoted);
    return text_node(u, &text, quoted);
}

static struct lt_node *unmap_list(const struct unmapper *u, const ProtobufCMessage *m,
                                  const ProtobufCFieldDescriptor *f)
{
    struct lt_node *list = lt_node_new(u->arena, LT_NODE_LIST);

    for (size_t i = 0, n = lt_field_count(m, f); list && i < n; i++) {
        struct lt_node *item = unmap_value(u, f, lt_field_at(m, f, i));

        if (!item)
            return NULL;
        lt_node_add(list, NULL, item);
    }
    return list;
}

static struct lt_node *unmap_map(const struct unmapper *u, const ProtobufCMessage *m,
                                 const ProtobufCFieldDescriptor *f)
{
    const ProtobufCFieldDescriptor *fields =
        ((const ProtobufCMessageDescriptor *)f->descriptor)->fields;
    struct lt_node *map = lt_node_new(u->arena, LT_NODE_MAP);

    for (size_t i = 0, n = lt_field_count(m, f); map && i < n; i++) {
        const ProtobufCMessage *e = *(const ProtobufCMessage *const *)lt_field_at(m, f, i);
        LT_BUF_AUTO key = {0};
        struct lt_node *value;
        bool quoted;

        if (*(const char *const *)lt_field_at(e, &fields[0], 0))
            lt_value_print(&fields[0], lt_field_at(e, &fields[0], 0), u->flags, &key, &quoted);
        value = lt_field_count(e, &fields[1])
                    ? unmap_value(u, &fields[1], lt_field_at(e, &fields[1], 0))
                    : lt_node_scalar(u->arena, "null", false);
        if (!value)
            return NULL;
        lt_node_add(map, lt_arena_strdup(u->arena, key.data ? key.data : ""), value);
    }
    return map;
}

/* Sets *node where the field shows; false: out of memory. */
static bool unmap_field(const struct unmapper *u, const ProtobufCMessage *m,
                        const ProtobufCFieldDescriptor *f, struct lt_node **node)
{
    const size_t n = lt_field_count(m, f);
    const bool has_default =
        f->default_value && f->label != PROTOBUF_C_LABEL_REPEATED && !lt_field_is_oneof(f);

    *node = NULL;
    if (!n && !((u->flags & LT_TEXT_DEFAULTS) && has_default))
        return true;
    if (!n)
        *node = unmap_value(u, f, f->default_value);
    else if (lt_field_is_map(f))
        *node = unmap_map(u, m, f);
    else if (f->label == PROTOBUF_C_LABEL_REPEATED)
        *node = unmap_list(u, m, f);
    else
        *node = unmap_value(u, f, lt_field_at(m, f, 0));
    return *node;
}

/* A choice whose member says nothing more is its name alone: `relu`. */
static struct lt_node *shorten(const struct unmapper *u, const ProtobufCMessage *m,
                               struct lt_node *map)
{
    const struct lt_node *only = map->n == 1 ? map->first : NULL;

    if (only && lt_message_is_choice(m->descriptor) && only->kind == LT_NODE_MAP && !only->n)
        return lt_node_scalar(u->arena, only->key, true);
    return map;
}

static struct lt_node *unmap_message(const struct unmapper *u, const ProtobufCMessage *m)
{
    const struct lt_form *form = lt_form_of(m->descriptor);
    LT_BUF_AUTO text = {0};
    struct lt_node *map;
    bool quoted;

    if (form && form->print(m, &text, &quoted))
        return text_node(u, &text, quoted);
    map = lt_node_new(u->arena, LT_NODE_MAP);
    for (unsigned i = 0; map && i < m->descriptor->n_fields; i++) {
        struct lt_node *value;

        if (!unmap_field(u, m, &m->descriptor->fields[i], &value))
            return NULL;
        if (value)
            lt_node_add(map, m->descriptor->fields[i].name, value);
    }
    return map && !form ? shorten(u, m, map) : map;
}

struct lt_node *lt_tree_of(const ProtobufCMessage *m, int flags, struct lt_arena *arena)
{
    const struct unmapper u = {.arena = arena, .flags = flags};

    return unmap_message(&u, m);
}
