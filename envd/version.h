/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The versions that the daemon reports: of the protocol, which clients compare, and of its own
 * build.
 */
#ifndef ENVD_VERSION_H
#define ENVD_VERSION_H

/*
 * The version of the protocol: `envd -version` and X-Envd-Version. SDKs switch features by it, and
 * orchestrators compare it with the version that they want to upgrade to. A packager sets it with
 * `make VERSION_REPORTED=…`. Borrowed, static.
 */
const char *version_reported(void);

/* The commit that this binary was built from, or "unknown". Borrowed, static. */
const char *version_commit(void);

/* One line: commit, its date, the libraries linked in with their versions. Borrowed, static. */
const char *version_build(void);

#endif
