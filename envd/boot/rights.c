/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/rights.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* What needs which capabilities (capabilities(7)). */
static const struct {
	uint64_t needs;
	bool of_root; /* a daemon that is not root says already that it serves one user */
	const char *text;
} uses[] = {
	{UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID, true,
	 "processes of other users (CAP_SETUID, CAP_SETGID)"},
	{UINT64_C(1) << CAP_CHOWN, true, "files of other users (CAP_CHOWN)"},
	{UINT64_C(1) << CAP_KILL, true, "signals to other users' processes (CAP_KILL)"},
	{UINT64_C(1) << CAP_SYS_TIME, false, "setting the clock (CAP_SYS_TIME)"},
};

/* Returns the effective capabilities as bits; all of them if the kernel does not tell. */
static uint64_t effective(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return UINT64_MAX;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

void rights_report(void)
{
	uint64_t have = effective();
	struct statvfs root;
	char line[256] = "";
	size_t n = 0, i;

	for (i = 0; i < ARRAY_LEN(uses); i++)
		if ((have & uses[i].needs) != uses[i].needs && (!uses[i].of_root || geteuid() == 0))
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", n ? ", " : "",
					      uses[i].text);
	if (n)
		log_info("off, for lack of capabilities: %s", line);
	if (statvfs("/", &root) == 0 && (root.f_flag & ST_RDONLY))
		log_info("off, for / is read-only: certificates and hosts of /init, /upgrade, "
			 "unless their directories are writable mounts");
}
