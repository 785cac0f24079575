/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/create.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

/* The arguments of the system call that creates the node. */
struct creation {
	int dirfd;
	const char *name;
	mode_t mode; /* with the file type */
	dev_t dev;
	const char *target; /* of a link */
	uid_t uid;
	gid_t gid;
};

/*
 * Creates a directory with exactly the given mode. All threads share the umask; after
 * unshare(CLONE_FS) this thread has its own.
 */
static int make_directory(const struct creation *c)
{
	bool own = unshare(CLONE_FS) == 0;
	mode_t old = own ? umask(0) : 0;
	int r = mkdirat(c->dirfd, c->name, c->mode & 01777) < 0 ? -errno : 0;

	if (own)
		umask(old);
	return r;
}

static int call(const struct creation *c)
{
	if (S_ISDIR(c->mode))
		return make_directory(c);
	if (S_ISLNK(c->mode) && !c->target)
		return -EINVAL;
	if (S_ISLNK(c->mode))
		return symlinkat(c->target, c->dirfd, c->name) < 0 ? -errno : 0;
	return mknodat(c->dirfd, c->name, c->mode, c->dev) < 0 ? -errno : 0;
}

/*
 * Makes the call as the user, with the thread's present capabilities. When setfsuid(2) leaves uid
 * 0, the kernel clears the file capabilities from the effective set (capabilities(7)), so capset(2)
 * sets them again. Returns -ENOTSUP, without a call, if this thread can't become the user.
 */
static int call_as_user(const struct creation *c)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	int r = -ENOTSUP, gid, uid;

	if (syscall(SYS_capget, &header, sets) < 0)
		return r;
	gid = setfsgid(c->gid);
	uid = setfsuid(c->uid);
	/*
	 * setfsuid(2) returns no error: a second call with an invalid id returns the present one.
	 */
	if ((uid_t)setfsuid((uid_t)-1) == c->uid && (gid_t)setfsgid((gid_t)-1) == c->gid &&
	    syscall(SYS_capset, &header, sets) == 0)
		r = call(c);
	setfsuid((uid_t)uid);
	setfsgid((gid_t)gid);
	syscall(SYS_capset, &header, sets);
	return r;
}

/* Returns true if nobody except root and the user can rename or remove a name in the directory. */
static bool is_private(int dirfd, uid_t uid)
{
	struct stat st;

	return fstatat(dirfd, "", &st, AT_EMPTY_PATH) == 0 &&
	       (st.st_uid == 0 || st.st_uid == uid) && !(st.st_mode & 022);
}

/* Changes owner and group, -1 for one that stays. A refusal is logged once. */
static int change_owner(int fd, uid_t uid, gid_t gid)
{
	static atomic_bool logged;

	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0)
		return 0;
	switch (errno) {
	case EPERM:
	case EACCES:
	case EOPNOTSUPP:
	case ENOSYS:
		if (!atomic_exchange(&logged, true))
			log_warn("a file does not get the owner that a request names: %s",
				 error_errno_text(errno));
		return 0;
	default:
		return -errno;
	}
}

uint64_t fs_random(void)
{
	uint64_t random;

	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	return random;
}

int fs_give(int fd, uid_t uid, gid_t gid)
{
	return change_owner(fd, uid, gid);
}

/*
 * Corrects the group: in a directory with the setgid bit a new file gets the directory's group. By
 * now another process may have put another file at this name, so the group is changed only if the
 * file belongs to the user.
 */
static int correct_group(const struct creation *c)
{
	FD_AUTO int fd = openat(c->dirfd, c->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != c->uid || st.st_gid == c->gid ||
	    (st.st_mode & S_IFMT) != (c->mode & S_IFMT))
		return 0;
	return change_owner(fd, (uid_t)-1, c->gid);
}

/* Creates the file as the daemon's own user, then gives it to the user. */
static int call_and_give(const struct creation *c)
{
	FD_AUTO int fd = -1;
	int r = call(c);

	if (r < 0)
		return r;
	fd = openat(c->dirfd, c->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : change_owner(fd, c->uid, c->gid);
}

static int create(const struct creation *c)
{
	int r;

	if (c->uid == geteuid() && c->gid == getegid()) {
		r = call(c);
		return r < 0 ? r : correct_group(c);
	}
	r = call_as_user(c);
	if (r == 0)
		return correct_group(c);
	/*
	 * A file server checks the uid and does not see capabilities. The reference creates the
	 * file as root and then changes the owner; this is safe in a private directory.
	 */
	if ((r == -EACCES || r == -EPERM || r == -ENOTSUP) && is_private(c->dirfd, c->uid))
		return call_and_give(c);
	/* Without CAP_SETUID the file belongs to the daemon's user, as after a refused chown(2). */
	return r == -ENOTSUP ? call(c) : r;
}

int fs_create_dir(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	const struct creation c = {dirfd, name, S_IFDIR | mode, 0, NULL, uid, gid};

	return create(&c);
}

int fs_create_symlink(int dirfd, const char *name, const char *target, uid_t uid, gid_t gid)
{
	const struct creation c = {dirfd, name, S_IFLNK, 0, target, uid, gid};

	return create(&c);
}

int fs_create_node(int dirfd, const char *name, mode_t mode, dev_t dev, uid_t uid, gid_t gid)
{
	const struct creation c = {dirfd, name, mode, dev, NULL, uid, gid};

	return create(&c);
}
