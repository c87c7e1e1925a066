/* print.c - trees as YAML and JSON
 *
 * JSON's escapes are YAML's, too, so both share one way of quoting. YAML words go without quotes
 * only where every reader takes them for the text they are.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"
#include "proto/text/tree.h"

#define FLOW_WIDTH 80 /* what fits is written on one line: {lr: 0.001} */

/* The code point at s (valid UTF-8) and its length. */
static uint32_t code_point(const unsigned char *s, size_t *len)
{
    *len = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (*len == 1)
        return s[0];
    if (*len == 2)
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3f);
    if (*len == 3)
        return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3f);
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3f);
}

/* Not allowed, or a line break, in YAML or JSON: has to be escaped. */
static bool is_special(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           c == 0xfffe || c == 0xffff;
}

static void print_quoted(const char *text, struct lt_buf *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const bool valid = lt_utf8_valid(text, strlen(text));

    lt_buf_char(out, '"');
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t len = 1;
        const uint32_t c = valid ? code_point(s, &len) : *s;
        const char *named = c < 0x80 ? strchr(plain, (int)c) : NULL;

        if (named)
            lt_buf_printf(out, "\\%c", letter[named - plain]);
        else if (!valid && c >= 0x80)
            lt_buf_str(out, "\xef\xbf\xbd"); /* the output is UTF-8 whatever came in */
        else if (is_special(c))
            lt_buf_printf(out, "\\u%04x", (unsigned)c);
        else
            lt_buf_append(out, s, len);
        s += len;
    }
    lt_buf_char(out, '"');
}

/* Is the word a text to every YAML reader (1.1 and 1.2), in flow style as well? */
static bool is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_0123456789.-";
    double d;

    if (!*s || !strchr(first, *s) || strspn(s, rest) != strlen(s))
        return false;
    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++)
        if (!strcasecmp(s, words[i]))
            return false;
    return lt_parse_double(s, &d) < 0; /* nan, inf, infinity */
}

/* 32-true, 60s, 4GiB: begin with a digit, and still no reader's number (1e5, 0x1f, 1_000,
 * 2026-01-01). */
static bool is_measure(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";
    const size_t digits = strspn(s, "0123456789"), n = strspn(s + digits, letters);

    return digits > 0 && n > 0 && !s[digits + n] && !strchr("eExXoO", s[digits]) && s[0] != '0';
}

static void print_scalar(const struct lt_node *n, bool json, struct lt_buf *out)
{
    if (!n->quoted)
        lt_buf_str(out, lt_node_is_null(n) ? "null" : n->text);
    else if (!json && (is_plain(n->text) || is_measure(n->text)))
        lt_buf_str(out, n->text);
    else
        print_quoted(n->text, out);
}

static void print_key(const char *key, bool json, struct lt_buf *out)
{
    if (!json && is_plain(key))
        lt_buf_str(out, key);
    else
        print_quoted(key, out);
    lt_buf_str(out, json ? ":" : ": ");
}

/* One line. JSON without blanks, YAML's flow style with them. */
static void print_flow(const struct lt_node *n, bool json, struct lt_buf *out)
{
    if (n->kind == LT_NODE_SCALAR) {
        print_scalar(n, json, out);
        return;
    }
    lt_buf_char(out, n->kind == LT_NODE_MAP ? '{' : '[');
    for (const struct lt_node *c = n->first; c; c = c->next) {
        if (c != n->first)
            lt_buf_str(out, json ? "," : ", ");
        if (n->kind == LT_NODE_MAP)
            print_key(c->key, json, out);
        print_flow(c, json, out);
    }
    lt_buf_char(out, n->kind == LT_NODE_MAP ? '}' : ']');
}

static void print_indent(struct lt_buf *out, int columns)
{
    lt_buf_printf(out, "%*s", columns, "");
}

static void print_pretty(const struct lt_node *n, int indent, struct lt_buf *out)
{
    if (n->kind == LT_NODE_SCALAR || !n->n) {
        print_flow(n, true, out);
        return;
    }
    lt_buf_str(out, n->kind == LT_NODE_MAP ? "{\n" : "[\n");
    for (const struct lt_node *c = n->first; c; c = c->next) {
        print_indent(out, indent + 2);
        if (n->kind == LT_NODE_MAP) {
            print_key(c->key, true, out);
            lt_buf_char(out, ' ');
        }
        print_pretty(c, indent + 2, out);
        lt_buf_str(out, c->next ? ",\n" : "\n");
    }
    print_indent(out, indent);
    lt_buf_char(out, n->kind == LT_NODE_MAP ? '}' : ']');
}

void lt_tree_print_json(const struct lt_node *root, bool pretty, struct lt_buf *out)
{
    if (pretty)
        print_pretty(root, 0, out);
    else
        print_flow(root, true, out);
}

/* Nothing nested deeper than a list of values: such nodes read well on one line, if it is short. */
static bool is_leafy(const struct lt_node *n, int levels)
{
    if (n->kind == LT_NODE_SCALAR || !n->n)
        return true;
    for (const struct lt_node *c = n->first; c; c = c->next)
        if (levels == 0 ? c->kind != LT_NODE_SCALAR : !is_leafy(c, levels - 1))
            return false;
    return true;
}

static bool print_short(const struct lt_node *n, int indent, struct lt_buf *out)
{
    const size_t before = out->len;

    if (!is_leafy(n, 1))
        return false;
    print_flow(n, false, out);
    if (n->kind == LT_NODE_SCALAR || !n->n || out->len - before + (size_t)indent <= FLOW_WIDTH)
        return true;
    out->len = before;
    out->data[before] = '\0';
    return false;
}

/* The children of n, one or more lines each; the first starts where the cursor is. A list's item of
 * one key is a block: `- linear: {out_features: 10}`. */
static void print_block(const struct lt_node *n, int indent, struct lt_buf *out)
{
    for (const struct lt_node *c = n->first; c; c = c->next) {
        if (c != n->first)
            print_indent(out, indent);
        if (n->kind == LT_NODE_LIST)
            lt_buf_str(out, "- ");
        else
            print_key(c->key, false, out);
        if (!(n->kind == LT_NODE_LIST && c->kind == LT_NODE_MAP && c->n == 1) &&
            print_short(c, indent + 8, out)) {
            lt_buf_char(out, '\n');
        } else if (n->kind == LT_NODE_LIST) {
            print_block(c, indent + 2, out);
        } else {
            out->data[out->len - 1] = '\n'; /* instead of the blank behind the colon */
            print_indent(out, indent + 2);
            print_block(c, indent + 2, out);
        }
    }
}

void lt_tree_print_yaml(const struct lt_node *root, struct lt_buf *out)
{
    if (root->kind == LT_NODE_SCALAR || !root->n) {
        print_flow(root, false, out);
        lt_buf_char(out, '\n');
        return;
    }
    print_block(root, 0, out);
}
