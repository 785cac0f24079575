/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

#define TCP_LISTENING 0x0au /* include/net/tcp_states.h: TCP_LISTEN */
#define UDP_BOUND     0x07u /* …: TCP_CLOSE, which an unconnected UDP socket shows */

/* Skips blanks, one field, and gives what is behind it. */
static const char *skip_field(const char *p)
{
	p += strspn(p, " ");
	return p + strcspn(p, " ");
}

bool probe_net_line(const char *line, unsigned port, unsigned state)
{
	/* "sl: address:port remote:port state …", hexadecimal (Documentation/networking). */
	const char *local = skip_field(line), *rest = skip_field(local);
	const char *colon = memchr(local, ':', (size_t)(rest - local));

	if (!colon || strtoul(colon + 1, NULL, 16) != port)
		return false;
	rest = skip_field(rest);
	return strtoul(rest, NULL, 16) == state;
}

/* Returns true if a table of sockets has one on this port in this state. */
static bool table_has(const char *path, unsigned port, unsigned state)
{
	FILE *table = fopen(path, "re");
	char line[512];
	bool found = false;

	if (!table)
		return false;
	while (!found && fgets(line, sizeof(line), table))
		found = probe_net_line(line, port, state);
	fclose(table);
	return found;
}

bool probe_port(unsigned port)
{
	return table_has("/proc/net/tcp", port, TCP_LISTENING) ||
	       table_has("/proc/net/tcp6", port, TCP_LISTENING) ||
	       table_has("/proc/net/udp", port, UDP_BOUND) ||
	       table_has("/proc/net/udp6", port, UDP_BOUND);
}

bool probe_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Returns true if the process's name contains the text. A zombie counts as ended. */
static bool process_named(int proc, const char *pid, const char *name)
{
	char path[64], *stat, *comm, *end;
	bool named = false;

	if (snprintf(path, sizeof(path), "%s/stat", pid) >= (int)sizeof(path) ||
	    fd_read_file(proc, path, 4096, &stat, NULL) < 0)
		return false;
	/* "pid (comm) state …", and comm may have parentheses of its own. */
	comm = strchr(stat, '(');
	end = strrchr(stat, ')');
	if (comm && end > comm && end[1] == ' ' && end[2] != 'Z') {
		*end = '\0';
		named = strstr(comm + 1, name) != NULL;
	}
	free(stat);
	return named;
}

bool probe_process(const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	if (!proc)
		return false;
	while (!found && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    strtol(entry->d_name, NULL, 10) != getpid())
			found = process_named(dirfd(proc), entry->d_name, name);
	closedir(proc);
	return found;
}

bool probe_socket(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		return false;
	memcpy(addr.sun_path, path, strlen(path));
	/* EAGAIN: the queue is full, so a process listens. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 || errno == EAGAIN)
		return true;
	/* EPROTOTYPE: a datagram or sequenced-packet socket is bound there. */
	return errno == EPROTOTYPE;
}
