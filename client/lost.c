/* lost.c - see lost.h
 *
 * A message shows that somebody is there, and so does a connection that stands while there is nothing to read
 * (its keepalive ends it when nobody answers).
 */
#include "client/lost.h"

#include <errno.h>

#include "rpc/client.h"

void lt_lost_read(struct lt_lost *l, const struct lt_client *c, int rc)
{
    if (rc == 1 || (rc == -EAGAIN && l->since_ns && lt_client_connected(c)))
        l->since_ns = 0;
}

bool lt_lost_for_good(struct lt_lost *l, uint64_t now_ns)
{
    if (!l->since_ns)
        l->since_ns = now_ns;
    return now_ns > l->since_ns + LT_RECONNECT_NS;
}
