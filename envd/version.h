/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The versions that the daemon reports: the protocol's, which clients compare, and its own build.
 */
#ifndef ENVD_VERSION_H
#define ENVD_VERSION_H

/*
 * Returns the version of the protocol: `envd -version` and X-Envd-Version. SDKs enable features by
 * it, and orchestrators compare it with the version that they want to upgrade to. A packager sets
 * it with `make VERSION_REPORTED=…`. Borrowed, static.
 */
const char *version_reported(void);

/* Returns the commit from which this binary was built, or "unknown". Borrowed, static. */
const char *version_commit(void);

/*
 * Returns one line with the project's own version (`make VERSION=…`), the commit, its date, the
 * version of the protocol, and the linked libraries with versions. Borrowed, static.
 */
const char *version_build(void);

#endif
