/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cgroup_tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "envd/control/freeze_tree.h"

char tree_top[64];
int tree_root_fd;

void tree_put(const char *path, const char *file, const char *text)
{
	char whole[512];
	int fd;

	snprintf(whole, sizeof(whole), "%s/%s", path, file);
	fd = openat(tree_root_fd, whole, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

void tree_make(const char *path)
{
	char part[512];
	const char *slash = path;

	do {
		slash = strchrnul(slash + 1, '/');
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(tree_root_fd, part, 0755) < 0)
			continue;
		tree_put(part, "cgroup.freeze", "0\n");
		tree_put(part, "cgroup.events", "populated 1\nfrozen 0\n");
		tree_put(part, "cgroup.procs", "2\n3\n");
	} while (*slash);
}

void tree_begin(void)
{
	strcpy(tree_top, "/tmp/test-freeze-XXXXXX");
	assert_non_null(mkdtemp(tree_top));
	tree_root_fd = open(tree_top, O_RDONLY | O_DIRECTORY);
	assert_true(tree_root_fd >= 0);
	tree_make("user/p1");
	tree_make("ptys/p2");
	tree_make("socats");
	tree_put(".", "cgroup.procs", "1\n");
}

void tree_end(void)
{
	char command[96];

	close(tree_root_fd);
	snprintf(command, sizeof(command), "rm -r %s", tree_top);
	assert_int_equal(system(command), 0);
}

int tree_asked(const char *path)
{
	return freeze_tree_is_asked(tree_root_fd, path);
}
