/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles of system calls: what Docker's format says about this machine, and the built-in one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pty/seccomp/compile.h"
#include "pty/seccomp/profile.h"

/* CAP_SYS_PTRACE alone. */
static const struct seccomp_machine machine = {
	.arch = "amd64", .capabilities = UINT64_C(1) << 19, .kernel = {5, 10}};

static struct arena arena;

static int clear(void **state)
{
	arena_clear(&arena);
	return 0;
}

static int parse(const char *text, struct seccomp_profile *ret, struct error *err)
{
	return seccomp_profile_parse(text, strlen(text), &machine, &arena, ret, err);
}

static size_t count(const struct seccomp_profile *profile)
{
	const struct seccomp_rule *rule;
	size_t n = 0;

	for (rule = profile->rules; rule; rule = rule->next)
		n++;
	return n;
}

/* A rule counts or not, by what it includes and excludes. */
static void test_conditions(void **state)
{
	static const struct {
		const char *condition;
		size_t rules;
	} cases[] = {
		{"\"comment\": \"\"", 1},
		{"\"includes\": null, \"excludes\": {}", 1},
		{"\"includes\": {\"arches\": [\"arm64\", \"amd64\"]}", 1},
		{"\"includes\": {\"arches\": [\"s390x\"]}", 0},
		{"\"excludes\": {\"arches\": [\"s390x\", \"amd64\"]}", 0},
		{"\"includes\": {\"caps\": [\"CAP_SYS_PTRACE\"]}", 1},
		{"\"includes\": {\"caps\": [\"CAP_SYS_PTRACE\", \"CAP_BPF\"]}", 0},
		{"\"includes\": {\"caps\": [\"CAP_OF_TOMORROW\"]}", 0},
		{"\"excludes\": {\"caps\": [\"CAP_BPF\"]}", 1},
		{"\"excludes\": {\"caps\": [\"CAP_BPF\", \"CAP_SYS_PTRACE\"]}", 0},
		{"\"includes\": {\"minKernel\": \"5.10\"}", 1},
		{"\"includes\": {\"minKernel\": \"5.11\"}", 0},
		{"\"includes\": {\"minKernel\": \"4.99\"}", 1},
		{"\"excludes\": {\"minKernel\": \"4.8\"}", 0},
	};
	struct seccomp_profile profile;
	struct error err;
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
			 "{\"syscalls\": [{\"names\": [\"read\"], %s, \"action\": "
			 "\"SCMP_ACT_ERRNO\"}], \"defaultAction\": \"SCMP_ACT_ALLOW\"}",
			 cases[i].condition);
		assert_int_equal(parse(text, &profile, &err), 0);
		assert_int_equal(count(&profile), cases[i].rules);
	}
}

static void test_actions(void **state)
{
	static const struct {
		const char *text;
		uint32_t action;
	} cases[] = {
		{"\"SCMP_ACT_ERRNO\"", SCMP_ACT_ERRNO(1)},
		{"\"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38", SCMP_ACT_ERRNO(38)},
		{"\"SCMP_ACT_ALLOW\", \"defaultErrnoRet\": 38", SCMP_ACT_ALLOW},
		{"\"SCMP_ACT_TRACE\", \"defaultErrnoRet\": 7", SCMP_ACT_TRACE(7)},
		/* As podman writes it: the name counts, if there is one. */
		{"\"SCMP_ACT_ERRNO\", \"defaultErrno\": \"ENOSYS\"", SCMP_ACT_ERRNO(38)},
		{"\"SCMP_ACT_ERRNO\", \"defaultErrno\": \"\"", SCMP_ACT_ERRNO(1)},
		{"\"SCMP_ACT_ERRNO\", \"defaultErrno\": \"EINVAL\", \"defaultErrnoRet\": 1",
		 SCMP_ACT_ERRNO(22)},
		{"\"SCMP_ACT_KILL\"", SCMP_ACT_KILL_THREAD},
		{"\"SCMP_ACT_KILL_PROCESS\"", SCMP_ACT_KILL_PROCESS},
		{"\"SCMP_ACT_TRAP\"", SCMP_ACT_TRAP},
		{"\"SCMP_ACT_LOG\"", SCMP_ACT_LOG},
	};
	struct seccomp_profile profile;
	struct error err;
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "{\"defaultAction\": %s}", cases[i].text);
		assert_int_equal(parse(text, &profile, &err), 0);
		assert_int_equal(profile.default_action, cases[i].action);
	}
}

/* Two comparisons of one argument: each is enough, so each becomes a rule. */
static void test_two_comparisons(void **state)
{
	struct seccomp_profile profile;
	struct error err;

	assert_int_equal(parse("{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": "
			       "[\"ioctl\"],"
			       "\"action\": \"SCMP_ACT_ERRNO\", \"args\": ["
			       "{\"index\": 1, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"},"
			       "{\"index\": 1, \"value\": 9, \"valueTwo\": 8, \"op\": "
			       "\"SCMP_CMP_MASKED_EQ\"}]}]}",
			       &profile, &err),
			 0);
	assert_int_equal(count(&profile), 2);
	assert_int_equal(profile.rules->n_args, 1);
	assert_int_equal(profile.rules->next->args[0].datum_b, 8);
}

/* The name of an error, as podman's own profile has it, was skipped: the call failed with EPERM. */
static void test_names_of_errors(void **state)
{
	struct seccomp_profile profile;
	struct error err;

	assert_int_equal(parse("{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": "
			       "[\"socket\"], \"errno\": \"EINVAL\", \"action\": "
			       "\"SCMP_ACT_ERRNO\", \"errnoRet\": 1}]}",
			       &profile, &err),
			 0);
	assert_int_equal(profile.rules->action, SCMP_ACT_ERRNO(22));
}

/* A minKernel that is no version counted as 0.0: a rule was applied that should not be, or not. */
static void test_mistakes(void **state)
{
	static const char *const texts[] = {
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"defaultErrno\": \"ENOTHING\"}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], "
		"\"action\": \"SCMP_ACT_LOG\", \"includes\": {\"minKernel\": \"new\"}}]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], "
		"\"action\": \"SCMP_ACT_LOG\", \"includes\": {\"minKernel\": \"4.8-rc1\"}}]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"], "
		"\"action\": \"SCMP_ACT_LOG\", \"excludes\": {\"minKernel\": "
		"\"4294967296.0\"}}]}",
		"",
		"[]",
		"{}",
		"{\"defaultAction\": 1}",
		"{\"defaultAction\": \"SCMP_ACT_NOTIFY\"}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"listenerPath\": \"/x\"}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": [\"SECCOMP_FILTER_FLAG_LOG\"]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"defaultErrnoRet\": 5000}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"read\"]}]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"action\": "
		"\"SCMP_ACT_LOG\", \"args\": [{\"index\": 6, \"op\": \"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"action\": "
		"\"SCMP_ACT_LOG\", \"args\": [{\"index\": 0, \"value\": -1, \"op\": "
		"\"SCMP_CMP_EQ\"}]}]}",
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"action\": "
		"\"SCMP_ACT_LOG\", \"args\": [{\"index\": 0, \"value\": 1}]}]}",
	};
	struct seccomp_profile profile;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		err = (struct error){0};
		assert_int_equal(parse(texts[i], &profile, &err), -1);
		assert_int_equal(err.code, ERROR_INVALID_ARGUMENT);
		assert_string_not_equal(err.message, "");
	}
}

static bool refuses_family(const struct seccomp_profile *profile, uint64_t family)
{
	const struct seccomp_rule *rule;

	for (rule = profile->rules; rule; rule = rule->next)
		if (strcmp(rule->names[0], "socket") == 0 &&
		    (family & rule->args[0].datum_a) == rule->args[0].datum_b)
			return true;
	return false;
}

/* All socket families except six are refused, even if the upper half of the argument is not 0. */
static void test_families(void **state)
{
	struct seccomp_profile profile;
	bool stays;

	seccomp_profile_builtin(&arena, &profile);
	for (uint64_t family = 0; family < 64; family++) {
		stays = family == AF_UNSPEC || family == AF_UNIX || family == AF_INET ||
			family == AF_INET6 || family == AF_NETLINK || family == AF_PACKET;
		assert_int_equal(refuses_family(&profile, family), !stays);
		assert_int_equal(refuses_family(&profile, family | UINT64_C(1) << 32), !stays);
	}
}

/* The built-in profile, and one that refuses nothing, become programs. */
static void test_programs(void **state)
{
	struct seccomp_profile profile;
	struct sock_fprog program;
	struct error err;

	seccomp_profile_builtin(&arena, &profile);
	assert_int_equal(seccomp_compile(&profile, &program, &err), 0);
	/* The kernel copies and checks it at each start. */
	assert_in_range(program.len, 50, 150);
	seccomp_program_clear(&program);
	assert_int_equal(parse("{\"defaultAction\": \"SCMP_ACT_ALLOW\"}", &profile, &err), 0);
	assert_int_equal(seccomp_compile(&profile, &program, &err), 0);
	assert_in_range(program.len, 1, 20);
	seccomp_program_clear(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_conditions, clear),
		cmocka_unit_test_teardown(test_actions, clear),
		cmocka_unit_test_teardown(test_two_comparisons, clear),
		cmocka_unit_test_teardown(test_names_of_errors, clear),
		cmocka_unit_test_teardown(test_mistakes, clear),
		cmocka_unit_test_teardown(test_families, clear),
		cmocka_unit_test_teardown(test_programs, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
