/* tree.c - making and searching trees */
#include "proto/text/tree.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"

struct lt_node *lt_node_new(struct lt_arena *arena, enum lt_node_kind kind)
{
    struct lt_node *n = lt_arena_alloc(arena, sizeof *n);

    if (n)
        n->kind = kind;
    return n;
}

struct lt_node *lt_node_scalar(struct lt_arena *arena, const char *text, bool quoted)
{
    struct lt_node *n = text ? lt_node_new(arena, LT_NODE_SCALAR) : NULL;

    if (n) {
        n->text = text;
        n->quoted = quoted;
    }
    return n;
}

void lt_node_add(struct lt_node *parent, const char *key, struct lt_node *child)
{
    child->key = key;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n++;
}

struct lt_node *lt_node_child(const struct lt_node *map, const char *key)
{
    if (map->kind == LT_NODE_MAP)
        for (struct lt_node *c = map->first; c; c = c->next)
            if (!strcmp(c->key, key))
                return c;
    return NULL;
}

struct lt_node *lt_node_item(const struct lt_node *list, size_t index)
{
    struct lt_node *c = list->kind == LT_NODE_LIST && index < list->n ? list->first : NULL;

    while (c && index-- > 0)
        c = c->next;
    return c;
}

bool lt_node_is_null(const struct lt_node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (n->kind != LT_NODE_SCALAR || n->quoted)
        return false;
    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++)
        if (!strcmp(n->text, words[i]))
            return true;
    return false;
}

const char *lt_node_kind_name(const struct lt_node *n)
{
    if (n->kind == LT_NODE_SCALAR)
        return n->quoted ? "a text" : "a single value";
    return n->kind == LT_NODE_MAP ? "a map" : "a list";
}

/* One step: "name", or "[3]". Returns what is left of the path; *next is NULL where there is no
 * such child. */
static const char *find_step(const struct lt_node *n, const char *path, const struct lt_node **next)
{
    char name[128];
    size_t len;

    *next = NULL;
    if (*path == '[') {
        char *end;
        const size_t index = strtoul(path + 1, &end, 10);

        *next = lt_node_item(n, index);
        path = *end == ']' ? end + 1 : end;
    } else {
        len = strcspn(path, ".[");
        if (len < sizeof name) {
            memcpy(name, path, len);
            name[len] = '\0';
            *next = lt_node_child(n, name);
        }
        path += len;
    }
    return *path == '.' ? path + 1 : path;
}

const struct lt_node *lt_node_find(const struct lt_node *root, const char *path, bool *whole)
{
    const struct lt_node *next = root;

    while (*path) {
        path = find_step(root, path, &next);
        if (!next) {
            *whole = false;
            return root;
        }
        root = next;
    }
    *whole = true;
    return root;
}
