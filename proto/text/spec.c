/* spec.c - plan files: text → tree → --set → message → checks
 *
 * A file holds the body of one member of JobSpec, named by `kind:`; without it, a plan.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/plan.h"
#include "proto/reflect.h"
#include "proto/text/map.h"
#include "proto/text/set.h"
#include "proto/text/text.h"
#include "proto/text/tree.h"

ProtobufCMessage *lt_text_parse(const ProtobufCMessageDescriptor *d, const char *text, size_t n,
                                const char *base_dir, struct lt_arena *arena,
                                struct lt_problems *problems)
{
    const size_t before = problems->errors;
    const struct lt_node *root = lt_tree_read(text, n, 0, arena, problems);
    ProtobufCMessage *m =
        root ? lt_tree_map(root, d, "the message", base_dir, arena, problems, NULL) : NULL;

    return problems->errors == before ? m : NULL;
}

/* JobSpec's member by `kind:`, which the mapper is to pass over; NULL: said. */
static const ProtobufCFieldDescriptor *take_kind(struct lt_node *root, struct lt_problems *problems)
{
    static const char *const words[] = {"plan", "command", "evaluation"};
    const ProtobufCMessageDescriptor *d = &lt__v1__job_spec__descriptor;
    struct lt_node *kind = lt_node_child(root, "kind");
    const ProtobufCFieldDescriptor *f;
    struct lt_problem *p;
    const char *near;
    char remedy[64];

    if (!kind || kind->kind != LT_NODE_SCALAR)
        return protobuf_c_message_descriptor_get_field_by_name(d, "plan");
    f = protobuf_c_message_descriptor_get_field_by_name(d, kind->text);
    if (!f) {
        near = lt_suggest(kind->text, words, LT_ARRAY_LEN(words));
        snprintf(remedy, sizeof remedy,
                 near ? "did you mean `%s`?" : "write plan, command or evaluation", near);
        p = lt_problem_add(problems, "kind", remedy, "`%.60s`: unknown kind of job", kind->text);
        if (p) {
            p->line = kind->line;
            p->column = kind->column;
        }
        return NULL;
    }
    kind->taken = true;
    return f;
}

struct loading {
    const char *base_dir;
    const char *const *sets;
    size_t n_sets;
    struct lt_arena *arena;
    struct lt_problems *problems;
    struct lt_map *excused;
};

/* What could be read of the spec; NULL: nothing. */
static Lt__V1__JobSpec *load(const struct loading *l, struct lt_node *root)
{
    Lt__V1__JobSpec *spec = lt_arena_alloc(l->arena, sizeof *spec);
    const ProtobufCFieldDescriptor *f;
    ProtobufCMessage *body;
    struct lt_problem *p;

    if (root->kind != LT_NODE_MAP) {
        p = lt_problem_add(l->problems, "", "write name: value, one a line",
                           "is %s where a plan belongs", lt_node_kind_name(root));
        if (p) {
            p->line = root->line;
            p->column = root->column;
        }
        return NULL;
    }
    f = take_kind(root, l->problems);
    if (!spec)
        lt_problem_add(l->problems, "", NULL, "the plan needs more memory than it may have");
    if (!spec || !f)
        return NULL;
    for (size_t i = 0; i < l->n_sets; i++)
        lt_tree_set(root, f->descriptor, l->sets[i], (int)i + 1, l->arena, l->problems);
    body = lt_tree_map(root, f->descriptor, !strcmp(f->name, "plan") ? "the plan" : f->name,
                       l->base_dir, l->arena, l->problems, l->excused);
    if (!body)
        return NULL;
    lt__v1__job_spec__init(spec);
    spec->kind_case = f->id;
    memcpy((char *)spec + f->offset, &body, sizeof body);
    return spec;
}

Lt__V1__JobSpec *lt_text_parse_spec(const char *text, size_t n, const char *base_dir,
                                    const char *const *sets, size_t n_sets, struct lt_arena *arena,
                                    struct lt_problems *problems)
{
    const struct loading l = {base_dir, sets, n_sets, arena, problems, NULL};
    const size_t before = problems->errors;
    struct lt_node *root = lt_tree_read(text, n, 0, arena, problems);
    Lt__V1__JobSpec *spec = root ? load(&l, root) : NULL;

    return problems->errors == before ? spec : NULL;
}

Lt__V1__JobSpec *lt_text_apply_sets(const Lt__V1__JobSpec *spec, const char *const *sets,
                                    size_t n_sets, const char *base_dir, struct lt_arena *arena,
                                    struct lt_problems *problems)
{
    const ProtobufCFieldDescriptor *f =
        lt_oneof_set(&spec->base, &lt__v1__job_spec__descriptor.fields[0]);
    const struct loading l = {base_dir, sets, n_sets, arena, problems, NULL};
    const size_t before = problems->errors;
    struct lt_node *root =
        f ? lt_tree_of(*(ProtobufCMessage *const *)lt_field_at(&spec->base, f, 0), 0, arena) : NULL;
    Lt__V1__JobSpec *out;

    if (!root) {
        lt_problem_add(problems, "", NULL,
                       f ? "the plan needs more memory than it may have" : "an empty job");
        return NULL;
    }
    if (strcmp(f->name, "plan") != 0) {
        struct lt_node *kind = lt_node_scalar(arena, f->name, true);

        if (!kind)
            return NULL;
        lt_node_add(root, "kind", kind);
    }
    out = load(&l, root);
    return problems->errors == before ? out : NULL;
}

/* A problem that the schema's checks found is given the place of its field, or of the nearest thing
 * around it. */
static void place(const struct lt_node *root, struct lt_problem *p)
{
    bool whole;
    const struct lt_node *n = lt_node_find(root, p->path, &whole);
    char *reason;

    if (n->set) {
        reason = lt_format("%s (given by --set)", p->reason);
        lt_free(p->reason);
        p->reason = reason;
        return;
    }
    p->line = !whole && n->key_line ? n->key_line : n->line;
    p->column = !whole && n->key_line ? n->key_column : n->column;
}

/* Was the path, or (said by a `.` behind it) everything below one of its beginnings, complained
 * about already? */
static bool is_excused(const struct lt_map *excused, const char *path)
{
    LT_BUF_AUTO prefix = {0};

    for (const char *p = path; *p; p++) {
        if (*p != '.' && *p != '[')
            continue;
        prefix.len = 0;
        lt_buf_append(&prefix, path, (size_t)(p - path));
        lt_buf_char(&prefix, '.');
        if (lt_map_get(excused, prefix.data))
            return true;
    }
    return lt_map_get(excused, path);
}

/* Runs the checks into a list of their own: what the mapper already complained about is left out.
 */
static void validate(const Lt__V1__JobSpec *spec, const struct lt_node *root,
                     struct lt_map *excused, struct lt_problems *problems)
{
    struct lt_problems found = {0};

    lt_plan_validate(spec, &found);
    for (size_t i = 0; i < found.len; i++) {
        struct lt_problem *p = &found.items[i], *copy;

        if (is_excused(excused, p->path))
            continue;
        place(root, p);
        copy = (p->warning ? lt_problem_warn : lt_problem_add)(problems, p->path, p->remedy, "%s",
                                                               p->reason);
        if (copy) {
            copy->line = p->line;
            copy->column = p->column;
        }
    }
    problems->dropped += found.dropped;
    lt_problems_done(&found);
}

/* By place; stable, those without a place last. */
static void sort_by_place(struct lt_problems *problems, size_t from)
{
    for (size_t i = from + 1; i < problems->len; i++) {
        struct lt_problem p = problems->items[i];
        const int line = p.line ? p.line : INT32_MAX;
        size_t k = i;

        for (; k > from; k--) {
            const struct lt_problem *q = &problems->items[k - 1];
            const int before = q->line ? q->line : INT32_MAX;

            if (before < line || (before == line && q->column <= p.column))
                break;
            problems->items[k] = *q;
        }
        problems->items[k] = p;
    }
}

Lt__V1__JobSpec *lt_text_check_spec(const char *text, size_t n, const char *base_dir,
                                    const char *const *sets, size_t n_sets, struct lt_arena *arena,
                                    struct lt_problems *problems)
{
    LT_AUTO(lt_map_free) struct lt_map *excused = lt_map_new(NULL);
    const struct loading l = {base_dir, sets, n_sets, arena, problems, excused};
    const size_t errors = problems->errors, from = problems->len;
    struct lt_node *root = lt_tree_read(text, n, 0, arena, problems);
    Lt__V1__JobSpec *spec = root ? load(&l, root) : NULL;

    if (spec)
        validate(spec, root, excused, problems);
    sort_by_place(problems, from);
    return problems->errors == errors ? spec : NULL;
}

void lt_text_place(const char *text, size_t n, const char *const *sets, size_t n_sets,
                   struct lt_problems *problems)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_problems ignored = {0};
    struct lt_node *root = lt_tree_read(text, n, 0, arena, &ignored);
    const ProtobufCFieldDescriptor *f =
        root && root->kind == LT_NODE_MAP ? take_kind(root, &ignored) : NULL;

    for (size_t i = 0; f && i < n_sets; i++)
        lt_tree_set(root, f->descriptor, sets[i], (int)i + 1, arena, &ignored);
    for (size_t i = 0; f && i < problems->len; i++)
        place(root, &problems->items[i]);
    sort_by_place(problems, 0);
    lt_problems_done(&ignored);
}

static void print_tree(struct lt_node *root, int flags, struct lt_buf *out)
{
    if (flags & (LT_TEXT_JSON | LT_TEXT_PRETTY))
        lt_tree_print_json(root, flags & LT_TEXT_PRETTY, out);
    else
        lt_tree_print_yaml(root, out);
}

void lt_text_print(const ProtobufCMessage *m, int flags, struct lt_buf *out)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_node *root = lt_tree_of(m, flags, arena);

    if (root)
        print_tree(root, flags, out);
}

void lt_text_print_spec(const Lt__V1__JobSpec *spec, int flags, struct lt_buf *out)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    const ProtobufCFieldDescriptor *f =
        lt_oneof_set(&spec->base, &lt__v1__job_spec__descriptor.fields[0]);
    struct lt_node *body =
        f ? lt_tree_of(*(ProtobufCMessage *const *)lt_field_at(&spec->base, f, 0), flags, arena)
          : NULL;
    struct lt_node *kind = f ? lt_node_scalar(arena, f->name, true) : NULL;

    if (!body || !kind)
        return;
    if (body->kind == LT_NODE_MAP && strcmp(f->name, "plan") != 0) {
        kind->key = "kind";
        kind->next = body->first;
        body->first = kind;
        body->last = body->last ? body->last : kind;
        body->n++;
    }
    print_tree(body, flags, out);
}
