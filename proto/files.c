/* files.c - files that a plan names by content, on its node, or on whoever wrote it */
#include <string.h>
#include "base/auto.h"
#include "base/str.h"
#include "proto/plan.h"

enum { HASH_LEN = 64 };

Lt__V1__TrainingPlan *lt_spec_plan(const Lt__V1__JobSpec *spec)
{
    if (spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN)
        return spec->plan;
    return spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION ? spec->evaluation->plan : NULL;
}

char **lt_plan_file(const Lt__V1__JobSpec *spec, size_t i, const char **path)
{
    static const char *const names[] = {"model.weights", "model.onnx"};
    const Lt__V1__TrainingPlan *plan = lt_spec_plan(spec);
    Lt__V1__Model *m = plan ? plan->model : NULL;
    char **all[] = {m ? &m->weights : NULL, m ? &m->onnx : NULL};

    for (size_t k = 0; m && k < LT_ARRAY_LEN(all); k++) {
        if (!*all[k] || !**all[k] || i-- > 0)
            continue;
        if (path)
            *path = names[k];
        return all[k];
    }
    return NULL;
}

bool lt_field_is_file(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    return d == &lt__v1__model__descriptor && lt_field_is_path(d, f);
}

enum lt_file_place lt_file_place(const char *file)
{
    if (lt_str_starts(file, LT_FILE_BLOB_PREFIX))
        return LT_FILE_BLOB;
    return lt_str_starts(file, LT_FILE_NODE_PREFIX) ? LT_FILE_NODE : LT_FILE_LOCAL;
}

const char *lt_file_hash(const char *file)
{
    const char *hash = file + strlen(LT_FILE_BLOB_PREFIX);

    if (lt_file_place(file) != LT_FILE_BLOB)
        return NULL;
    return strlen(hash) == HASH_LEN && strspn(hash, "0123456789abcdef") == HASH_LEN ? hash : NULL;
}

const char *lt_file_path(const char *file)
{
    switch (lt_file_place(file)) {
    case LT_FILE_LOCAL:
        return file;
    case LT_FILE_NODE:
        return file + strlen(LT_FILE_NODE_PREFIX);
    default:
        return NULL;
    }
}
