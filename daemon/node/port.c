/* port.c - MASTER_PORT: where rank 0 of an attempt will serve the others' rendezvous
 *
 * Below the range that outgoing connections take theirs from, so that between our look and the
 * rank's bind only another server could come; where the search begins depends on the attempt, so
 * that two jobs that start at once look elsewhere. All ranks of an attempt get the first one's.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"

#define FIRST 29500
#define COUNT 3000

static bool is_free(uint32_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool ok;

    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* one that only lingers is free */
    ok = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return ok;
}

/* Given to a rank that may still use it; *same: of r's own attempt. */
static bool is_given(const struct lt_rank *r, uint32_t port, uint32_t *same)
{
    bool given = false;
    void *p;

    for (size_t i = 0; lt_map_next(r->node->ranks, &i, NULL, &p);) {
        const struct lt_rank *other = p;

        if (other == r || !other->spec->has_master_port || other->state == LT_RANK_ENDED)
            continue;
        if (strcmp(other->spec->job, r->spec->job) == 0 &&
            other->spec->generation == r->spec->generation)
            *same = other->spec->master_port;
        given = given || other->spec->master_port == port;
    }
    return given;
}

void lt_rank_assign_port(struct lt_rank *r)
{
    uint64_t begin = lt_hash64(r->name, strlen(r->name));
    uint32_t port = 0, same = 0;

    is_given(r, 0, &same);
    for (uint32_t i = 0; !same && !port && i < COUNT; i++) {
        uint32_t candidate = FIRST + (uint32_t)((begin + i) % COUNT);

        if (!is_given(r, candidate, &same) && is_free(candidate))
            port = candidate;
    }
    r->spec->has_master_port = same || port;
    r->spec->master_port = same ? same : port;
}
