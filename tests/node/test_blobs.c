/* test_blobs.c - files that plans name by content come to the node once, whole, and go when told */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/server.h"
#include "sys/file.h"
#include "sys/paths.h"
#include "sys/sha256.h"
#include "tests/node/world.h"
#include "tests/support/tmp.h"

#define STARTED LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED
#define GONE LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE
#define FAILED_ LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED
#define CHECK_DONE LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE
#define ASKED LT__V1__AGENT_MESSAGE__MESSAGE_BLOB_REQUEST

#define SIZE 100000

static struct world w;
static size_t at;
static uint8_t content[SIZE];
static char hash[65], address[80];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 31 >> 3);
    lt_sha256_hex_of(content, SIZE, hash);
    snprintf(address, sizeof address, "sha256:%s", hash);
    world_open(&w);
    w.weights = address;
    at = 0;
    agent_start(&w);
    world_welcome(&w, &at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static void ask_check(const char *job)
{
    Lt__V1__CheckRequest m = LT__V1__CHECK_REQUEST__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;
    Lt__V1__Model model = LT__V1__MODEL__INIT;

    model.weights = address;
    plan.name = (char *)job; /* the answer of one isn't the other's */
    plan.model = &model;
    spec.kind_case = LT__V1__JOB_SPEC__KIND_PLAN;
    spec.plan = &plan;
    m.job = (char *)world_job(&w, job);
    m.spec = &spec;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK, &m);
}

static const Lt__V1__BlobRequest *asked(uint64_t offset)
{
    const Lt__V1__BlobRequest *q = world_wait(&w, &at, ASKED, NULL)->blob_request;

    assert_string_equal(q->hash, hash);
    assert_int_equal(q->offset, offset);
    assert_true(q->max_bytes >= 65536 && q->max_bytes <= 1u << 20);
    return q;
}

static void give(const uint8_t *data, uint64_t offset, size_t n, const char *error)
{
    Lt__V1__BlobChunk m = LT__V1__BLOB_CHUNK__INIT;

    m.hash = hash;
    m.has_offset = m.has_size = m.has_data = true;
    m.offset = offset;
    m.size = SIZE;
    m.data = (ProtobufCBinaryData){n, (uint8_t *)data + offset};
    m.error = (char *)error;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_BLOB_CHUNK, &m);
}

static bool is_here(void)
{
    LT_AUTO(lt_free) char *node = lt_path_join(w.dir, "node");
    LT_AUTO(lt_free) char *path = lt_path_blob(node, hash);

    return lt_file_exists(path);
}

static size_t requests(size_t from)
{
    size_t n = 0;

    for (size_t i = from; i < w.n; i++)
        n += w.got[i]->message_case == ASKED;
    return n;
}

static void a_check_and_a_start_fetch_once(void **state)
{
    size_t before;

    (void)state;
    ask_check("a");
    asked(0);
    ask_check("b"); /* waits for the same */
    give(content, 0, 60000, NULL);
    asked(60000);
    assert_false(is_here());
    give(content, 60000, SIZE - 60000, NULL);
    assert_int_equal(world_wait(&w, &at, CHECK_DONE, NULL)->check_done->n_problems, 0);
    assert_int_equal(world_wait(&w, &at, CHECK_DONE, NULL)->check_done->n_problems, 0);
    assert_true(is_here());
    before = w.n;
    world_start_rank(&w, "r", 1, "finish");
    world_wait(&w, &at, STARTED, "r");
    assert_int_equal(requests(before), 0);
    world_wait(&w, &at, GONE, "r"); /* its control group is removed */
}

static void a_start_fetches_what_is_not_here(void **state)
{
    (void)state;
    world_start_rank(&w, "r", 1, "finish");
    asked(0);
    give(content, 0, SIZE, NULL);
    world_wait(&w, &at, STARTED, "r");
    assert_true(is_here());
    world_wait(&w, &at, GONE, "r");
}

static void damaged_on_the_way_is_not_kept(void **state)
{
    const Lt__V1__CheckDone *d;

    (void)state;
    ask_check("a");
    asked(0);
    content[7]++;
    give(content, 0, SIZE, NULL);
    content[7]--;
    d = world_wait(&w, &at, CHECK_DONE, "a")->check_done;
    assert_int_equal(d->n_problems, 1);
    assert_string_equal(d->problems[0]->path, "model.weights");
    assert_non_null(strstr(d->problems[0]->reason, "damaged"));
    assert_false(is_here());
    ask_check("b"); /* another try is another fetch */
    asked(0);
    give(content, 0, SIZE, NULL);
    assert_int_equal(world_wait(&w, &at, CHECK_DONE, "b")->check_done->n_problems, 0);
}

static void the_coordinators_reason_is_passed_on(void **state)
{
    (void)state;
    world_start_rank(&w, "r", 1, "finish");
    asked(0);
    give(content, 0, 0, "no such thing");
    assert_non_null(strstr(world_wait(&w, &at, FAILED_, "r")->start_failed->reason, "no such thing"));
    world_start_rank(&w, "s", 1, "finish");
    asked(0);
    give(content, 0, 0, NULL); /* no bytes where there should be some */
    assert_non_null(strstr(world_wait(&w, &at, FAILED_, "s")->start_failed->reason, "shorter"));
}

static void a_new_session_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    ask_check("a");
    asked(0);
    give(content, 0, 30000, NULL);
    asked(30000);
    lt_rpc_finish(w.call, LT_RPC_UNAVAILABLE, "as if the coordinator had died");
    world_welcome(&w, &at);
    asked(30000);
    give(content, 0, 30000, NULL); /* a late answer to an earlier question */
    give(content, 30000, SIZE - 30000, NULL);
    assert_int_equal(world_wait(&w, &at, CHECK_DONE, "a")->check_done->n_problems, 0);
}

static void a_killed_agent_fetches_anew_and_lists_what_it_has(void **state)
{
    Lt__V1__DropBlobs drop = LT__V1__DROP_BLOBS__INIT;
    char *hashes[] = {hash};
    const Lt__V1__Hello *hello;

    (void)state;
    ask_check("a");
    asked(0);
    give(content, 0, 30000, NULL);
    asked(30000);
    agent_kill(&w);
    agent_start(&w);
    world_welcome(&w, &at);
    assert_int_equal(w.got[at - 1]->hello->n_blobs, 0);
    ask_check("a");
    asked(0);
    give(content, 0, SIZE, NULL);
    world_wait(&w, &at, CHECK_DONE, "a");
    agent_kill(&w);
    agent_start(&w);
    world_welcome(&w, &at);
    hello = w.got[at - 1]->hello;
    assert_int_equal(hello->n_blobs, 1);
    assert_string_equal(hello->blobs[0], hash);
    drop.hashes = hashes;
    drop.n_hashes = 1;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_DROP_BLOBS, &drop);
    for (int i = 0; i < 1000 && is_here(); i++)
        world_spin(&w, 10);
    assert_false(is_here());
}

static void a_cancel_ends_the_waiting(void **state)
{
    (void)state;
    world_start_rank(&w, "r", 1, "finish");
    asked(0);
    world_signal(&w, "r", 1, LT__V1__RANK_SIGNAL__SIGNAL_CHECKPOINT); /* is no reason to end */
    world_signal(&w, "r", 1, LT__V1__RANK_SIGNAL__SIGNAL_CANCEL);
    assert_non_null(strstr(world_wait(&w, &at, FAILED_, "r")->start_failed->reason, "fetched"));
    give(content, 0, SIZE, NULL); /* comes all the same */
    for (int i = 0; i < 1000 && !is_here(); i++)
        world_spin(&w, 10);
    assert_true(is_here());
}

static void an_agent_ends_in_the_middle(void **state)
{
    (void)state;
    world_start_rank(&w, "r", 1, "finish");
    ask_check("a");
    asked(0);
    assert_int_equal(agent_stop(&w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_check_and_a_start_fetch_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_fetches_what_is_not_here, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_on_the_way_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(the_coordinators_reason_is_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_session_goes_on_where_the_old_one_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_killed_agent_fetches_anew_and_lists_what_it_has, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cancel_ends_the_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_ends_in_the_middle, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
