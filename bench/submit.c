/* submit.c - durable submissions per second: N clients, each with a connection of its own, distinct
 * plans on hold
 *
 * lt-bench-submit SOCKET PLAN [CLIENTS] [SUBMISSIONS]; prints one line of JSON, with the measured
 * time of one fdatasync of a 4 KiB append beside it (in the folder that the working directory is).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "lt/v1/jobs.pb-c.h"
#include "proto/text/text.h"
#include "proto/wire.h"
#include "rpc/client.h"
#include "sys/clock.h"
#include "sys/file.h"

#define PLAN_MAX (4u << 20)
#define SYNCS 200
#define CALL_MS 30000

static struct {
    const char *target;
    struct lt_buf spec; /* packed */
    unsigned total;
    atomic_uint next, failed;
} bench;

static void submit_one(struct lt_client *c, unsigned i)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__SubmitRequest q = LT__V1__SUBMIT_REQUEST__INIT;
    struct lt_rpc_status status = {0};
    ProtobufCMessage *spec, *reply;
    char id[64];

    if (lt_wire_decode(&lt__v1__job_spec__descriptor, bench.spec.data, bench.spec.len, arena, &spec,
                       NULL) < 0)
        abort();
    snprintf(id, sizeof id, "bench-%d-%u", (int)getpid(), i);
    q.request_id = id;
    q.spec = (Lt__V1__JobSpec *)spec;
    q.spec->plan->has_seed = true;
    q.spec->plan->seed = i;
    if (lt_client_call(c, "/lt.v1.Jobs/Submit", &q.base, &lt__v1__submit_response__descriptor,
                       CALL_MS, arena, &reply, &status) < 0 &&
        bench.failed++ == 0)
        fprintf(stderr, "submit: %s: %s\n", lt_rpc_code_name(status.code), status.text);
    lt_rpc_status_done(&status);
}

static void *client(void *arg)
{
    struct lt_client *c;
    unsigned i;

    (void)arg;
    if (lt_client_open(bench.target, &c, NULL) < 0)
        abort();
    while ((i = bench.next++) < bench.total)
        submit_one(c, i);
    lt_client_close(c);
    return NULL;
}

static double sync_ms(void)
{
    char block[4096] = {0}, name[] = "bench-sync-XXXXXX";
    int fd = mkstemp(name);
    uint64_t begin;

    if (fd < 0)
        return 0;
    begin = lt_clock_mono_ns();
    for (int i = 0; i < SYNCS; i++)
        if (write(fd, block, sizeof block) < 0 || fdatasync(fd) < 0)
            break;
    begin = lt_clock_mono_ns() - begin;
    close(fd);
    unlink(name);
    return (double)begin / 1e6 / SYNCS;
}

static int load(const char *path)
{
    static const char *const sets[] = {"job.hold=true"};
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct lt_problems problems = {0};
    LT_BUF_AUTO text = {0};
    Lt__V1__JobSpec *spec;

    if (lt_file_read(path, PLAN_MAX, &text, NULL) < 0)
        return -1;
    spec = lt_text_parse_spec(text.data, text.len, "/", sets, 1, arena, &problems);
    lt_problems_done(&problems);
    if (!spec)
        return -1;
    lt_buf_reserve(&bench.spec, lt__v1__job_spec__get_packed_size(spec));
    bench.spec.len = lt__v1__job_spec__pack(spec, (uint8_t *)bench.spec.data);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned clients = argc > 3 ? (unsigned)atoi(argv[3]) : 16;
    pthread_t *threads = lt_calloc(clients, sizeof *threads);
    uint64_t begin;
    double seconds;

    bench.total = argc > 4 ? (unsigned)atoi(argv[4]) : 6000;
    if (argc < 3 || load(argv[2]) < 0) {
        fprintf(stderr, "usage: lt-bench-submit SOCKET PLAN [CLIENTS] [SUBMISSIONS]\n");
        return 2;
    }
    bench.target = lt_format("unix:%s", argv[1]);
    begin = lt_clock_mono_ns();
    for (unsigned i = 0; i < clients; i++)
        pthread_create(&threads[i], NULL, client, NULL);
    for (unsigned i = 0; i < clients; i++)
        pthread_join(threads[i], NULL);
    seconds = (double)(lt_clock_mono_ns() - begin) / 1e9;
    printf("{\"clients\": %u, \"submissions\": %u, \"failed\": %u, \"per_second\": %.0f, "
           "\"fdatasync_ms\": %.3f}\n",
           clients, bench.total, bench.failed, bench.total / seconds, sync_ms());
    return bench.failed ? 1 : 0;
}
