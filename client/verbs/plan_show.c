/* plan_show.c - ltctl plan show PLAN: the whole plan, defaults filled in; the same hash */
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "client/command.h"
#include "client/ctl.h"
#include "client/files.h"
#include "client/output.h"
#include "proto/plan.h"
#include "proto/text/text.h"
#include "sys/sha256.h"

static const struct lt_option options[] = {
    {"set", 0, LT_OPTION_LIST, "PATH=VALUE",
     "change a field of the plan: trainer.max_epochs=3; may be repeated"},
    LT_COMMAND_OPTIONS,
    {"hash", 0, LT_OPTION_FLAG, NULL, "print the plan's hash instead"},
    {"short", 0, LT_OPTION_FLAG, NULL, "without the defaults"},
};

static void print_hash(const Lt__V1__JobSpec *spec)
{
    LT_BUF_AUTO bytes = {0};
    char hex[65];

    lt_buf_u32(&bytes, LT_PLAN_SCHEMA_VERSION);
    lt_plan_canonical(&spec->base, &bytes);
    lt_sha256_hex_of(bytes.data, bytes.len, hex);
    puts(hex);
}

static int run(struct lt_ctl *ctl)
{
    enum lt_output form = lt_ctl_output(ctl);
    Lt__V1__JobSpec *spec;
    LT_BUF_AUTO text = {0};
    int flags = lt_ctl_flag(ctl, "short") ? 0 : LT_TEXT_DEFAULTS;
    int rc = lt_spec_read(ctl, &spec);

    if (rc == 0)
        rc = lt_files_address(ctl, spec);
    if (rc)
        return rc;
    if (lt_ctl_flag(ctl, "hash")) {
        print_hash(spec);
        return 0;
    }
    if (form == LT_OUTPUT_JSON)
        flags |= LT_TEXT_JSON | LT_TEXT_PRETTY;
    if (form == LT_OUTPUT_JSONL)
        flags |= LT_TEXT_JSON;
    lt_text_print_spec(spec, flags, &text);
    fputs(text.data ? text.data : "", stdout);
    if (text.len && text.data[text.len - 1] != '\n')
        putchar('\n');
    return 0;
}

const struct lt_verb lt_verb_plan_show = {
    .name = "plan show",
    .arguments = "PLAN | -- PROGRAM [ARGUMENT…]",
    .summary = "Print a plan with its defaults filled in",
    .details = "What is printed is a plan, too: it has the same hash, and is the same job. A file that "
               "goes along with it is named\n"
               "by its content.",
    .options = options,
    .n_options = LT_ARRAY_LEN(options),
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_OUTPUT | LT_VERB_COMMAND,
    .run = run,
};
