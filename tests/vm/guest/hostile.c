/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile MODE [ARGUMENT...]: programs that attack the daemon of their guest. Each prints "up" when
 * its attack is effective, and continues until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void say(const char *text)
{
	dprintf(STDOUT_FILENO, "%s\n", text);
}

static void die(const char *what)
{
	dprintf(STDOUT_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void hold(void)
{
	for (;;)
		pause();
}

static void pause_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

/* Does nothing: a victim of the other modes. */
static void do_hold(char **argv)
{
	(void)argv;
	say("up");
	hold();
}

/* A fork bomb. It is up when the kernel refuses a process for the first time. */
static void do_fork(char **argv)
{
	atomic_flag *is_up = mmap(NULL, sizeof(*is_up), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)argv;
	for (;;)
		if (fork() < 0 && !atomic_flag_test_and_set(is_up))
			say("up");
}

/* Starts processes up to the limit, and replaces each one that ends. */
static void do_pids(char **argv)
{
	pid_t pid;

	(void)argv;
	while ((pid = fork()) > 0)
		;
	if (pid == 0)
		hold();
	say("up");
	for (;;) {
		pid = fork();
		if (pid == 0)
			hold();
		if (pid < 0)
			pause_ms(1);
	}
}

/* Traces a process and never waits for it: when it ends, nobody else can reap it (ptrace(2)). */
static void do_trace(char **argv)
{
	if (ptrace(PTRACE_SEIZE, atoi(argv[0]), NULL, NULL) < 0)
		die("ptrace");
	do_hold(argv);
}

/* Stops all processes that its user may signal, again and again. */
static void do_stop(char **argv)
{
	(void)argv;
	say("up");
	for (;;) {
		kill(-1, SIGSTOP);
		pause_ms(1);
	}
}

static struct sockaddr_in address(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

/* Opens the maximum number of connections to the port, and sends nothing. */
static void do_connect(char **argv)
{
	struct sockaddr_in to = address(argv[0]);
	int fd;

	do {
		fd = socket(AF_INET, SOCK_STREAM, 0);
	} while (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	do_hold(argv);
}

/* Tries to bind the port, until it succeeds. */
static void do_squat(char **argv)
{
	struct sockaddr_in any = address(argv[0]);
	int on = 1, fd;

	any.sin_addr.s_addr = htonl(INADDR_ANY);
	say("up");
	for (;;) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 1) == 0)
			break;
		close(fd);
	}
	say("taken");
}

/* Fills the file system of the path. */
static void do_fill(char **argv)
{
	static char block[65536];
	int fd = open(argv[0], O_WRONLY | O_CREAT, 0600);
	size_t n = sizeof(block);

	if (fd < 0)
		die(argv[0]);
	while (n > 0)
		if (write(fd, block, n) < 0)
			n /= 2;
	do_hold(argv);
}

/* Takes all inotify instances and watches of the user, in directories below the path. */
static void do_inotify(char **argv)
{
	char path[256];
	int i, fd;

	for (i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "%s/%d", argv[0], i);
		mkdir(path, 0700);
	}
	while ((fd = inotify_init()) >= 0) {
		for (i = 0; i < 64; i++) {
			snprintf(path, sizeof(path), "%s/%d", argv[0], i);
			inotify_add_watch(fd, path, IN_ALL_EVENTS);
		}
	}
	do_hold(argv);
}

/* A FUSE mount whose server never answers: each call that accesses it blocks. */
static void do_fuse(char **argv)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR);

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other",
		 fd);
	if (fd < 0 || mount("hostile", argv[0], "fuse", 0, options) < 0)
		die("fuse");
	do_hold(argv);
}

/*
 * Exchanges a directory and a link to a directory of root, again and again. Creates the one that is
 * missing.
 */
static void do_swap(char **argv)
{
	say("up");
	for (;;)
		if (renameat2(AT_FDCWD, argv[0], AT_FDCWD, argv[1], RENAME_EXCHANGE) < 0 &&
		    symlink(argv[2], argv[1]) < 0)
			mkdir(argv[0], 0755);
}

/* Mounts a small file system in memory that everybody may write to, and ends. */
static void do_mount(char **argv)
{
	mkdir(argv[0], 0755);
	if (mount("tmpfs", argv[0], "tmpfs", 0, argv[1]) < 0)
		die("mount");
}

static void do_kill(char **argv)
{
	if (kill(atoi(argv[0]), SIGKILL) < 0)
		die("kill");
}

/* Writes a record into the kernel's log. */
static void do_kmsg(char **argv)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	if (fd < 0 || write(fd, argv[0], strlen(argv[0])) < 0)
		die("/dev/kmsg");
}

static void do_cpus(char **argv)
{
	(void)argv;
	dprintf(STDOUT_FILENO, "%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
}

static void do_umount(char **argv)
{
	if (umount2(argv[0], MNT_DETACH) < 0)
		die("umount");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(char **argv);
		int arguments;
	} modes[] = {
		{"hold", do_hold, 0},	  {"fork", do_fork, 0}, {"pids", do_pids, 0},
		{"trace", do_trace, 1},	  {"stop", do_stop, 0}, {"connect", do_connect, 1},
		{"squat", do_squat, 1},	  {"fill", do_fill, 1}, {"inotify", do_inotify, 1},
		{"fuse", do_fuse, 1},	  {"swap", do_swap, 3}, {"mount", do_mount, 2},
		{"umount", do_umount, 1}, {"kill", do_kill, 1}, {"kmsg", do_kmsg, 1},
		{"cpus", do_cpus, 0},
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0 && argc == modes[i].arguments + 2) {
			modes[i].run(argv + 2);
			return 0;
		}
	}
	return 2;
}
