/* complain.c - what the mapper says when a text doesn't fit its message: path, place, reason,
 * remedy */
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/reflect.h"
#include "proto/text/mapper.h"
#include "proto/text/tree.h"

void lt_excuse(struct lt_mapper *mp, const char *path)
{
    if (mp->excused)
        lt_map_set(mp->excused, path, (void *)(uintptr_t)1);
}

void lt_complain(struct lt_mapper *mp, const struct lt_node *n, enum lt_where where,
                 const char *remedy, const char *format, ...)
{
    LT_BUF_AUTO reason = {0};
    struct lt_problem *p;
    va_list ap;

    lt_excuse(mp, lt_path_text(&mp->path));
    if (mp->mute)
        return;
    va_start(ap, format);
    lt_buf_vprintf(&reason, format, ap);
    va_end(ap);
    p = lt_problem_add(mp->problems, lt_path_text(&mp->path), remedy, "%s%s", reason.data,
                       n->set ? " (given by --set)" : "");
    if (!p || n->set)
        return;
    p->line = where == LT_AT_KEY && n->key_line ? n->key_line : n->line;
    p->column = where == LT_AT_KEY && n->key_line ? n->key_column : n->column;
}

void lt_complain_memory(struct lt_mapper *mp, const struct lt_node *n)
{
    lt_complain(mp, n, LT_AT_VALUE, NULL, "the plan needs more memory than it may have");
}

static const char *suggest_field(struct lt_mapper *mp, const ProtobufCMessageDescriptor *d,
                                 const char *word)
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
        lt_buf_printf(out, "%s%s",
                      i == 0                 ? ""
                      : i + 1 == d->n_fields ? " or "
                                             : ", ",
                      d->fields[i].name);
    if (d->n_fields > 24)
        lt_buf_str(out, ", …");
    if (!d->n_fields)
        lt_buf_str(out, "nothing: it has no fields");
}

const char *lt_complain_unknown(struct lt_mapper *mp, const struct lt_node *n, enum lt_where where,
                                const ProtobufCMessageDescriptor *d, const char *word,
                                const char *what)
{
    const char *near = suggest_field(mp, d, word);
    LT_BUF_AUTO remedy = {0};

    if (near)
        lt_buf_printf(&remedy, "did you mean `%s`?", near);
    else
        lt_buf_str(&remedy, "write ");
    if (!near)
        list_fields(d, &remedy);
    lt_complain(mp, n, where, remedy.data, "`%.60s`: unknown %s%s", word,
                lt_message_is_choice(d) ? "" : "field of ", what);
    return near;
}

void lt_complain_two(struct lt_mapper *mp, const struct lt_node *n, const char *before,
                     const char *name, const char *what)
{
    lt_complain(mp, n, LT_AT_KEY, "keep one of them", "`%s` and `%s`: %s takes one of them", before,
                name, what);
}

bool lt_complain_indentation(struct lt_mapper *mp, const struct lt_node *n,
                             const ProtobufCMessageDescriptor *d)
{
    const struct lt_node *first = n->first, *second = first ? first->next : NULL;
    const ProtobufCFieldDescriptor *f =
        second && lt_node_is_null(first)
            ? protobuf_c_message_descriptor_get_field_by_name(d, first->key)
            : NULL;
    const size_t len = mp->path.len;
    LT_BUF_AUTO remedy = {0};

    if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE ||
        !protobuf_c_message_descriptor_get_field_by_name(f->descriptor, second->key))
        return false;
    lt_buf_printf(&remedy, "indent `%s` further than `%s`", second->key, first->key);
    lt_complain(mp, second, LT_AT_KEY, remedy.data, "`%s` is a field of %s, but stands beside it",
                second->key, first->key);
    lt_buf_printf(&mp->path, ".%s.%s", first->key, second->key);
    lt_excuse(mp, lt_path_text(&mp->path));
    lt_path_pop(&mp->path, len);
    return true;
}

void lt_complain_no_map(struct lt_mapper *mp, const struct lt_node *n)
{
    const size_t len = mp->path.len;

    lt_complain(mp, n, LT_AT_VALUE, "write its fields: {name: value, …}",
                "is %s where a map belongs", lt_node_kind_name(n));
    lt_buf_char(&mp->path, '.'); /* nor does anybody need to hear what is missing in it */
    lt_excuse(mp, lt_path_text(&mp->path));
    lt_path_pop(&mp->path, len);
}
