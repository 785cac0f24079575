/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/hooks.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/control/lifecycle.h"
#include "envd/control/run_command.h"

/* Returns true if nobody but root and the daemon's user can change it. */
static bool is_trusted(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/*
 * Returns true if nobody else can replace the trusted entries of the directory: it is trusted, or
 * sticky, as /tmp is (rename(2), unlink(2)).
 */
static bool keeps_entries(const struct stat *st)
{
	return is_trusted(st) ||
	       ((st->st_uid == 0 || st->st_uid == geteuid()) && st->st_mode & S_ISVTX);
}

/*
 * Checks a path without symbolic links, from "/" on: its last entry is trusted, and the directories
 * above keep their entries. Each name is looked up in a directory that was checked before, so
 * nobody else can make the path name another file afterwards. Therefore the path is executed later,
 * not a descriptor: a script that is executed by a descriptor finds "/dev/fd/N" in $0. Returns 0,
 * -EPERM, or another -errno. Changes the path and restores it.
 */
static int check_chain(char *path)
{
	size_t n = strlen(path), i;
	struct stat st;
	char kept;
	int r;

	for (i = 1; i <= n; i++) {
		if (i > 1 && path[i] != '/' && path[i] != '\0')
			continue;
		kept = path[i];
		path[i] = '\0';
		r = lstat(path, &st) < 0 ? -errno : 0;
		path[i] = kept;
		if (r < 0)
			return r;
		if (!(i < n ? keeps_entries(&st) : is_trusted(&st)))
			return -EPERM;
	}
	return 0;
}

/* Checks the real path of a directory or file: 0, -EPERM if others may change it, or -errno. */
static int check_path(const char *path)
{
	char *real = realpath(path, NULL);
	int r = real ? check_chain(real) : -errno;

	free(real);
	return r;
}

static int is_named_as_hook(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && entry->d_name[n - 1] != '~';
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Logs each line of the output. */
static void log_output(const struct hooks *hooks, const char *name, char *output)
{
	char *line;

	while ((line = strsep(&output, "\n")))
		if (*line)
			log_info("hook %s/%s: %s", hooks->kind, name, line);
}

static void log_end(const struct hooks *hooks, const char *name, int r, int status)
{
	if (r == -ETIMEDOUT)
		log_warn("hook %s/%s was killed after %u ms", hooks->kind, name, hooks->timeout_ms);
	else if (r == -EBUSY)
		log_warn("hook %s/%s is given up: the kernel or a tracer holds it", hooks->kind,
			 name);
	else if (r < 0)
		log_warn("hook %s/%s: %s", hooks->kind, name, error_errno_text(r));
	else if (WIFSIGNALED(status))
		log_warn("hook %s/%s ended by signal %d", hooks->kind, name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		log_warn("hook %s/%s ended with status %d", hooks->kind, name, WEXITSTATUS(status));
	else
		log_debug("hook %s/%s succeeded", hooks->kind, name);
}

/* `name` NULL: all hooks of the kind. */
static void log_refusal(const struct hooks *hooks, const char *name, int r)
{
	log_warn("hook %s/%s is not run: %s", hooks->kind, name ? name : "*",
		 r == -EPERM ? "others than root may change it, or a directory of its path"
			     : error_errno_text(r));
}

static void run_hook(const struct hooks *hooks, const char *directory, const char *name)
{
	const char *argv[] = {NULL, hooks->kind, hooks->generation, hooks->id, NULL};
	struct run_result *result;
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path)) {
		log_refusal(hooks, name, -ENAMETOOLONG);
		return;
	}
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return;
	r = check_path(path);
	if (r < 0) {
		log_refusal(hooks, name, r);
		return;
	}
	argv[0] = path;
	result = mem_alloc(sizeof(*result));
	r = run_command(argv, hooks->timeout_ms, result);
	log_output(hooks, name, result->output);
	log_end(hooks, name, r, result->status);
	free(result);
}

/* Checks the directory of the hooks and the kind's. False: there are none, or they are refused. */
static bool check_directories(const struct hooks *hooks, const char *directory)
{
	struct stat st;
	int r;

	if (stat(directory, &st) < 0 && errno == ENOENT)
		return false;
	r = check_path(hooks->directory);
	if (r == 0)
		r = check_path(directory);
	if (r < 0)
		log_refusal(hooks, NULL, r);
	return r == 0;
}

void hooks_run(const struct hooks *hooks)
{
	uint64_t end_ms = clock_monotonic_ms() + hooks->total_ms;
	struct dirent **found = NULL;
	char directory[PATH_MAX];
	int n, i;

	if (snprintf(directory, sizeof(directory), "%s/%s", hooks->directory, hooks->kind) >=
	    (int)sizeof(directory)) {
		log_refusal(hooks, NULL, -ENAMETOOLONG);
		return;
	}
	if (!check_directories(hooks, directory))
		return;
	n = scandir(directory, &found, is_named_as_hook, compare_names);
	if (n < 0)
		log_refusal(hooks, NULL, -errno);
	for (i = 0; i < n; i++) {
		if (i < LIFECYCLE_MAX_HOOKS && clock_monotonic_ms() < end_ms)
			run_hook(hooks, directory, found[i]->d_name);
		else
			log_warn("hook %s/%s is skipped", hooks->kind, found[i]->d_name);
		free(found[i]);
	}
	free(found);
}
