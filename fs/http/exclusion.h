/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps uploads that run at the same time from mixing their bytes, and makes the check of a
 * condition and the write that follows one step. On workers.
 */
#ifndef FS_HTTP_EXCLUSION_H
#define FS_HTTP_EXCLUSION_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/stat.h>

/* An upload that writes to a file in place. A writer that is all zero is not registered. */
struct fs_writer {
	bool registered;
	dev_t dev;
	ino_t ino;
	LIST_ENTRY(fs_writer) link;
};

/*
 * Registers the upload as the file's writer. Returns false if another upload writes to the same
 * file in place: the two would mix their bytes, so the caller replaces the file as a whole.
 * fs_writer_end must follow; it does nothing for a writer that is not registered.
 */
bool fs_writer_begin(struct fs_writer *writer, const struct stat *st);
void fs_writer_end(struct fs_writer *writer);

/*
 * Returns the lock to hold from the check of If-Match or If-None-Match until the file is changed.
 * Each lock serves one group of file systems, so a dead mount blocks the conditional uploads of its
 * own group only. Borrowed, static.
 */
pthread_mutex_t *fs_condition_lock(int fd);

#endif
