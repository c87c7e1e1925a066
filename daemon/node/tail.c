/* tail.c - a rank's journal, from its file to the coordinator
 *
 * Records go out in order until the session is full, as many in a message as there are, and again
 * from the acknowledged offset (or an earlier one that the coordinator asks for) in a new session. The acknowledged offset is kept in the folder without a sync: an older one only
 * means that records come twice, and the coordinator drops what ends at or before what it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/log.h"

#define ACK_TEXT 24
#define BATCH_MAX 256
#define BATCH_BYTES (64u << 10)

uint64_t lt_rank_read_ack(const struct lt_rank *r)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "ack");
    LT_BUF_AUTO text = {0};
    uint64_t v = 0;

    if (lt_file_read(path, ACK_TEXT, &text, NULL) < 0 || !text.data)
        return 0;
    text.data[strcspn(text.data, "\n")] = 0;
    return lt_parse_u64(text.data, &v) == 0 ? v : 0;
}

void lt_rank_save_ack(struct lt_rank *r)
{
    LT_AUTO(lt_free) char *path = NULL;
    char text[ACK_TEXT];
    int fd, n;

    if (r->acked == r->acked_saved)
        return;
    path = lt_attempt_path(r->dir, "ack");
    fd = lt_file_open(path, O_WRONLY | O_CREAT, 0600, NULL);
    if (fd < 0)
        return;
    n = snprintf(text, sizeof text, "%020llu\n",
                 (unsigned long long)r->acked); /* one width: overwritten whole */
    if (lt_file_pwrite(fd, text, (size_t)n, 0, NULL) == 0)
        r->acked_saved = r->acked;
    close(fd);
}

void lt_rank_acked(struct lt_rank *r, uint64_t offset)
{
    if (offset > r->acked)
        r->acked = offset;
}

static void close_reader(struct lt_rank *r)
{
    lt_journal_reader_close(r->reader);
    r->reader = NULL;
}

static bool open_reader(struct lt_rank *r)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(r->dir, "journal");
    struct lt_error err = {0};

    if (r->reader)
        return true;
    if (lt_journal_reader_open(path, r->sent, &r->reader, &err) == 0)
        return true;
    if (err.code != -ENOENT) {
        lt_err("agent: %s: %s", r->name, err.text);
        r->journal_damaged = true;
    }
    return false;
}

static void learn_finish(struct lt_rank *r, const Lt__V1__JournalRecord *j)
{
    if (j->type_case != LT__V1__JOURNAL_RECORD__TYPE_FINISHED)
        return;
    r->finished = true;
    r->result = j->finished->result;
    r->class = j->finished->class_;
    lt_free(r->reason);
    r->reason = j->finished->reason ? lt_strdup(j->finished->reason) : NULL;
}

/* Records on their way into one message. */
struct batch {
    struct lt_arena *arena;
    Lt__V1__Records__Item *items[BATCH_MAX];
    size_t n, bytes;
    uint64_t end; /* behind the last record, also one that was passed over */
};

/* A record that isn't one is passed over: the next agent's version may know it. */
static void add_record(struct lt_rank *r, struct batch *b, const void *payload, size_t n,
                       uint64_t end)
{
    Lt__V1__Records__Item *item;
    struct lt_error err = {0};
    ProtobufCMessage *j;

    b->end = end;
    if (lt_wire_decode(&lt__v1__journal_record__descriptor, payload, n, b->arena, &j, &err) < 0) {
        lt_warning("agent: %s: record before %llu: %s", r->name, (unsigned long long)end, err.text);
        return;
    }
    item = lt_arena_alloc(b->arena, sizeof *item);
    lt__v1__records__item__init(item);
    item->has_end_offset = true;
    item->end_offset = end;
    item->record = (Lt__V1__JournalRecord *)j;
    b->items[b->n++] = item;
    b->bytes += n;
    learn_finish(r, item->record);
}

static int try_one(struct lt_rank *r, const Lt__V1__Records__Item *item)
{
    Lt__V1__Record m = LT__V1__RECORD__INIT;

    m.job = r->spec->job;
    m.has_attempt = m.has_generation = m.has_rank = m.has_end_offset = true;
    m.attempt = r->spec->attempt;
    m.generation = r->spec->generation;
    m.rank = r->spec->rank;
    m.end_offset = item->end_offset;
    m.record = item->record;
    return lt_node_try(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_RECORD, &m);
}

static int try_several(struct lt_rank *r, struct batch *b)
{
    Lt__V1__Records m = LT__V1__RECORDS__INIT;

    m.job = r->spec->job;
    m.has_attempt = m.has_generation = m.has_rank = true;
    m.attempt = r->spec->attempt;
    m.generation = r->spec->generation;
    m.rank = r->spec->rank;
    m.items = b->items;
    m.n_items = b->n;
    return lt_node_try(r->node, LT__V1__AGENT_MESSAGE__MESSAGE_RECORDS, &m);
}

/* 0, -EAGAIN, -ENOTCONN. */
static int send_batch(struct lt_rank *r, struct batch *b)
{
    int rc = 0;

    if (b->n > 1)
        rc = try_several(r, b);
    else if (b->n == 1)
        rc = try_one(r, b->items[0]);
    if (rc == 0)
        r->sent = b->end;
    return rc;
}

/* At most one message. 1: there may be more; 0: all that there is was sent; -EAGAIN, -ENOTCONN, or
 * that the journal can't be read just now. */
static int send_some(struct lt_rank *r)
{
    size_t max = r->node->takes_records ? BATCH_MAX : 1;
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct batch b = {.arena = arena, .end = r->sent};
    struct lt_error err = {0};
    const void *payload;
    uint64_t end;
    size_t n;
    int rc = 1, sent;

    while (b.n < max && b.bytes < BATCH_BYTES &&
           (rc = lt_journal_read(r->reader, &payload, &n, &end, &err)) > 0)
        add_record(r, &b, payload, n, end);
    if (lt_file_is_lack(rc)) {
        r->unread = true;
    } else if (rc < 0) {
        lt_err("agent: %s: %s", r->name, err.text);
        r->journal_damaged = true;
        rc = 0;
    }
    sent = send_batch(r, &b);
    return sent < 0 ? sent : rc;
}

/* true: all that there is was sent. */
static bool send_new(struct lt_rank *r)
{
    int rc;

    do
        rc = send_some(r);
    while (rc > 0);
    if (rc < 0)
        close_reader(r); /* these records again, when there is room */
    return rc == 0;
}

void lt_rank_tail(struct lt_rank *r)
{
    if (!r->node->welcomed || r->state == LT_RANK_STARTING)
        return;
    r->unread = false;
    if (!r->journal_damaged && open_reader(r) && !send_new(r)) {
        if (r->unread)
            lt_node_tick_start(r->node);
        return;
    }
    if (r->state != LT_RANK_ENDED || r->gone_sent || !lt_rank_keep_journal(r))
        return;
    close_reader(r);
    r->gone_sent = true;
    lt_rank_tell_gone(r);
}

void lt_rank_tail_again(struct lt_rank *r, uint64_t from)
{
    close_reader(r);
    r->sent = LT_MIN(r->acked, from);
    r->gone_sent = false;
    lt_rank_tail(r);
}
