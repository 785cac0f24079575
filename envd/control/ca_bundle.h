/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Installs the platform's CA certificates, from /init, in the guest's system bundle, and removes
 * the certificates that an earlier /init installed.
 */
#ifndef ENVD_CA_BUNDLE_H
#define ENVD_CA_BUNDLE_H

#include "base/error.h"

#define CA_BUNDLE_PATH "/etc/ssl/certs/ca-certificates.crt"
#define CA_KEPT_PATH   "/usr/local/share/ca-certificates/e2b-ca.crt"

/* The maximum size of the system bundle. A larger bundle is an error. */
#define CA_BUNDLE_MAX_BYTES (32u * 1024 * 1024)

/* Returns an owned copy of the text in which exactly one newline follows the last line. */
char *ca_bundle_normalize(const char *pem);

/*
 * Appends `pem` (normalised) to the bundle unless the bundle contains it, and removes `previous`
 * (NULL: none), in one atomic replacement of the file. Does not check that either text is PEM. The
 * bundle must exist. Returns 0, or -1 with the error text for the response of /init. Blocks: call
 * it on a worker.
 */
int ca_bundle_install(const char *bundle_path, const char *pem, const char *previous,
		      struct error *err);

/*
 * Stores a copy in kept_path, where update-ca-certificates(8) finds it when it rebuilds the bundle.
 * Logs failures. Blocks: call it on a worker.
 */
void ca_bundle_keep(const char *kept_path, const char *pem);

#endif
