/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/seccomp/machine.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#include "base/decimal.h"
#include "base/mem.h"

/* By number (linux/capability.h), without "CAP_". */
static const char *const capabilities[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};

/* Parses the numbers at the beginning of "6.1.0-56-cloud-amd64". Returns the rest, or NULL. */
static const char *parse_kernel(const char *text, unsigned ret[2])
{
	uint64_t number;
	size_t i, n;

	for (i = 0; i < 2; i++) {
		if (i > 0 && *text++ != '.')
			return NULL;
		n = decimal_digits(text, strlen(text), UINT_MAX, &number);
		if (n == 0)
			return NULL;
		ret[i] = (unsigned)number;
		text += n;
	}
	return text;
}

void seccomp_machine_inspect(struct seccomp_machine *ret)
{
	struct utsname name;
	int i;

#ifdef __x86_64__
	ret->arch = "amd64";
#else
	ret->arch = "arm64";
#endif
	ret->capabilities = 0;
	for (i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			ret->capabilities |= (uint64_t)1 << i;
	ret->kernel[0] = ret->kernel[1] = 0;
	uname(&name);
	parse_kernel(name.release, ret->kernel);
}

bool seccomp_machine_has_arch(const struct seccomp_machine *machine, const char *text)
{
	return strcmp(machine->arch, text) == 0;
}

bool seccomp_machine_has_capability(const struct seccomp_machine *machine, const char *text)
{
	size_t i;

	if (strncmp(text, "CAP_", 4) != 0)
		return false;
	for (i = 0; i < ARRAY_LEN(capabilities); i++)
		if (strcmp(text + 4, capabilities[i]) == 0)
			return machine->capabilities >> i & 1;
	return false;
}

int seccomp_machine_has_kernel(const struct seccomp_machine *machine, const char *text)
{
	unsigned least[2];
	const char *end = parse_kernel(text, least);

	if (!end || *end)
		return -1;
	return machine->kernel[0] > least[0] ||
	       (machine->kernel[0] == least[0] && machine->kernel[1] >= least[1]);
}
