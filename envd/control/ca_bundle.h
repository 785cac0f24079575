/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates that the guest's programs trust: /init adds the platform's own to the system
 * bundle, and takes out the one it added before.
 */
#ifndef ENVD_CA_BUNDLE_H
#define ENVD_CA_BUNDLE_H

#include "base/error.h"

#define CA_BUNDLE_PATH "/etc/ssl/certs/ca-certificates.crt"
#define CA_KEPT_PATH   "/usr/local/share/ca-certificates/e2b-ca.crt"

/* A larger system bundle is refused. */
#define CA_BUNDLE_MAX_BYTES (32u * 1024 * 1024)

/* The text as it goes into the bundle: its trailing newlines reduced to one. Returns owned. */
char *ca_bundle_normalize(const char *pem);

/*
 * Puts `pem` (normalised) at the bundle's end and takes `previous` out (NULL: none), in one atomic
 * change. Neither is checked to be PEM. 0, or -1 with what /init answers; the bundle must exist.
 * Blocks: for workers.
 */
int ca_bundle_install(const char *bundle_path, const char *pem, const char *previous,
		      struct error *err);

/*
 * Keeps a copy where update-ca-certificates(8) finds it when it makes the bundle anew. Logs what
 * goes wrong. Blocks: for workers.
 */
void ca_bundle_keep(const char *kept_path, const char *pem);

#endif
