/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mountinfo.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

int mountinfo_read(char **ret)
{
	return fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, ret, NULL);
}

void mountinfo_unescape(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
		    text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
			*out++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
					(text[3] - '0'));
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
}

bool mountinfo_parse(char *line, struct mountinfo *ret)
{
	char *path = line, *end, *type;
	int i;

	for (i = 0; i < 4; i++) {
		path = strchr(path, ' ');
		if (!path)
			return false;
		path++;
	}
	end = strchr(path, ' ');
	type = end ? strstr(end, " - ") : NULL;
	if (!type)
		return false;
	*end = '\0';
	type += 3;
	type[strcspn(type, " ")] = '\0';
	mountinfo_unescape(path);
	ret->path = path;
	ret->type = type;
	return true;
}

bool mountinfo_has(const char *path)
{
	struct mountinfo mount;
	char *text, *line, *rest;
	bool found = false;

	if (mountinfo_read(&text) < 0)
		return false;
	for (rest = text; !found && (line = strsep(&rest, "\n")) != NULL;)
		found = mountinfo_parse(line, &mount) && strcmp(mount.path, path) == 0;
	free(text);
	return found;
}
