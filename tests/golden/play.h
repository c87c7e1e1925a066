/* play.h - trains the plan of a case (nets.py) from its initial tensors through its batches, in a
 * session */
#ifndef LT_TESTS_GOLDEN_PLAY_H
#define LT_TESTS_GOLDEN_PLAY_H

#include "tests/golden/file.h"

struct lt_arena;
struct lt_backend;
struct lt_error;
struct lt_session;

struct play {
    struct lt_arena *arena;
    struct lt_session *session; /* after the last update */
    double *loss;               /* of each update's window */
    int steps;
    double eval; /* loss of the first batch, evaluated afterwards */
};

int play_case(const struct golden_case *c, const struct lt_backend *backend, struct play *out,
              struct lt_error *err);
void play_done(struct play *p);

#endif
