/* pmi.h - the lines by which ranks find each other (docs/collectives.md)
 *
 * Two protocols of lines made of words `key=value`: PMI-1, which MPICH speaks to whoever launched it (here lt-shim), and
 * our own between lt-shim and the agent, over the socket <state>/node/pmi. A line of ours:
 *
 *   ltpmi1 put job=J attempt=A generation=G rank=R seq=N key=K value=V
 *
 * Every message says whom it is about; the agent refuses what isn't of the generation it knows. What a shim sends, the
 * agent may see again after a reconnect: puts and barriers carry numbers, and repeating them changes nothing.
 */
#ifndef LT_SYS_PMI_H
#define LT_SYS_PMI_H

#include <stddef.h>
#include <stdint.h>

struct lt_buf;
struct lt_error;

#define LT_PMI_LINE_MAX 4096 /* with its newline */
#define LT_PMI_KEY_MAX 64    /* PMI-1's maxima, as told by get_maxes; they count the NUL */
#define LT_PMI_VALUE_MAX 1024
#define LT_PMI_NAME_MAX 256
#define LT_PMI_WORDS_MAX 16

struct lt_pmi_words {
    struct {
        const char *key, *value;
    } word[LT_PMI_WORDS_MAX];
    int n;
};

/* Splits a line (without newline) in place; empty words are skipped. -EPROTO: a word without `=`, or too many. */
int lt_pmi_split(char *line, struct lt_pmi_words *out, struct lt_error *err);
const char *lt_pmi_word(const struct lt_pmi_words *w, const char *key); /* NULL: not there */

enum lt_pmi_kind {
    /* shim → agent */
    LT_PMI_HELLO,   /* first on a connection. seq: barriers this rank is beyond; puts: that many puts follow at once */
    LT_PMI_PUT,     /* seq: its number, from 1 */
    LT_PMI_GET,     /* seq: its number */
    LT_PMI_BARRIER, /* waits in barrier seq, from 1 */
    /* agent → shim */
    LT_PMI_VALUE,   /* to GET seq */
    LT_PMI_MISSING, /* to GET seq: no rank has put it */
    LT_PMI_OUT,     /* barrier seq is over */
    LT_PMI_REFUSED, /* and the connection ends. text: why */
    LT_PMI_KIND_N
};

struct lt_pmi_msg {
    enum lt_pmi_kind kind;
    const char *job;
    uint32_t attempt, generation, rank, world;
    uint64_t seq, puts;
    const char *key, *value, *text; /* NULL: none */
};

void lt_pmi_print(const struct lt_pmi_msg *m, struct lt_buf *out); /* appends the line */
/* The line without its newline is split in place, and lives as long as *out. -EPROTO. */
int lt_pmi_parse(char *line, struct lt_pmi_msg *out, struct lt_error *err);

#endif
