/* lost.h - a daemon that streams are read from: how long has nobody been there?
 *
 * A stream that is silent for an hour has lost nothing, and a client that was stopped for a minute has only just
 * found out: the time runs from the first broken stream, until one is read from a connection that stands.
 */
#ifndef LT_CLIENT_LOST_H
#define LT_CLIENT_LOST_H

#include <stdbool.h>
#include <stdint.h>

struct lt_client;

#define LT_RECONNECT_NS 60000000000ull /* how long a lost daemon is waited for */
#define LT_RECONNECT_PAUSE_MS 100

struct lt_lost {
    uint64_t since_ns; /* monotonic; 0: it is there */
};

/* What a read from a stream said: 1 or -EAGAIN of lt_client_stream_read(). */
void lt_lost_read(struct lt_lost *l, const struct lt_client *c, int rc);
/* A stream broke, or couldn't be opened. true: for so long that nobody will come. */
bool lt_lost_for_good(struct lt_lost *l, uint64_t now_ns);

#endif
