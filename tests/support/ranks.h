/* ranks.h - a function in W real processes that are ranks of one world, without a daemon
 *
 * The parent does for them what lt-shim and the agent do (the same code). Not for cmocka's asserts: they would jump back
 * into the child's copy of the test runner. Use LT_RANK_CHECK, and return 0 from the function.
 *
 *     static int add(struct lt_comm *c, void *arg) { …; LT_RANK_CHECK(sum == 3); return 0; }
 *     assert_int_equal(lt_test_ranks(2, add, NULL), 0);
 */
#ifndef LT_TESTS_SUPPORT_RANKS_H
#define LT_TESTS_SUPPORT_RANKS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

struct lt_comm;
struct lt_page;

#define LT_RANK_CHECK(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            _exit(3);                                                                              \
        }                                                                                          \
    } while (0)

#define LT_TEST_RANKS_MAX 16

/* 0: every rank returned 0. The first other status (its return value; 128 + signal); -ETIMEDOUT after 60 s in
 * which no collective ended, with all killed. A world of one has comm `none`. When fn returns, the rank meets the
 * others in a barrier and leaves. */
int lt_test_ranks(int world, int (*fn)(struct lt_comm *c, void *arg), void *arg);

struct lt_test_ranks {
    int world;
    const char *kind; /* of collectives; NULL: as a worker would choose; "": none is opened, fn gets NULL */
    int (*fn)(struct lt_comm *c, void *arg);
    void *arg;
    char *const *argv; /* instead of fn: a program to execute */
    double timeout_s;  /* 0: 60 */
    /* Called in the parent again and again; may kill ranks. */
    void (*meanwhile)(const struct lt_test_ranks *t, void *arg);
    void *meanwhile_arg;
    int restart_agent_every; /* the agent's memory is lost after so many messages, then after twice so many, …; 0: never */
    /* filled in */
    pid_t pid[LT_TEST_RANKS_MAX];           /* 0: it has ended */
    int status[LT_TEST_RANKS_MAX];          /* return value or exit code; 128 + signal */
    struct lt_page *page[LT_TEST_RANKS_MAX]; /* shared with the rank; until the next call */
    int first_status;                       /* of the first that ended otherwise than with 0 */
};
int lt_test_ranks_run(struct lt_test_ranks *t); /* 0, or -ETIMEDOUT with all killed; statuses tell the rest */
/* Memory that the ranks started later share with the caller; zeroed; never freed. */
void *lt_test_shared(size_t bytes);

#endif
