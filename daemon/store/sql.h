/* sql.h - what store.c and metrics.c share of SQLite: errors as -errno, one-line statements */
#ifndef LT_DAEMON_STORE_SQL_H
#define LT_DAEMON_STORE_SQL_H

#include <sqlite3.h>

struct lt_error;

/* SQLite's result as -errno: -ENOSPC, -EROFS, -EBADMSG (damaged), -EWOULDBLOCK, -ENOMEM, -EIO, or
 * the system's own. */
int lt_sql_errno(sqlite3 *db, int rc);
/* Sets err: "path: what: message". Returns the -errno. */
int lt_sql_fail(sqlite3 *db, int rc, const char *path, const char *what, struct lt_error *err);
/* One connection, no mutex, no mmap, WAL, exclusive: a second process gets -EWOULDBLOCK.
 * synchronous: FULL, NORMAL. */
int lt_sql_open(const char *path, const char *vfs, const char *synchronous, sqlite3 **out,
                struct lt_error *err);
int lt_sql_exec(sqlite3 *db, const char *path, const char *sql, struct lt_error *err);
int lt_sql_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **out,
                   struct lt_error *err);

static inline void lt_sql_finalize_auto_(sqlite3_stmt **s)
{
    sqlite3_finalize(*s);
}
#define LT_STMT_AUTO __attribute__((cleanup(lt_sql_finalize_auto_))) sqlite3_stmt

#endif
