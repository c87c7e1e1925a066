/* token.c - the token of a call: metadata `authorization: Bearer T`, exactly one */
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <string.h>
#include <strings.h>
#include "rpc/internal.h"
#include "sys/token.h"

#define KEY "authorization"
#define SCHEME "Bearer "

const char *lt_rpc_token_refused(struct lt_rpc_server *s, const grpc_metadata_array *metadata)
{
    const size_t skip = strlen(SCHEME);
    const char *value = NULL;
    size_t n = 0, found = 0;

    for (size_t i = 0; i < metadata->count; i++) {
        const grpc_metadata *m = &metadata->metadata[i];

        if (grpc_slice_str_cmp(m->key, KEY) != 0)
            continue;
        value = (const char *)GRPC_SLICE_START_PTR(m->value);
        n = GRPC_SLICE_LENGTH(m->value);
        found++;
    }
    if (found != 1 || n < skip || strncasecmp(value, SCHEME, skip) != 0)
        return "this address wants a token: metadata `authorization: Bearer TOKEN`";
    return s->tokens && lt_tokens_match(s->tokens, value + skip, n - skip)
               ? NULL
               : "the token isn't one of this daemon's";
}
