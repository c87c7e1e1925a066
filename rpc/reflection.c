/* reflection.c - grpc.reflection v1 and v1alpha (one wire form), answered from the embedded
 * descriptor set
 *
 * The set is a FileDescriptorSet as protoc wrote it; answers are slices of it, found by walking its
 * tags. Field numbers are those of google/protobuf/descriptor.proto.
 */
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "lt/v1/reflection.pb-c.h"
#include "reflection_set.h"
#include "rpc/internal.h"

#define SERVICES_MAX 16
#define NAME_MAX_LEN 128

enum { /* descriptor.proto */
       SET_FILE = 1,
       FILE_NAME = 1,
       FILE_PACKAGE = 2,
       FILE_MESSAGE = 4,
       FILE_SERVICE = 6,
       FILE_EXTENSION = 7,
       ANY_NAME = 1, /* of a message, enum, service, extension */
};

struct span {
    const uint8_t *p, *end;
};
struct field {
    unsigned id, wire_type;
    struct span bytes; /* wire type 2 */
};

static bool varint(struct span *s, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; s->p < s->end && shift < 64; shift += 7) {
        uint8_t byte = *s->p++;

        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool next_field(struct span *s, struct field *f)
{
    uint64_t tag, n = 0;

    if (s->p >= s->end || !varint(s, &tag))
        return false;
    f->id = (unsigned)(tag >> 3);
    f->wire_type = (unsigned)(tag & 7);
    if (f->wire_type == 0)
        return varint(s, &n);
    if (f->wire_type == 2 && !varint(s, &n))
        return false;
    if (f->wire_type != 2)
        n = f->wire_type == 1 ? 8 : 4;
    if (n > (uint64_t)(s->end - s->p))
        return false;
    f->bytes = (struct span){s->p, s->p + n};
    s->p += n;
    return true;
}

static struct span get(struct span message, unsigned id)
{
    struct field f;

    while (next_field(&message, &f))
        if (f.id == id && f.wire_type == 2)
            return f.bytes;
    return (struct span){0};
}

static size_t len(struct span s)
{
    return (size_t)(s.end - s.p);
}

static bool is(struct span s, const char *text, size_t n)
{
    return len(s) == n && memcmp(s.p, text, n) == 0;
}

static struct span whole_set(void)
{
    return (struct span){lt_reflection_set, lt_reflection_set + sizeof lt_reflection_set};
}

/* Is `symbol` (package.Name, or anything inside Name) defined in this file, as a field from `first`
 * to `last`? */
static bool defines(struct span file, const char *symbol, unsigned first, unsigned last)
{
    struct span package = get(file, FILE_PACKAGE);
    size_t n = len(package);
    struct field f;

    if (n > 0) {
        if (strncmp(symbol, (const char *)package.p, n) != 0 || symbol[n] != '.')
            return false;
        symbol += n + 1;
    }
    n = strcspn(symbol, ".");
    while (next_field(&file, &f))
        if (f.id >= first && f.id <= last && f.wire_type == 2 &&
            is(get(f.bytes, ANY_NAME), symbol, n))
            return true;
    return false;
}

bool lt_rpc_knows_service(const char *name)
{
    struct span set = whole_set();
    struct field f;

    while (next_field(&set, &f))
        if (defines(f.bytes, name, FILE_SERVICE, FILE_SERVICE))
            return true;
    return false;
}

struct answer {
    Grpc__Reflection__V1__ServerReflectionResponse response;
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__FileDescriptorResponse file;
    Grpc__Reflection__V1__ErrorResponse error;
    Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX], *service_pointers[SERVICES_MAX];
    char names[SERVICES_MAX][NAME_MAX_LEN];
    ProtobufCBinaryData bytes;
};

static void list_file_services(struct answer *a, struct span file)
{
    struct span package = get(file, FILE_PACKAGE);
    struct field f;

    while (a->list.n_service < SERVICES_MAX && next_field(&file, &f)) {
        size_t i = a->list.n_service;
        struct span name;

        if (f.id != FILE_SERVICE)
            continue;
        name = get(f.bytes, ANY_NAME);
        snprintf(a->names[i], NAME_MAX_LEN, "%.*s.%.*s", (int)len(package), (const char *)package.p,
                 (int)len(name), (const char *)name.p);
        grpc__reflection__v1__service_response__init(&a->services[i]);
        a->services[i].name = a->names[i];
        a->service_pointers[i] = &a->services[i];
        a->list.n_service++;
    }
}

static void answer_list(struct answer *a)
{
    struct span set = whole_set();
    struct field f;

    while (next_field(&set, &f))
        list_file_services(a, f.bytes);
    a->list.service = a->service_pointers;
    a->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    a->response.list_services_response = &a->list;
}

static void answer_file(struct answer *a, const char *name, const char *symbol)
{
    struct span set = whole_set();
    struct field f;

    while (next_field(&set, &f)) {
        if (name ? !is(get(f.bytes, FILE_NAME), name, strlen(name))
                 : !defines(f.bytes, symbol, FILE_MESSAGE, FILE_EXTENSION))
            continue;
        a->bytes = (ProtobufCBinaryData){len(f.bytes), (uint8_t *)f.bytes.p};
        a->file.n_file_descriptor_proto = 1;
        a->file.file_descriptor_proto = &a->bytes;
        a->response.message_response_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
        a->response.file_descriptor_response = &a->file;
        return;
    }
}

static void answer_error(struct answer *a, enum lt_rpc_code code, const char *text)
{
    a->error.has_error_code = true;
    a->error.error_code = (int32_t)code;
    a->error.error_message = (char *)text;
    a->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    a->response.error_response = &a->error;
}

static void answer(struct answer *a, Grpc__Reflection__V1__ServerReflectionRequest *q)
{
    grpc__reflection__v1__server_reflection_response__init(&a->response);
    grpc__reflection__v1__list_service_response__init(&a->list);
    grpc__reflection__v1__file_descriptor_response__init(&a->file);
    grpc__reflection__v1__error_response__init(&a->error);
    a->response.original_request = q;
    a->response.valid_host = q->host;
    switch (q->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        answer_list(a);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_file(a, q->file_by_filename, NULL);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        answer_file(a, NULL, q->file_containing_symbol);
        break;
    default:
        answer_error(a, LT_RPC_UNIMPLEMENTED, "this schema has no extensions");
        return;
    }
    if (!a->response.file_descriptor_response)
        answer_error(a, LT_RPC_NOT_FOUND, "not in this schema");
}

static void reflect(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    struct answer *a;

    if (!m) {
        lt_rpc_finish(c, LT_RPC_OK, "%s", "");
        return;
    }
    a = lt_calloc(1, sizeof *a);
    answer(a, (Grpc__Reflection__V1__ServerReflectionRequest *)m);
    if (lt_rpc_send(c, &a->response.base) == -EAGAIN)
        lt_rpc_finish(c, LT_RPC_RESOURCE_EXHAUSTED, "answers aren't being read");
    lt_free(a);
}

#define ROW(name_, path_)                                                                          \
    const struct lt_rpc_method name_ = {                                                           \
        .path = path_,                                                                             \
        .kind = LT_RPC_BIDI,                                                                       \
        .in = &grpc__reflection__v1__server_reflection_request__descriptor,                        \
        .out = &grpc__reflection__v1__server_reflection_response__descriptor,                      \
        .msg = reflect,                                                                            \
        .need = LT_RPC_NEED_TALK,                                                                  \
    }
ROW(lt_rpc_reflection, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
ROW(lt_rpc_reflection_v1alpha, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
