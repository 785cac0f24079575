/* SPDX-License-Identifier: Apache-2.0 */
/* envd cat: the contents of files of a guest. */
#include <stddef.h>
#include <unistd.h>

#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/transfer.h"

static const struct arg arguments[] = {CLIENT_ARGS};

static const char usage[] = "Usage: envd cat PATH… [OPTION…]\n"
			    "Writes files of a guest to stdout.\n";

int cmd_cat(int argc, char **argv)
{
	struct client c;
	struct args args;
	struct error err;
	size_t n = 0;
	int key = client_init(&c, "cat"), status = 0, out = STDOUT_FILENO;

	args_init(&args, "cat", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &c, usage)) > 0)
		argv[n++] = args.next[-1];
	if (key == 0 && n == 0)
		key = client_usage_error(&c, "no file is named");
	for (size_t i = 0; key == 0 && i < n; i++) {
		struct progress none = {0};

		if (transfer_get(&c, argv[i], &out, NULL, &none, &err) < 0) {
			client_complain(&c, &err);
			status = 1;
		}
	}
	return client_end(&c, key, status, 2);
}
