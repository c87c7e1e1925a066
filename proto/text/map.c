/* map.c - tree to message
 *
 * One function per shape of a field (scalar, message, list, map), none per field. After a problem
 * the mapping goes on; what was misspelt is read as the field that was probably meant, without a
 * word, so that the checks behind this one don't complain that it is missing.
 */
#include "proto/text/map.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "proto/plan.h"
#include "proto/reflect.h"
#include "proto/text/mapper.h"
#include "proto/text/tree.h"
#include "proto/text/values.h"
#include "proto/wire.h"

/* "MaxPool2d" → "max_pool2d", "LrScheduler" → "lr_scheduler" */
static void snake(const char *name, char *out, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; name[i] && k + 2 < n; i++) {
        const bool upper = name[i] >= 'A' && name[i] <= 'Z';

        if (upper && i > 0)
            out[k++] = '_';
        out[k++] = (char)(upper ? name[i] - 'A' + 'a' : name[i]);
    }
    out[k] = '\0';
}

static ProtobufCMessage *map_message(struct lt_mapper *mp, const struct lt_node *n,
                                     const ProtobufCMessageDescriptor *d, const char *what);
static void map_field(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f);

/* A relative path belongs to the plan's folder. */
static bool map_path(struct lt_mapper *mp, const struct lt_node *n, char **value)
{
    const char *s = *value;

    if (*s == '~' && (s[1] == '/' || !s[1])) {
        lt_complain(mp, n, LT_AT_VALUE, "write the whole path", "`~` isn't expanded here");
        return false;
    }
    while (s[0] == '.' && s[1] == '/')
        for (s += 2; *s == '/';)
            s++;
    if (*s != '/' && *s) {
        const char *slash = lt_str_ends(mp->base_dir, "/") ? "" : "/";

        s = !strcmp(s, ".") ? lt_arena_strdup(mp->arena, mp->base_dir)
                            : lt_arena_format(mp->arena, "%s%s%s", mp->base_dir, slash, s);
    }
    if (!s)
        lt_complain_memory(mp, n);
    *value = (char *)s;
    return s;
}

/* One element into `out`. False: nothing was written (said). */
static bool map_value(struct lt_mapper *mp, const struct lt_node *n,
                      const ProtobufCMessageDescriptor *owner, const ProtobufCFieldDescriptor *f,
                      void *out)
{
    struct lt_fault fault = {0};
    ProtobufCMessage *inner;
    int rc;

    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const bool named = f->label != PROTOBUF_C_LABEL_REPEATED;

        inner = map_message(mp, n, f->descriptor, named ? f->name : NULL);
        memcpy(out, &inner, sizeof inner);
        return inner;
    }
    if (n->kind != LT_NODE_SCALAR) {
        lt_complain(mp, n, LT_AT_VALUE, "write one value", "is %s where one value belongs",
                    lt_node_kind_name(n));
        return false;
    }
    rc = lt_value_read(f, n, mp->arena, out, &fault);
    if (rc == -ENOMEM)
        lt_complain_memory(mp, n);
    else if (rc < 0)
        lt_complain(mp, n, LT_AT_VALUE, fault.remedy, "%s", fault.reason);
    if (rc == 0 && mp->base_dir && lt_field_is_path(owner, f) &&
        !(lt_field_is_file(owner, f) && lt_file_place(*(char **)out) != LT_FILE_LOCAL))
        return map_path(mp, n, out);
    return rc == 0;
}

static void store_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, void *items,
                       size_t count)
{
    memcpy((char *)m + f->offset, &items, sizeof items);
    memcpy((char *)m + f->quantifier_offset, &count, sizeof count);
}

static void map_list(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                     const ProtobufCFieldDescriptor *f)
{
    const size_t size = lt_type_size(f->type), len = mp->path.len;
    const bool single = n->kind == LT_NODE_SCALAR && f->type != PROTOBUF_C_TYPE_MESSAGE;
    char *items = lt_arena_alloc(mp->arena, (single ? 1 : n->n) * size + 1);
    size_t count = 0, index = 0;

    if (!single && n->kind != LT_NODE_LIST) {
        lt_complain(mp, n, LT_AT_VALUE, "write a list: [ … ], or one item a line, each after `- `",
                    "is %s where a list belongs", lt_node_kind_name(n));
        return;
    }
    if (!items) {
        lt_complain_memory(mp, n);
        return;
    }
    for (const struct lt_node *c = single ? n : n->first; c; c = single ? NULL : c->next, index++) {
        lt_buf_printf(&mp->path, "[%zu]", index);
        if (f->type != PROTOBUF_C_TYPE_MESSAGE && lt_node_is_null(c))
            lt_complain(mp, c, LT_AT_VALUE, "write a value or remove the item",
                        "an item without a value");
        else if (!c->broken && map_value(mp, c, m->descriptor, f, items + count * size))
            count++;
        lt_path_pop(&mp->path, len);
    }
    store_list(m, f, items, count);
}

static ProtobufCMessage *new_message(struct lt_mapper *mp, const struct lt_node *n,
                                     const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = lt_arena_alloc(mp->arena, d->sizeof_message);

    if (m)
        protobuf_c_message_init(d, m);
    else
        lt_complain_memory(mp, n);
    return m;
}

static void map_map(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                    const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    const size_t len = mp->path.len;
    ProtobufCMessage **entries = lt_arena_alloc(mp->arena, n->n * sizeof *entries + 1);
    size_t count = 0;

    if (n->kind != LT_NODE_MAP) {
        lt_complain(mp, n, LT_AT_VALUE, "write {name: value, …}", "is %s where a map belongs",
                    lt_node_kind_name(n));
        return;
    }
    for (const struct lt_node *c = n->first; c && entries; c = c->next) {
        const struct lt_node key = {.kind = LT_NODE_SCALAR,
                                    .quoted = true,
                                    .text = c->key,
                                    .line = c->key_line,
                                    .column = c->key_column,
                                    .set = c->set}; /* quoted: `null` is a name here */
        ProtobufCMessage *e = new_message(mp, c, d);

        lt_buf_printf(&mp->path, ".%s", c->key);
        if (e && !c->broken) {
            map_field(mp, &key, e, &d->fields[0]);
            map_field(mp, c, e, &d->fields[1]);
            entries[count++] = e;
        }
        lt_path_pop(&mp->path, len);
    }
    if (!entries)
        lt_complain_memory(mp, n);
    else
        store_list(m, f, entries, count);
}

static void set_presence(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (lt_field_is_oneof(f))
        memcpy((char *)m + f->quantifier_offset, &f->id, sizeof f->id);
    else if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
        memcpy((char *)m + f->quantifier_offset, &(protobuf_c_boolean){1},
               sizeof(protobuf_c_boolean));
}

/* null is absent, except for a member of a oneof: `relu:` says which. */
static void map_field(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f)
{
    union {
        uint64_t number;
        void *pointer;
        ProtobufCBinaryData bytes;
    } value = {0};

    if (n->broken ||
        (lt_node_is_null(n) && !(lt_field_is_oneof(f) && f->type == PROTOBUF_C_TYPE_MESSAGE)))
        return;
    if (lt_field_is_map(f)) {
        map_map(mp, n, m, f);
    } else if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        map_list(mp, n, m, f);
    } else if (map_value(mp, n, m->descriptor, f, &value)) {
        memcpy((char *)m + f->offset, &value, lt_type_size(f->type));
        set_presence(m, f);
    }
}

/* The field was misspelt: its value is read for what was probably meant, so that nobody misses it.
 */
static void map_meant(struct lt_mapper *mp, const struct lt_node *parent, const struct lt_node *n,
                      ProtobufCMessage *m, const char *near, size_t len)
{
    const ProtobufCFieldDescriptor *f =
        near ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, near) : NULL;

    if (!f || lt_node_child(parent, near))
        return;
    if (lt_field_is_oneof(f) && lt_oneof_set(m, f))
        return;
    lt_path_pop(&mp->path, len);
    lt_buf_printf(&mp->path, len ? ".%s" : "%s", near);
    lt_excuse(mp, lt_path_text(&mp->path));
    mp->mute++;
    map_field(mp, n, m, f);
    mp->mute--;
}

static void map_fields(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                       const char *what)
{
    const size_t len = mp->path.len;

    for (const struct lt_node *c = n->first; c; c = c->next) {
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field_by_name(m->descriptor, c->key);
        const ProtobufCFieldDescriptor *before =
            f && lt_field_is_oneof(f) ? lt_oneof_set(m, f) : NULL;

        if (c->taken)
            continue;
        lt_buf_printf(&mp->path, len ? ".%s" : "%s", c->key);
        if (c->broken)
            lt_excuse(mp, lt_path_text(&mp->path)); /* said when it was read */
        else if (!f)
            map_meant(mp, n, c, m,
                      lt_complain_unknown(mp, c, LT_AT_KEY, m->descriptor, c->key, what), len);
        else if (before)
            lt_complain_two(mp, c, before->name, f->name, what);
        else
            map_field(mp, c, m, f);
        lt_path_pop(&mp->path, len);
    }
}

/* A message with one oneof and nothing else: a bare word, or a map of one key. */
static void map_choice(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                       const char *what)
{
    const struct lt_node empty = {
        .kind = LT_NODE_SCALAR, .text = "", .line = n->line, .column = n->column, .set = n->set};
    const ProtobufCFieldDescriptor *f;
    const char *near;

    if (n->kind == LT_NODE_SCALAR) {
        f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, n->text);
        if (!f) {
            near = lt_complain_unknown(mp, n, LT_AT_VALUE, m->descriptor, n->text, what);
            f = near ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, near) : NULL;
        }
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE)
            map_field(mp, &empty, m, f);
        else if (f)
            lt_complain(mp, n, LT_AT_VALUE, NULL, "`%s` needs a value: {%s: …}", n->text, n->text);
    } else if (n->kind == LT_NODE_MAP) {
        const int mute = lt_complain_indentation(mp, n, m->descriptor);

        mp->mute += mute; /* it would only say the same again */
        map_fields(mp, n, m, what);
        mp->mute -= mute;
    }
}

static void map_form(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                     const struct lt_form *form)
{
    LT_BUF_AUTO remedy = {0};

    lt_buf_printf(&remedy, "write %s", form->expected);
    if (form->read(n, m, mp->arena) < 0) {
        lt_complain(mp, n, LT_AT_VALUE, remedy.data, "`%.60s` isn't %s", n->text, form->expected);
        protobuf_c_message_init(m->descriptor, m);
    }
}

/* The body of a message whose shape is known to be allowed. */
static void map_body(struct lt_mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                     const char *what)
{
    const struct lt_form *form = lt_form_of(m->descriptor);

    if (lt_node_is_null(n))
        return; /* present, with nothing in it */
    if (form && n->kind == LT_NODE_SCALAR)
        map_form(mp, n, m, form);
    else if (lt_message_is_choice(m->descriptor) && !form && n->kind != LT_NODE_LIST)
        map_choice(mp, n, m, what);
    else if (n->kind == LT_NODE_MAP)
        map_fields(mp, n, m, what);
    else if (form)
        lt_complain(mp, n, LT_AT_VALUE, NULL, "is %s; write %s", lt_node_kind_name(n),
                    form->expected);
    else
        lt_complain_no_map(mp, n);
}

static ProtobufCMessage *map_message(struct lt_mapper *mp, const struct lt_node *n,
                                     const ProtobufCMessageDescriptor *d, const char *what)
{
    ProtobufCMessage *m;
    char name[64];

    snake(d->short_name, name, sizeof name);
    if (mp->depth == LT_WIRE_DEPTH) {
        lt_complain(mp, n, LT_AT_VALUE, "nest less", "nests deeper than %d levels", LT_WIRE_DEPTH);
        return NULL;
    }
    m = new_message(mp, n, d);
    if (!m)
        return NULL;
    mp->depth++;
    map_body(mp, n, m, what && !lt_message_is_choice(d) ? what : name);
    mp->depth--;
    return m;
}

ProtobufCMessage *lt_tree_map(const struct lt_node *root, const ProtobufCMessageDescriptor *d,
                              const char *what, const char *base_dir, struct lt_arena *arena,
                              struct lt_problems *problems, struct lt_map *excused)
{
    struct lt_mapper mp = {
        .arena = arena, .problems = problems, .base_dir = base_dir, .excused = excused};
    ProtobufCMessage *m = root->broken ? NULL : map_message(&mp, root, d, what);

    lt_buf_done(&mp.path);
    return m;
}
