/*
 * What a service manager is told: sd_notify(3)'s datagrams, sent by ourselves. Without
 * NOTIFY_SOCKET in the environment every function does nothing.
 */
#ifndef ENVD_NOTIFY_H
#define ENVD_NOTIFY_H

#include "base/loop.h"

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment. Call
 * it once, before the loop runs and before anything is started.
 */
void notify_init(void);

/*
 * The daemon listens: units ordered after it may start. Where the manager asked for a watchdog,
 * the loop reports from now on that it turns, twice in each period; without one there is no timer.
 */
void notify_ready(struct loop *loop);

/* The daemon is ending on purpose. Stops the watchdog's timer. */
void notify_stopping(void);

#endif
