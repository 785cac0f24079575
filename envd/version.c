#include "envd/version.h"

#include <event2/event.h>
#include <gnu/libc-version.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <zlib.h>

/* The Makefile gives both, from git. */
#ifndef ENVD_COMMIT
#define ENVD_COMMIT "unknown"
#endif
#ifndef ENVD_COMMIT_DATE
#define ENVD_COMMIT_DATE "unknown"
#endif

const char *version_commit(void)
{
	return ENVD_COMMIT;
}

const char *version_build(void)
{
	static char text[256];

	snprintf(text, sizeof(text),
		 "envd in C %s (%s), compatible with %s; glibc %s, libevent %s, protobuf-c %s, "
		 "zlib %s",
		 ENVD_COMMIT, ENVD_COMMIT_DATE, VERSION_REFERENCE, gnu_get_libc_version(),
		 event_get_version(), protobuf_c_version(), zlibVersion());
	return text;
}
