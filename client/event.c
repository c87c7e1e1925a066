/* event.c - the members of an event's type are put beside the common ones
 *
 * A plan isn't repeated in its `submitted` event: `plan show <run>/plan.yaml` has it.
 */
#include "client/event.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "client/output.h"
#include "proto/plan.h"
#include "proto/text/text.h"

static void merge(cJSON *into, const ProtobufCMessage *m)
{
    LT_BUF_AUTO text = {0};
    cJSON *members;

    lt_text_print(m, LT_TEXT_JSON | LT_TEXT_ENUM_LOWER | LT_TEXT_DEFAULTS,
                  &text); /* our own output, read back */
    members = cJSON_Parse(text.data ? text.data : "{}");
    while (members && members->child) {
        cJSON *c = cJSON_DetachItemViaPointer(members, members->child);

        if (cJSON_GetObjectItemCaseSensitive(into, c->string))
            cJSON_Delete(c);
        else
            cJSON_AddItemToObject(into, c->string, c);
    }
    cJSON_Delete(members);
}

static const ProtobufCMessage *member_of(const Lt__V1__Event *e)
{
    return e->type_case == LT__V1__EVENT__TYPE__NOT_SET
               ? NULL
               : &e->submitted->base; /* all are messages in one union */
}

cJSON *lt_event_json(const Lt__V1__Event *e)
{
    cJSON *o = cJSON_CreateObject();
    const ProtobufCMessage *m = member_of(e);

    lt_json_u64(o, "seq", e->seq);
    lt_json_time(o, "time", e->time_ns);
    lt_json_text(o, "type", lt_event_type_name(e));
    lt_json_text(o, "job", e->job);
    lt_json_u64(o, "attempt", e->attempt);
    if (e->type_case == LT__V1__EVENT__TYPE_SUBMITTED) {
        Lt__V1__Submitted s = *e->submitted;

        s.spec = NULL;
        merge(o, &s.base);
    } else if (m) {
        merge(o, m);
    }
    return o;
}

void lt_event_detail(const cJSON *event, struct lt_buf *out)
{
    static const char *const common[] = {"seq", "time", "type", "job", "attempt"};
    size_t skip = LT_ARRAY_LEN(common);

    for (const cJSON *c = event->child; c; c = c->next) {
        char *text;

        if (skip > 0) {
            skip--;
            continue;
        }
        if (cJSON_IsObject(c) || cJSON_IsArray(c) ||
            (cJSON_IsString(c) && (!c->valuestring[0] || strlen(c->valuestring) > 80)))
            continue;
        text = cJSON_IsString(c) ? NULL : cJSON_PrintUnformatted(c);
        lt_buf_printf(out, "%s%s=%s", out->len ? " " : "", c->string, text ? text : c->valuestring);
        cJSON_free(text);
    }
}
