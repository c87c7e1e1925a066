/* test_checkpoint.c - checkpoint folders under crashes, full disks and damage: a whole one always
 * remains */
#include "tests/train/rig.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/train/checkpoint.h"
#include "sys/file.h"
#include "tests/data/make_idx.h"
#include "tests/support/fault.h"

static const float weights[2][3] = {{1, 2, 3}, {4, 5, 6}};

/* A checkpoint whose content is a function of its version. */
static int write_version(const char *dir, const char *name, int version, struct lt_error *err)
{
    float changed[2][3];
    struct lt_tensor t = {.name = "w",
                          .dtype = LT_F32,
                          .ndim = 2,
                          .dim = {2, 3},
                          .data = changed,
                          .bytes = sizeof changed};
    struct lt_checkpoint_content c = {
        .model = &t, .n_model = 1, .optimizer = &t, .n_optimizer = 1, .trainer_json = "{}"};
    struct lt_manifest meta = {
        .job = "job-1", .step = (uint64_t)version, .sequence = (uint64_t)version, .callback = -1};

    memcpy(changed, weights, sizeof changed);
    changed[0][0] = (float)version;
    return lt_checkpoint_write(&c, &meta, dir, name, err);
}

static int set_last(const char *dir, const char *name)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/last", dir);

    return lt_file_replace(path, name, strlen(name), 0644, NULL);
}

/* The version of a whole checkpoint; -1: it isn't whole or isn't there. */
static int version_of(const char *dir, const char *name)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/%s", dir, name);
    LT_AUTO(lt_free) char *model = lt_format("%s/model.safetensors", path);
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *s = NULL;
    struct lt_manifest meta;
    const struct lt_tensor *t;

    if (lt_manifest_verify(path, &meta, NULL) < 0)
        return -1;
    assert_int_equal(lt_safetensors_open(model, &s, NULL), 0);
    t = lt_safetensors_find(s, "w");
    assert_non_null(t);
    assert_int_equal(((const float *)t->data)[0], meta.step);
    return (int)meta.step;
}

static char *named_last(const char *dir)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/last", dir);
    LT_BUF_AUTO text = {0};

    assert_int_equal(lt_file_read(path, 100, &text, NULL), 0);
    return lt_buf_take(&text);
}

typedef int operation(const char *dir);

/* Dies at every operation of `op`, loses what wasn't synced, then `check`s. */
static void power_cuts(operation *op, void (*check)(const char *dir, bool finished))
{
    LT_AUTO(lt_free) char *base = make_dir();

    for (uint32_t seed = 0; seed < 3; seed++)
        for (unsigned k = 0;; k++) {
            LT_AUTO(lt_free) char *dir = lt_format("%s/%u-%u", base, seed, k);
            bool finished;

            assert_int_equal(write_version(dir, "a", 1, NULL), 0);
            assert_int_equal(set_last(dir, "a"), 0);
            lt_fault_track(dir);
            lt_fault_die_at(k);
            op(dir);
            finished = !lt_fault_fired();
            lt_fault_off();
            lt_fault_power_cut(seed);
            lt_fault_remove();
            assert_int_equal(lt_checkpoint_clean(dir, NULL), 0);
            check(dir, finished);
            lt_file_remove_tree(dir, NULL);
            if (finished)
                break;
        }
}

static int add_one(const char *dir)
{
    int rc = write_version(dir, "b", 2, NULL);

    return rc < 0 ? rc : set_last(dir, "b");
}

static void old_or_new(const char *dir, bool finished)
{
    struct lt_checkpoint_list l = {0};
    LT_AUTO(lt_free) char *last = named_last(dir);

    assert_int_equal(version_of(dir, "a"), 1);
    assert_int_equal(version_of(dir, last), strcmp(last, "a") ? 2 : 1);
    lt_checkpoint_list_add(&l, dir);
    for (int i = 0; i < l.n; i++)
        assert_true(version_of(dir, strrchr(l.items[i].path, '/') + 1) >
                    0); /* what is listed is whole */
    if (finished)
        assert_string_equal(last, "b");
    lt_checkpoint_list_done(&l);
}

static void cut_while_adding(void **state)
{
    (void)state;
    power_cuts(add_one, old_or_new);
}

static int replace_one(const char *dir)
{
    return write_version(dir, "a", 2, NULL);
}

static void replaced_or_not(const char *dir, bool finished)
{
    int v = version_of(dir, "a");

    assert_true(v == 2 || (v == 1 && !finished));
}

static void cut_while_replacing(void **state)
{
    (void)state;
    power_cuts(replace_one, replaced_or_not);
}

/* An operation that fails is an error with the old state kept, and no rubbish left. */
static void every_failure_is_told(void **state)
{
    LT_AUTO(lt_free) char *base = make_dir();

    (void)state;
    for (unsigned k = 0;; k++) {
        LT_AUTO(lt_free) char *dir = lt_format("%s/%u", base, k);
        struct lt_error err = {0};
        bool fired;
        int rc;

        assert_int_equal(write_version(dir, "a", 1, NULL), 0);
        lt_fault_fail_at(k, EIO);
        rc = write_version(dir, "a", 2, &err);
        fired = lt_fault_fired();
        lt_fault_off();
        lt_fault_remove();
        assert_int_equal(lt_checkpoint_clean(dir, NULL), 0);
        assert_true(version_of(dir, "a") == (rc == 0 ? 2 : 1) ||
                    (rc < 0 && version_of(dir, "a") == 2));
        if (rc < 0)
            assert_true(err.text[0] != '\0');
        lt_file_remove_tree(dir, NULL);
        if (!fired)
            break;
    }
}

static void a_full_disk(void **state)
{
    LT_AUTO(lt_free) char *dir = make_dir();
    struct lt_error err = {0};

    (void)state;
    for (uint64_t room = 0; room < 400; room += 40) {
        assert_int_equal(write_version(dir, "a", 1, NULL), 0);
        lt_fault_disk_full(room);
        assert_int_equal(write_version(dir, "b", 2, &err), -ENOSPC);
        lt_fault_off();
        lt_fault_remove();
        assert_int_equal(version_of(dir, "a"), 1);
        assert_int_equal(version_of(dir, "b"), -1);
    }
    lt_file_remove_tree(dir, NULL);
}

static void damage_is_found(void **state)
{
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors",
                                        "trainer.json", "MANIFEST"};
    LT_AUTO(lt_free) char *dir = make_dir();

    (void)state;
    for (size_t f = 0; f < LT_ARRAY_LEN(files); f++) {
        LT_AUTO(lt_free) char *path = lt_format("%s/a/%s", dir, files[f]);
        LT_BUF_AUTO bytes = {0};

        assert_int_equal(write_version(dir, "a", 1, NULL), 0);
        assert_int_equal(version_of(dir, "a"), 1);
        assert_int_equal(lt_file_read(path, 1 << 20, &bytes, NULL), 0);
        bytes.data[bytes.len / 2] ^= 4;
        assert_int_equal(lt_file_replace(path, bytes.data, bytes.len, 0644, NULL), 0);
        assert_int_equal(version_of(dir, "a"), -1);
        assert_int_equal(lt_file_replace(path, bytes.data, bytes.len - 1, 0644, NULL), 0);
        assert_int_equal(version_of(dir, "a"), -1);
    }
    lt_file_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_while_adding),      cmocka_unit_test(cut_while_replacing),
        cmocka_unit_test(every_failure_is_told), cmocka_unit_test(a_full_disk),
        cmocka_unit_test(damage_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
