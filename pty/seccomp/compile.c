/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/seccomp/compile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/*
 * Uses a tree of comparisons instead of a chain: a system call executes about ten instructions, not
 * hundreds.
 */
#define OPTIMIZE_TREE 2

static int failed(struct error *err, int r, const char *what)
{
	return error_set_errno(
		err, fd_is_shortage(r) ? ERROR_RESOURCE_EXHAUSTED : ERROR_INVALID_ARGUMENT, r, "%s",
		what);
}

static int add_call(scmp_filter_ctx filter, const struct seccomp_rule *rule, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);

	/*
	 * The call belongs to another architecture, or to a kernel that is newer than this
	 * libseccomp.
	 */
	if (call == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(filter, rule->action, call, rule->n_args, rule->args);
}

static int add_rules(scmp_filter_ctx filter, const struct seccomp_profile *profile,
		     struct error *err)
{
	const struct seccomp_rule *rule;
	size_t i, n_calls = 0;
	int r;

	for (rule = profile->rules; rule; rule = rule->next) {
		n_calls += rule->n_names;
		if (n_calls > SECCOMP_PROFILE_MAX_CALLS)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "its rules have more than %d system calls",
					 SECCOMP_PROFILE_MAX_CALLS);
		/* libseccomp refuses a rule with the default action. */
		if (rule->action == profile->default_action)
			continue;
		for (i = 0; i < rule->n_names; i++) {
			r = add_call(filter, rule, rule->names[i]);
			if (r < 0 && r != -EEXIST)
				return failed(err, r, rule->names[i]);
		}
	}
	return 0;
}

static int set_up(scmp_filter_ctx filter, const struct seccomp_profile *profile, struct error *err)
{
	unsigned i;
	int r;

	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE);
	for (i = 0; r == 0 && i < profile->n_arches; i++)
		r = seccomp_arch_add(filter, profile->arches[i]);
	return r < 0 ? failed(err, r, "the filter cannot be set up") : 0;
}

/* libseccomp 2.5 exports to a descriptor only. */
static int read_program(scmp_filter_ctx filter, struct sock_fprog *ret, struct error *err)
{
	FD_AUTO int fd = memfd_create("seccomp", MFD_CLOEXEC);
	off_t bytes;
	int r;

	r = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
	if (r < 0)
		return failed(err, r, "the filter cannot be exported");
	bytes = lseek(fd, 0, SEEK_END);
	if (bytes <= 0 || (size_t)bytes / sizeof(*ret->filter) > BPF_MAXINSNS)
		return error_set(err, ERROR_INVALID_ARGUMENT, "the filter has more than %d steps",
				 BPF_MAXINSNS);
	ret->len = (unsigned short)((size_t)bytes / sizeof(*ret->filter));
	ret->filter = mem_alloc((size_t)bytes);
	if (pread(fd, ret->filter, (size_t)bytes, 0) == bytes)
		return 0;
	seccomp_program_clear(ret);
	return error_set(err, ERROR_INTERNAL, "the filter cannot be read");
}

/* ---- the check ---- */

/*
 * Executes one step of a program. Returns true at its end, with the action in *value. *value is the
 * accumulator; *next is the step after this one.
 */
static bool execute(const struct sock_filter *step, const struct seccomp_data *data,
		    uint32_t *value, size_t *next)
{
	bool jumps;

	switch (step->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		memcpy(value, (const char *)data + step->k, sizeof(*value));
		return false;
	case BPF_ALU | BPF_AND | BPF_K:
		*value &= step->k;
		return false;
	case BPF_JMP | BPF_JA:
		*next += step->k;
		return false;
	case BPF_JMP | BPF_JEQ | BPF_K:
		jumps = *value == step->k;
		break;
	case BPF_JMP | BPF_JGT | BPF_K:
		jumps = *value > step->k;
		break;
	case BPF_JMP | BPF_JGE | BPF_K:
		jumps = *value >= step->k;
		break;
	default: /* BPF_RET | BPF_K; libseccomp makes no others */
		*value = step->k;
		return true;
	}
	*next += jumps ? step->jt : step->jf;
	return false;
}

/*
 * Returns the action of the program for a system call of this architecture. All arguments but the
 * first are 0.
 */
static uint32_t action_for(const struct sock_fprog *program, int call, uint64_t argument)
{
	struct seccomp_data data = {.nr = call, .arch = seccomp_arch_native(), .args = {argument}};
	uint32_t value = SECCOMP_RET_KILL_PROCESS;
	size_t next = 0, i;

	while (next < program->len) {
		i = next++;
		if (execute(&program->filter[i], &data, &value, &next))
			return value;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/*
 * The child makes these calls after it has installed the filter. Without execve it can start no
 * program; without exit_group it could not end either, and would run for ever, in the daemon's
 * memory; without rt_sigprocmask the program would begin with all signals blocked. A rule may also
 * compare the first argument: the child ends with status 126 or 127, as a shell does.
 */
static int check(const struct sock_fprog *program, struct error *err)
{
	static const struct {
		int number;
		const char *name;
		uint64_t argument;
	} calls[] = {
		{SYS_execve, "execve", 0},
		{SYS_exit_group, "exit_group", 126},
		{SYS_exit_group, "exit_group", 127},
		{SYS_rt_sigprocmask, "rt_sigprocmask", SIG_SETMASK},
	};
	uint32_t action;
	size_t i;

	for (i = 0; i < ARRAY_LEN(calls); i++) {
		action = action_for(program, calls[i].number, calls[i].argument) &
			 SECCOMP_RET_ACTION_FULL;
		if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "it does not allow %s, without which no program starts",
					 calls[i].name);
	}
	return 0;
}

int seccomp_compile(const struct seccomp_profile *profile, struct sock_fprog *ret,
		    struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(profile->default_action);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!filter)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "the default action is not supported");
	r = set_up(filter, profile, err);
	if (r == 0)
		r = add_rules(filter, profile, err);
	if (r == 0)
		r = read_program(filter, ret, err);
	seccomp_release(filter);
	if (r == 0 && check(ret, err) < 0) {
		seccomp_program_clear(ret);
		r = -1;
	}
	return r;
}

void seccomp_program_clear(struct sock_fprog *program)
{
	free(program->filter);
	memset(program, 0, sizeof(*program));
}
