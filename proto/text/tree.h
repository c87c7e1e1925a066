/* tree.h - text between YAML or JSON and messages: scalars, lists and maps with their places
 *
 * Used by proto/text alone. Nodes live in an arena. A scalar keeps its text as written: whether
 * `1.0` is a number, a fraction or a name is decided by the field it is mapped to.
 */
#ifndef LT_PROTO_TEXT_TREE_H
#define LT_PROTO_TEXT_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct lt_arena;
struct lt_buf;
struct lt_problem;
struct lt_problems;

enum lt_node_kind { LT_NODE_SCALAR, LT_NODE_MAP, LT_NODE_LIST };

struct lt_node {
    enum lt_node_kind kind;
    bool quoted;      /* scalar: written in quotes, or (when made from a message) a text */
    bool broken;      /* already reported; the mapper leaves it out */
    bool taken;       /* not the mapper's */
    int line, column; /* 1-based; 0: has no place */
    int set;          /* 1-based number of the --set it came from, 0: the text */
    const char *text; /* scalar */
    const char *key;  /* of a map's child */
    int key_line, key_column;
    struct lt_node *first, *last, *next;
    size_t n; /* children */
};

/* Reads one document. NULL: not readable at all (said in problems). Other problems leave broken
 * nodes behind. set: what nodes carry as their origin. */
struct lt_node *lt_tree_read(const char *text, size_t n, int set, struct lt_arena *arena,
                             struct lt_problems *problems);

/* NULL when the arena's cap is passed (any of these). key may be NULL (lists); both texts are
 * borrowed. */
struct lt_node *lt_node_new(struct lt_arena *arena, enum lt_node_kind kind);
struct lt_node *lt_node_scalar(struct lt_arena *arena, const char *text, bool quoted);
void lt_node_add(struct lt_node *parent, const char *key, struct lt_node *child);
struct lt_node *lt_node_child(const struct lt_node *map, const char *key);
struct lt_node *lt_node_item(const struct lt_node *list, size_t index);
bool lt_node_is_null(const struct lt_node *n);          /* null, ~, or nothing at all */
const char *lt_node_kind_name(const struct lt_node *n); /* "a list" */
/* The deepest node on the way to a field path; *whole: the path ended there. */
const struct lt_node *lt_node_find(const struct lt_node *root, const char *path, bool *whole);

/* Appends the tree as YAML (block style) or JSON. */
void lt_tree_print_yaml(const struct lt_node *root, struct lt_buf *out);
void lt_tree_print_json(const struct lt_node *root, bool pretty, struct lt_buf *out);

#endif
