/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that process 1 of -init keeps for the daemon, as a service manager would (FDSTORE in
 * sd_notify(3)). They survive a crash of the daemon, and the next daemon inherits them by fork. The
 * daemon sends the datagrams of notify_store and notify_drop over a socketpair that only these two
 * processes have.
 */
#ifndef ENVD_PID1_STORE_H
#define ENVD_PID1_STORE_H

struct inherited;

/* Maximum number of kept descriptors. Further ones are closed. */
#define PID1_STORE_MAX 65536

struct pid1_store;

/*
 * Creates the store and its socketpair. From then on the kernel sends SIGIO to process 1 when a
 * datagram arrives. Returns an owned store, or NULL after logging the error if it can't create the
 * socketpair.
 */
struct pid1_store *pid1_store_new(void);

/* Reads all pending datagrams. Accepts NULL. */
void pid1_store_read(struct pid1_store *store);

/*
 * Call it in the daemon, after the fork: moves the daemon's end of the socketpair and the kept
 * descriptors to the set, and frees the store. Accepts NULL, and then does nothing.
 */
void pid1_store_inherit(struct pid1_store *store, struct inherited *set);

#endif
