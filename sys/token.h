/* token.h - token files: who knows a line of one may call
 *
 * One token a line, 16 to 512 printable ASCII characters without a space; empty lines, and lines
 * that begin with #, are left out. Several: so that a new one can be given out before the old one
 * goes.
 */
#ifndef LT_SYS_TOKEN_H
#define LT_SYS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

struct lt_error;
struct lt_buf;

#define LT_TOKEN_MIN 16
#define LT_TOKEN_MAX 512

/* The first token of a file, for a caller; whoever may read the file may. -ENODATA: none. */
int lt_token_read(const char *path, struct lt_buf *out, struct lt_error *err);

/* ---- for who is called: only digests are kept */

struct lt_tokens;

/* The file must be this user's or root's, and nobody else's to read (-EPERM). */
int lt_tokens_open(const char *path, struct lt_tokens **out, struct lt_error *err);
void lt_tokens_close(struct lt_tokens *t); /* NULL is fine */
/* Reads the file anew when it has changed; one that can't be read, or may not be used any more,
 * lets nobody in. Takes as long for every token that isn't right. */
bool lt_tokens_match(struct lt_tokens *t, const char *token, size_t n);

#endif
