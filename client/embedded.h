/* embedded.h - a daemon of the user's own, started when it is needed */
#ifndef LT_CLIENT_EMBEDDED_H
#define LT_CLIENT_EMBEDDED_H

#include <stdbool.h>

struct lt_error;

/* Starts `ltd --embedded` listening on socket, in a session of its own, and waits until it answers.
 * say: tell on stderr. */
int lt_embedded_start(const char *socket, bool say, struct lt_error *err);
/* Was the last daemon of this state folder an embedded one on this socket? */
bool lt_embedded_wanted(const char *socket);
/* Does somebody listen there? (connect.c) */
bool lt_embedded_answers(const char *socket);

#endif
