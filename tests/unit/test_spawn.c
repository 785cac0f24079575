/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spawned program runs with, and how a spawn fails.
 *
 * The test program spawns itself as `--report`, which prints what it finds around it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clone.h"
#include "base/fd.h"
#include "base/mem.h"
#include "pty/spawn.h"
#include "tests/unit/self.h"

#define STRAY_FD 77

static char self[128];
static char dir[64];

/* ---- the spawned side ---- */

static void print_status_line(const char *name)
{
	char line[512];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			fputs(line, stdout);
	if (f)
		fclose(f);
}

static int report(void)
{
	char text[4096];
	struct rlimit limit;
	struct dirent *entry;
	struct winsize size;
	DIR *d;
	ssize_t n;
	FILE *f = fopen("/proc/self/oom_score_adj", "r");

	printf("oom %s", fgets(text, sizeof(text), f) ? text : "?\n");
	fclose(f);
	printf("session %s\n", getsid(0) == getpid() && getpgrp() == getpid() ? "own" : "other");
	printf("nice %d\n", getpriority(PRIO_PROCESS, 0));
	printf("ioprio %ld\n", syscall(SYS_ioprio_get, 1, 0));
	printf("umask %o\n", umask(0));
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("nofile %ju\n", (uintmax_t)limit.rlim_cur);
	getrlimit(RLIMIT_CORE, &limit);
	printf("core %ju\n", (uintmax_t)limit.rlim_cur);
	printf("cwd %s\n", getcwd(text, sizeof(text)));
	n = read(0, text, isatty(0) ? 0 : 1);
	printf("stdin %s\n", isatty(0) ? "terminal" : n == 0 ? "empty" : "data");
	if (isatty(0)) {
		ioctl(0, TIOCGWINSZ, &size);
		printf("size %ux%u tty %s controlling %d\n", size.ws_col, size.ws_row, ttyname(0),
		       tcgetpgrp(0) == getpid());
	}
	printf("fds");
	d = opendir("/proc/self/fd");
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(d))
			printf(" %s", entry->d_name);
	printf("\n");
	closedir(d);
	print_status_line("Uid:");
	print_status_line("Gid:");
	print_status_line("Groups:");
	print_status_line("SigBlk:");
	print_status_line("SigIgn:");
	print_status_line("SigCgt:");
	return 7;
}

/* ---- the spawning side ---- */

struct run {
	struct spawn spawn;
	struct error err;
	int r;
	int status; /* of waitid: si_status, si_code */
	int code;
	char out[8192], errors[8192];
};

static void read_output(int fd, char *text, size_t room)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t have = 0;
	ssize_t n;

	for (;;) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		n = read(fd, text + have, room - 1 - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	text[have] = '\0';
}

static struct run *run(struct spawn *s)
{
	static struct run result;
	siginfo_t info;

	result.r = spawn_run(s, &result.err);
	result.spawn = *s;
	if (result.r < 0) {
		assert_int_equal(s->pidfd, -1);
		assert_int_equal(s->stdout_fd, -1);
		return &result;
	}
	read_output(s->stdout_fd, result.out, sizeof(result.out));
	result.errors[0] = '\0';
	if (!s->pty)
		read_output(s->stderr_fd, result.errors, sizeof(result.errors));
	assert_int_equal(waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED), 0);
	assert_int_equal(info.si_pid, s->pid);
	result.status = info.si_status;
	result.code = info.si_code;
	close(s->pidfd);
	close(s->stdout_fd);
	if (!s->pty) {
		close(s->stderr_fd);
		fd_close(&s->stdin_fd);
	}
	return &result;
}

static char *no_env[] = {NULL};

/* A spawn of up to six words in `dir`, as root. */
static struct spawn *command(const char *a0, const char *a1, const char *a2)
{
	static struct spawn s;
	static char *words[8];

	spawn_prepare(&s);
	for (size_t i = 1; i < ARRAY_LEN(words); i++)
		free(words[i]);
	words[1] = mem_strdup(a0);
	words[2] = a1 ? mem_strdup(a1) : NULL;
	words[3] = a1 && a2 ? mem_strdup(a2) : NULL;
	words[4] = NULL;
	s.argv = words + 1;
	s.envp = no_env;
	s.path = "/bin:/usr/bin";
	s.cwd = dir;
	return &s;
}

/* As a child that was left open by somebody would be: the environment a daemon may run in. */
static void distort(void)
{
	sigset_t all;
	struct rlimit limit = {.rlim_cur = 1234, .rlim_max = 5000};

	sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, (void (*)(int))abort);
	umask(077);
	assert_int_equal(setpriority(PRIO_PROCESS, 0, -5), 0);
	assert_int_equal(syscall(SYS_ioprio_set, 1, 0, 1 << 13 | 2), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(dup2(STDERR_FILENO, STRAY_FD), STRAY_FD);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void test_what_a_program_gets(void **state)
{
	struct spawn *s = command(self, "--report", NULL);
	gid_t groups[] = {1001, 5, 6};
	char cwd[128];
	struct run *r;

	assert_int_equal(chmod(dir, 0755), 0);
	s->uid = 1000;
	s->gid = 1001;
	s->groups = groups;
	s->n_groups = 3;
	r = run(s);
	assert_int_equal(r->r, 0);
	assert_string_equal(r->errors, "");
	assert_int_equal(r->status, 7);
	assert_int_equal(r->code, CLD_EXITED);
	assert_has(r->out, "oom 100\n");
	assert_has(r->out, "session own\n");
	assert_has(r->out, "nice 0\n");
	assert_has(r->out, "ioprio 16388\n"); /* 2 << 13 | 4 */
	assert_has(r->out, "umask 22\n");
	assert_has(r->out, "nofile 2000\n");
	assert_has(r->out, "core 0\n");
	assert_has(r->out, "stdin empty\n");
	assert_has(r->out, "fds 0 1 2\n");
	assert_has(r->out, "Uid:\t1000\t1000\t1000\t1000\n");
	assert_has(r->out, "Gid:\t1001\t1001\t1001\t1001\n");
	assert_has(r->out, "Groups:\t5 6 1001 \n");
	assert_has(r->out, "SigBlk:\t0000000000000000\n");
	assert_has(r->out, "SigIgn:\t0000000000000000\n");
	snprintf(cwd, sizeof(cwd), "cwd %s\n", dir);
	assert_has(r->out, cwd);
}

static void test_terminal(void **state)
{
	struct spawn *s = command(self, "--report", NULL);
	struct run *r;
	struct stat st;

	s->pty = true;
	s->cols = 97;
	s->rows = 31;
	s->uid = 1000;
	r = run(s);
	assert_int_equal(r->r, 0);
	assert_has(r->out, "stdin terminal\r\n");
	assert_has(r->out, "size 97x31 tty /dev/pts/");
	assert_has(r->out, "controlling 1\r\n");
	assert_has(r->out, "fds 0 1 2\r\n");

	s = command("/bin/sh", "-c", "stat -L -c %u /dev/stdin");
	s->pty = true;
	s->uid = 1000;
	r = run(s);
	assert_string_equal(r->out, "1000\r\n");
	assert_int_equal(fstat(STDIN_FILENO, &st), 0);
}

static void make_file(const char *name, mode_t mode, const char *data, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static void test_lookup(void **state)
{
	static const struct {
		const char *name, *cmd, *path;
		int status;
		const char *out, *errors;
	} cases[] = {
		{"found", "echo", "/nowhere:/bin", 0, "hello\n", ""},
		{"absent", "nosuch", "/bin", 127, "", "nosuch: No such file or directory\n"},
		{"no PATH", "echo", NULL, 127, "", "echo: No such file or directory\n"},
		{"empty PATH", "echo", "", 127, "", "echo: No such file or directory\n"},
		{"empty command", "", "/bin", 127, "", ": No such file or directory\n"},
		{"empty element is cwd", "script", "/nowhere:", 3, "hello|\n", ""},
		{"leading empty element", "script", ":/bin", 3, "hello|\n", ""},
		{"relative element", "script", ".", 3, "hello|\n", ""},
		{"name with a slash", "./script", NULL, 3, "hello|\n", ""},
		{"not executable", "./plain", NULL, 126, "", "./plain: Permission denied\n"},
		{"not executable, in PATH", "plain", ".", 126, "", "plain: Permission denied\n"},
		{"a later match", "plain", ".:sub", 0, "sub\n", ""},
		{"directory", "./sub", NULL, 126, "", "./sub: Permission denied\n"},
		{"below a file", "./plain/x", NULL, 126, "", "./plain/x: Not a directory\n"},
		{"no interpreter", "./orphan", NULL, 127, "",
		 "./orphan: No such file or directory\n"},
		{"no text", "./binary", NULL, 126, "", "./binary: Exec format error\n"},
		{"text without #!", "script", ".", 3, "hello|\n", ""},
		{"no tilde", "~/script", ".", 127, "", "~/script: No such file or directory\n"},
	};
	struct spawn *s;
	struct run *r;
	char path[128];

	snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chmod(path, 0755), 0);
	make_file("script", 0755, "echo \"$1|$2\"; exit 3", 20);
	make_file("plain", 0644, "echo plain", 10);
	make_file("sub/plain", 0755, "#!/bin/sh\necho sub", 18);
	make_file("orphan", 0755, "#!/nowhere/sh\n", 14);
	make_file("binary", 0755,
		  "\x7f"
		  "ELX\0\0\0\0",
		  8);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s = command(cases[i].cmd, "hello", NULL);
		s->path = cases[i].path;
		r = run(s);
		print_message("%s\n", cases[i].name);
		assert_int_equal(r->r, 0);
		assert_string_equal(r->out, cases[i].out);
		assert_string_equal(r->errors, cases[i].errors);
		assert_int_equal(r->status, cases[i].status);
	}
}

static void test_failures(void **state)
{
	char *huge = mem_alloc(200 * 1024);
	char path[128];
	struct spawn *s;
	struct run *r;

	s = command("true", NULL, NULL);
	s->cwd = "/nowhere";
	r = run(s);
	assert_int_equal(r->err.code, ERROR_INVALID_ARGUMENT);
	assert_string_equal(r->err.message, "cwd '/nowhere' does not exist");

	s = command("true", NULL, NULL);
	s->cwd = "/etc/passwd";
	r = run(s);
	assert_int_equal(r->err.code, ERROR_INVALID_ARGUMENT);
	assert_has(r->err.message, "not a directory");

	/* The user's rights count, not root's. */
	snprintf(path, sizeof(path), "%s/closed", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	s = command("true", NULL, NULL);
	s->cwd = path;
	assert_int_equal(run(s)->r, 0);
	s = command("true", NULL, NULL);
	s->cwd = path;
	s->uid = s->gid = 1000;
	r = run(s);
	assert_int_equal(r->err.code, ERROR_INVALID_ARGUMENT);
	assert_has(r->err.message, "permission denied");

	memset(huge, 'x', 200 * 1024 - 1);
	huge[200 * 1024 - 1] = '\0';
	r = run(command("true", huge, NULL));
	assert_int_equal(r->err.code, ERROR_INVALID_ARGUMENT);
	assert_has(r->err.message, "argument list too long");
	free(huge);
}

static void test_stdin(void **state)
{
	struct spawn *s = command("cat", NULL, NULL);
	struct error err;
	char text[16];

	s->stdin_pipe = true;
	assert_int_equal(spawn_run(s, &err), 0);
	assert_int_equal(write(s->stdin_fd, "data", 4), 4);
	fd_close(&s->stdin_fd);
	read_output(s->stdout_fd, text, sizeof(text));
	assert_string_equal(text, "data");
	assert_int_equal(waitid(P_PIDFD, (id_t)s->pidfd, NULL, WEXITED), 0);
	close(s->pidfd);
	close(s->stdout_fd);
	close(s->stderr_fd);
}

/* Holds a file open for writing for a moment, and tries to execute it meanwhile: what it prints. */
static const char *run_busy(void)
{
	const struct run *r;
	char path[128];
	pid_t holder;
	int fd, ready[2];

	snprintf(path, sizeof(path), "%s/busy", dir);
	assert_int_equal(pipe(ready), 0);
	holder = fork();
	if (holder == 0) {
		fd = open(path, O_WRONLY | O_APPEND);
		(void)!write(ready[1], "x", 1);
		usleep(20000);
		_exit(fd < 0);
	}
	assert_int_equal(fd_read_all(ready[0], path, 1), 1);
	r = run(command("./busy", NULL, NULL));
	waitpid(holder, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	return r->out;
}

/*
 * A file that another child holds open for writing for a moment is executed in the end. (On a busy
 * machine the moment may be longer than a child tries.)
 */
static void test_busy_file(void **state)
{
	unsigned tries = 0;

	make_file("busy", 0755, "#!/bin/sh\necho ran", 18);
	while (strcmp(run_busy(), "ran\n") != 0)
		assert_true(++tries < 10);
}

static void test_nothing_is_left(void **state)
{
	size_t before = count_descriptors();
	struct spawn *s;

	for (int i = 0; i < 20; i++) {
		run(command(i % 2 ? "true" : "nosuch", NULL, NULL));
		s = command("true", NULL, NULL);
		s->cwd = "/nowhere";
		s->stdin_pipe = true;
		run(s);
		s = command("true", NULL, NULL);
		s->pty = true;
		run(s);
	}
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* (The thread sanitizer has a clone of its own, which can't do it.) */
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define THREAD_SANITIZER 0
#endif

/* Has clone3(2) answer what Docker's seccomp profile has it answer. */
static int forbid_clone3(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

__attribute__((unused)) static void test_without_clone3(void **state)
{
	struct spawn *s;
	struct run *r;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (forbid_clone3() < 0)
			_exit(1);
		s = command(self, "--report", NULL);
		r = run(s);
		if (r->r < 0 || r->status != 7)
			_exit(2);
		if (!strstr(r->out, "session own\n") || !strstr(r->out, "oom 100\n") ||
		    !strstr(r->out, "SigIgn:\t0000000000000000\n") ||
		    !strstr(r->out, "SigBlk:\t0000000000000000\n"))
			_exit(3);
		_exit(clone_has_clone3() ? 4 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int setup(void **state)
{
	struct rlimit nofile = {.rlim_cur = 2000, .rlim_max = 5000};
	struct rlimit core = {0};

	char program[1024] = "", line[sizeof(program) + sizeof(self) + 32];
	FD_AUTO int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return -1;
	strcpy(dir, "/tmp/envd-spawn-XXXXXX");
	if (!mkdtemp(dir) || setrlimit(RLIMIT_NOFILE, &nofile) < 0 ||
	    setrlimit(RLIMIT_CORE, &core) < 0)
		return -1;
	/* Other users need not get to where it lies. */
	snprintf(self, sizeof(self), "%s/self", dir);
	snprintf(line, sizeof(line), "cp '%s' '%s'", program, self);
	if (system(line) != 0 || dup2(null, 0) < 0)
		return -1;
	spawn_init();
	distort();
	return 0;
}

static int teardown(void **state)
{
	char command_line[128];

	command("", NULL, NULL);
	snprintf(command_line, sizeof(command_line), "rm -rf '%s'", dir);
	return system(command_line);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_program_gets),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_stdin),
		cmocka_unit_test(test_busy_file),
		cmocka_unit_test(test_nothing_is_left),
#if !THREAD_SANITIZER
		cmocka_unit_test(test_without_clone3),
#endif
	};

	if (argc > 1 && strcmp(argv[1], "--report") == 0)
		return report();
	return cmocka_run_group_tests(tests, setup, teardown);
}
