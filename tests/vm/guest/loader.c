/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init of the test's initramfs: inserts the kernel modules named in /modules/list, in their
 * order, and becomes the program that the kernel's command line names after `--`. With
 * `-- root=DEVICE PROGRAM` it becomes a program of the ext4 file system on that device.
 *
 * The kernel of a microVM has built-in virtio drivers. The kernel of a distribution needs modules,
 * and this is the smallest program that inserts them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MODULES "/modules/"

/* Prints the uptime of the kernel, so that the host can compute when the kernel started. */
static void print_uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	dprintf(STDOUT_FILENO, "loader: up %lld.%06ld\n", (long long)ts.tv_sec, ts.tv_nsec / 1000);
}

/* Inserts one module. It is not an error if the kernel already has it. */
static int insert(const char *name)
{
	char path[256];
	int fd, rc;

	snprintf(path, sizeof(path), MODULES "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST ? -errno : 0;
	close(fd);
	return rc;
}

/* Mounts the device as the root file system, and devtmpfs on its /dev. 0 or -errno. */
static int change_root(const char *device)
{
	struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") < 0)
		return -errno;
	/* The driver finds its disks asynchronously. Two seconds are enough. */
	for (int tries = 0; tries < 200 && access(device, F_OK) < 0; tries++)
		nanosleep(&pause, NULL);
	mkdir("/root", 0755);
	if (mount(device, "/root", "ext4", 0, NULL) < 0 ||
	    mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0 || chdir("/root") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

int main(int argc, char **argv)
{
	FILE *list = fopen(MODULES "list", "re");
	char name[128];
	int rc;

	while (list && fgets(name, sizeof(name), list)) {
		name[strcspn(name, "\n")] = '\0';
		rc = insert(name);
		if (rc < 0)
			dprintf(STDERR_FILENO, "loader: %s: %s\n", name, strerror(-rc));
	}
	if (list)
		fclose(list);
	if (argc > 1 && strncmp(argv[1], "root=", 5) == 0) {
		rc = change_root(argv[1] + 5);
		if (rc < 0)
			dprintf(STDERR_FILENO, "loader: %s: %s\n", argv[1], strerror(-rc));
		argv++;
		argc--;
	}
	print_uptime();
	if (argc > 1)
		execv(argv[1], argv + 1);
	dprintf(STDERR_FILENO, "loader: %s: %s\n", argc > 1 ? argv[1] : "no program",
		strerror(errno));
	return 1;
}
