/* check_key.c - what a check's answer depends on
 *
 * Every string field that is a path (lt_field_is_path) is looked at, so that a new source's files
 * are in the key without a line of code here; and every `path`, where a checkpoint was found when
 * the job was made.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/node/check.h"
#include "proto/plan.h"
#include "sys/sha256.h"

#define ENTRIES_MAX 1000

static void add_state(struct lt_sha256 *h, const char *path)
{
    LT_AUTO(lt_free) char *text = NULL;
    struct stat st;

    if (stat(path, &st) < 0)
        text = lt_format("%s absent\n", path);
    else
        text = lt_format("%s %lld %lld.%09ld %llu\n", path, (long long)st.st_size,
                         (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                         (unsigned long long)st.st_ino);
    lt_sha256_add(h, text, strlen(text));
}

static void add_path(struct lt_sha256 *h, const char *path)
{
    struct dirent **names;
    int n;

    add_state(h, path);
    n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        LT_AUTO(lt_free) char *entry = lt_format("%s/%s", path, names[i]->d_name);

        if (i < ENTRIES_MAX && names[i]->d_name[0] != '.')
            add_state(h, entry);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void add_paths(struct lt_sha256 *h, const ProtobufCMessage *m);

static bool is_path(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return lt_field_is_path(m->descriptor, f) || !strcmp(f->name, "path");
}

/* A file of a plan may lie on the node as the plan says; one named by content is in the spec. */
static const char *path_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                           const char *value)
{
    return lt_field_is_file(m->descriptor, f) ? lt_file_path(value) : value;
}

static void add_value(struct lt_sha256 *h, const ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f, void *value)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)value)
        add_paths(h, *(const ProtobufCMessage **)value);
    else if (f->type == PROTOBUF_C_TYPE_STRING && *(char **)value &&
             is_path(m, f) && path_of(m, f, *(char **)value))
        add_path(h, path_of(m, f, *(char **)value));
}

static void add_paths(struct lt_sha256 *h, const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *member = (char *)m + f->offset;
        const void *quantifier = (const char *)m + f->quantifier_offset;

        if (f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_STRING)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            for (size_t k = 0; k < *(const size_t *)quantifier; k++)
                add_value(h, m, f, *(char **)member + k * sizeof(void *));
        } else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
                   *(const uint32_t *)quantifier == f->id) {
            add_value(h, m, f, member);
        }
    }
}

void lt_check_key(const Lt__V1__JobSpec *spec, const char *build, char out[65])
{
    LT_AUTO(lt_sha256_free) struct lt_sha256 *h = lt_sha256_new();
    LT_BUF_AUTO bytes = {0};

    lt_plan_canonical(&spec->base, &bytes);
    lt_sha256_add(h, bytes.data, bytes.len);
    lt_sha256_add(h, build, strlen(build));
    add_paths(h, &spec->base);
    lt_sha256_hex(h, out);
}
