/* wire.c - unpacking into an arena, and what only the unpacked message shows
 *
 * protobuf-c asks an allocator for everything and copes with NULL from it: an arena with a cap
 * bounds what a message of small fields can blow up to (25 times its size and more).
 */
#include "proto/wire.h"

#include <errno.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/problem.h"
#include "base/str.h"
#include "proto/reflect.h"

static void *arena_alloc(void *arena, size_t size)
{
    return lt_arena_alloc(arena, size ? size : 1);
}

static void arena_free(void *arena, void *p)
{
    (void)arena;
    (void)p; /* with the arena */
}

int lt_wire_decode(const ProtobufCMessageDescriptor *d, const void *data, size_t n,
                   struct lt_arena *arena, ProtobufCMessage **out, struct lt_error *err)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_free, arena};
    ProtobufCMessage *m;
    int rc = lt_wire_check(d, data, n, err);

    if (rc < 0) {
        lt_error_prefix(err, "%s", d->short_name);
        return rc;
    }
    m = protobuf_c_message_unpack(d, &allocator, n, n ? data : (const void *)"");
    if (!m)
        return lt_error_set(err, -ENOMEM,
                            "%s: its fields need more memory than a message of %zu bytes may have",
                            d->short_name, n);
    *out = m;
    return 0;
}

static void check_unknown(struct lt_problems *problems, const ProtobufCMessage *m,
                          struct lt_buf *path)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        lt_problem_add(problems, lt_path_text(path),
                       "send only fields of this version's schema, or upgrade ltd",
                       "unknown field with tag %u in %s", m->unknown_fields[i].tag,
                       m->descriptor->short_name);
}

static void check_value(struct lt_problems *problems, const ProtobufCFieldDescriptor *f,
                        const void *value, const char *path)
{
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        const int v = *(const int *)value;

        if (!protobuf_c_enum_descriptor_get_value(f->descriptor, v))
            lt_problem_add(problems, path, NULL, "%d stands for no value of %s", v,
                           ((const ProtobufCEnumDescriptor *)f->descriptor)->short_name);
    } else if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = *(const char *const *)value;

        if (!lt_utf8_valid(s, strlen(s)))
            lt_problem_add(problems, path, "write it in UTF-8", "isn't valid UTF-8");
    }
}

static void check_map_keys(struct lt_problems *problems, const ProtobufCMessage *m,
                           const ProtobufCFieldDescriptor *f, struct lt_buf *path)
{
    LT_AUTO(lt_map_free) struct lt_map *seen = lt_map_new(NULL);
    const ProtobufCMessageDescriptor *d = f->descriptor;

    if (d->fields[0].type != PROTOBUF_C_TYPE_STRING)
        return;
    for (size_t i = 0, n = lt_field_count(m, f); i < n; i++) {
        const ProtobufCMessage *entry = *(const ProtobufCMessage *const *)lt_field_at(m, f, i);
        const char *key = *(const char *const *)lt_field_at(entry, &d->fields[0], 0);
        const size_t len = lt_path_push(path, f, i);

        if (!key)
            key = "";
        if (lt_map_get(seen, key))
            lt_problem_add(problems, lt_path_text(path), NULL, "the key `%s` is given twice", key);
        lt_map_set(seen, key, (void *)(uintptr_t)1);
        lt_path_pop(path, len);
    }
}

static void validate_message(void *context, const ProtobufCMessage *m, struct lt_buf *path)
{
    struct lt_problems *problems = context;
    const ProtobufCMessageDescriptor *d = m->descriptor;

    check_unknown(problems, m, path);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];

        if (lt_field_is_map(f))
            check_map_keys(problems, m, f, path);
        if (f->type != PROTOBUF_C_TYPE_ENUM && f->type != PROTOBUF_C_TYPE_STRING)
            continue;
        for (size_t k = 0, n = lt_field_count(m, f); k < n; k++) {
            const size_t len = lt_path_push(path, f, k);

            check_value(problems, f, lt_field_at(m, f, k), lt_path_text(path));
            lt_path_pop(path, len);
        }
    }
}

void lt_wire_validate_at(const ProtobufCMessage *m, const char *at, struct lt_problems *problems)
{
    lt_message_walk(m, at, validate_message, problems);
}

void lt_wire_validate(const ProtobufCMessage *m, struct lt_problems *problems)
{
    lt_wire_validate_at(m, "", problems);
}
