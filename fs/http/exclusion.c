/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/exclusion.h"

#include <sys/vfs.h>

#include "base/mem.h"

#define LOCKS	64
#define BUCKETS 256

static pthread_mutex_t writers_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(writer_list, fs_writer) writers[BUCKETS];

static struct writer_list *bucket_of(dev_t dev, ino_t ino)
{
	return &writers[((unsigned long)dev * 31 + (unsigned long)ino) % BUCKETS];
}

bool fs_writer_begin(struct fs_writer *writer, const struct stat *st)
{
	struct writer_list *bucket = bucket_of(st->st_dev, st->st_ino);
	struct fs_writer *other;

	pthread_mutex_lock(&writers_lock);
	LIST_FOREACH (other, bucket, link)
		if (other->dev == st->st_dev && other->ino == st->st_ino)
			break;
	if (!other) {
		writer->dev = st->st_dev;
		writer->ino = st->st_ino;
		writer->registered = true;
		LIST_INSERT_HEAD(bucket, writer, link);
	}
	pthread_mutex_unlock(&writers_lock);
	return !other;
}

void fs_writer_end(struct fs_writer *writer)
{
	if (!writer->registered)
		return;
	pthread_mutex_lock(&writers_lock);
	LIST_REMOVE(writer, link);
	pthread_mutex_unlock(&writers_lock);
	writer->registered = false;
}

pthread_mutex_t *fs_condition_lock(int fd)
{
	static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};
	struct statfs fs;
	unsigned n = 0;

	/* Not st_dev, because overlayfs changes it when a file is copied up. */
	if (fstatfs(fd, &fs) == 0)
		n = (unsigned)fs.f_type * 31 + (unsigned)fs.f_fsid.__val[0] * 7 +
		    (unsigned)fs.f_fsid.__val[1];
	return &locks[n % LOCKS];
}
