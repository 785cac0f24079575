/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP listeners of the guest with their processes, for GET /ports. */
#ifndef ENVD_PORT_LIST_H
#define ENVD_PORT_LIST_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "envd/relay/port_scan.h"

struct user_db;

/* The kernel's TASK_COMM_LEN. */
#define PORT_COMMAND_BYTES 16

/* Longer names of users are shown as numbers; useradd(8) allows 32 bytes. Leaves no padding. */
#define PORT_USER_BYTES 36

/*
 * The maximum number of descriptors of processes that one listing looks at, and its maximum time.
 * The processes of the remaining listeners are unknown.
 */
#define PORT_LIST_MAX_DESCRIPTORS 262144
#define PORT_LIST_MAX_MS	  2000

struct port_entry {
	struct port_listener listener;
	pid_t pid; /* the lowest one that has the socket; 0: unknown */
	/*
	 * The name of the program, as in /proc/PID/comm. The arguments are left out: the kernel
	 * reads them from the memory of the process, and the process can delay this read for ever.
	 */
	char command[PORT_COMMAND_BYTES];
	char user[PORT_USER_BYTES]; /* the name of listener.uid, or its number */
};

/* Sorted by port, family, address and inode. Shared by reference; loop only. */
struct port_list {
	unsigned refs;
	uint64_t fingerprint; /* of the scan from which it was made */
	size_t n;
	struct port_entry entries[];
};

/*
 * Lists the listeners, without the n_own ones of these inodes and without those of this process.
 * Returns the owned list, or NULL and *ret_errno, negative. A shortage of descriptors during the
 * search for processes is a failure, because the process of a listener would seem unknown. Takes as
 * long as reading all of /proc: call it on a worker.
 */
struct port_list *port_list_read(const uint32_t *own_inodes, size_t n_own, struct user_db *users,
				 int *ret_errno);
struct port_list *port_list_ref(struct port_list *list);
void port_list_unref(struct port_list *list); /* NULL is fine */

/* Two scans with the same listeners, in any order, have the same fingerprint. */
uint64_t port_set_fingerprint(const struct port_set *set);

/* The order of the list. */
int port_entry_compare(const struct port_entry *a, const struct port_entry *b);

/* Writes the address of a listener as text. */
void port_listener_address(const struct port_listener *listener, char text[INET6_ADDRSTRLEN]);

#endif
