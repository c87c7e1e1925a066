/* file.c - files that a plan names (model.weights), as this process finds them */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/train/trainer.h"
#include "proto/plan.h"
#include "sys/paths.h"

char *lt_train_file(const char *file, const char *blobs)
{
    const char *hash = lt_file_hash(file), *path = lt_file_path(file);

    if (hash)
        return blobs ? lt_path_blob(blobs, hash) : NULL;
    return path ? lt_strdup(path) : NULL;
}

void lt_train_file_named(struct lt_error *err, const char *local, const char *file)
{
    LT_AUTO(lt_free) char *text = NULL;
    char *at = strstr(err->text, local);

    if (!at || strcmp(local, file) == 0)
        return;
    text = lt_format("%.*s%s%s", (int)(at - err->text), err->text, file, at + strlen(local));
    snprintf(err->text, sizeof err->text, "%s", text);
}
