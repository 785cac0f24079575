/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trivial service of Type=notify: reports that it is ready, and waits. The start of envd is
 * compared with it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !path || strlen(path) >= sizeof(to.sun_path))
		return 1;
	strcpy(to.sun_path, path);
	if (sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, sizeof(to)) != 7)
		return 1;
	for (;;)
		pause();
}
