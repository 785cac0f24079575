/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"
#include "envd/boot/manager.h"

#define NOTIFY_MAX_FDS	  8
#define NOTIFY_TEXT_BYTES 128

/* A name that the manager is to drop. */
struct notify_removal {
	TAILQ_ENTRY(notify_removal) link;
	char name[NOTIFY_NAME_BYTES];
};

static void on_retry(void *arg);
static void on_watchdog(void *arg);

/* Parses the address in NOTIFY_SOCKET: a path, or '@' and an abstract name. 0 or -EINVAL. */
static int read_address(struct notify *n, const char *text)
{
	size_t bytes = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || bytes < 2 || bytes >= sizeof(n->addr.sun_path))
		return -EINVAL;
	n->addr.sun_family = AF_UNIX;
	memcpy(n->addr.sun_path, text, bytes);
	if (text[0] == '@')
		n->addr.sun_path[0] = '\0';
	n->addr_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	return 0;
}

void notify_init(struct notify *n)
{
	const char *text = getenv("NOTIFY_SOCKET");
	uint64_t watchdog_us = manager_take_number("WATCHDOG_USEC");
	uint64_t watchdog_pid = manager_take_number("WATCHDOG_PID");

	*n = (struct notify){.fd = -1, .retry_ms = NOTIFY_RETRY_MS};
	TAILQ_INIT(&n->removals);
	if (!text)
		return;
	if (read_address(n, text) == 0)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		log_warn("the service manager's socket %s can't be used", text);
	unsetenv("NOTIFY_SOCKET");
	/* WATCHDOG_USEC is for the process in WATCHDOG_PID (sd_watchdog_enabled(3)). */
	if (n->fd >= 0 && (!watchdog_pid || watchdog_pid == (uint64_t)getpid()))
		n->watchdog_ms = watchdog_us / 1000;
}

/* Sends one datagram with descriptors. 0 or -errno; -EAGAIN if the manager's queue is full. */
static int send_now(struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr head; /* aligns the bytes (cmsg(3)) */
		char bytes[CMSG_SPACE(sizeof(int) * NOTIFY_MAX_FDS)];
	} control = {.bytes = {0}};
	struct iovec data = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (!n->is_connected) {
		message.msg_name = &n->addr;
		message.msg_namelen = n->addr_bytes;
	}
	if (n_fds) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n_fds);
	}
	return sendmsg(n->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Sends a message. False: the manager is busy, or the kernel is short of memory. A message that
 * fails for another reason is logged and not sent again.
 */
static bool send_with(struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	int r = send_now(n, text, fds, n_fds);

	if (r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS)
		return false;
	if (r < 0)
		log_warn("sending %.20s to the service manager: %s", text, error_errno_text(r));
	return true;
}

static bool something_waits(const struct notify *n)
{
	return n->states || !TAILQ_EMPTY(&n->removals) || n->store_waits;
}

static void retry_later(struct notify *n)
{
	if (n->loop && something_waits(n) && !timer_pending(&n->retry))
		timer_set_ms(&n->retry, n->retry_ms);
}

static bool send_state(struct notify *n, enum notify_state state)
{
	static const char *const texts[NOTIFY_STATES] = {
		[NOTIFY_READY] = "READY=1",
		[NOTIFY_WATCHDOG] = "WATCHDOG=1",
		[NOTIFY_NO_WATCHDOG] = "WATCHDOG_USEC=18446744073709551615",
		[NOTIFY_STOPPING] = "STOPPING=1",
	};

	return send_with(n, texts[state], NULL, 0);
}

static bool send_removal(struct notify *n, const char *name)
{
	char text[NOTIFY_TEXT_BYTES];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return send_with(n, text, NULL, 0);
}

/* Sends a state, or lets it wait. */
static void report(struct notify *n, enum notify_state state)
{
	if (n->fd < 0)
		return;
	if (n->states || !send_state(n, state))
		n->states |= 1u << state;
	retry_later(n);
}

static void removal_free(struct notify *n, struct notify_removal *removal)
{
	TAILQ_REMOVE(&n->removals, removal, link);
	free(removal);
}

/* Sends what waits. Returns true if nothing waits any more; *ret_sent: at least one was sent. */
static bool flush(struct notify *n, bool *ret_sent)
{
	struct notify_removal *removal;
	unsigned state;

	*ret_sent = false;
	for (state = 0; state < NOTIFY_STATES; state++) {
		if (!(n->states & 1u << state))
			continue;
		if (!send_state(n, (enum notify_state)state))
			return false;
		n->states &= ~(1u << state);
		*ret_sent = true;
	}
	while ((removal = TAILQ_FIRST(&n->removals))) {
		if (!send_removal(n, removal->name))
			return false;
		removal_free(n, removal);
		*ret_sent = true;
	}
	return true;
}

/* The manager may read again: sends what waits, and then lets the owner store descriptors. */
static void on_retry(void *arg)
{
	struct notify *n = arg;
	bool sent;

	if (flush(n, &sent) && n->store_waits) {
		n->store_waits = false;
		n->stored = false;
		if (n->room)
			n->room(n->room_arg);
		sent = sent || n->stored;
	}
	if (sent || !something_waits(n))
		n->retry_ms = NOTIFY_RETRY_MS;
	else if (n->retry_ms < NOTIFY_RETRY_MAX_MS)
		n->retry_ms *= 2;
	retry_later(n);
}

void notify_init_connected(struct notify *n, int fd)
{
	*n = (struct notify){.fd = fd, .is_connected = true, .retry_ms = NOTIFY_RETRY_MS};
	TAILQ_INIT(&n->removals);
}

bool notify_store(struct notify *n, const char *name, const int *fds, size_t n_fds)
{
	char text[NOTIFY_TEXT_BYTES];

	if (n->fd < 0 || n_fds > NOTIFY_MAX_FDS)
		return true;
	/*
	 * Without FDPOLL=0, the manager closes a pipe whose writer is gone, and its unread bytes
	 * are lost.
	 */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	/* A removal that waits may have the same name. */
	if (TAILQ_EMPTY(&n->removals) && send_with(n, text, fds, n_fds)) {
		n->stored = true;
		return true;
	}
	n->store_waits = true;
	retry_later(n);
	return false;
}

void notify_on_room(struct notify *n, void (*room)(void *arg), void *arg)
{
	n->room = room;
	n->room_arg = arg;
}

void notify_drop(struct notify *n, const char *name)
{
	struct notify_removal *removal;

	if (n->fd < 0 || (TAILQ_EMPTY(&n->removals) && send_removal(n, name)))
		return;
	removal = mem_zalloc(sizeof(*removal));
	snprintf(removal->name, sizeof(removal->name), "%s", name);
	TAILQ_INSERT_TAIL(&n->removals, removal, link);
	retry_later(n);
}

size_t notify_removals(const struct notify *n, const char **ret)
{
	const struct notify_removal *removal;
	size_t count = 0;

	TAILQ_FOREACH (removal, &n->removals, link) {
		if (ret)
			ret[count] = removal->name;
		count++;
	}
	return count;
}

/* The timer runs in the loop, so it proves that the loop is not blocked. */
static void on_watchdog(void *arg)
{
	struct notify *n = arg;

	report(n, NOTIFY_WATCHDOG);
	timer_set_ms(&n->timer, n->watchdog_ms / 2);
}

void notify_ready(struct notify *n, struct loop *loop)
{
	n->loop = loop;
	timer_init(&n->retry, loop, on_retry, n);
	timer_init(&n->timer, loop, on_watchdog, n);
	report(n, NOTIFY_READY);
	retry_later(n);
	if (n->watchdog_ms >= 2)
		timer_set_ms(&n->timer, n->watchdog_ms / 2);
}

void notify_restore_environment(const struct notify *n)
{
	char path[sizeof(n->addr.sun_path) + 1] = "", number[24];
	size_t bytes = n->addr_bytes - offsetof(struct sockaddr_un, sun_path);

	if (n->fd < 0)
		return;
	if (n->is_connected) {
		fcntl(n->fd, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", n->fd);
		setenv(INHERITED_NOTIFY_VARIABLE, number, 1);
		return;
	}
	memcpy(path, n->addr.sun_path, bytes);
	if (path[0] == '\0')
		path[0] = '@';
	setenv("NOTIFY_SOCKET", path, 1);
	if (!n->watchdog_ms)
		return;
	snprintf(number, sizeof(number), "%ju", (uintmax_t)n->watchdog_ms * 1000);
	setenv("WATCHDOG_USEC", number, 1);
}

void notify_clear_environment(const struct notify *n)
{
	if (n->is_connected)
		fcntl(n->fd, F_SETFD, FD_CLOEXEC);
	unsetenv(INHERITED_NOTIFY_VARIABLE);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
}

void notify_stop_watchdog(struct notify *n)
{
	if (n->watchdog_ms)
		report(n, NOTIFY_NO_WATCHDOG);
}

void notify_stopping(struct notify *n)
{
	if (n->loop)
		timer_cancel(&n->timer);
	report(n, NOTIFY_STOPPING);
}

void notify_clear(struct notify *n)
{
	if (n->loop) {
		timer_cancel(&n->timer);
		timer_cancel(&n->retry);
	}
	while (!TAILQ_EMPTY(&n->removals))
		removal_free(n, TAILQ_FIRST(&n->removals));
	fd_close(&n->fd);
}
