/* SPDX-License-Identifier: Apache-2.0 */
/* envd install: copies this program into a directory, for an image that has no cp. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "envd/commands/args.h"
#include "envd/commands/cmd.h"

#define NAME	  "envd"
#define TEMPORARY ".envd.install"

static const struct arg arguments[] = {
	{"help", 'h', ARG_PLAIN},
	{NULL, 0, ARG_VALUE},
};

static const char usage[] =
	"Usage: envd install DIRECTORY\n"
	"Copies this program to DIRECTORY/envd, with mode 755. In a Pod, an init container puts\n"
	"envd into a volume this way: an image FROM scratch has no cp.\n";

/* Copies a file to its end. 0 or -errno. */
static int copy(int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, 1u << 30);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/*
 * Writes the program beside its place and renames it: a program that runs can't be written to
 * (ETXTBSY). 0 or -errno.
 */
static int install(const char *path)
{
	FD_AUTO int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	FD_AUTO int to = -1;
	int r;

	if (dir < 0 || from < 0)
		return -errno;
	if (unlinkat(dir, TEMPORARY, 0) < 0 && errno != ENOENT)
		return -errno;
	to = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (to < 0)
		return -errno;
	r = copy(from, to);
	if (r == 0 && (fchmod(to, 0755) < 0 || renameat(dir, TEMPORARY, dir, NAME) < 0))
		r = -errno;
	if (r < 0)
		unlinkat(dir, TEMPORARY, 0);
	return r;
}

int cmd_install(int argc, char **argv)
{
	const char *path = NULL;
	struct args args;
	int key, r;

	args_init(&args, "install", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while ((key = args_next(&args)) > 0) {
		if (key == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (path) {
			fputs("envd install: one directory (see envd install --help)\n", stderr);
			return 2;
		}
		path = args.value;
	}
	if (key < 0)
		return 2;
	if (!path) {
		fputs("envd install: DIRECTORY is missing (see envd install --help)\n", stderr);
		return 2;
	}
	r = install(path);
	if (r < 0) {
		fprintf(stderr, "envd install: %s: %s\n", path, error_errno_text(r));
		return 1;
	}
	return 0;
}
