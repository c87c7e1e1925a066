/* map.h - string → pointer; iteration is in order of insertion, so that what is derived from a map is
 * the same on every run */
#ifndef LT_BASE_MAP_H
#define LT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include "base/auto.h"

struct lt_map;

/* free_value may be NULL: values are borrowed. */
struct lt_map *lt_map_new(void (*free_value)(void *));
void lt_map_free(struct lt_map *m);
LT_DEFINE_AUTO(struct lt_map *, lt_map_free)
/* Copies the key. A value that was there is freed. */
void lt_map_set(struct lt_map *m, const char *key, void *value);
void *lt_map_get(const struct lt_map *m, const char *key); /* NULL: not there */
bool lt_map_remove(struct lt_map *m, const char *key);     /* frees the value */
size_t lt_map_count(const struct lt_map *m);
/* for (size_t i = 0; lt_map_next(m, &i, &key, &value);) - removing the current entry is allowed. */
bool lt_map_next(const struct lt_map *m, size_t *cursor, const char **key, void **value);

#endif
