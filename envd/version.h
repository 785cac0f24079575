/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions: the reference's that we are compatible with, and our own.
 */
#ifndef ENVD_VERSION_H
#define ENVD_VERSION_H

/* SDKs switch features on it: `envd -version` and X-Envd-Version say it. */
#define VERSION_REFERENCE "0.6.13"

/* The commit this was built from, or "unknown". Borrowed, static. */
const char *version_commit(void);

/* One line: commit, its date, the libraries linked in with their versions. Borrowed, static. */
const char *version_build(void);

#endif
