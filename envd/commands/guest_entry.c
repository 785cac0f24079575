/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/guest_entry.h"

#include "envd/client/call.h"

int guest_stat(const struct client *c, const char *path, struct arena *arena,
	       Filesystem__EntryInfo **ret, struct error *err)
{
	Filesystem__StatRequest request = FILESYSTEM__STAT_REQUEST__INIT;
	ProtobufCMessage *answer;

	request.path = path;
	if (call_unary(c, "filesystem.Filesystem/Stat", &request.base,
		       &filesystem__stat_response__descriptor, arena, &answer, err) < 0)
		return -1;
	*ret = ((Filesystem__StatResponse *)answer)->entry;
	return *ret ? 0 : error_set(err, ERROR_INTERNAL, "%s: an answer without an entry", path);
}

bool guest_is_directory(const Filesystem__EntryInfo *entry)
{
	return entry->type == FILESYSTEM__FILE_TYPE__FILE_TYPE_DIRECTORY;
}
