/*
 * The init of the test's initramfs: inserts the kernel modules named in /modules/list, in their
 * order, and becomes the program that the kernel's command line names after `--`.
 *
 * A microVM's own kernel has its virtio drivers built in; a distribution's has modules, and this
 * is the least that brings them in without a word of policy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MODULES "/modules/"

/* Says how long the kernel has been up, so that the host can tell when it began. */
static void print_uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	dprintf(STDOUT_FILENO, "loader: up %lld.%06ld\n", (long long)ts.tv_sec, ts.tv_nsec / 1000);
}

/* Inserts one module; one that is there already is no failure. */
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
	print_uptime();
	if (argc > 1)
		execv(argv[1], argv + 1);
	dprintf(STDERR_FILENO, "loader: %s: %s\n", argc > 1 ? argv[1] : "no program",
		strerror(errno));
	return 1;
}
