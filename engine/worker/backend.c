/* backend.c - the worker's back end */
#include "engine/worker/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/error.h"
#include "engine/device.h"

static const struct lt_backend *const backends[] = {&lt_backend_cpu, &lt_backend_ref,
                                                    &lt_backend_null};

const struct lt_backend *lt_worker_backend(struct lt_error *err)
{
    const char *name = getenv("LT_BACKEND");

    if (!name || !*name)
        return backends[0];
    for (size_t i = 0; i < LT_ARRAY_LEN(backends); i++)
        if (!strcmp(backends[i]->name, name))
            return backends[i];
    lt_error_set(err, -EINVAL, "LT_BACKEND: there is no back end '%s'", name);
    return NULL;
}
