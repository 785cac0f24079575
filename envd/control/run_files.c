/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"

#define MAX_FILES 4

struct run_file {
	struct work work;
	struct run_files *files;
	const char *name;
	mode_t mode;
	char *writing; /* the value that the worker writes; NULL: the worker is idle */
	char *next;    /* the value to write next; NULL: none */
};

struct run_files {
	struct workers *workers;
	struct run_file files[MAX_FILES];
	size_t n;
};

static void file_start(struct run_file *file);

int run_files_write(const char *name, const char *value, mode_t mode)
{
	FD_AUTO int directory = -1;
	FD_AUTO int fd = -1;
	char beside[NAME_MAX + 1];
	int r = 0;

	snprintf(beside, sizeof(beside), "%s.tmp", name);
	mkdir(RUN_FILES_DIRECTORY, 0755);
	directory = open(RUN_FILES_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0)
		fd = openat(directory, beside,
			    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			    mode);
	if (fd < 0)
		r = -errno;
	else
		r = fd_write_all(fd, value, strlen(value));
	if (r == 0 && renameat(directory, beside, directory, name) < 0)
		r = -errno;
	return r;
}

static void file_run(struct work *work)
{
	const struct run_file *file = container_of(work, struct run_file, work);
	int r = run_files_write(file->name, file->writing, file->mode);

	if (r < 0)
		log_debug("%s/%s can't be written: %s", RUN_FILES_DIRECTORY, file->name,
			  error_errno_text(r));
}

static void file_done(struct work *work)
{
	struct run_file *file = container_of(work, struct run_file, work);

	free(file->writing);
	file->writing = NULL;
	if (file->next)
		file_start(file);
}

static void file_start(struct run_file *file)
{
	file->writing = file->next;
	file->next = NULL;
	file->work.run = file_run;
	file->work.done = file_done;
	work_submit(file->files->workers, &file->work);
}

static struct run_file *find(struct run_files *r, const char *name)
{
	struct run_file *file;
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->files[i].name, name) == 0)
			return &r->files[i];
	/* Fatal: the names are literals of this program, and there are four. */
	if (r->n == MAX_FILES)
		fatal("run_files: no room for %s", name);
	file = &r->files[r->n++];
	file->files = r;
	file->name = name;
	return file;
}

void run_files_set(struct run_files *r, const char *name, const char *value, mode_t mode)
{
	struct run_file *file = find(r, name);

	free(file->next);
	file->next = mem_strdup(value);
	if (file->writing)
		return;
	file->mode = mode;
	file_start(file);
}

struct run_files *run_files_new(struct workers *workers)
{
	struct run_files *r = mem_zalloc(sizeof(*r));

	r->workers = workers;
	return r;
}

void run_files_free(struct run_files *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n; i++) {
		free(r->files[i].writing);
		free(r->files[i].next);
	}
	free(r);
}
