/* SPDX-License-Identifier: Apache-2.0 */
/* envd cp: copies files and trees to and from a guest. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/guest_entry.h"
#include "envd/commands/transfer.h"

#define GUEST "guest:"

static const struct arg arguments[] = {{"preserve", 'p', ARG_PLAIN | ARG_BRIEF},
				       {"quiet", 'q', ARG_PLAIN | ARG_BRIEF},
				       CLIENT_ARGS};

static const char usage[] =
	"Usage: envd cp [-p] [-q] SOURCE… guest:PATH [OPTION…]\n"
	"       envd cp [-p] [-q] guest:PATH… TARGET [OPTION…]\n"
	"Copies files and directories to or from a guest. A target that is a directory, or ends "
	"in\n"
	"a slash, gets the copy inside. \"-\" is stdin or stdout. A relative path of the guest\n"
	"begins at the user's home, and the user owns what is created there. Directories need "
	"this\n"
	"envd in the guest, not E2B's.\n"
	"  -p, --preserve       single files keep mode and time too, as those in directories do;\n"
	"                       the umask changes no mode\n"
	"  -q, --quiet          no progress on a terminal\n";

struct cp {
	struct client client;
	bool preserve, quiet;
	mode_t mask; /* of the modes that a guest sends */
};

/* The path behind "guest:", or NULL. */
static const char *guest_path(const char *text)
{
	return strncmp(text, GUEST, strlen(GUEST)) == 0 ? text + strlen(GUEST) : NULL;
}

static bool ends_in_slash(const char *path)
{
	return *path && path[strlen(path) - 1] == '/';
}

/* The last element of a path, in the arena; "" if it has none that names something. */
static const char *last_element(const char *path, struct arena *arena)
{
	size_t n = strlen(path), from;

	while (n && path[n - 1] == '/')
		n--;
	for (from = n; from && path[from - 1] != '/'; from--)
		;
	path = arena_strndup(arena, path + from, n - from);
	return path_is_dots(path) ? "" : path;
}

static char *join(struct arena *arena, const char *directory, const char *name)
{
	return arena_printf(arena, "%s%s%s", directory,
			    ends_in_slash(directory) || !*directory ? "" : "/", name);
}

static struct progress progress_for(const struct cp *cp)
{
	return (struct progress){.shown = !cp->quiet && isatty(STDERR_FILENO)};
}

static int local_error(struct error *err, const char *path, int errnum)
{
	return error_set_errno(err, ERROR_ABORTED, errnum, "%s", path);
}

/* ---- to the guest ---- */

/*
 * The target of one source: inside the path if that is a directory. `tree`: the source is a
 * directory. `several`: the path must be a directory. 0 or -1.
 */
static int guest_target(const struct cp *cp, const char *path, const char *name, bool tree,
			bool several, struct arena *arena, const char **ret, struct error *err)
{
	Filesystem__EntryInfo *entry;
	bool directory = ends_in_slash(path) || several || !*path;

	if (tree && !*name) {
		/* As `cp -r . DIR`: the contents go into the target. */
		*ret = *path ? path : ".";
		return 0;
	}
	if (!directory) {
		if (guest_stat(&cp->client, path, arena, &entry, err) == 0)
			directory = guest_is_directory(entry);
		else if (err->code != ERROR_NOT_FOUND)
			return -1;
	}
	*ret = path;
	if (!directory)
		return 0;
	if (!*name)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "guest:%s is a directory: name the file in it", path);
	*ret = join(arena, path, name);
	return 0;
}

/* Sends an open file with its mode and time: an archive of one entry for its directory. */
static int send_preserved(const struct cp *cp, const char *target, int fd, struct progress *p,
			  struct arena *arena, struct error *err)
{
	const char *name = last_element(target, arena);
	const char *directory = arena_strndup(arena, target, strlen(target) - strlen(name));

	return transfer_put_entry(&cp->client, *directory ? directory : ".", name, fd, p, err);
}

static int send_one(const struct cp *cp, const char *source, const char *path, bool several,
		    struct arena *arena, struct error *err)
{
	bool in = strcmp(source, "-") == 0;
	FD_AUTO int fd = in ? dup(STDIN_FILENO) : open(source, O_RDONLY | O_CLOEXEC);
	const char *name = in ? "" : last_element(source, arena), *target;
	struct progress p = progress_for(cp);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return local_error(err, source, errno);
	if (guest_target(cp, path, name, S_ISDIR(st.st_mode), several, arena, &target, err) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		r = transfer_put_tree(&cp->client, target, fd_take(&fd), &p, err);
	else if (cp->preserve && S_ISREG(st.st_mode) && !in)
		r = send_preserved(cp, target, fd, &p, arena, err);
	else
		r = transfer_put(&cp->client, target, fd,
				 S_ISREG(st.st_mode) && !in ? st.st_size : -1, &p, err);
	progress_clear(&p);
	return r;
}

/* ---- from the guest ---- */

static int receive_tree(const struct cp *cp, const char *source, const char *target,
			struct progress *p, struct error *err)
{
	int top;

	if (mkdir(target, 0777) < 0 && errno != EEXIST)
		return local_error(err, target, errno);
	top = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return local_error(err, target, errno);
	return transfer_get_tree(&cp->client, source, top, cp->mask, p, err);
}

static int receive_file(const struct cp *cp, const char *source, const char *target,
			const Filesystem__EntryInfo *entry, struct progress *p, struct error *err)
{
	bool out = strcmp(target, "-") == 0;
	FD_AUTO int fd = out ? dup(STDOUT_FILENO) : -1;
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

	if (out && fd < 0)
		return local_error(err, "stdout", errno);
	if (transfer_get(&cp->client, source, &fd, target, p, err) < 0)
		return -1;
	if (!cp->preserve || out)
		return 0;
	if (entry->modified_time) {
		times[1].tv_sec = (time_t)entry->modified_time->seconds;
		times[1].tv_nsec = entry->modified_time->nanos;
	}
	if (fchmod(fd, entry->mode & 0777) < 0 || futimens(fd, times) < 0)
		return local_error(err, target, errno);
	return 0;
}

/*
 * The operator's arguments alone decide the local name. A guest that could choose it might name
 * ".ssh" (CVE-2019-6111, of scp).
 */
static int receive_one(const struct cp *cp, const char *source, const char *target, bool several,
		       struct arena *arena, struct error *err)
{
	const char *name = last_element(source, arena);
	bool out = strcmp(target, "-") == 0;
	struct progress p = progress_for(cp);
	Filesystem__EntryInfo *entry;
	struct stat st;
	int r;

	if (guest_stat(&cp->client, source, arena, &entry, err) < 0)
		return -1;
	/* As `cp -r . DIR`: a source without a name gives its contents to the target. */
	if (!out && *name &&
	    (several || ends_in_slash(target) || (stat(target, &st) == 0 && S_ISDIR(st.st_mode))))
		target = join(arena, target, name);
	if (guest_is_directory(entry))
		r = out ? error_set(err, ERROR_INVALID_ARGUMENT, "guest:%s: a directory", source)
			: receive_tree(cp, source, target, &p, err);
	else if (!*name)
		r = error_set(err, ERROR_INVALID_ARGUMENT, "guest:%s: not a directory", source);
	else
		r = receive_file(cp, source, target, entry, &p, err);
	progress_clear(&p);
	return r;
}

/* ---- the command ---- */

/* Copies all operands but the last to the last. The exit status. */
static int copy(const struct cp *cp, char **operands, size_t n)
{
	const char *to = operands[n - 1], *guest = guest_path(to);
	struct error err;
	int status = 0, r;

	for (size_t i = 0; i + 1 < n; i++) {
		struct arena arena = {0};

		if (guest)
			r = send_one(cp, operands[i], guest, n > 2, &arena, &err);
		else
			r = receive_one(cp, guest_path(operands[i]), to, n > 2, &arena, &err);
		if (r < 0) {
			client_complain(&cp->client, &err);
			status = 1;
		}
		arena_clear(&arena);
	}
	return status;
}

/* Checks that one side is the guest's. 0 or -1. */
static int check_operands(const struct cp *cp, char **operands, size_t n)
{
	bool to = n && guest_path(operands[n - 1]);

	if (n < 2)
		return client_usage_error(&cp->client, "a source and a target are needed");
	for (size_t i = 0; i + 1 < n; i++)
		if (to == (guest_path(operands[i]) != NULL))
			return client_usage_error(&cp->client,
						  "one side must begin with guest:, the other not");
	return 0;
}

int cmd_cp(int argc, char **argv)
{
	struct cp cp = {0};
	struct args args;
	size_t n = 0;
	int key = client_init(&cp.client, "cp"), status = 0;

	args_init(&args, "cp", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &cp.client, usage)) > 0) {
		if (key == ARGS_OPERAND)
			argv[n++] = args.next[-1];
		cp.preserve |= key == 'p';
		cp.quiet |= key == 'q';
	}
	if (key == 0)
		key = check_operands(&cp, argv, n);
	if (key == 0 && !cp.preserve) {
		cp.mask = umask(0);
		umask(cp.mask);
	}
	if (key == 0)
		status = copy(&cp, argv, n);
	return client_end(&cp.client, key, status, 2);
}
