/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/inherited.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/boot/manager.h"

#define FIRST_FD   3 /* SD_LISTEN_FDS_START of sd_listen_fds(3) */
#define MAX_PASSED 65536

static void add(struct inherited *set, int fd)
{
	struct error err;

	if (set->n < INHERITED_MAX && listen_adopt(fd, &set->specs[set->n], &err) == 0) {
		set->fds[set->n++] = fd;
		return;
	}
	log_warn("LISTEN_FDS: %s", set->n < INHERITED_MAX ? err.message : "too many descriptors");
	close(fd);
}

/* Adds the sockets that the previous daemon passed on. */
static void add_handed_over(struct inherited *set)
{
	const char *text = getenv(INHERITED_VARIABLE);
	uint64_t fd;
	size_t n;

	if (text && strncmp(text, INHERITED_HELD, strlen(INHERITED_HELD)) == 0) {
		set->held = true;
		text += strlen(INHERITED_HELD);
	}
	while (text && *text) {
		n = strcspn(text, ",");
		if (!decimal_parse(text, n, INT_MAX, &fd) || fd < FIRST_FD)
			break;
		add(set, (int)fd);
		text += n + (text[n] == ',');
	}
	unsetenv(INHERITED_VARIABLE);
}

void inherited_add_stored(struct inherited *set, int fd, const char *name, size_t n)
{
	struct stored_fd *stored;

	if (n >= STORED_NAME_BYTES) {
		close(fd);
		return;
	}
	set->stored = mem_realloc(set->stored, (set->n_stored + 1) * sizeof(*set->stored));
	stored = &set->stored[set->n_stored++];
	stored->fd = fd;
	memcpy(stored->name, name, n);
	stored->name[n] = '\0';
}

/*
 * Returns true if the name is a stored descriptor's. LISTEN_FDNAMES contains the unit of a socket
 * ("envd.socket"), and the name under which a descriptor was stored (pty/store.h).
 */
static bool is_stored_name(const char *name, size_t n)
{
	return (n > 5 && memcmp(name, "proc.", 5) == 0) ||
	       (n > 6 && memcmp(name, "stdin.", 6) == 0);
}

void inherited_from_environment(struct inherited *set)
{
	unsigned long pid = manager_take_number("LISTEN_PID"),
		      count = manager_take_number("LISTEN_FDS"), i;
	const char *name = getenv("LISTEN_FDNAMES");
	size_t n;

	memset(set, 0, sizeof(*set));
	set->notify_fd = (int)manager_take_number(INHERITED_NOTIFY_VARIABLE);
	if (set->notify_fd < FIRST_FD || fcntl(set->notify_fd, F_SETFD, FD_CLOEXEC) < 0)
		set->notify_fd = -1;
	set->held = pid == (unsigned long)getpid() && count > 0;
	for (i = 0; set->held && i < count && i < MAX_PASSED; i++) {
		n = name ? strcspn(name, ":") : 0;
		if (is_stored_name(name ? name : "", n)) {
			fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
			inherited_add_stored(set, FIRST_FD + (int)i, name, n);
		} else {
			add(set, FIRST_FD + (int)i);
		}
		if (name)
			name += name[n] ? n + 1 : n;
	}
	unsetenv("LISTEN_FDNAMES");
	add_handed_over(set);
}

void inherited_open(struct inherited *set, const struct listen_spec *specs, size_t n)
{
	struct error err;
	size_t i;

	set->held = true;
	for (i = 0; i < n && set->n < INHERITED_MAX; i++) {
		set->fds[set->n] = listen_open(&specs[i], &err);
		if (set->fds[set->n] >= 0)
			set->specs[set->n++] = specs[i];
	}
}

bool inherited_covers(const struct inherited *set, const struct listen_spec *spec)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (listen_spec_equal(&set->specs[i], spec))
			return true;
	return false;
}
