/* SPDX-License-Identifier: Apache-2.0 */
/* Prepares the machine before the daemon starts, and unmounts file systems at the end. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mountinfo.h"
#include "envd/boot/pid1.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MOUNTS_BYTES (256 * 1024) /* largest /proc/self/mounts that is read */
#define NOFILE_HARD  524288	  /* the hard limit of services under systemd */
#define CGROUP_ROOT  "/sys/fs/cgroup"

/* A file system that a Linux program expects. */
struct standard_mount {
	const char *type, *target, *options;
	unsigned long flags;
	mode_t mode; /* mode of the directory, if it must be created */
};

static const struct standard_mount standard_mounts[] = {
	{"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
	{"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
	{"devtmpfs", "/dev", "mode=0755", MS_NOSUID, 0755},
	/* gid 5 is the group tty in every distribution; write(1) needs it. */
	{"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, 0755},
	{"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 01777},
	{"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, 0755},
	{"cgroup2", CGROUP_ROOT, "nsdelegate,memory_recursiveprot",
	 MS_NOSUID | MS_NODEV | MS_NOEXEC, 0555},
};

/* Links on which shells and scripts rely; devtmpfs does not create them. */
static const char *const device_links[][2] = {
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
};

/* Returns true if the directory is a mount point: its device differs from its parent's. */
static bool is_mounted(const char *path)
{
	char parent[64];
	struct stat here, above;

	snprintf(parent, sizeof(parent), "%s/..", path);
	return stat(path, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

/* Mounts a standard file system, unless the image or a container has mounted it already. */
static void mount_standard(const struct standard_mount *m)
{
	if (is_mounted(m->target))
		return;
	mkdir(m->target, m->mode);
	if (mount(m->type, m->target, m->type, m->flags, m->options) == 0)
		return;
	/* An older kernel refuses an option that it does not know. */
	if (errno == EINVAL && mount(m->type, m->target, m->type, m->flags, NULL) == 0)
		return;
	log_warn("init: mounting %s: %s", m->target, error_errno_text(errno));
}

/*
 * Mounts a tmpfs on /tmp only if the image has no writable /tmp, because the content of a tmpfs
 * uses the sandbox's memory.
 */
static void prepare_tmp(void)
{
	if (mkdir("/tmp", 01777) == 0)
		chmod("/tmp", 01777);
	if (access("/tmp", W_OK) == 0)
		return;
	if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
		log_warn("init: mounting /tmp: %s", error_errno_text(errno));
}

/* Writes a file, unless it exists. */
static void provide_file(const char *path, const char *text)
{
	FD_AUTO int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 ? errno != EEXIST : fd_write_all(fd, text, strlen(text)) < 0)
		log_warn("init: %s: %s", path, error_errno_text(errno));
}

/* Gives an image without /etc/passwd the user root. */
static void prepare_users(void)
{
	if (access("/etc/passwd", F_OK) == 0)
		return;
	mkdir("/etc", 0755);
	mkdir("/root", 0700);
	provide_file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
	provide_file("/etc/group", "root:x:0:\n");
}

/* Opens descriptors 0 to 2. The kernel opens them only if the image has a /dev/console. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/console", O_RDWR | O_NOCTTY);
		if (fd < 0)
			fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Brings loopback up; the kernel adds its addresses. */
static void raise_loopback(void)
{
	FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo"};

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
		log_warn("init: loopback: %s", error_errno_text(errno));
		return;
	}
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		log_warn("init: loopback: %s", error_errno_text(errno));
}

/* Sets the hostname of /etc/hostname, or "localhost" if the kernel has none yet. */
static void set_hostname(void)
{
	struct utsname names;
	char *text = NULL;
	const char *name = "";

	if (fd_read_file(AT_FDCWD, "/etc/hostname", 4096, &text, NULL) == 0) {
		text[strcspn(text, " \t\r\n")] = '\0';
		name = text;
	} else if (uname(&names) == 0 && strcmp(names.nodename, "(none)") == 0) {
		name = "localhost";
	}
	if (*name && sethostname(name, strlen(name)) < 0)
		log_warn("init: hostname: %s", error_errno_text(errno));
	free(text);
}

/* The kernel starts process 1 with a hard limit of 4096 descriptors. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < NOFILE_HARD) {
		files.rlim_max = NOFILE_HARD;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Enables the controllers that the weights and limits of the daemon's cgroups need. */
static void enable_controllers(void)
{
	static const char *const controllers[] = {"+cpu", "+io", "+memory", "+pids"};
	FD_AUTO int fd = open(CGROUP_ROOT "/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);

	/* One write for each: if the kernel lacks one controller, it refuses the whole write. */
	for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(controllers); i++)
		fd_write_all(fd, controllers[i], strlen(controllers[i]));
}

void pid1_setup(void)
{
	umask(022);
	for (size_t i = 0; i < ARRAY_LEN(standard_mounts); i++)
		mount_standard(&standard_mounts[i]);
	open_standard_fds();
	for (size_t i = 0; i < ARRAY_LEN(device_links); i++)
		if (symlink(device_links[i][0], device_links[i][1]) < 0 && errno != EEXIST)
			log_warn("init: %s: %s", device_links[i][1], error_errno_text(errno));
	prepare_tmp();
	prepare_users();
	raise_loopback();
	set_hostname();
	raise_limits();
	enable_controllers();
	setenv("PATH", DEFAULT_PATH, 0);
	if (chdir("/") < 0)
		log_warn("init: /: %s", error_errno_text(errno));
	/* A Firecracker host sends Ctrl-Alt-Del; with this it is a SIGINT for process 1. */
	reboot(RB_DISABLE_CAD);
}

/* Unmounts a file system on a device; if it is busy, as the root is, remounts it read-only. */
static void unmount_line(char *line)
{
	char *save = NULL, *source = strtok_r(line, " ", &save),
	     *target = strtok_r(NULL, " ", &save);

	if (!source || !target || source[0] != '/')
		return;
	mountinfo_unescape(target);
	if (strcmp(target, "/") != 0 && umount2(target, UMOUNT_NOFOLLOW) == 0)
		return;
	if (mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_warn("init: leaving %s: %s", target, error_errno_text(errno));
}

void pid1_unmount(void)
{
	char *mounts = NULL, *line;

	sync();
	if (fd_read_file(AT_FDCWD, "/proc/self/mounts", MOUNTS_BYTES, &mounts, NULL) < 0)
		return;
	/* The last mounted first. */
	while ((line = strrchr(mounts, '\n'))) {
		*line = '\0';
		line = strrchr(mounts, '\n');
		unmount_line(line ? line + 1 : mounts);
	}
	free(mounts);
	sync();
}
