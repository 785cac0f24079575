/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of the kernel with names that the guest chooses: lines of /proc/self/mountinfo, records of
 * /dev/kmsg. The input is read as both, one after the other.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mountinfo.h"
#include "envd/control/oom_log.h"
#include "tests/fuzz/fuzz.h"

static void check_mountinfo(const uint8_t *data, size_t n)
{
	char *text = fuzz_text(data, n), *rest = text, *line;
	struct mountinfo mount;

	while ((line = strsep(&rest, "\n"))) {
		if (!mountinfo_parse(line, &mount))
			continue;
		CHECK(mount.path >= text && mount.path + strlen(mount.path) <= text + n);
		CHECK(mount.type > mount.path && mount.type + strlen(mount.type) <= text + n);
		CHECK(!strchr(mount.type, ' '));
	}
	free(text);
}

/* A record has no NUL at its end, and its memory ends with it. */
static void check_record(const uint8_t *data, size_t n)
{
	char *record = malloc(n ? n : 1);
	struct oom_kill kill;

	memcpy(record, data, n);
	if (oom_log_parse(record, n, &kill))
		CHECK(memchr(kill.process, '\0', sizeof(kill.process)));
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_mountinfo(data, n);
	check_record(data, n);
	return 0;
}
