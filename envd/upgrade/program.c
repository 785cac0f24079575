/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "envd/control/run_command.h"
#include "envd/options.h"
#include "envd/upgrade/command_line.h"
#include "envd/upgrade/elf.h"
#include "envd/upgrade/image.h"

#define OWN_PROGRAM "/proc/self/exe"

/* Checks that the file is a program for this machine. 0, or -1 with the reason. */
static int check_file(const char *path, struct error *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char head[ELF_HEAD_BYTES];
	struct stat status;
	const char *why;
	ssize_t n;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "%s", path);
	n = fd_read_all(fd, head, sizeof(head));
	if (n < 0)
		return error_set_errno(err, ERROR_INTERNAL, (int)n, "%s", path);
	why = elf_check(head, (size_t)n, (uint64_t)status.st_size);
	return why ? error_set(err, ERROR_INVALID_ARGUMENT, "the body is %s", why) : 0;
}

/*
 * Returns the path of this program's file. NULL if the file was replaced or removed: the path then
 * leads to another file or to none, and only /proc/self/exe is the program (proc(5)). The kernel
 * takes the name of the process from the path, and "exe" tells nobody what runs.
 */
static const char *find_own_path(struct arena *arena)
{
	char path[PATH_MAX];
	ssize_t n = readlink(OWN_PROGRAM, path, sizeof(path) - 1);
	struct stat own, named;

	path[n > 0 ? n : 0] = '\0';
	if (stat(OWN_PROGRAM, &own) < 0 || stat(path, &named) < 0 || own.st_dev != named.st_dev ||
	    own.st_ino != named.st_ino)
		return NULL;
	return arena_strdup(arena, path);
}

/* Whether the text is one line that begins as a semantic version does: three numbers. */
static bool is_version(const char *text)
{
	int part;

	if (strpbrk(text, " \t\r\n"))
		return false;
	for (part = 0; part < 3; part++) {
		if (part && *text++ != '.')
			return false;
		if (!strspn(text, "0123456789"))
			return false;
		text += strspn(text, "0123456789");
	}
	return strchr("-+", *text);
}

/* Runs the program. 0 with its status and output, or -1 with the reason. */
static int ask(const char *const argv[], struct run_result *ret, struct error *err)
{
	int r = run_command(argv, PROGRAM_ANSWER_MS, ret);

	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r,
				       "the new program does not print its version");
	return 0;
}

static bool has_answered(const struct run_result *run)
{
	return WIFEXITED(run->status) && WEXITSTATUS(run->status) == 0 && *run->output;
}

/*
 * Finds out whether the program is a build of this project, which understands our own flags, fields
 * and listening sockets: the reference has no -build, and exits with 2. 0, or -1 with the reason.
 */
static int ask_build(const char *path, bool *ret_ours, struct error *err)
{
	const char *asking[] = {path, "-build", NULL};
	struct run_result run;

	if (ask(asking, &run, err) < 0)
		return -1;
	*ret_ours = has_answered(&run);
	return 0;
}

/*
 * Runs the program with the flags of argv and -version, so that it reads the flags, prints one line
 * and exits. 0, or -1 with the reason.
 */
static int ask_version(const char *path, char *const *argv, struct arena *arena, struct error *err)
{
	struct run_result run;
	const char **asking;
	size_t n = 0;

	while (argv[n])
		n++;
	asking = arena_zalloc(arena, (n + 2) * sizeof(*asking));
	memcpy(asking, argv, n * sizeof(*asking));
	asking[0] = path;
	asking[n] = "-version";
	if (ask(asking, &run, err) < 0)
		return -1;
	if (!has_answered(&run))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the new program refuses its flags: %.200s", run.output);
	if (!is_version(run.output))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the new program prints no version: %.200s", run.output);
	return 0;
}

int program_check(const struct program *program, struct arena *arena, struct image *ret,
		  struct error *err)
{
	const char *path = program->path ? program->path : OWN_PROGRAM;
	const char *name = program->name, *own_path;

	if (check_file(path, err) < 0 || ask_build(path, &ret->ours, err) < 0)
		return -1;
	if (!ret->ours && program->sockets_are_held)
		return error_set(err, ERROR_FAILED_PRECONDITION,
				 "this program can't take over the sockets that a parent holds");
	ret->path = name;
	if (!program->path) {
		own_path = find_own_path(arena);
		ret->path = own_path ? own_path : path;
		name = own_path ? own_path : program->options->argv[0];
	}
	ret->argv = upgrade_command_line(program->options, program->options->argv, name, ret->ours,
					 arena);
	return ask_version(path, ret->argv, arena, err);
}
