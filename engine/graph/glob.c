/* glob.c - shell wildcards over whole names, as fnmatch(3) without flags; pure */
#include "engine/graph/import_in.h"

/* One character against [set]; *end is behind the ]. An unclosed [ is itself. */
static bool in_set(const char *p, char c, const char **end)
{
    const char *s = p + 1;
    bool negate = *s == '!' || *s == '^', hit = false;
    const char *first;

    s += negate;
    for (first = s; *s && (*s != ']' || s == first); s++) {
        if (s[1] == '-' && s[2] && s[2] != ']') {
            hit |= c >= s[0] && c <= s[2];
            s += 2;
        } else {
            hit |= c == *s;
        }
    }
    if (!*s) {
        *end = p + 1;
        return c == '[';
    }
    *end = s + 1;
    return hit != negate;
}

bool lt_glob(const char *pattern, const char *s)
{
    const char *star = NULL, *retry = NULL;

    for (;;) {
        const char *next = pattern + 1;
        bool ok;

        if (*pattern == '*') {
            star = ++pattern;
            retry = s;
            continue;
        }
        if (!*s && !*pattern)
            return true;
        ok = *s && *pattern &&
             (*pattern == '?' || (*pattern == '[' ? in_set(pattern, *s, &next) : *pattern == *s));
        if (ok) {
            pattern = next;
            s++;
        } else if (star && *retry) {
            pattern = star;
            s = ++retry;
        } else {
            return false;
        }
    }
}
