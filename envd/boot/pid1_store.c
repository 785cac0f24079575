/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/pid1_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"

#define DATAGRAM_BYTES 256
#define DATAGRAM_FDS   8

struct pid1_store {
	int own, daemons; /* the two ends */
	struct stored_fd *kept;
	size_t n, room;
};

struct pid1_store *pid1_store_new(void)
{
	struct pid1_store *store = mem_zalloc(sizeof(*store));
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		log_warn("init: processes do not outlive the daemon: %s", error_errno_text(errno));
		free(store);
		return NULL;
	}
	store->own = ends[0];
	store->daemons = ends[1];
	fcntl(store->own, F_SETOWN, getpid());
	fcntl(store->own, F_SETFL, O_NONBLOCK | O_ASYNC);
	return store;
}

static void keep(struct pid1_store *store, int fd, const char *name)
{
	struct stored_fd *kept;

	if (store->n == PID1_STORE_MAX || strlen(name) >= STORED_NAME_BYTES) {
		close(fd);
		return;
	}
	if (store->n == store->room) {
		store->room = store->room ? store->room * 2 : 64;
		store->kept = mem_realloc(store->kept, store->room * sizeof(*store->kept));
	}
	kept = &store->kept[store->n++];
	kept->fd = fd;
	strcpy(kept->name, name);
}

static void drop(struct pid1_store *store, const char *name)
{
	size_t i, left = 0;

	for (i = 0; i < store->n; i++) {
		if (strcmp(store->kept[i].name, name) == 0)
			close(store->kept[i].fd);
		else
			store->kept[left++] = store->kept[i];
	}
	store->n = left;
}

/* Copies the descriptors of a datagram. Returns their number. */
static size_t take_fds(struct msghdr *message, int fds[DATAGRAM_FDS])
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	size_t n;

	if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return 0;
	n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(head), n * sizeof(int));
	return n;
}

/*
 * Returns the value of a line "KEY=value" in the text, which ends at a newline or at the end; NULL
 * if there is none.
 */
static const char *find_line(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (; text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
		if (strncmp(text, key, n) == 0)
			return text + n;
	return NULL;
}

static void take_datagram(struct pid1_store *store, const char *text, const int *fds, size_t n)
{
	const char *name = find_line(text, "FDNAME=");
	char copy[STORED_NAME_BYTES] = "";
	size_t i;

	if (name && strcspn(name, "\n") < sizeof(copy))
		memcpy(copy, name, strcspn(name, "\n"));
	if (find_line(text, "FDSTOREREMOVE=1"))
		drop(store, copy);
	for (i = 0; i < n; i++)
		keep(store, fds[i], copy);
}

void pid1_store_read(struct pid1_store *store)
{
	char text[DATAGRAM_BYTES + 1], control[CMSG_SPACE(sizeof(int) * DATAGRAM_FDS)];
	struct iovec data = {.iov_base = text, .iov_len = DATAGRAM_BYTES};
	struct msghdr message;
	int fds[DATAGRAM_FDS];
	ssize_t n;

	if (!store)
		return;
	for (;;) {
		message = (struct msghdr){.msg_iov = &data,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control)};
		n = recvmsg(store->own, &message, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text[n] = '\0';
		take_datagram(store, text, fds, take_fds(&message, fds));
	}
}

void pid1_store_inherit(struct pid1_store *store, struct inherited *set)
{
	size_t i;

	if (!store)
		return;
	set->notify_fd = store->daemons;
	for (i = 0; i < store->n; i++)
		inherited_add_stored(set, store->kept[i].fd, store->kept[i].name,
				     strlen(store->kept[i].name));
	free(store->kept);
	free(store);
}
