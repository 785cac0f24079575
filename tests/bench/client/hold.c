/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Opens streams and keeps them open: connections that each have made the same request and have
 * seen the answer's first bytes, up to TEXT. Prints a line when all of them stand, and ends with
 * its standard input.
 */
int cmd_hold(int argc, char **argv)
{
	struct reply *reply = xalloc(sizeof(*reply));
	struct target target;
	struct bytes request;
	unsigned connections = 1;
	const char *text = "";
	uint64_t began_ns;
	int c, fd;

	target_init(&target);
	while ((c = getopt(argc, argv, "+p:c:e:")) != -1) {
		switch (c) {
		case 'p':
			target_set_port(&target, optarg);
			break;
		case 'c':
			connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'e':
			text = optarg;
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return 2;
	request = read_file(argv[optind]);
	began_ns = now_ns();
	for (unsigned i = 0; i < connections; i++) {
		fd = target_connect(&target);
		send_all(fd, request.data, request.n);
		reply_reset(reply);
		do {
			if (reply_read(reply, fd))
				die(0, "stream %u ended: %.600s", i, reply->head);
		} while (!reply->have_head ||
			 !memmem(reply->head, reply->kept, text, strlen(text)));
		reply_check(reply, text);
	}
	printf("count=%u seconds=%.6f\n", connections, (double)(now_ns() - began_ns) / 1e9);
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
