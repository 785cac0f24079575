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

struct notify_message {
	TAILQ_ENTRY(notify_message) link;
	int fds[NOTIFY_MAX_FDS]; /* duplicates */
	size_t n_fds;
	char text[NOTIFY_TEXT_BYTES];
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

	*n = (struct notify){.fd = -1};
	TAILQ_INIT(&n->waiting);
	if (!text)
		return;
	if (read_address(n, text) == 0)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		log_warn("the service manager's socket %s is of no use", text);
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

static void message_free(struct notify_message *m)
{
	while (m->n_fds > 0)
		fd_close(&m->fds[--m->n_fds]);
	free(m);
}

static void retry_later(struct notify *n)
{
	if (n->loop && !TAILQ_EMPTY(&n->waiting) && !timer_pending(&n->retry))
		timer_set_ms(&n->retry, NOTIFY_RETRY_MS);
}

/* Lets a message wait, with duplicates of its descriptors. */
static void enqueue(struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	struct notify_message *m = mem_zalloc(sizeof(*m));

	snprintf(m->text, sizeof(m->text), "%s", text);
	while (m->n_fds < n_fds) {
		m->fds[m->n_fds] = fcntl(fds[m->n_fds], F_DUPFD_CLOEXEC, 0);
		if (m->fds[m->n_fds++] >= 0)
			continue;
		log_warn("%.20s for the service manager is lost: %s", text,
			 error_errno_text(errno));
		message_free(m);
		return;
	}
	TAILQ_INSERT_TAIL(&n->waiting, m, link);
	retry_later(n);
}

/* Sends a message, or lets it wait behind others. A manager that refuses it does not get it. */
static void send_with(struct notify *n, const char *text, const int *fds, size_t n_fds)
{
	int r = -EAGAIN;

	if (n->fd < 0 || n_fds > NOTIFY_MAX_FDS)
		return;
	if (TAILQ_EMPTY(&n->waiting))
		r = send_now(n, text, fds, n_fds);
	if (r == -EAGAIN)
		enqueue(n, text, fds, n_fds);
	else if (r < 0)
		log_warn("sending %.20s to the service manager: %s", text, error_errno_text(r));
}

/* Sends the messages that wait, until the manager's queue is full again. */
static void on_retry(void *arg)
{
	struct notify *n = arg;
	struct notify_message *m;
	int r = 0;

	while (r != -EAGAIN && (m = TAILQ_FIRST(&n->waiting))) {
		r = send_now(n, m->text, m->fds, m->n_fds);
		if (r == -EAGAIN)
			break;
		if (r < 0)
			log_warn("sending %.20s to the service manager: %s", m->text,
				 error_errno_text(r));
		TAILQ_REMOVE(&n->waiting, m, link);
		message_free(m);
	}
	retry_later(n);
}

static void send_state(struct notify *n, const char *text)
{
	send_with(n, text, NULL, 0);
}

void notify_init_connected(struct notify *n, int fd)
{
	*n = (struct notify){.fd = fd, .is_connected = true};
	TAILQ_INIT(&n->waiting);
}

void notify_store(struct notify *n, const char *name, const int *fds, size_t n_fds)
{
	char text[NOTIFY_TEXT_BYTES];

	/*
	 * Without FDPOLL=0, the manager closes a pipe whose writer is gone, and its unread bytes
	 * are lost.
	 */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	send_with(n, text, fds, n_fds);
}

void notify_drop(struct notify *n, const char *name)
{
	char text[NOTIFY_TEXT_BYTES];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	send_state(n, text);
}

/* The timer runs in the loop, so it proves that the loop is not blocked. */
static void on_watchdog(void *arg)
{
	struct notify *n = arg;

	send_state(n, "WATCHDOG=1");
	timer_set_ms(&n->timer, n->watchdog_ms / 2);
}

void notify_ready(struct notify *n, struct loop *loop)
{
	n->loop = loop;
	timer_init(&n->retry, loop, on_retry, n);
	timer_init(&n->timer, loop, on_watchdog, n);
	send_state(n, "READY=1");
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
		send_state(n, "WATCHDOG_USEC=18446744073709551615");
}

void notify_stopping(struct notify *n)
{
	if (n->loop)
		timer_cancel(&n->timer);
	send_state(n, "STOPPING=1");
}

void notify_clear(struct notify *n)
{
	struct notify_message *m;

	if (n->loop) {
		timer_cancel(&n->timer);
		timer_cancel(&n->retry);
	}
	while ((m = TAILQ_FIRST(&n->waiting))) {
		TAILQ_REMOVE(&n->waiting, m, link);
		message_free(m);
	}
	fd_close(&n->fd);
}
