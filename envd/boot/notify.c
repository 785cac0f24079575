/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/notify.h"

#include <errno.h>
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
#include "envd/boot/manager.h"

/* Reads the address in NOTIFY_SOCKET: a path, or '@' and an abstract name. 0 or -EINVAL. */
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
	if (!text)
		return;
	if (read_address(n, text) == 0)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		log_warn("the service manager's socket %s is of no use", text);
	unsetenv("NOTIFY_SOCKET");
	/* A period with another process' pid is that process' (sd_watchdog_enabled(3)). */
	if (n->fd >= 0 && (!watchdog_pid || watchdog_pid == (uint64_t)getpid()))
		n->watchdog_ms = watchdog_us / 1000;
}

/* Sends one datagram. If the manager does not take it, the daemon goes on. */
static void send_state(struct notify *n, const char *text)
{
	if (n->fd >= 0 && sendto(n->fd, text, strlen(text), MSG_NOSIGNAL,
				 (struct sockaddr *)&n->addr, n->addr_bytes) < 0)
		log_warn("sending %s to the service manager: %s", text, error_errno_text(errno));
}

/* The timer runs in the loop, so it proves that the loop turns. */
static void on_watchdog(void *arg)
{
	struct notify *n = arg;

	send_state(n, "WATCHDOG=1");
	timer_set_ms(&n->timer, n->watchdog_ms / 2);
}

void notify_ready(struct notify *n, struct loop *loop)
{
	send_state(n, "READY=1");
	if (n->watchdog_ms < 2)
		return;
	timer_init(&n->timer, loop, on_watchdog, n);
	n->timer_set_up = true;
	timer_set_ms(&n->timer, n->watchdog_ms / 2);
}

void notify_restore_environment(const struct notify *n)
{
	char path[sizeof(n->addr.sun_path) + 1] = "", number[24];
	size_t bytes = n->addr_bytes - offsetof(struct sockaddr_un, sun_path);

	if (n->fd < 0)
		return;
	memcpy(path, n->addr.sun_path, bytes);
	if (path[0] == '\0')
		path[0] = '@';
	setenv("NOTIFY_SOCKET", path, 1);
	if (!n->watchdog_ms)
		return;
	snprintf(number, sizeof(number), "%ju", (uintmax_t)n->watchdog_ms * 1000);
	setenv("WATCHDOG_USEC", number, 1);
}

void notify_clear_environment(void)
{
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
	if (n->timer_set_up)
		timer_cancel(&n->timer);
	send_state(n, "STOPPING=1");
}

void notify_clear(struct notify *n)
{
	if (n->timer_set_up)
		timer_cancel(&n->timer);
	fd_close(&n->fd);
}
