/* stream.h - reading a cursor stream to its end, over lost connections */
#ifndef LT_CLIENT_STREAM_H
#define LT_CLIENT_STREAM_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct lt_ctl;

struct lt_stream {
    const char *method; /* "/lt.v1.Jobs/Events" */
    const ProtobufCMessageDescriptor *out;
    /* Makes the request; cursor is the last one taken (len 0: none), valid for the call. */
    const ProtobufCMessage *(*request)(void *arg, ProtobufCBinaryData cursor);
    /* Takes a reply. *cursor is set to the reply's, when it has one. 1: that was the end, 0: go on,
     * <0: -exit code. */
    int (*reply)(void *arg, const ProtobufCMessage *m, ProtobufCBinaryData *cursor);
    void *arg;
    bool follow; /* reconnects; without it a lost connection is an error */
};

/* 0 at the end; LT_EXIT_DETACHED on Ctrl-C; else an exit code with the reason printed. Without
 * follow a stream that the server ended with OK is at its end. */
int lt_stream_run(struct lt_ctl *ctl, const struct lt_stream *s);

#endif
