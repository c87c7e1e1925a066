/* pmi.c - lines of words, both ways
 *
 * Numbers and texts of a message are rows of one table, so that what is printed is what is read.
 */
#include "sys/pmi.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define MAGIC "ltpmi1 "

static const char *const kinds[LT_PMI_KIND_N] = {
    "hello", "put", "get", "barrier", "value", "missing", "out", "refused",
};

int lt_pmi_split(char *line, struct lt_pmi_words *out, struct lt_error *err)
{
    char *save = NULL;

    out->n = 0;
    for (char *w = strtok_r(line, " \t\r", &save); w; w = strtok_r(NULL, " \t\r", &save)) {
        char *equals = strchr(w, '=');

        if (!equals || equals == w)
            return lt_error_set(err, -EPROTO, "PMI: '%.40s' isn't of the form key=value", w);
        if (out->n == LT_PMI_WORDS_MAX)
            return lt_error_set(err, -EPROTO, "PMI: more than %d words", LT_PMI_WORDS_MAX);
        *equals = 0;
        out->word[out->n].key = w;
        out->word[out->n++].value = equals + 1;
    }
    return 0;
}

const char *lt_pmi_word(const struct lt_pmi_words *w, const char *key)
{
    for (int i = 0; i < w->n; i++) {
        if (strcmp(w->word[i].key, key) == 0)
            return w->word[i].value;
    }
    return NULL;
}

void lt_pmi_print(const struct lt_pmi_msg *m, struct lt_buf *out)
{
    lt_buf_printf(out, MAGIC "%s job=%s attempt=%u generation=%u rank=%u seq=%llu", kinds[m->kind],
                  m->job, m->attempt, m->generation, m->rank, (unsigned long long)m->seq);
    if (m->kind == LT_PMI_HELLO)
        lt_buf_printf(out, " world=%u puts=%llu", m->world, (unsigned long long)m->puts);
    if (m->key)
        lt_buf_printf(out, " key=%s", m->key);
    if (m->value)
        lt_buf_printf(out, " value=%s", m->value);
    if (m->text) { /* the only one with blanks: they go as underscores */
        size_t from;

        lt_buf_str(out, " text=");
        from = out->len;
        lt_buf_str(out, m->text);
        for (size_t i = from; i < out->len; i++) {
            if (strchr(" \t\r\n", out->data[i]))
                out->data[i] = '_';
        }
    }
    lt_buf_char(out, '\n');
}

static int read_u64(const struct lt_pmi_words *w, const char *key, uint64_t most, uint64_t *out,
                    struct lt_error *err)
{
    const char *text = lt_pmi_word(w, key);

    if (!text || lt_parse_u64(text, out) < 0 || *out > most)
        return lt_error_set(err, -EPROTO, "PMI: %s isn't a number", key);
    return 0;
}

static int read_u32(const struct lt_pmi_words *w, const char *key, uint32_t *out,
                    struct lt_error *err)
{
    uint64_t v = 0;
    int rc = read_u64(w, key, UINT32_MAX, &v, err);

    *out = (uint32_t)v;
    return rc;
}

static int check_texts(const struct lt_pmi_msg *m, struct lt_error *err)
{
    bool needs_key = m->kind == LT_PMI_PUT || m->kind == LT_PMI_GET;
    bool needs_value = m->kind == LT_PMI_PUT || m->kind == LT_PMI_VALUE;

    if (needs_key && (!m->key || !m->key[0] || strlen(m->key) >= LT_PMI_KEY_MAX))
        return lt_error_set(err, -EPROTO, "PMI: a key has 1 to %d characters", LT_PMI_KEY_MAX - 1);
    if (needs_value && (!m->value || strlen(m->value) >= LT_PMI_VALUE_MAX))
        return lt_error_set(err, -EPROTO, "PMI: a value has at most %d characters",
                            LT_PMI_VALUE_MAX - 1);
    return 0;
}

static int find_kind(const char *word, enum lt_pmi_kind *out, struct lt_error *err)
{
    for (int i = 0; i < LT_PMI_KIND_N; i++) {
        if (strcmp(kinds[i], word) == 0) {
            *out = (enum lt_pmi_kind)i;
            return 0;
        }
    }
    return lt_error_set(err, -EPROTO, "PMI: there is no message '%.40s'", word);
}

int lt_pmi_parse(char *line, struct lt_pmi_msg *out, struct lt_error *err)
{
    struct lt_pmi_words w;
    char *kind, *rest;
    int rc;

    memset(out, 0, sizeof *out);
    if (strncmp(line, MAGIC, strlen(MAGIC)) != 0)
        return lt_error_set(err, -EPROTO, "PMI: not a line of ours, or of another version");
    kind = line + strlen(MAGIC);
    rest = strchr(kind, ' ');
    if (!rest)
        return lt_error_set(err, -EPROTO, "PMI: a message without words");
    *rest++ = 0;
    rc = find_kind(kind, &out->kind, err);
    if (rc == 0)
        rc = lt_pmi_split(rest, &w, err);
    if (rc < 0)
        return rc;
    out->job = lt_pmi_word(&w, "job");
    out->key = lt_pmi_word(&w, "key");
    out->value = lt_pmi_word(&w, "value");
    out->text = lt_pmi_word(&w, "text");
    if (!out->job)
        return lt_error_set(err, -EPROTO, "PMI: a message without job");
    if (read_u32(&w, "attempt", &out->attempt, err) < 0 ||
        read_u32(&w, "generation", &out->generation, err) < 0 ||
        read_u32(&w, "rank", &out->rank, err) < 0 ||
        read_u64(&w, "seq", UINT64_MAX, &out->seq, err) < 0)
        return -EPROTO;
    if (out->kind == LT_PMI_HELLO && (read_u32(&w, "world", &out->world, err) < 0 ||
                                      read_u64(&w, "puts", UINT32_MAX, &out->puts, err) < 0))
        return -EPROTO;
    return check_texts(out, err);
}
