/* paths.h - where things lie (docs/files.md) */
#ifndef LT_SYS_PATHS_H
#define LT_SYS_PATHS_H

struct lt_error;

/* All results are lt_free()d by the caller; folders are not created. */
char *lt_path_state_dir(void);   /* $XDG_STATE_HOME/ltd, else ~/.local/state/ltd */
char *lt_path_data_dir(void);    /* $XDG_DATA_HOME/ltd, else ~/.local/share/ltd */
char *lt_path_cache_dir(void);   /* $XDG_CACHE_HOME/ltd, else ~/.cache/ltd */
char *lt_path_runtime_dir(void); /* $XDG_RUNTIME_DIR/ltd, else /tmp/ltd-UID */
char *lt_path_user_socket(void); /* <runtime>/ltd.sock */
/* A program of ours, found relative to the running binary: "ltd", "ltctl" in bin/, "lt-worker", "lt-shim" in
 * ../libexec/ltd/. LT_PROGRAM_PATH (folders, ':' between them) is searched first: tests run from a build tree. */
char *lt_path_program(const char *name);
char *lt_path_join(const char *a, const char *b);
char *lt_path_dirname(const char *path); /* "." without a slash, "/" of "/x" */
/* A file named by its content, below a state folder: <state>/blobs/ab/abcdef…; hash is 64 hexadecimal digits. */
char *lt_path_blob(const char *state, const char *hash);
/* Creates the runtime folder 0700 and checks that we own it. */
int lt_path_make_runtime_dir(const char *dir, struct lt_error *err);

#endif
