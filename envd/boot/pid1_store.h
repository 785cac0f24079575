/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptors that process 1 of -init keeps for the daemon, as a service manager would: they
 * outlive a crash of the daemon, and the next one gets them by fork. The daemon sends the datagrams
 * of notify_store and notify_drop over a socketpair that nobody else has.
 */
#ifndef ENVD_PID1_STORE_H
#define ENVD_PID1_STORE_H

struct inherited;

/* What is beyond this many descriptors is closed. */
#define PID1_STORE_MAX 65536

struct pid1_store;

/*
 * Makes the socketpair. From then on SIGIO tells that a datagram is there. Owned; NULL, after a
 * line in the log, if there can be no socketpair.
 */
struct pid1_store *pid1_store_new(void);

/* Reads every datagram that is there. NULL is fine. */
void pid1_store_read(struct pid1_store *store);

/* In the daemon, after the fork: the end of the socketpair, and what is kept. NULL: nothing. */
void pid1_store_inherit(const struct pid1_store *store, struct inherited *set);

#endif
