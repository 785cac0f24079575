/* SPDX-License-Identifier: Apache-2.0 */
/* Looks up the entry at a path of a guest. */
#ifndef ENVD_GUEST_ENTRY_H
#define ENVD_GUEST_ENTRY_H

#include <stdbool.h>

#include "base/arena.h"
#include "envd/client/client.h"
#include "filesystem.pb-c.h"

/* Calls Stat. 0 and the entry, in the arena; or -1 with the error. */
int guest_stat(const struct client *c, const char *path, struct arena *arena,
	       Filesystem__EntryInfo **ret, struct error *err);

/* Returns true for a directory, also one at the end of a symbolic link. */
bool guest_is_directory(const Filesystem__EntryInfo *entry);

#endif
