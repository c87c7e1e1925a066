/* gemm.c - matrix products over float64, which oneDNN doesn't have
 *
 * A block of rows of `a` and a panel of columns of `b` are packed, a piece of k at a time, and
 * multiplied by a kernel that holds ROWS x 2 vectors of `c` in registers. The stack holds the
 * packed pieces, so that units need no scratch memory.
 */
#include "engine/cpu/kern.h"
#include "engine/cpu/kern/list.h"

#include <math.h>

#define ROWS 6
#define COLS (2 * VW)
#define DEPTH 256

/* a[i0 … i0 + rows)[k0 … k0 + depth) as panels of ROWS rows, k outermost in each; missing rows are 0. */
static void pack_a(const struct lt_gemm *g, const double *a, int64_t i0, int64_t rows, int64_t k0,
                   int64_t depth, double *to)
{
    for (int64_t p = 0; p < rows; p += ROWS)
        for (int64_t k = 0; k < depth; k++)
            for (int64_t r = 0; r < ROWS; r++)
                *to++ = p + r < rows ? a[(i0 + p + r) * g->a_row + (k0 + k) * g->a_col] : 0;
}

static void pack_b(const struct lt_gemm *g, const double *b, int64_t k0, int64_t depth, int64_t j0,
                   int64_t cols, double *to)
{
    for (int64_t k = 0; k < depth; k++, to += COLS) {
        const double *from = b + (k0 + k) * g->b_row + j0 * g->b_col;

        for (int64_t j = 0; j < COLS; j++)
            to[j] = j < cols ? from[j * g->b_col] : 0;
    }
}

/* tile[ROWS][COLS] = panel of a times panel of b. */
static void multiply(const double *a, const double *b, int64_t depth, double *tile)
{
    vf s[ROWS][2];

    for (int r = 0; r < ROWS; r++)
        s[r][0] = s[r][1] = vzero();
    for (int64_t k = 0; k < depth; k++, a += ROWS, b += COLS) {
        vf b0 = vld(b), b1 = vld(b + VW);

        for (int r = 0; r < ROWS; r++) {
            vf x = vset(a[r]);

            s[r][0] = vfma(x, b0, s[r][0]);
            s[r][1] = vfma(x, b1, s[r][1]);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        vst(tile + r * COLS, s[r][0]);
        vst(tile + r * COLS + VW, s[r][1]);
    }
}

/* first and last piece of k? */
static void put(const struct lt_gemm *g, double *c, const double *tile, int64_t rows, int64_t j0,
                int64_t cols, bool first, bool last)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++) {
            double *at = c + r * g->c_row + (j0 + j) * g->c_col, v = tile[r * COLS + j];

            if (!first || g->add)
                v += *at;
            if (last && g->bias)
                v += g->bias[j0 + j];
            *at = last && g->relu && v < 0 ? 0 : v;
        }
}

static void block(const struct lt_gemm *g, const double *a, const double *b, double *c, int64_t i0)
{
    int64_t rows = g->m - i0 < LT_GEMM_ROWS ? g->m - i0 : LT_GEMM_ROWS;
    double packed_a[LT_GEMM_ROWS * DEPTH], packed_b[DEPTH * COLS], tile[ROWS * COLS];

    for (int64_t k0 = 0; k0 < g->k; k0 += DEPTH) {
        int64_t depth = g->k - k0 < DEPTH ? g->k - k0 : DEPTH;

        pack_a(g, a, i0, rows, k0, depth, packed_a);
        for (int64_t j0 = 0; j0 < g->n; j0 += COLS) {
            int64_t cols = g->n - j0 < COLS ? g->n - j0 : COLS;

            pack_b(g, b, k0, depth, j0, cols, packed_b);
            for (int64_t p = 0; p < rows; p += ROWS) {
                multiply(packed_a + p * depth, packed_b, depth, tile);
                put(g, c + (i0 + p) * g->c_row, tile, rows - p < ROWS ? rows - p : ROWS, j0, cols,
                    k0 == 0, k0 + DEPTH >= g->k);
            }
        }
    }
}

void LT_K(gemm)(const void *args, int64_t begin, int64_t end)
{
    const struct lt_gemm *g = args;
    int64_t blocks = (g->m + LT_GEMM_ROWS - 1) / LT_GEMM_ROWS;

    for (int64_t unit = begin; unit < end; unit++) {
        int64_t of = unit / blocks;

        block(g, g->a + of * g->a_step, g->b + of * g->b_step, g->c + of * g->c_step,
              unit % blocks * LT_GEMM_ROWS);
    }
}
