/* notify.h - tells the service manager where we are (the sd_notify protocol, without libsystemd) */
#ifndef LT_SYS_NOTIFY_H
#define LT_SYS_NOTIFY_H

/* Sends "READY=1", "STOPPING=1", "STATUS=text" … to $NOTIFY_SOCKET. 1: sent. 0: nobody asked for it. -errno. */
int lt_notify(const char *state);

#endif
