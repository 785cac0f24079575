/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile "default": it allows everything that development in a sandbox needs, and refuses
 * calls by which the kernel has been attacked. The calls below are refused, each with its reason:
 * attacks that used it, or what it exposes. Compilers, package managers, debuggers of a user's own
 * children, browsers and databases do not need these calls.
 */
#include <errno.h>

#include "base/mem.h"
#include "pty/seccomp/profile.h"

static const struct {
	const char *name;
	int errnum; /* ENOSYS if programs then use another call */
} refused[] = {
	/* CVE-2022-29582, CVE-2023-2598, CVE-2024-0582: a new kernel interface that grows fast. */
	{"io_uring_setup", ENOSYS},
	{"io_uring_enter", ENOSYS},
	{"io_uring_register", ENOSYS},
	/* CVE-2020-8835, CVE-2021-3490, CVE-2022-23222: faults of the verifier. */
	{"bpf", EPERM},
	/*
	 * Pauses the kernel in the middle of a copy, which makes races easy (exploit of
	 * CVE-2022-2588).
	 */
	{"userfaultfd", EPERM},
	/* Loads another kernel. */
	{"kexec_load", EPERM},
	{"kexec_file_load", EPERM},
	/* Loads code into the kernel. */
	{"init_module", EPERM},
	{"finit_module", EPERM},
	{"delete_module", EPERM},
	{"create_module", EPERM},
	/* CVE-2016-0728, CVE-2017-6951: keyrings, which namespaces do not separate. */
	{"keyctl", EPERM},
	{"add_key", EPERM},
	{"request_key", EPERM},
	/* CVE-2013-2094, CVE-2023-2235, CVE-2023-5717. */
	{"perf_event_open", EPERM},
	/* Opens any file of a file system by number, past all directories. */
	{"open_by_handle_at", EPERM},
	/* CVE-2022-0185 (fsconfig). Without fsopen mount(8) uses mount(2). */
	{"fsopen", ENOSYS},
	{"fsconfig", ENOSYS},
	{"fsmount", ENOSYS},
	{"fspick", ENOSYS},
	/* Gives access to I/O ports of the machine. */
	{"iopl", EPERM},
	{"ioperm", EPERM},
	/* Profiling and accounting of the whole machine, and obsolete calls. */
	{"lookup_dcookie", EPERM},
	{"acct", EPERM},
	{"uselib", ENOSYS},
	{"ustat", ENOSYS},
	{"sysfs", ENOSYS},
};

/*
 * Refused socket families: all except AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK and
 * AF_PACKET. The other families have protocols that few programs use and many attacks used: AF_ALG
 * (CVE-2019-8912), AF_RDS (CVE-2010-3904), AF_TIPC (CVE-2021-43267), AF_CAN, and AF_VSOCK
 * (CVE-2021-26708), which also reaches the host. The kernel itself refuses 64 and above.
 *
 * A rule for each family would make the program three times as long, and the kernel checks and
 * compiles it at each start. Therefore families are refused by their bits: (family & mask) ==
 * value.
 */
static const struct {
	unsigned mask, value;
} families[] = {
	{0x3f, 3},    /* 3 */
	{0x3c, 4},    /* 4 to 7 */
	{0x3e, 8},    /* 8 and 9 */
	{0x3f, 11},   /* 11 */
	{0x3c, 12},   /* 12 to 15 */
	{0x3e, 18},   /* 18 and 19 */
	{0x3c, 20},   /* 20 to 23 */
	{0x38, 24},   /* 24 to 31 */
	{0x20, 0x20}, /* 32 to 63 */
};

static struct seccomp_rule *add_rule(struct seccomp_profile *profile, struct arena *arena,
				     size_t n_names, int errnum)
{
	struct seccomp_rule *rule = arena_zalloc(arena, sizeof(*rule));

	rule->names = arena_alloc(arena, n_names * sizeof(*rule->names));
	rule->n_names = n_names;
	rule->action = SCMP_ACT_ERRNO((uint32_t)errnum);
	rule->next = profile->rules;
	profile->rules = rule;
	return rule;
}

void seccomp_profile_builtin(struct arena *arena, struct seccomp_profile *ret)
{
	struct seccomp_rule *rule;
	size_t i;

	*ret = (struct seccomp_profile){.default_action = SCMP_ACT_ALLOW};
	for (i = 0; i < ARRAY_LEN(refused); i++)
		add_rule(ret, arena, 1, refused[i].errnum)->names[0] = refused[i].name;
	for (i = 0; i < ARRAY_LEN(families); i++) {
		rule = add_rule(ret, arena, 2, EAFNOSUPPORT);
		rule->names[0] = "socket";
		rule->names[1] = "socketpair";
		rule->args[rule->n_args++] = (struct scmp_arg_cmp){
			.arg = 0,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = families[i].mask,
			.datum_b = families[i].value,
		};
	}
}
