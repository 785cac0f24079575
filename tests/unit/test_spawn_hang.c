/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spawn whose working directory or program lies on a file system that does not answer: it waits
 * on its worker, and others go on.
 *
 * The file system is FUSE, served by this test: it answers the kernel's greeting and then nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/work.h"
#include "pty/spawn.h"

static char mount_point[64];
static int fuse = -1;
static struct loop loop;
static struct workers *workers;

struct job {
	struct work work;
	struct spawn spawn;
	struct error err;
	int result;
	bool done;
	char *words[4];
};

static char *no_env[] = {NULL};

static void job_run(struct work *work)
{
	struct job *job = container_of(work, struct job, work);

	job->result = spawn_run(&job->spawn, &job->err);
}

static void job_done(struct work *work)
{
	container_of(work, struct job, work)->done = true;
}

static void submit(struct job *job, const char *cwd, const char *program)
{
	memset(job, 0, sizeof(*job));
	job->words[1] = (char *)(uintptr_t)program;
	spawn_prepare(&job->spawn);
	job->spawn.argv = job->words + 1;
	job->spawn.envp = no_env;
	job->spawn.cwd = cwd;
	job->work.run = job_run;
	job->work.done = job_done;
	work_submit(workers, &job->work);
}

static void wait_done(struct job *job)
{
	uint64_t since = clock_monotonic_ms();

	while (!job->done) {
		event_base_loop(loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		usleep(1000);
		assert_true(clock_monotonic_ms() - since < 10000);
	}
}

/* Its exit status, or 128 + signal. */
static int collect(struct job *job)
{
	siginfo_t info;

	assert_int_equal(job->result, 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)job->spawn.pidfd, &info, WEXITED), 0);
	close(job->spawn.pidfd);
	close(job->spawn.stdout_fd);
	close(job->spawn.stderr_fd);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int mount_fuse(void)
{
	char options[128];

	strcpy(mount_point, "/tmp/envd-fuse-XXXXXX");
	if (!mkdtemp(mount_point))
		return -1;
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other",
		 fuse);
	return mount("envd-test", mount_point, "fuse", MS_NOSUID | MS_NODEV, options);
}

/* Takes requests off the device: answers the first, which is FUSE_INIT. The opcode of the last. */
static uint32_t take_request(bool answer)
{
	static char buffer[256 * 1024];
	const struct fuse_in_header *in = (const struct fuse_in_header *)buffer;
	struct {
		struct fuse_out_header header;
		struct fuse_init_out init;
	} out = {0};
	struct pollfd p = {.fd = fuse, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(read(fuse, buffer, sizeof(buffer)) > 0);
	if (answer) {
		assert_int_equal(in->opcode, FUSE_INIT);
		out.header.len = sizeof(out);
		out.header.unique = in->unique;
		out.init.major = FUSE_KERNEL_VERSION;
		out.init.minor = FUSE_KERNEL_MINOR_VERSION;
		out.init.max_write = 4096;
		assert_int_equal(write(fuse, &out, sizeof(out)), sizeof(out));
	}
	return in->opcode;
}

static void test_others_go_on(void **state)
{
	struct job hung_cwd, hung_program, other;
	char program[96];

	assert_int_equal(mount_fuse(), 0);
	take_request(true);
	snprintf(program, sizeof(program), "%s/program", mount_point);
	submit(&hung_cwd, mount_point, "/bin/true");
	take_request(false);
	submit(&hung_program, "/", program);
	take_request(false);

	for (int i = 0; i < 5; i++) {
		submit(&other, "/", "/bin/true");
		wait_done(&other);
		assert_int_equal(collect(&other), 0);
	}
	assert_false(hung_cwd.done);
	assert_false(hung_program.done);
	/* There is a child already, which a deadline may kill; it dies once it is answered. */
	assert_true(*(volatile int *)&hung_program.spawn.pidfd >= 0);
	spawn_kill(&hung_program.spawn);

	/* The file system goes away: both come back. */
	fd_close(&fuse);
	wait_done(&hung_cwd);
	assert_int_equal(hung_cwd.result, -1);
	assert_int_equal(hung_cwd.err.code, ERROR_INVALID_ARGUMENT);
	wait_done(&hung_program);
	assert_int_equal(collect(&hung_program), 128 + SIGKILL);
}

static int setup(void **state)
{
	spawn_init();
	loop_init(&loop);
	workers = workers_new(&loop, "processes", 3);
	return 0;
}

static int teardown(void **state)
{
	fd_close(&fuse);
	workers_free(workers);
	loop_clear(&loop);
	umount2(mount_point, MNT_DETACH);
	return rmdir(mount_point);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_go_on),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
