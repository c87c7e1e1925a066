/* sql.c - SQLite's errors in our words */
#include "daemon/store/sql.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

int lt_sql_errno(sqlite3 *db, int rc)
{
    int system = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EWOULDBLOCK;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CANTOPEN:
        return system ? -system : -ENOENT;
    case SQLITE_IOERR:
        return system == ENOSPC || system == EDQUOT ? -ENOSPC : -EIO;
    default:
        return -EIO;
    }
}

int lt_sql_fail(sqlite3 *db, int rc, const char *path, const char *what, struct lt_error *err)
{
    int code = lt_sql_errno(db, rc);

    if (code == -EBADMSG)
        return lt_error_set(err, code, "%s: %s: the file is damaged (%s)", path, what,
                            sqlite3_errmsg(db));
    if (code == -EWOULDBLOCK)
        return lt_error_set(err, code, "%s: another process is using it", path);
    return lt_error_set(err, code ? code : -EIO, "%s: %s: %s", path, what,
                        db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

int lt_sql_exec(sqlite3 *db, const char *path, const char *sql, struct lt_error *err)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : lt_sql_fail(db, rc, path, sql, err);
}

int lt_sql_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **out,
                   struct lt_error *err)
{
    int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

    return rc == SQLITE_OK ? 0 : lt_sql_fail(db, rc, path, sql, err);
}

/* Exclusive before the first access: then WAL's index lives in memory, and there is no third file.
 */
static int configure(sqlite3 *db, const char *path, const char *synchronous, struct lt_error *err)
{
    char *sync = lt_format("PRAGMA synchronous = %s", synchronous);
    const char *const pragmas[] = {
        "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA mmap_size = 0",
        "PRAGMA journal_mode = WAL",       sync,
        "PRAGMA cache_size = -1024",       "PRAGMA temp_store = MEMORY",
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof pragmas / sizeof pragmas[0]; i++)
        rc = lt_sql_exec(db, path, pragmas[i], err);
    lt_free(sync);
    return rc;
}

int lt_sql_open(const char *path, const char *vfs, const char *synchronous, sqlite3 **out,
                struct lt_error *err)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &db, flags, vfs);

    if (rc != SQLITE_OK) {
        rc = lt_sql_fail(db, rc, path, "open", err);
        sqlite3_close(db);
        return rc;
    }
    rc = configure(db, path, synchronous, err);
    if (rc < 0) {
        sqlite3_close(db);
        return rc;
    }
    *out = db;
    return 0;
}
