/* test_pmi.c - ranks look for each other: PMI-1 as MPICH speaks it, and as nobody should
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/pmi_group.h"
#include "engine/worker/shim_leftovers.h"
#include "engine/worker/shim_pmi.h"
#include "sys/pmi.h"
#include "tests/support/ranks.h"

/* ---- the group: what every rank was told, as text */

static void on_emit(void *user, uint32_t rank, const struct lt_pmi_msg *m)
{
    static const char *const names[LT_PMI_KIND_N] = {
        [LT_PMI_VALUE] = "value", [LT_PMI_MISSING] = "missing", [LT_PMI_OUT] = "out"};

    lt_buf_printf(user, "%u:%s %llu%s%s\n", rank, names[m->kind], (unsigned long long)m->seq,
                  m->value ? " " : "", m->value ? m->value : "");
}

static struct lt_pmi_msg msg(enum lt_pmi_kind kind, uint32_t rank, uint64_t seq, const char *key,
                             const char *value)
{
    return (struct lt_pmi_msg){.kind = kind,
                               .job = "j",
                               .attempt = 1,
                               .generation = 3,
                               .rank = rank,
                               .world = 3,
                               .seq = seq,
                               .key = key,
                               .value = value};
}

static int take(struct lt_pmi_group *g, enum lt_pmi_kind kind, uint32_t rank, uint64_t seq,
                const char *key, const char *value)
{
    struct lt_pmi_msg m = msg(kind, rank, seq, key, value);

    return lt_pmi_group_take(g, &m, NULL);
}

static void hello(struct lt_pmi_group *g, uint32_t rank, uint64_t beyond, uint64_t puts)
{
    struct lt_pmi_msg m = msg(LT_PMI_HELLO, rank, beyond, NULL, NULL);

    m.puts = puts;
    assert_int_equal(lt_pmi_group_take(g, &m, NULL), 0);
}

static void told(struct lt_buf *b, const char *text)
{
    assert_string_equal(b->data ? b->data : "", text);
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

static void a_barrier_is_over_when_all_are_in_it_or_beyond(void **state)
{
    LT_BUF_AUTO out = {0};
    LT_AUTO(lt_pmi_group_free)
    struct lt_pmi_group *g = lt_pmi_group_new("j", 1, 3, 3, on_emit, &out);

    (void)state;
    for (uint32_t r = 0; r < 3; r++)
        hello(g, r, 0, 0);
    take(g, LT_PMI_BARRIER, 2, 1, NULL, NULL);
    take(g, LT_PMI_BARRIER, 0, 1, NULL, NULL);
    take(g, LT_PMI_BARRIER, 0, 1, NULL, NULL); /* said again: nothing changes */
    told(&out, "");
    take(g, LT_PMI_BARRIER, 1, 1, NULL, NULL);
    told(&out, "0:out 1\n1:out 1\n2:out 1\n");
    /* Another agent, which doesn't know that barrier 4 is over for 0 and 1. */
    lt_pmi_group_free(LT_TAKE(g));
    g = lt_pmi_group_new("j", 1, 3, 3, on_emit, &out);
    hello(g, 2, 3, 0);
    take(g, LT_PMI_BARRIER, 2, 4, NULL, NULL);
    hello(g, 0, 4, 0);
    take(g, LT_PMI_BARRIER, 0, 5, NULL, NULL);
    told(&out, "");
    hello(g, 1, 4, 0);
    told(&out, "2:out 4\n");
    /* 1 ends well; 2 comes to the last barrier. */
    lt_pmi_group_lost(g, 1);
    take(g, LT_PMI_BARRIER, 2, 5, NULL, NULL);
    told(&out, "");
    lt_pmi_group_ended(g, 1);
    told(&out, "0:out 5\n2:out 5\n");
}

static void a_key_is_missing_only_when_all_have_spoken(void **state)
{
    LT_BUF_AUTO out = {0};
    LT_AUTO(lt_pmi_group_free)
    struct lt_pmi_group *g = lt_pmi_group_new("j", 1, 3, 3, on_emit, &out);

    (void)state;
    hello(g, 0, 1, 1);
    take(g, LT_PMI_PUT, 0, 1, "a", "x=y");
    take(g, LT_PMI_GET, 0, 7, "a", NULL);
    told(&out, "0:value 7 x=y\n");
    take(g, LT_PMI_GET, 0, 8, "b", NULL);
    hello(g, 1, 1, 2);
    hello(g, 2, 1, 0);
    take(g, LT_PMI_PUT, 1, 1, "c", "1");
    told(&out, ""); /* 1 has another one to say */
    take(g, LT_PMI_PUT, 1, 2, "d", "2");
    told(&out, "0:missing 8\n");
    take(g, LT_PMI_GET, 2, 1, "never", NULL);
    told(&out, "2:missing 1\n");
    lt_pmi_group_lost(g, 1);
    take(g, LT_PMI_GET, 2, 2, "never", NULL);
    told(&out, "");
    hello(g, 1, 1, 1);
    take(g, LT_PMI_PUT, 1, 1, "never", "now");
    told(&out, "2:value 2 now\n");
}

static void messages_of_others_are_refused(void **state)
{
    LT_BUF_AUTO out = {0};
    LT_AUTO(lt_pmi_group_free)
    struct lt_pmi_group *g = lt_pmi_group_new("j", 1, 3, 3, on_emit, &out);
    struct lt_pmi_msg m = msg(LT_PMI_HELLO, 0, 0, NULL, NULL);

    (void)state;
    m.generation = 2;
    assert_int_equal(lt_pmi_group_take(g, &m, NULL), -ESTALE);
    m = msg(LT_PMI_HELLO, 3, 0, NULL, NULL);
    assert_int_equal(lt_pmi_group_take(g, &m, NULL), -EPROTO);
    assert_int_equal(take(g, LT_PMI_PUT, 0, 1, "a", "b"), -EPROTO); /* no hello */
    hello(g, 0, 0, 0);
    assert_int_equal(take(g, LT_PMI_OUT, 0, 1, NULL, NULL), -EPROTO);
    assert_int_equal(take(g, LT_PMI_BARRIER, 0, 0, NULL, NULL), -EPROTO);
    told(&out, "");
}

static void lines_are_read_as_they_were_printed(void **state)
{
    static const char *const bad[] = {
        "",
        "ltpmi1",
        "ltpmi1 put",
        "ltpmi2 get job=j attempt=1 generation=1 rank=0 seq=1 key=k",
        "ltpmi1 jump job=j attempt=1 generation=1 rank=0 seq=1",
        "ltpmi1 get attempt=1 generation=1 rank=0 seq=1 key=k",
        "ltpmi1 get job=j attempt=1 generation=1 rank=-1 seq=1 key=k",
        "ltpmi1 get job=j attempt=1 generation=1 rank=0 seq=x key=k",
        "ltpmi1 get job=j attempt=1 generation=1 rank=0 seq=1",
        "ltpmi1 put job=j attempt=1 generation=1 rank=0 seq=1 key=k",
        "ltpmi1 hello job=j attempt=1 generation=1 rank=0 seq=1",
        "ltpmi1 get job=j attempt=1 generation=1 rank=0 seq=1 key=k word",
        "ltpmi1 get job=j attempt=1 generation=99999999999 rank=0 seq=1 key=k",
    };
    struct lt_pmi_msg m = msg(LT_PMI_PUT, 2, 9, "key", "a=b=c"), back;
    LT_BUF_AUTO line = {0};

    (void)state;
    lt_pmi_print(&m, &line);
    assert_string_equal(line.data, "ltpmi1 put job=j attempt=1 generation=3 rank=2 seq=9 key=key "
                                   "value=a=b=c\n");
    line.data[line.len - 1] = 0;
    assert_int_equal(lt_pmi_parse(line.data, &back, NULL), 0);
    assert_string_equal(back.value, "a=b=c");
    assert_int_equal(back.seq, 9);
    for (size_t i = 0; i < LT_ARRAY_LEN(bad); i++) {
        char *copy = lt_strdup(bad[i]);
        struct lt_error err = {0};

        assert_int_equal(lt_pmi_parse(copy, &back, &err), -EPROTO);
        assert_true(err.text[0] != 0);
        lt_free(copy);
    }
}

/* ---- the shim's side */

static struct lt_shim_pmi *new_pmi(void)
{
    return lt_shim_pmi_new(&(struct lt_shim_pmi_config){
        .job = "j", .attempt = 1, .generation = 3, .rank = 1, .world = 3});
}

static bool say(struct lt_shim_pmi *p, const char *text)
{
    return lt_shim_pmi_from_rank(p, text, strlen(text));
}

static void a_rank_is_answered_and_what_it_said_is_kept(void **state)
{
    LT_AUTO(lt_shim_pmi_free) struct lt_shim_pmi *p = new_pmi();
    struct lt_buf *rank = lt_shim_pmi_to_rank(p), *agent = lt_shim_pmi_to_agent(p);
    static const char out[] = "ltpmi1 out job=j attempt=1 generation=3 rank=1 seq=1\n";
    static const char stale[] = "ltpmi1 out job=j attempt=1 generation=2 rank=1 seq=2\n";

    (void)state;
    assert_true(say(p, "cmd=init pmi_version=1 pmi_subversion=1\ncmd=get_m"));
    assert_true(say(p, "axes\ncmd=get_appnum\ncmd=get_my_kvsname\n"));
    told(rank, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n"
               "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024 rc=0\n"
               "cmd=appnum appnum=0 rc=0\ncmd=my_kvsname kvsname=kvs_j_3 rc=0\n");
    assert_true(say(p, "cmd=get kvsname=kvs_j_3 key=PMI_process_mapping\n"));
    told(rank, "cmd=get_result rc=0 msg=success value=(vector,(0,1,3))\n");
    /* Nobody is there: a put is answered all the same, a barrier waits, and so does what comes behind it. */
    assert_true(say(p, "cmd=put kvsname=kvs_j_3 key=k value=v\ncmd=barrier_in\ncmd=finalize\n"));
    told(rank, "cmd=put_result rc=0 msg=success\n");
    lt_shim_pmi_connected(p);
    told(agent, "ltpmi1 hello job=j attempt=1 generation=3 rank=1 seq=0 world=3 puts=1\n"
                "ltpmi1 put job=j attempt=1 generation=3 rank=1 seq=1 key=k value=v\n"
                "ltpmi1 barrier job=j attempt=1 generation=3 rank=1 seq=1\n");
    lt_shim_pmi_disconnected(p);
    lt_shim_pmi_connected(p); /* all of it again */
    assert_non_null(strstr(agent->data, "barrier"));
    assert_true(lt_shim_pmi_from_agent(p, out, sizeof out - 1));
    assert_true(lt_shim_pmi_from_agent(p, out, sizeof out - 1)); /* an answer twice */
    told(rank, "cmd=barrier_out rc=0\ncmd=finalize_ack rc=0\n");
    agent->len = 0;
    lt_shim_pmi_disconnected(p);
    lt_shim_pmi_connected(p);
    told(agent, "ltpmi1 hello job=j attempt=1 generation=3 rank=1 seq=1 world=3 puts=1\n"
                "ltpmi1 put job=j attempt=1 generation=3 rank=1 seq=1 key=k value=v\n");
    assert_false(lt_shim_pmi_from_agent(p, stale, sizeof stale - 1));
}

static void a_refused_rank_gets_errors_and_doesnt_hang(void **state)
{
    static const char no[] = "ltpmi1 refused job=j attempt=1 generation=3 rank=1 seq=0 text=old\n";
    LT_AUTO(lt_shim_pmi_free) struct lt_shim_pmi *p = new_pmi();
    struct lt_buf *rank = lt_shim_pmi_to_rank(p);

    (void)state;
    lt_shim_pmi_connected(p);
    say(p, "cmd=get kvsname=x key=k\n");
    assert_false(lt_shim_pmi_from_agent(p, no, sizeof no - 1));
    assert_true(lt_shim_pmi_refused(p));
    told(rank, "cmd=get_result rc=-1 msg=refused_by_ltd\n");
    say(p, "cmd=barrier_in\n");
    told(rank, "cmd=barrier_out rc=-1 msg=refused_by_ltd\n");
}

static void anything_malformed_is_answered_and_bounded(void **state)
{
    LT_AUTO(lt_shim_pmi_free) struct lt_shim_pmi *p = new_pmi();
    LT_AUTO(lt_shim_pmi_free) struct lt_shim_pmi *q = new_pmi();
    char flood[3 * LT_PMI_LINE_MAX];
    LT_BUF_AUTO request = {0};

    (void)state;
    memset(flood, 'x', sizeof flood);
    assert_true(say(p, "cmd=spawn nprocs=3\n"));
    told(lt_shim_pmi_to_rank(p), "cmd=spawn_result rc=-1 msg=not_supported\n");
    lt_buf_printf(&request, "cmd=put kvsname=x key=k value=%.*s\n", LT_PMI_VALUE_MAX, flood);
    assert_true(say(p, request.data));
    told(lt_shim_pmi_to_rank(p), "cmd=put_result rc=-1 msg=bad_key_or_value\n");
    assert_true(say(p, "cmd=get kvsname=x key=\n"));
    told(lt_shim_pmi_to_rank(p), "cmd=get_result rc=-1 msg=bad_key\n");
    assert_false(say(p, "hello\n"));
    told(lt_shim_pmi_to_rank(p), "cmd=error rc=-1 msg=malformed\n");
    assert_int_equal(lt_shim_pmi_room(p), 0);
    assert_false(say(p, "cmd=finalize\n"));
    assert_false(lt_shim_pmi_from_rank(q, flood, sizeof flood));
    told(lt_shim_pmi_to_rank(q), "cmd=error rc=-1 msg=line_too_long\n");
}

/* ---- MPICH itself */

static char *program(void)
{
    return lt_format("%s/tests/comm/lt-mpi-program", getenv("LT_BUILD_ROOT"));
}

static void mpi_programs_run_without_mpirun(void **state)
{
    LT_AUTO(lt_free) char *path = program();

    (void)state;
    for (int world = 1; world <= 4; world++) {
        char number[8];
        char *argv[] = {path, number, NULL};
        struct lt_test_ranks t = {.world = world, .argv = argv};

        snprintf(number, sizeof number, "%d", world);
        assert_int_equal(lt_test_ranks_run(&t), 0);
        assert_int_equal(t.first_status, 0);
    }
}

static void mpi_programs_dont_notice_that_the_agent_is_another(void **state)
{
    LT_AUTO(lt_free) char *path = program();
    char *argv[] = {path, (char *)(uintptr_t)"2", NULL};

    (void)state;
    for (int every = 1; every <= 6; every++) {
        struct lt_test_ranks t = {.world = 2, .argv = argv, .restart_agent_every = every};

        assert_int_equal(lt_test_ranks_run(&t), 0);
        assert_int_equal(t.first_status, 0);
    }
}

/* ---- what is left behind */

static void leftovers_go_and_what_is_used_stays(void **state)
{
    LT_AUTO(lt_free) char *path = lt_format("/dev/shm/mpich_shar_tmpLtTest%d", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT, 0600), segment, status;
    pid_t pid;
    void *map;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    lt_shim_remove_leftovers(1);
    assert_int_equal(access(path, F_OK), 0); /* open */
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    lt_shim_remove_leftovers(1);
    assert_int_equal(access(path, F_OK), 0); /* mapped */
    munmap(map, 4096);
    lt_shim_remove_leftovers(1); /* or another job's shim, in this very moment */
    assert_int_equal(access(path, F_OK), -1);

    pid = fork();
    if (pid == 0)
        _exit(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) >= 0 ? 0 : 1);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    segment = (int)lt_shim_remove_leftovers(pid);
    assert_true(segment >= 1);
}

/* A link, or another user's, or one that is gone by the time that it is looked at. */
static void what_is_no_file_of_ours_stays(void **state)
{
    LT_AUTO(lt_free) char *path = lt_format("/dev/shm/mpich_shar_tmpLtLink%d", (int)getpid());

    (void)state;
    assert_int_equal(symlink("/nowhere", path), 0);
    lt_shim_remove_leftovers(1);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_is_over_when_all_are_in_it_or_beyond),
        cmocka_unit_test(a_key_is_missing_only_when_all_have_spoken),
        cmocka_unit_test(messages_of_others_are_refused),
        cmocka_unit_test(lines_are_read_as_they_were_printed),
        cmocka_unit_test(a_rank_is_answered_and_what_it_said_is_kept),
        cmocka_unit_test(a_refused_rank_gets_errors_and_doesnt_hang),
        cmocka_unit_test(anything_malformed_is_answered_and_bounded),
        cmocka_unit_test(mpi_programs_run_without_mpirun),
        cmocka_unit_test(mpi_programs_dont_notice_that_the_agent_is_another),
        cmocka_unit_test(leftovers_go_and_what_is_used_stays),
        cmocka_unit_test(what_is_no_file_of_ours_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
