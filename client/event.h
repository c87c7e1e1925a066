/* event.h - an event as an object: seq, time, type, job, attempt, and the members of its type */
#ifndef LT_CLIENT_EVENT_H
#define LT_CLIENT_EVENT_H

#include <cjson/cJSON.h>
#include "lt/v1/events.pb-c.h"

struct lt_buf;

cJSON *lt_event_json(const Lt__V1__Event *e);
/* For people: its members as `key=value`, nested ones left out. */
void lt_event_detail(const cJSON *event, struct lt_buf *out);

#endif
