/* map.c - tree to message
 *
 * One function per shape of a field (scalar, message, list, map), none per field. After a problem the mapping goes
 * on; what was misspelt is read as the field that was probably meant, without a word, so that the checks behind
 * this one don't complain that it is missing.
 */
#include "proto/text/map.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/plan.h"
#include "proto/reflect.h"
#include "proto/text/tree.h"
#include "proto/text/values.h"
#include "proto/wire.h"

struct mapper {
    struct lt_arena *arena;
    struct lt_problems *problems;
    struct lt_map *excused;
    const char *base_dir;
    struct lt_buf path;
    int depth; /* messages */
    int mute;  /* > 0: say nothing */
};

/* At the key: the name is wrong. At the value: what it holds is. */
enum where { AT_VALUE, AT_KEY };

static void excuse(struct mapper *mp, const char *path)
{
    if (mp->excused)
        lt_map_set(mp->excused, path, (void *)(uintptr_t)1);
}

static void complain(struct mapper *mp, const struct lt_node *n, enum where where, const char *remedy,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
static void complain(struct mapper *mp, const struct lt_node *n, enum where where, const char *remedy,
                     const char *format, ...)
{
    LT_BUF_AUTO reason = {0};
    struct lt_problem *p;
    va_list ap;

    excuse(mp, lt_path_text(&mp->path));
    if (mp->mute)
        return;
    va_start(ap, format);
    lt_buf_vprintf(&reason, format, ap);
    va_end(ap);
    p = lt_problem_add(mp->problems, lt_path_text(&mp->path), remedy, "%s%s", reason.data,
                       n->set ? " (given by --set)" : "");
    if (!p || n->set)
        return;
    p->line = where == AT_KEY && n->key_line ? n->key_line : n->line;
    p->column = where == AT_KEY && n->key_line ? n->key_column : n->column;
}

static void out_of_memory(struct mapper *mp, const struct lt_node *n)
{
    complain(mp, n, AT_VALUE, NULL, "the plan needs more memory than it may have");
}

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

static const char *suggest_field(struct mapper *mp, const ProtobufCMessageDescriptor *d, const char *word)
{
    const char **names = lt_arena_alloc(mp->arena, (d->n_fields + 1) * sizeof *names);

    for (unsigned i = 0; names && i < d->n_fields; i++)
        names[i] = d->fields[i].name;
    return names ? lt_suggest(word, names, d->n_fields) : NULL;
}

/* "a, b, c or d", cut when there are many. */
static void list_fields(const ProtobufCMessageDescriptor *d, struct lt_buf *out)
{
    for (unsigned i = 0; i < d->n_fields && i < 24; i++)
        lt_buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == d->n_fields ? " or " : ", ", d->fields[i].name);
    if (d->n_fields > 24)
        lt_buf_str(out, ", …");
    if (!d->n_fields)
        lt_buf_str(out, "nothing: it has no fields");
}

/* Returns the field that was probably meant, or NULL. */
static const char *complain_unknown(struct mapper *mp, const struct lt_node *n, enum where where,
                                    const ProtobufCMessageDescriptor *d, const char *word, const char *what)
{
    const char *near = suggest_field(mp, d, word);
    LT_BUF_AUTO remedy = {0};

    if (near)
        lt_buf_printf(&remedy, "did you mean `%s`?", near);
    else
        lt_buf_str(&remedy, "write ");
    if (!near)
        list_fields(d, &remedy);
    complain(mp, n, where, remedy.data, "`%.60s`: unknown %s%s", word, lt_message_is_choice(d) ? "" : "field of ",
             what);
    return near;
}

static ProtobufCMessage *map_message(struct mapper *mp, const struct lt_node *n, const ProtobufCMessageDescriptor *d,
                                     const char *what);
static void map_field(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f);

/* A relative path belongs to the plan's folder. */
static bool map_path(struct mapper *mp, const struct lt_node *n, char **value)
{
    const char *s = *value;

    if (*s == '~' && (s[1] == '/' || !s[1])) {
        complain(mp, n, AT_VALUE, "write the whole path", "`~` isn't expanded here");
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
        out_of_memory(mp, n);
    *value = (char *)s;
    return s;
}

/* One element into `out`. False: nothing was written (said). */
static bool map_value(struct mapper *mp, const struct lt_node *n, const ProtobufCMessageDescriptor *owner,
                      const ProtobufCFieldDescriptor *f, void *out)
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
        complain(mp, n, AT_VALUE, "write one value", "is %s where one value belongs", lt_node_kind_name(n));
        return false;
    }
    rc = lt_value_read(f, n, mp->arena, out, &fault);
    if (rc == -ENOMEM)
        out_of_memory(mp, n);
    else if (rc < 0)
        complain(mp, n, AT_VALUE, fault.remedy, "%s", fault.reason);
    if (rc == 0 && mp->base_dir && lt_field_is_path(owner, f))
        return map_path(mp, n, out);
    return rc == 0;
}

static void store_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, void *items, size_t count)
{
    memcpy((char *)m + f->offset, &items, sizeof items);
    memcpy((char *)m + f->quantifier_offset, &count, sizeof count);
}

static void map_list(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                     const ProtobufCFieldDescriptor *f)
{
    const size_t size = lt_type_size(f->type), len = mp->path.len;
    const bool single = n->kind == LT_NODE_SCALAR && f->type != PROTOBUF_C_TYPE_MESSAGE;
    char *items = lt_arena_alloc(mp->arena, (single ? 1 : n->n) * size + 1);
    size_t count = 0, index = 0;

    if (!single && n->kind != LT_NODE_LIST) {
        complain(mp, n, AT_VALUE, "write a list: [ … ], or one item a line, each after `- `",
                 "is %s where a list belongs", lt_node_kind_name(n));
        return;
    }
    if (!items) {
        out_of_memory(mp, n);
        return;
    }
    for (const struct lt_node *c = single ? n : n->first; c; c = single ? NULL : c->next, index++) {
        lt_buf_printf(&mp->path, "[%zu]", index);
        if (f->type != PROTOBUF_C_TYPE_MESSAGE && lt_node_is_null(c))
            complain(mp, c, AT_VALUE, "write a value or remove the item", "an item without a value");
        else if (!c->broken && map_value(mp, c, m->descriptor, f, items + count * size))
            count++;
        lt_path_pop(&mp->path, len);
    }
    store_list(m, f, items, count);
}

static ProtobufCMessage *new_message(struct mapper *mp, const struct lt_node *n, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = lt_arena_alloc(mp->arena, d->sizeof_message);

    if (m)
        protobuf_c_message_init(d, m);
    else
        out_of_memory(mp, n);
    return m;
}

static void map_map(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                    const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    const size_t len = mp->path.len;
    ProtobufCMessage **entries = lt_arena_alloc(mp->arena, n->n * sizeof *entries + 1);
    size_t count = 0;

    if (n->kind != LT_NODE_MAP) {
        complain(mp, n, AT_VALUE, "write {name: value, …}", "is %s where a map belongs", lt_node_kind_name(n));
        return;
    }
    for (const struct lt_node *c = n->first; c && entries; c = c->next) {
        const struct lt_node key = {.kind = LT_NODE_SCALAR, .quoted = true, .text = c->key, .line = c->key_line,
                                    .column = c->key_column, .set = c->set}; /* quoted: `null` is a name here */
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
        out_of_memory(mp, n);
    else
        store_list(m, f, entries, count);
}

static void set_presence(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (lt_field_is_oneof(f))
        memcpy((char *)m + f->quantifier_offset, &f->id, sizeof f->id);
    else if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
        memcpy((char *)m + f->quantifier_offset, &(protobuf_c_boolean){1}, sizeof(protobuf_c_boolean));
}

/* null is absent, except for a member of a oneof: `relu:` says which. */
static void map_field(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f)
{
    union {
        uint64_t number;
        void *pointer;
        ProtobufCBinaryData bytes;
    } value = {0};

    if (n->broken || (lt_node_is_null(n) && !(lt_field_is_oneof(f) && f->type == PROTOBUF_C_TYPE_MESSAGE)))
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

static void complain_two_members(struct mapper *mp, const struct lt_node *n, const ProtobufCFieldDescriptor *f,
                                 const ProtobufCFieldDescriptor *before, const char *what)
{
    complain(mp, n, AT_KEY, "keep one of them", "`%s` and `%s`: %s takes one of them", before->name, f->name, what);
}

/* The field was misspelt: its value is read for what was probably meant, so that nobody misses it. */
static void map_meant(struct mapper *mp, const struct lt_node *parent, const struct lt_node *n, ProtobufCMessage *m,
                      const char *near, size_t len)
{
    const ProtobufCFieldDescriptor *f =
        near ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, near) : NULL;

    if (!f || lt_node_child(parent, near))
        return;
    if (lt_field_is_oneof(f) && lt_oneof_set(m, f))
        return;
    lt_path_pop(&mp->path, len);
    lt_buf_printf(&mp->path, len ? ".%s" : "%s", near);
    excuse(mp, lt_path_text(&mp->path));
    mp->mute++;
    map_field(mp, n, m, f);
    mp->mute--;
}

static void map_fields(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m, const char *what)
{
    const size_t len = mp->path.len;

    for (const struct lt_node *c = n->first; c; c = c->next) {
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, c->key);
        const ProtobufCFieldDescriptor *before = f && lt_field_is_oneof(f) ? lt_oneof_set(m, f) : NULL;

        if (c->taken)
            continue;
        lt_buf_printf(&mp->path, len ? ".%s" : "%s", c->key);
        if (c->broken)
            excuse(mp, lt_path_text(&mp->path)); /* said when it was read */
        else if (!f)
            map_meant(mp, n, c, m, complain_unknown(mp, c, AT_KEY, m->descriptor, c->key, what), len);
        else if (before)
            complain_two_members(mp, c, f, before, what);
        else
            map_field(mp, c, m, f);
        lt_path_pop(&mp->path, len);
    }
}

/* `- linear:` and, not indented under it, `out_features: 10`: a map of two keys where one was meant. */
static bool complain_indentation(struct mapper *mp, const struct lt_node *n, const ProtobufCMessageDescriptor *d)
{
    const struct lt_node *first = n->first, *second = first ? first->next : NULL;
    const ProtobufCFieldDescriptor *f =
        second && lt_node_is_null(first) ? protobuf_c_message_descriptor_get_field_by_name(d, first->key) : NULL;
    const size_t len = mp->path.len;
    LT_BUF_AUTO remedy = {0};

    if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE ||
        !protobuf_c_message_descriptor_get_field_by_name(f->descriptor, second->key))
        return false;
    lt_buf_printf(&remedy, "indent `%s` further than `%s`", second->key, first->key);
    complain(mp, second, AT_KEY, remedy.data, "`%s` is a field of %s, but stands beside it", second->key, first->key);
    lt_buf_printf(&mp->path, ".%s.%s", first->key, second->key);
    excuse(mp, lt_path_text(&mp->path));
    lt_path_pop(&mp->path, len);
    return true;
}

/* A message with one oneof and nothing else: a bare word, or a map of one key. */
static void map_choice(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m, const char *what)
{
    const struct lt_node empty = {.kind = LT_NODE_SCALAR, .text = "", .line = n->line, .column = n->column,
                                  .set = n->set};
    const ProtobufCFieldDescriptor *f;
    const char *near;

    if (n->kind == LT_NODE_SCALAR) {
        f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, n->text);
        if (!f) {
            near = complain_unknown(mp, n, AT_VALUE, m->descriptor, n->text, what);
            f = near ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, near) : NULL;
        }
        if (f && f->type == PROTOBUF_C_TYPE_MESSAGE)
            map_field(mp, &empty, m, f);
        else if (f)
            complain(mp, n, AT_VALUE, NULL, "`%s` needs a value: {%s: …}", n->text, n->text);
    } else if (n->kind == LT_NODE_MAP) {
        const int mute = complain_indentation(mp, n, m->descriptor);

        mp->mute += mute; /* it would only say the same again */
        map_fields(mp, n, m, what);
        mp->mute -= mute;
    }
}

static void map_form(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m, const struct lt_form *form)
{
    LT_BUF_AUTO remedy = {0};

    lt_buf_printf(&remedy, "write %s", form->expected);
    if (form->read(n, m, mp->arena) < 0) {
        complain(mp, n, AT_VALUE, remedy.data, "`%.60s` isn't %s", n->text, form->expected);
        protobuf_c_message_init(m->descriptor, m);
    }
}

static void complain_no_map(struct mapper *mp, const struct lt_node *n)
{
    const size_t len = mp->path.len;

    complain(mp, n, AT_VALUE, "write its fields: {name: value, …}", "is %s where a map belongs", lt_node_kind_name(n));
    lt_buf_char(&mp->path, '.'); /* nor does anybody need to hear what is missing in it */
    excuse(mp, lt_path_text(&mp->path));
    lt_path_pop(&mp->path, len);
}

/* The body of a message whose shape is known to be allowed. */
static void map_body(struct mapper *mp, const struct lt_node *n, ProtobufCMessage *m, const char *what)
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
        complain(mp, n, AT_VALUE, NULL, "is %s; write %s", lt_node_kind_name(n), form->expected);
    else
        complain_no_map(mp, n);
}

static ProtobufCMessage *map_message(struct mapper *mp, const struct lt_node *n, const ProtobufCMessageDescriptor *d,
                                     const char *what)
{
    ProtobufCMessage *m;
    char name[64];

    snake(d->short_name, name, sizeof name);
    if (mp->depth == LT_WIRE_DEPTH) {
        complain(mp, n, AT_VALUE, "nest less", "nests deeper than %d levels", LT_WIRE_DEPTH);
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

ProtobufCMessage *lt_tree_map(const struct lt_node *root, const ProtobufCMessageDescriptor *d, const char *what,
                              const char *base_dir, struct lt_arena *arena, struct lt_problems *problems,
                              struct lt_map *excused)
{
    struct mapper mp = {.arena = arena, .problems = problems, .base_dir = base_dir, .excused = excused};
    ProtobufCMessage *m = root->broken ? NULL : map_message(&mp, root, d, what);

    lt_buf_done(&mp.path);
    return m;
}
