/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live upgrade, the outgoing side: POST /upgrade replaces the daemon by another program under the
 * same pid, while its processes go on (docs/compatibility/upgrade.md).
 *
 *	IDLE ─► RECEIVING ─► CHECKING ─► FREEZING ─► execve(2)
 *	  ▲         │            │           │           │
 *	  │         ├── refused ─┘           └─ failed ──┤
 *	  └──── DISCARDING ◄──────────── THAWING ◄───────┘
 *
 * Everything before the execve can be undone. After a failure the workload is thawed, its output is
 * read again, the duplicated descriptors are closed, the files of the upgrade are removed, and the
 * caller gets one line of text. Other clients of the daemon notice nothing. A successful execve
 * ends all connections.
 */
#ifndef ENVD_UPGRADE_UPGRADE_H
#define ENVD_UPGRADE_UPGRADE_H

#include <stdbool.h>

struct control;
struct notify;
struct audit;
struct options;
struct pty_service;
struct router;
struct upgrade;
struct watch_service;

/* The path of the new program, and the only value that X-Envd-Upgrade-Bin may have. */
#define UPGRADE_PROGRAM "/usr/bin/envd.next"

/* The body of the request until it has passed the check; in the same directory, for rename(2). */
#define UPGRADE_PART UPGRADE_PROGRAM ".part"

/* A larger body is refused with 413. */
#define UPGRADE_MAX_BYTES (256ull * 1024 * 1024)

/* How long the kernel may take to stop the workload. */
#define UPGRADE_FREEZE_MS 2000

/* How long the upgrade waits for the last lines of the audit stream. */
#define UPGRADE_AUDIT_MS 1000

/* The numbers of the descriptors that are handed over begin here, as the reference's do. */
#define UPGRADE_FIRST_FD 200

struct upgrade_parts {
	struct control *control;
	struct pty_service *pty;
	struct watch_service *watch;
	struct notify *notify;
	struct audit *audit; /* NULL: none */
	const struct options *options;
	bool sockets_are_held; /* a parent holds the sockets, so the reference can't bind */
};

/*
 * Registers the endpoint. Borrows everything; copies the struct. Owned; lives as long as the
 * router.
 */
struct upgrade *upgrade_new(const struct upgrade_parts *parts, struct router *router);
void upgrade_free(struct upgrade *u);

/*
 * Calls `done` once, from the loop, when no upgrade is in progress; at once if none is. For the end
 * of the daemon: an upgrade in progress may have frozen the workload, which would stay frozen.
 */
void upgrade_when_idle(struct upgrade *u, void (*done)(void *arg), void *arg);

#endif
