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
	else if (r < 0)
		log_warn("hook %s/%s: %s", hooks->kind, name, error_errno_text(r));
	else if (WIFSIGNALED(status))
		log_warn("hook %s/%s ended by signal %d", hooks->kind, name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		log_warn("hook %s/%s ended with status %d", hooks->kind, name, WEXITSTATUS(status));
	else
		log_debug("hook %s/%s succeeded", hooks->kind, name);
}

static void run_hook(const struct hooks *hooks, const char *directory, const char *name)
{
	const char *argv[] = {NULL, hooks->kind, hooks->generation, hooks->id, NULL};
	struct run_result *result;
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path) ||
	    stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return;
	if (!is_trusted(&st)) {
		log_warn("hook %s/%s is not run: others than root may change it", hooks->kind,
			 name);
		return;
	}
	argv[0] = path;
	result = mem_alloc(sizeof(*result));
	r = run_command(argv, hooks->timeout_ms, result);
	log_output(hooks, name, result->output);
	log_end(hooks, name, r, result->status);
	free(result);
}

void hooks_run(const struct hooks *hooks)
{
	uint64_t end_ms = clock_monotonic_ms() + hooks->total_ms;
	struct dirent **found = NULL;
	char directory[PATH_MAX];
	struct stat st;
	int n, i;

	if (snprintf(directory, sizeof(directory), "%s/%s", hooks->directory, hooks->kind) >=
		    (int)sizeof(directory) ||
	    stat(directory, &st) < 0)
		return;
	if (!is_trusted(&st)) {
		log_warn("hooks in %s are not run: others than root may change it", directory);
		return;
	}
	n = scandir(directory, &found, is_named_as_hook, compare_names);
	for (i = 0; i < n; i++) {
		if (i < LIFECYCLE_MAX_HOOKS && clock_monotonic_ms() < end_ms)
			run_hook(hooks, directory, found[i]->d_name);
		else
			log_warn("hook %s/%s is skipped", hooks->kind, found[i]->d_name);
		free(found[i]);
	}
	free(found);
}
