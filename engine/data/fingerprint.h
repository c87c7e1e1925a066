/* fingerprint.h - has a file changed since training began? */
#ifndef LT_DATA_FINGERPRINT_H
#define LT_DATA_FINGERPRINT_H

struct lt_buf;
struct lt_error;

/* Appends "PATH size=… mtime=… inode=… sample=…\n": the sample is a digest of 16 blocks of 4 KiB
 * spread evenly. */
int lt_fingerprint_file(const char *path, struct lt_buf *out, struct lt_error *err);

#endif
