/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a process that stand alone: the texts of its end, its environment, its input. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "pty/environment.h"
#include "pty/exit_status.h"
#include "pty/input.h"
#include "rpc/context.h"

static void test_ending(void **state)
{
	static const struct {
		int code, status;
		int exit_code;
		const char *text;
	} cases[] = {
		{CLD_EXITED, 0, 0, "exit status 0"},
		{CLD_EXITED, 255, 255, "exit status 255"},
		{CLD_KILLED, SIGHUP, -1, "signal: hangup"},
		{CLD_KILLED, SIGKILL, -1, "signal: killed"},
		{CLD_KILLED, SIGTERM, -1, "signal: terminated"},
		{CLD_KILLED, SIGINT, -1, "signal: interrupt"},
		{CLD_DUMPED, SIGSEGV, -1, "signal: segmentation fault (core dumped)"},
		{CLD_DUMPED, SIGABRT, -1, "signal: aborted (core dumped)"},
		{CLD_KILLED, SIGXCPU, -1, "signal: CPU time limit exceeded"},
		{CLD_KILLED, 34, -1, "signal: signal 34"},
		{CLD_DUMPED, 64, -1, "signal: signal 64 (core dumped)"},
	};
	Process__ProcessEvent__EndEvent end;
	struct exit_status_text text = {0};
	struct exit_status exit_status;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		exit_status =
			(struct exit_status){.code = cases[i].code, .status = cases[i].status};
		exit_status_event(&exit_status, false, &text, &end);
		assert_string_equal(end.status, cases[i].text);
		assert_int_equal(end.exit_code, cases[i].exit_code);
		assert_int_equal(end.exited, cases[i].code == CLD_EXITED);
		if (cases[i].exit_code == 0) {
			assert_int_equal(end.opt_error_case, 0);
			continue;
		}
		assert_int_equal(end.opt_error_case,
				 PROCESS__PROCESS_EVENT__END_EVENT__OPT_ERROR_ERROR);
		assert_string_equal(end.error, cases[i].text);
	}
}

/* The field that no stock client knows is there for those that ask, where there is a reason. */
static void test_explained_ending(void **state)
{
	static const struct {
		bool oom, explain, told;
	} cases[] = {
		{false, false, false},
		{false, true, false},
		{true, false, false},
		{true, true, true},
	};
	Process__ProcessEvent__EndEvent end;
	struct exit_status_text text = {0};
	struct exit_status exit_status, parsed;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		exit_status =
			(struct exit_status){.code = CLD_KILLED,
					     .status = SIGKILL,
					     .oom = cases[i].oom,
					     .limits_reached = EXIT_LIMIT_MEMORY | EXIT_LIMIT_CPU,
					     .memory_peak_kib = 6,
					     .cpu_time_us = 5};
		exit_status_event(&exit_status, cases[i].explain, &text, &end);
		assert_string_equal(end.status, "signal: killed");
		assert_int_equal(end.oom_killed, cases[i].told);
		assert_int_equal(end.cpu_time_us, cases[i].explain ? 5 : 0);
		assert_int_equal(end.memory_peak_bytes, cases[i].explain ? 6 * 1024 : 0);
		assert_int_equal(end.n_limits_reached, cases[i].explain ? 2 : 0);
		if (!cases[i].explain)
			continue;
		assert_string_equal(end.limits_reached[0], "memory");
		assert_string_equal(end.limits_reached[1], "cpu");
		assert_int_equal(exit_status_parse(&end, &parsed), 0);
		assert_int_equal(parsed.cpu_time_us, 5);
		assert_int_equal(parsed.memory_peak_kib, 6);
		assert_int_equal(parsed.limits_reached, EXIT_LIMIT_MEMORY | EXIT_LIMIT_CPU);
	}
}

/* An exit that was passed on twice was lost if its status was not known. */
static void test_end_that_is_unknown(void **state)
{
	static const struct exit_status cases[] = {
		{.code = 0},
		{.code = CLD_KILLED, .status = 0},
		{.code = CLD_DUMPED, .status = SIGSEGV},
		{.code = CLD_EXITED, .status = 255},
	};
	Process__ProcessEvent__EndEvent end;
	struct exit_status_text text = {0};
	struct exit_status parsed;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		exit_status_event(&cases[i], true, &text, &end);
		assert_int_equal(exit_status_parse(&end, &parsed), 0);
		assert_int_equal(parsed.code, cases[i].code);
		assert_int_equal(parsed.status, cases[i].status);
	}
	end.exited = false;
	end.status = "signal: of a later version";
	assert_int_equal(exit_status_parse(&end, &parsed), -EINVAL);
}

static void test_environment(void **state)
{
	static const char *const expected[] = {
		"A=B=C",	 "GLOBAL=request", "HOME=/home/u", "KEPT=global", "LOGNAME=logname",
		"PATH=/request", "PWD=/cwd",	   "USER=u",	   "X-Y.z=1",
	};
	static const char *const given[][2] = {
		{"GLOBAL", "request"}, {"PATH", "/request"}, {"LOGNAME", "logname"},
		{"PWD", "/elsewhere"}, {"A=B", "C"},	     {"X-Y.z", "1"},
	};
	Process__ProcessConfig__EnvsEntry entries[ARRAY_LEN(given)], *envs[ARRAY_LEN(given)];
	Process__ProcessConfig config = PROCESS__PROCESS_CONFIG__INIT;
	struct user user = {.name = "u", .home = "/home/u"};
	struct context shared = {0};
	char **pwd;
	struct arena arena = {0};
	const char *path;
	char **texts;
	size_t i;

	context_env_set(&shared, "GLOBAL", "global", false);
	context_env_set(&shared, "KEPT", "global", false);
	context_env_set(&shared, "PATH", "/global", false);
	for (i = 0; i < ARRAY_LEN(given); i++) {
		process__process_config__envs_entry__init(&entries[i]);
		entries[i].key = given[i][0];
		entries[i].value = given[i][1];
		envs[i] = &entries[i];
	}
	config.n_envs = ARRAY_LEN(given);
	config.envs = envs;
	texts = environment_new(shared.env, shared.n_env, &user, NULL, &config, "/cwd", &arena,
				&path, &pwd);
	for (i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(texts[i], expected[i]);
	assert_null(texts[i]);
	assert_string_equal(path, "/request");
	assert_string_equal(*pwd, "PWD=/cwd");

	/* The daemon's own PATH, and without one an empty one. */
	context_env_clear_user(&shared);
	setenv("PATH", "/daemon", 1);
	environment_new(shared.env, shared.n_env, &user, NULL, NULL, "/cwd", &arena, &path, &pwd);
	assert_string_equal(path, "/daemon");
	unsetenv("PATH");
	environment_new(shared.env, shared.n_env, &user, NULL, NULL, "/cwd", &arena, &path, &pwd);
	assert_string_equal(path, "");
	free(shared.env);
	arena_clear(&arena);
}

static const char *find_variable(char *const *texts, const char *name)
{
	size_t n = strlen(name);

	for (; *texts; texts++)
		if (strncmp(*texts, name, n) == 0 && (*texts)[n] == '=')
			return *texts + n + 1;
	return NULL;
}

/* The trace context of the request: above the global variables, below the request's own. */
static void test_environment_of_a_traced_request(void **state)
{
	Process__ProcessConfig__EnvsEntry own = PROCESS__PROCESS_CONFIG__ENVS_ENTRY__INIT;
	Process__ProcessConfig__EnvsEntry *envs = &own;
	Process__ProcessConfig config = PROCESS__PROCESS_CONFIG__INIT;
	struct user user = {.name = "u", .home = "/home/u"};
	struct log_request request = {.traceparent = "parent", .tracestate = "state"};
	struct context shared = {0};
	struct arena arena = {0};
	const char *path;
	char **pwd, **texts;

	context_env_set(&shared, "TRACEPARENT", "global", false);
	context_env_set(&shared, "TRACESTATE", "global", false);
	texts = environment_new(shared.env, shared.n_env, &user, &request, &config, "/", &arena,
				&path, &pwd);
	assert_string_equal(find_variable(texts, "TRACEPARENT"), "parent");
	assert_string_equal(find_variable(texts, "TRACESTATE"), "state");
	/* A global TRACESTATE does not belong to the request's parent. */
	request.tracestate = NULL;
	texts = environment_new(shared.env, shared.n_env, &user, &request, &config, "/", &arena,
				&path, &pwd);
	assert_string_equal(find_variable(texts, "TRACEPARENT"), "parent");
	assert_null(find_variable(texts, "TRACESTATE"));
	/* Without a context nothing changes. */
	request.traceparent = NULL;
	texts = environment_new(shared.env, shared.n_env, &user, &request, &config, "/", &arena,
				&path, &pwd);
	assert_string_equal(find_variable(texts, "TRACEPARENT"), "global");
	assert_string_equal(find_variable(texts, "TRACESTATE"), "global");
	/* The request's own variable wins, and brings its own state. */
	request = (struct log_request){.traceparent = "parent", .tracestate = "state"};
	own.key = (char *)(uintptr_t) "TRACEPARENT";
	own.value = (char *)(uintptr_t) "own";
	config.n_envs = 1;
	config.envs = &envs;
	context_env_clear_user(&shared);
	texts = environment_new(shared.env, shared.n_env, &user, &request, &config, "/", &arena,
				&path, &pwd);
	assert_string_equal(find_variable(texts, "TRACEPARENT"), "own");
	assert_null(find_variable(texts, "TRACESTATE"));
	free(shared.env);
	arena_clear(&arena);
}

/* ---- input ---- */

struct piece {
	struct input_job job;
	bool done;
	int result;
};

struct fixture {
	struct loop loop;
	struct input input;
	int reader;
	struct budget budget;
};

static void piece_finished(struct input_job *job, int result)
{
	struct piece *piece = container_of(job, struct piece, job);

	piece->done = true;
	piece->result = result;
	input_job_disown(job);
}

static int submit(struct fixture *f, struct piece *piece, const void *data, size_t n)
{
	memset(piece, 0, sizeof(*piece));
	piece->job.data = data;
	piece->job.n = n;
	piece->job.finished = piece_finished;
	return input_submit(&f->input, &piece->job);
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	loop_init(&f->loop);
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	f->reader = fds[0];
	budget_init(&f->budget);
	input_init(&f->input, &f->loop, &f->budget, fds[1], false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	input_end(&f->input);
	close(f->reader);
	loop_clear(&f->loop);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	event_base_loop(f->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void test_input_fits(void **state)
{
	struct fixture *f = *state;
	struct piece piece;
	char text[8];

	assert_int_equal(submit(f, &piece, "data", 4), INPUT_DONE);
	assert_int_equal(submit(f, &piece, "", 0), INPUT_DONE);
	assert_int_equal(read(f->reader, text, sizeof(text)), 4);
	assert_false(f->input.waiting);
}

/* Pieces wait in their order, with a closing between them; each answer comes with its last byte. */
static void test_input_waits(void **state)
{
	struct fixture *f = *state;
	size_t n = 300000, got = 0;
	char *data = mem_alloc(n), *read_back = mem_alloc(2 * n);
	struct piece first, second, closing = {0}, late;
	ssize_t r;

	for (size_t i = 0; i < n; i++)
		data[i] = (char)(i * 7 % 251);
	assert_int_equal(submit(f, &first, data, n), INPUT_WAITS);
	assert_int_equal(submit(f, &second, "tail", 4), INPUT_WAITS);
	closing.job.close = true;
	closing.job.finished = piece_finished;
	assert_int_equal(input_submit(&f->input, &closing.job), INPUT_WAITS);
	assert_int_equal(submit(f, &late, "late", 4), INPUT_WAITS);
	input_job_own(&first.job);
	for (;;) {
		r = read(f->reader, read_back + got, 2 * n - got);
		if (r == 0)
			break;
		if (r > 0)
			got += (size_t)r;
		assert_true(got < n || first.done || f->input.queued_bytes > 0);
		turn(f);
	}
	assert_int_equal(got, n + 4);
	assert_memory_equal(read_back, data, n);
	assert_memory_equal(read_back + n, "tail", 4);
	assert_true(first.done && second.done && closing.done && late.done);
	assert_int_equal(first.result, 0);
	assert_int_equal(closing.result, 0);
	assert_int_equal(late.result, -EPIPE);
	assert_int_equal(f->input.queued_bytes, 0);
	assert_int_equal(submit(f, &late, "x", 1), -EPIPE);
	free(data);
	free(read_back);
}

/* Input that a process has read is not charged any more, while the process lives on. */
static void test_input_gives_its_bytes_back(void **state)
{
	struct fixture *f = *state;
	static char data[300000], read_back[sizeof(data)];
	struct piece first, second;

	assert_int_equal(submit(f, &first, data, sizeof(data)), INPUT_WAITS);
	assert_int_equal(submit(f, &second, data, 10), INPUT_WAITS);
	assert_int_equal(f->budget.used[BUDGET_BYTES], f->input.share.used);
	assert_true(f->input.share.used > 10);
	while (!second.done) {
		assert_true(read(f->reader, read_back, sizeof(read_back)) != 0);
		turn(f);
	}
	assert_int_equal(second.result, 0);
	assert_int_equal(f->budget.used[BUDGET_BYTES], 0);
	assert_true(f->input.fd >= 0);
}

static void test_input_without_reader(void **state)
{
	struct fixture *f = *state;
	static char data[200000];
	struct piece first, second;

	assert_int_equal(submit(f, &first, data, sizeof(data)), INPUT_WAITS);
	assert_int_equal(submit(f, &second, data, 1), INPUT_WAITS);
	close(f->reader);
	while (!second.done)
		turn(f);
	assert_int_equal(first.result, -EPIPE);
	assert_int_equal(second.result, -EPIPE);
	assert_int_equal(submit(f, &first, data, 1), -EPIPE);
	f->reader = -1;
}

static void test_input_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *data = mem_zalloc(INPUT_QUEUE_MAX_BYTES);
	struct piece first, second, third;

	assert_int_equal(submit(f, &first, data, INPUT_QUEUE_MAX_BYTES), INPUT_WAITS);
	assert_int_equal(submit(f, &second, data, INPUT_QUEUE_MAX_BYTES), -ENOBUFS);
	assert_int_equal(submit(f, &third, data, 10), INPUT_WAITS);
	input_end(&f->input);
	assert_int_equal(first.result, -EPIPE);
	assert_int_equal(third.result, -EPIPE);
	assert_int_equal(f->input.fd, -1);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ending),
		cmocka_unit_test(test_explained_ending),
		cmocka_unit_test(test_end_that_is_unknown),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_of_a_traced_request),
		cmocka_unit_test_setup_teardown(test_input_fits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_gives_its_bytes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_without_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_is_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
