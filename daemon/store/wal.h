/* wal.h - is SQLite's write-ahead log damaged, or just torn at its end? */
#ifndef LT_DAEMON_STORE_WAL_H
#define LT_DAEMON_STORE_WAL_H

struct lt_error;

/* SQLite takes a WAL up to the first frame whose checksum fails, and drops the rest in silence:
 * right after a crash, when only the last transaction can be torn; wrong when a bit was flipped in
 * front of acknowledged ones. 0: all is well, or only the last transaction is incomplete. -EBADMSG:
 * committed transactions lie behind a damaged frame; err says where. Call before SQLite opens
 * `path` (the database; its WAL is path-wal). */
int lt_wal_check(const char *path, struct lt_error *err);

#endif
