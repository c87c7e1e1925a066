/* top.c - ltctl top: all jobs and ranks, live */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "client/ctl.h"
#include "client/output.h"
#include "client/status.h"
#include "client/top.h"
#include "client/watch.h"
#include "rpc/client.h"
#include "sys/clock.h"

#define EVERY_MS 500 /* as old as samples are */
#define NS_PER_MS 1000000u
#define CALL_MS 10000

static const struct lt_option options[] = {
    {"all", 'a', LT_OPTION_FLAG, NULL, "ended jobs, too"},
    {"once", 0, LT_OPTION_FLAG, NULL, "print it once, on a terminal too"},
};

struct top {
    struct lt_ctl *ctl;
    Lt__V1__ListResponse *jobs;
    Lt__V1__NodesListResponse *nodes;
};

static int ask(struct top *t, struct lt_arena *arena, struct lt_rpc_status *status)
{
    Lt__V1__ListRequest jobs = LT__V1__LIST_REQUEST__INIT;
    Lt__V1__NodesListRequest nodes = LT__V1__NODES_LIST_REQUEST__INIT;
    int rc;

    jobs.has_all = true;
    jobs.all = lt_ctl_flag(t->ctl, "all");
    rc = lt_client_call(t->ctl->client, "/lt.v1.Jobs/List", &jobs.base,
                        &lt__v1__list_response__descriptor, CALL_MS, arena,
                        (ProtobufCMessage **)&t->jobs, status);
    if (rc == 0)
        rc = lt_client_call(t->ctl->client, "/lt.v1.Nodes/List", &nodes.base,
                            &lt__v1__nodes_list_response__descriptor, CALL_MS, arena,
                            (ProtobufCMessage **)&t->nodes, status);
    return rc;
}

/* ---- once */

static int once(struct top *t)
{
    Lt__V1__ListRequest jobs = LT__V1__LIST_REQUEST__INIT;
    Lt__V1__NodesListRequest nodes = LT__V1__NODES_LIST_REQUEST__INIT;
    LT_BUF_AUTO text = {0};
    int rc;

    jobs.has_all = true;
    jobs.all = lt_ctl_flag(t->ctl, "all");
    rc = lt_ctl_call(t->ctl, "List", &jobs, &lt__v1__list_response__descriptor, &t->jobs);
    if (rc == 0)
        rc = lt_ctl_call(t->ctl, "/lt.v1.Nodes/List", &nodes,
                         &lt__v1__nodes_list_response__descriptor, &t->nodes);
    if (rc)
        return rc;
    if (lt_ctl_output(t->ctl) != LT_OUTPUT_TABLE) {
        cJSON *rows = cJSON_CreateArray();

        for (size_t i = 0; i < t->jobs->n_jobs; i++)
            cJSON_AddItemToArray(rows, lt_status_json(t->jobs->jobs[i]));
        lt_output_list(t->ctl, "jobs", rows, NULL, 0);
        return 0;
    }
    lt_top_text(t->jobs, t->nodes, &text);
    fputs(text.data, stdout);
    return 0;
}

/* ---- live */

/* 0: shown. A daemon that restarts is waited for, with what was seen last. */
static int look(struct top *t, struct lt_screen *screen, struct lt_buf *text,
                struct lt_rpc_status *status)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    LT_BUF_AUTO shown = {0};
    int rc = ask(t, arena, status);

    if (rc == 0) {
        lt_buf_done(text);
        lt_top_text(t->jobs, t->nodes, text);
        lt_screen_draw(screen, text->data);
        return 0;
    }
    if (status->code != LT_RPC_UNAVAILABLE)
        return rc;
    lt_buf_printf(&shown, "ltd doesn't answer; this is what it said last\n%s",
                  text->data ? text->data : "");
    lt_screen_draw(screen, shown.data);
    lt_rpc_status_done(status);
    memset(status, 0, sizeof *status);
    lt_ctl_reconnect(t->ctl);
    return 0;
}

static int wait_key(struct lt_screen *screen, uint64_t began)
{
    uint64_t took = (lt_clock_mono_ns() - began) / NS_PER_MS;

    return lt_screen_wait(screen, took < EVERY_MS ? (int)(EVERY_MS - took) : 0);
}

static int live(struct top *t, struct lt_screen *screen)
{
    struct lt_rpc_status status = {0};
    LT_BUF_AUTO text = {0};
    int rc = 0, key = 0, signal;

    lt_interrupt_catch();
    while (rc == 0 && key != 'q' && key != 'Q' && !lt_interrupted() && !lt_screen_signal(screen)) {
        uint64_t began = lt_clock_mono_ns();

        rc = look(t, screen, &text, &status);
        if (rc == 0)
            key = wait_key(screen, began);
    }
    signal = lt_screen_signal(screen);
    lt_screen_close(screen);
    if (rc < 0)
        rc = lt_ctl_fail_status(t->ctl, &status);
    else if (signal)
        rc = 128 + signal;
    else if (lt_interrupted())
        rc = LT_EXIT_DETACHED;
    lt_rpc_status_done(&status);
    return rc;
}

static int run(struct lt_ctl *ctl)
{
    struct top t = {.ctl = ctl};
    struct lt_screen *screen = NULL;
    int rc = lt_ctl_connect(ctl);

    if (rc)
        return rc;
    if (lt_ctl_output(ctl) == LT_OUTPUT_TABLE && !lt_ctl_flag(ctl, "once"))
        screen = lt_screen_open();
    return screen ? live(&t, screen) : once(&t);
}

const struct lt_verb lt_verb_top = {
    .name = "top",
    .arguments = "",
    .summary = "Show all jobs and ranks, live",
    .details = "On a terminal it is drawn anew twice a second until q or Ctrl-C; on a pipe, and with "
               "-o, it is printed once.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
