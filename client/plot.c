/* plot.c - 2 × 4 dots a character (U+2800 and on), neighbours joined by a line */
#include "client/plot.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"

#define LABEL 11

struct canvas {
    int columns, rows;
    uint8_t *dots; /* per character */
};

static void dot(struct canvas *c, int x, int y)
{
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

    c->dots[(y / 4) * c->columns + x / 2] |= bit[y % 4][x % 2];
}

static void line(struct canvas *c, int x0, int y0, int x1, int y1)
{
    int steps = LT_MAX(abs(x1 - x0), abs(y1 - y0));

    for (int i = 0; i <= steps; i++)
        dot(c, x0 + (steps ? (x1 - x0) * i / steps : 0), y0 + (steps ? (y1 - y0) * i / steps : 0));
}

struct range {
    double low, high;
};

static struct range range_of(const double *v, const double *must_be_finite, size_t n)
{
    struct range r = {INFINITY, -INFINITY};

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(must_be_finite[i]))
            continue;
        r.low = fmin(r.low, v[i]);
        r.high = fmax(r.high, v[i]);
    }
    if (r.high <= r.low) {
        r.low -= 0.5;
        r.high = r.low + 1;
    }
    return r;
}

static int place(double v, struct range r, int dots)
{
    return (int)lround((v - r.low) / (r.high - r.low) * (dots - 1));
}

static void draw(struct canvas *c, const double *x, const double *y, size_t n, struct range rx,
                 struct range ry)
{
    int px = 0, py = 0;
    bool first = true;

    for (size_t i = 0; i < n; i++) {
        int cx, cy;

        if (!isfinite(y[i]))
            continue;
        cx = place(x[i], rx, c->columns * 2);
        cy = c->rows * 4 - 1 - place(y[i], ry, c->rows * 4);
        line(c, first ? cx : px, first ? cy : py, cx, cy);
        px = cx;
        py = cy;
        first = false;
    }
}

static void put_rows(const struct canvas *c, struct range ry, struct lt_buf *out)
{
    for (int r = 0; r < c->rows; r++) {
        if (r == 0 || r == c->rows - 1)
            lt_buf_printf(out, "%*.4g ", LABEL, r == 0 ? ry.high : ry.low);
        else
            lt_buf_printf(out, "%*s ", LABEL, "");
        lt_buf_str(out, "│");
        for (int k = 0; k < c->columns; k++) {
            unsigned u = 0x2800u + c->dots[r * c->columns + k];

            lt_buf_char(out, (char)(0xe0 | u >> 12));
            lt_buf_char(out, (char)(0x80 | (u >> 6 & 0x3f)));
            lt_buf_char(out, (char)(0x80 | (u & 0x3f)));
        }
        lt_buf_char(out, '\n');
    }
}

void lt_plot(const char *title, const double *x, const double *y, size_t n, int columns, int rows,
             struct lt_buf *out)
{
    struct canvas c = {.columns = LT_MAX(columns - LABEL - 2, 10), .rows = LT_MAX(rows, 4)};
    struct range rx = range_of(x, y, n), ry = range_of(y, y, n);

    c.dots = lt_calloc((size_t)c.columns * (size_t)c.rows, 1);
    if (n >= 2)
        draw(&c, x, y, n, rx, ry);
    lt_buf_printf(out, "%*s %s\n", LABEL, "", title);
    put_rows(&c, ry, out);
    lt_buf_printf(out, "%*s └ step %.0f … %.0f\n", LABEL, "", n ? rx.low : 0, n ? rx.high : 0);
    lt_free(c.dots);
}
