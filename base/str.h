/* str.h - strings and numbers as text */
#ifndef LT_BASE_STR_H
#define LT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool lt_str_eq(const char *a, const char *b); /* NULL equals NULL only */
bool lt_str_starts(const char *s, const char *prefix);
bool lt_str_ends(const char *s, const char *suffix);
/* Valid UTF-8 without NUL, overlong forms and surrogates. */
bool lt_utf8_valid(const char *s, size_t n);
/* The candidate nearest to `word` by edit distance (at most a third of its length, at least 2), or NULL. */
const char *lt_suggest(const char *word, const char *const *candidates, size_t n);
/* Whole text, no trailing garbage. 0 or -EINVAL, -ERANGE. */
int lt_parse_u64(const char *s, uint64_t *out);
int lt_parse_i64(const char *s, int64_t *out);
int lt_parse_double(const char *s, double *out); /* 1e-3, .5, inf, nan, hexadecimal floats */
/* Shortest decimal text that reads back as the same double; always has a '.' or 'e' (1.0, 0.001, 1e-05). */
size_t lt_print_double(char *buf, size_t n, double v);
/* Exact: %a for finite values, nan, inf, -inf. */
size_t lt_print_hex_double(char *buf, size_t n, double v);
/* `90s`, `500ms`, `2h`, `1.5m`, `1d`, `[[DD:]HH:]MM:SS` or a plain number of seconds. */
int lt_parse_duration(const char *s, double *seconds);
/* `4GiB`, `512MB`, `10k` (powers of 1024 with i, of 1000 without) or a plain number of bytes. */
int lt_parse_size(const char *s, uint64_t *bytes);
/* For people: `4.0 GiB`, `512 B`. */
size_t lt_print_size(char *buf, size_t n, uint64_t bytes);
/* 64-bit FNV-1a: names to stream numbers, hash maps. Not for input that wants to collide. */
uint64_t lt_hash64(const void *data, size_t n);

#endif
