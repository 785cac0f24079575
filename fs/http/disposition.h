/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content-Disposition of a download. (That of an upload's parts is read by
 * rpc/http/header_value.h.)
 */
#ifndef FS_HTTP_DISPOSITION_H
#define FS_HTTP_DISPOSITION_H

#include "base/arena.h"

/*
 * `inline; filename=…`: the name as it is where it is a token, quoted where it is printable ASCII,
 * else in the form of RFC 2231 and RFC 8187 (`filename*=utf-8''…`), byte by byte. In the arena.
 */
char *fs_disposition_format(const char *name, struct arena *arena);

#endif
