/* help.h - pages made from the verbs' rows */
#ifndef LT_CLIENT_HELP_H
#define LT_CLIENT_HELP_H

#include "client/verb.h"

struct lt_buf;

void lt_help_overview(struct lt_buf *out);
void lt_help_verb(const struct lt_verb *v, struct lt_buf *out);
void lt_help_markdown(struct lt_buf *out); /* docs/cli.md */
/* "bash", "zsh" or "fish"; false: no such shell. */
bool lt_help_completion(const char *shell, struct lt_buf *out);
/* first, second: words of the command line, second may be NULL. *words: how many the name takes. */
const struct lt_verb *lt_verb_find(const char *first, const char *second, int *words);

#endif
