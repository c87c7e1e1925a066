/* map.c - entries in an array in order of insertion, found through an open-addressed index
 *
 * A removed entry leaves a hole (key NULL) in the array, so that positions, and with them cursors, stay
 * valid; holes go away when the array grows.
 */
#include "base/map.h"

#include <stdint.h>
#include <string.h>
#include "base/mem.h"
#include "base/str.h"

#define EMPTY 0u /* slots hold entry number + 1 */

struct entry {
    char *key;
    void *value;
    uint64_t hash;
};

struct lt_map {
    void (*free_value)(void *);
    struct entry *entries;
    size_t len, cap, live;
    uint32_t *slots; /* a power of two of them, more than len */
    size_t slot_count;
};

struct lt_map *lt_map_new(void (*free_value)(void *))
{
    struct lt_map *m = lt_calloc(1, sizeof *m);

    m->free_value = free_value;
    return m;
}

static void value_free(struct lt_map *m, void *value)
{
    if (m->free_value && value)
        m->free_value(value);
}

void lt_map_free(struct lt_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->len; i++)
        if (m->entries[i].key) {
            value_free(m, m->entries[i].value);
            lt_free(m->entries[i].key);
        }
    lt_free(m->entries);
    lt_free(m->slots);
    lt_free(m);
}

/* The slot that holds `key`, or the empty one where it would go. Needs slots. */
static uint32_t *slot_find(const struct lt_map *m, const char *key, uint64_t hash)
{
    size_t mask = m->slot_count - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const struct entry *e;

        if (m->slots[i] == EMPTY)
            return &m->slots[i];
        e = &m->entries[m->slots[i] - 1];
        if (e->key && e->hash == hash && strcmp(e->key, key) == 0)
            return &m->slots[i];
    }
}

static void grow(struct lt_map *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->len; i++)
        if (m->entries[i].key)
            m->entries[n++] = m->entries[i];
    m->len = n;
    m->cap = LT_MAX(n * 2, (size_t)8);
    m->entries = lt_realloc(m->entries, m->cap, sizeof *m->entries);
    m->slot_count = 16;
    while (m->slot_count < m->cap * 2)
        m->slot_count *= 2;
    lt_free(m->slots);
    m->slots = lt_calloc(m->slot_count, sizeof *m->slots);
    for (size_t i = 0; i < m->len; i++)
        *slot_find(m, m->entries[i].key, m->entries[i].hash) = (uint32_t)(i + 1);
}

static struct entry *find(const struct lt_map *m, const char *key)
{
    uint32_t slot;

    if (!m->slot_count)
        return NULL;
    slot = *slot_find(m, key, lt_hash64(key, strlen(key)));
    return slot == EMPTY ? NULL : &m->entries[slot - 1];
}

void lt_map_set(struct lt_map *m, const char *key, void *value)
{
    struct entry *e = find(m, key);
    uint64_t hash = lt_hash64(key, strlen(key));

    if (e) {
        if (e->value != value)
            value_free(m, e->value);
        e->value = value;
        return;
    }
    if (m->len == m->cap)
        grow(m);
    *slot_find(m, key, hash) = (uint32_t)(m->len + 1);
    m->entries[m->len++] = (struct entry){lt_strdup(key), value, hash};
    m->live++;
}

void *lt_map_get(const struct lt_map *m, const char *key)
{
    const struct entry *e = find(m, key);

    return e ? e->value : NULL;
}

bool lt_map_remove(struct lt_map *m, const char *key)
{
    struct entry *e = find(m, key);
    char *own;

    if (!e)
        return false;
    own = e->key; /* `key` may be this very string */
    e->key = NULL;
    value_free(m, e->value);
    e->value = NULL;
    m->live--;
    lt_free(own);
    return true;
}

size_t lt_map_count(const struct lt_map *m)
{
    return m->live;
}

bool lt_map_next(const struct lt_map *m, size_t *cursor, const char **key, void **value)
{
    while (*cursor < m->len) {
        const struct entry *e = &m->entries[(*cursor)++];

        if (!e->key)
            continue;
        if (key)
            *key = e->key;
        if (value)
            *value = e->value;
        return true;
    }
    return false;
}
