/* store_impl.h - the open store, for its own files */
#ifndef LT_DAEMON_STORE_IMPL_H
#define LT_DAEMON_STORE_IMPL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include "daemon/store/store.h"

struct lt_store {
    sqlite3 *db;          /* NULL: it can't even be read */
    bool suspect;         /* a write failed; no other until a probe succeeds */
    sqlite3_stmt *insert;
    char *path;
    char *vfs;
    uint64_t last_seq;
    uint32_t last_crc;
    uint64_t snapshot_seq;
    uint64_t tried_seq;   /* the end of the log when a snapshot was tried last */
};

int lt_store_readable(const struct lt_store *s, struct lt_error *err);

#endif
