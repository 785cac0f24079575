/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/inherited.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "envd/boot/manager.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START of sd_listen_fds(3) */

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

void inherited_from_environment(struct inherited *set)
{
	unsigned long pid = manager_take_number("LISTEN_PID"),
		      count = manager_take_number("LISTEN_FDS"), i;

	unsetenv("LISTEN_FDNAMES");
	set->n = 0;
	if (pid != (unsigned long)getpid())
		return;
	for (i = 0; i < count && i < 1024; i++)
		add(set, FIRST_FD + (int)i);
}

void inherited_open(struct inherited *set, const struct listen_spec *specs, size_t n)
{
	struct error err;
	size_t i;

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
