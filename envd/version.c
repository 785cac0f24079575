/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/version.h"

#include <event2/event.h>
#include <gnu/libc-version.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <zlib.h>

#include "build_info.h" /* written by scripts/build-info */

const char *version_reported(void)
{
	return BUILD_VERSION_REPORTED;
}

const char *version_commit(void)
{
	return BUILD_COMMIT;
}

const char *version_build(void)
{
	static char text[256];

	snprintf(text, sizeof(text),
		 "envd in C %s, commit %s (%s), compatible with %s; glibc %s, libevent %s, "
		 "protobuf-c %s, zlib %s",
		 BUILD_VERSION, BUILD_COMMIT, BUILD_DATE, BUILD_VERSION_REPORTED,
		 gnu_get_libc_version(), event_get_version(), protobuf_c_version(), zlibVersion());
	return text;
}
