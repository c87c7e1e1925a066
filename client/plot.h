/* plot.h - a curve in a terminal, by braille dots */
#ifndef LT_CLIENT_PLOT_H
#define LT_CLIENT_PLOT_H

#include <stddef.h>

struct lt_buf;

/* Points (x ascending) in a frame of columns × rows characters, with the extremes at the axes.
 * Values that aren't finite are left out; nothing is drawn without two points. */
void lt_plot(const char *title, const double *x, const double *y, size_t n, int columns, int rows,
             struct lt_buf *out);

#endif
