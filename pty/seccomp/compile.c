/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/seccomp/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	return error_set_errno(err,
			       r == -ENOMEM || r == -EMFILE || r == -ENFILE
				       ? ERROR_RESOURCE_EXHAUSTED
				       : ERROR_INVALID_ARGUMENT,
			       r, "%s", what);
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
	size_t i;
	int r;

	for (rule = profile->rules; rule; rule = rule->next) {
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
	return r;
}

void seccomp_program_clear(struct sock_fprog *program)
{
	free(program->filter);
	memset(program, 0, sizeof(*program));
}
