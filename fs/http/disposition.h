/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats the Content-Disposition of a download. (rpc/http/header_value.h parses the field in the
 * parts of an upload.)
 */
#ifndef FS_HTTP_DISPOSITION_H
#define FS_HTTP_DISPOSITION_H

#include "base/arena.h"

/*
 * Returns `inline; filename=…` in the arena. A name that is a token is unchanged; other printable
 * ASCII is quoted; any other name is percent-encoded as in RFC 8187 (`filename*=utf-8''…`).
 */
char *fs_disposition_format(const char *name, struct arena *arena);

#endif
