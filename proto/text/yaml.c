/* yaml.c - YAML, and with it JSON, into a tree of bounded size
 *
 * libyaml gives events with places; what of YAML has no use in a plan, and only ever surprises, is
 * refused where it stands: anchors and aliases (they also blow up), tags, keys that aren't plain
 * texts, keys given twice, a second document. Size, depth, number of values and length of each text
 * are bounded before anything is kept.
 */
#include <string.h>
#include <yaml.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/text/text.h"
#include "proto/text/tree.h"

#define STRING_MAX 65536 /* bytes of one text */
#define KEYS_MAX 1000    /* of one map: looked up one after the other */

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool have_event;
    struct lt_arena *arena;
    struct lt_problems *problems;
    struct lt_buf path;
    size_t nodes;
    int set;
};

static void place(const struct reader *r, struct lt_problem *p, yaml_mark_t mark)
{
    if (!p || r->set)
        return;
    p->line = (int)mark.line + 1;
    p->column = (int)mark.column + 1;
}

#define COMPLAIN(r, mark, remedy, ...)                                                             \
    place(r,                                                                                       \
          lt_problem_add((r)->problems, (r)->path.len ? (r)->path.data : "", remedy, __VA_ARGS__), \
          mark)

/* A byte offset as a mark, for the reader's errors, which come without one. */
static yaml_mark_t mark_of(const char *text, size_t offset)
{
    yaml_mark_t mark = {.index = offset};

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static void complain_syntax(struct reader *r, const char *text)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_MEMORY_ERROR)
        lt_problem_add(r->problems, "", NULL, "out of memory while reading the text");
    else if (p->error == YAML_READER_ERROR)
        COMPLAIN(r, mark_of(text, p->problem_offset), "remove the character", "not YAML: %s",
                 p->problem);
    else
        COMPLAIN(r, p->problem_mark, "check indentation, brackets and quotes here",
                 "not YAML: %s%s%s", p->problem, p->context ? " " : "",
                 p->context ? p->context : "");
}

static bool next_event(struct reader *r, const char *text)
{
    if (r->have_event)
        yaml_event_delete(&r->event);
    r->have_event = yaml_parser_parse(&r->parser, &r->event);
    if (!r->have_event)
        complain_syntax(r, text);
    return r->have_event;
}

static struct lt_node *new_node(struct reader *r, enum lt_node_kind kind)
{
    struct lt_node *n = ++r->nodes <= LT_TEXT_NODES ? lt_node_new(r->arena, kind) : NULL;

    if (!n) {
        COMPLAIN(r, r->event.start_mark, "use `repeat` for layers that repeat",
                 "the text holds more values than a plan may have");
        return NULL;
    }
    n->set = r->set;
    n->line = r->set ? 0 : (int)r->event.start_mark.line + 1;
    n->column = r->set ? 0 : (int)r->event.start_mark.column + 1;
    return n;
}

static struct lt_node *broken(struct lt_node *n)
{
    if (n) {
        n->broken = true;
        n->text = "";
    }
    return n;
}

static struct lt_node *read_scalar(struct reader *r)
{
    const char *value = (const char *)r->event.data.scalar.value;
    const size_t n = r->event.data.scalar.length;
    struct lt_node *node = new_node(r, LT_NODE_SCALAR);
    char *copy;

    if (!node)
        return NULL;
    if (n > STRING_MAX) {
        COMPLAIN(r, r->event.start_mark, "shorten it",
                 "a text of %zu bytes; at most %d are allowed", n, STRING_MAX);
        return broken(node);
    }
    if (memchr(value, 0, n)) {
        COMPLAIN(r, r->event.start_mark, "remove it", "the text holds a NUL character");
        return broken(node);
    }
    copy = lt_arena_alloc(r->arena, n + 1);
    if (!copy) {
        COMPLAIN(r, r->event.start_mark, "shorten it", "the text needs more memory than a plan may have");
        return NULL;
    }
    memcpy(copy, value, n);
    node->text = copy;
    node->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static void check_decorations(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        COMPLAIN(r, r->event.start_mark, "write the value out where it is used",
                 "the anchor `&%s`: plans have none", (const char *)anchor);
    if (tag)
        COMPLAIN(r, r->event.start_mark, "remove the tag", "the tag `%s`: plans have none",
                 (const char *)tag);
}

static struct lt_node *read_node(struct reader *r, const char *text, int depth);

static bool read_list(struct reader *r, const char *text, int depth, struct lt_node *list)
{
    while (next_event(r, text) && r->event.type != YAML_SEQUENCE_END_EVENT) {
        const size_t len = r->path.len;
        struct lt_node *item;

        if (list->n == LT_TEXT_LIST) {
            COMPLAIN(r, r->event.start_mark, "use `repeat` for layers that repeat",
                     "a list of more than %d items", LT_TEXT_LIST);
            return false;
        }
        lt_buf_printf(&r->path, "[%zu]", list->n);
        item = read_node(r, text, depth);
        r->path.len = len;
        if (!item)
            return false;
        r->path.data[len] = '\0';
        lt_node_add(list, NULL, item);
    }
    return r->have_event;
}

/* The key of the current event, or NULL (said). */
static struct lt_node *read_key(struct reader *r, const struct lt_node *map)
{
    struct lt_node *key;

    if (r->event.type != YAML_SCALAR_EVENT) {
        COMPLAIN(r, r->event.start_mark, "write `name: value`", "a key that isn't a name");
        return NULL;
    }
    check_decorations(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
    key = read_scalar(r);
    if (key && map->n >= KEYS_MAX) {
        COMPLAIN(r, r->event.start_mark, "use fewer keys", "a map of more than %d keys", KEYS_MAX);
        return NULL;
    }
    return key;
}

static void check_duplicate(struct reader *r, const struct lt_node *map, const struct lt_node *key)
{
    const struct lt_node *before = lt_node_child(map, key->text);

    if (before)
        COMPLAIN(r, r->event.start_mark, "keep one of them",
                 "the key `%s` is given twice (first in line %d)", key->text, before->key_line);
}

static bool read_map(struct reader *r, const char *text, int depth, struct lt_node *map)
{
    while (next_event(r, text) && r->event.type != YAML_MAPPING_END_EVENT) {
        const size_t len = r->path.len;
        struct lt_node *key = read_key(r, map), *value;
        bool twice;

        if (!key)
            return false;
        lt_buf_printf(&r->path, len ? ".%s" : "%s", key->text);
        check_duplicate(r, map, key);
        twice = lt_node_child(map, key->text);
        value = next_event(r, text) ? read_node(r, text, depth) : NULL;
        lt_buf_reserve(&r->path, 1);
        r->path.len = len;
        r->path.data[len] = '\0';
        if (!value)
            return false;
        value->key_line = key->line;
        value->key_column = key->column;
        if (!twice && !key->broken)
            lt_node_add(map, key->text, value);
    }
    return r->have_event;
}

static struct lt_node *read_alias(struct reader *r)
{
    COMPLAIN(r, r->event.start_mark, "write the value out", "the alias `*%s`: plans have none",
             (const char *)r->event.data.alias.anchor);
    return broken(new_node(r, LT_NODE_SCALAR));
}

/* The node that the current event starts; NULL: give up (said). */
static struct lt_node *read_node(struct reader *r, const char *text, int depth)
{
    const bool is_map = r->event.type == YAML_MAPPING_START_EVENT;
    struct lt_node *n;

    if (r->event.type == YAML_ALIAS_EVENT)
        return read_alias(r);
    if (r->event.type == YAML_SCALAR_EVENT) {
        check_decorations(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
        return read_scalar(r);
    }
    if (is_map)
        check_decorations(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);
    else
        check_decorations(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag);
    if (depth == LT_TEXT_DEPTH) {
        r->path.len = 0; /* it would fill the screen */
        r->path.data[0] = '\0';
        COMPLAIN(r, r->event.start_mark, "nest less", "lists and maps nest deeper than %d levels",
                 LT_TEXT_DEPTH);
        return NULL;
    }
    n = new_node(r, is_map ? LT_NODE_MAP : LT_NODE_LIST);
    if (!n || !(is_map ? read_map : read_list)(r, text, depth + 1, n))
        return NULL;
    return n;
}

static struct lt_node *read_document(struct reader *r, const char *text)
{
    struct lt_node *root;

    if (!next_event(r, text) || !next_event(r, text)) /* stream start, document start */
        return NULL;
    if (r->event.type == YAML_STREAM_END_EVENT) {
        lt_problem_add(r->problems, "", "write a plan, such as examples/fashion-mlp.yaml",
                       "the text is empty");
        return NULL;
    }
    root = next_event(r, text) ? read_node(r, text, 0) : NULL;
    if (!root || !next_event(r, text) || !next_event(r, text)) /* document end, stream end */
        return NULL;
    if (r->event.type != YAML_STREAM_END_EVENT) {
        COMPLAIN(r, r->event.start_mark, "put each plan into a file of its own",
                 "a second document");
        return NULL;
    }
    return root;
}

/* Before libyaml: it would take UTF-16, and its own message has no place. */
static bool check_bytes(struct reader *r, const char *text, size_t n)
{
    size_t good = 0, step;

    if (n > LT_TEXT_MAX) {
        char size[32];

        lt_print_size(size, sizeof size, n);
        lt_problem_add(r->problems, "", "keep data out of the plan",
                       "a text of %s; at most 16 MiB are allowed", size);
        return false;
    }
    if (lt_utf8_valid(text, n))
        return true;
    do {
        for (step = 1; step <= 4 && (good + step > n || !lt_utf8_valid(text + good, step));)
            step++;
        good += step <= 4 ? step : 0;
    } while (step <= 4);
    COMPLAIN(r, mark_of(text, good), "save the file as UTF-8",
             text[good] ? "a byte that isn't UTF-8: 0x%02x" : "a NUL byte (0x%02x)",
             (unsigned char)text[good]);
    return false;
}

struct lt_node *lt_tree_read(const char *text, size_t n, int set, struct lt_arena *arena,
                             struct lt_problems *problems)
{
    struct reader r = {.arena = arena, .problems = problems, .set = set};
    struct lt_node *root = NULL;

    if (!check_bytes(&r, text, n)) {
        lt_buf_done(&r.path);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        lt_problem_add(problems, "", NULL, "out of memory while reading the text");
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    root = read_document(&r, text);
    if (r.have_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    lt_buf_done(&r.path);
    return root;
}
