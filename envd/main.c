/* SPDX-License-Identifier: Apache-2.0 */
/* The program: parses the flags and runs the daemon or a command. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "envd/boot/inherited.h"
#include "envd/boot/pid1.h"
#include "envd/commands/cmd.h"
#include "envd/control/cpus.h"
#include "envd/control/token.h"
#include "envd/daemon.h"
#include "envd/options.h"
#include "envd/version.h"

int main(int argc, char **argv)
{
	struct inherited inherited;
	struct options options;
	const struct cmd *cmd;

	cmd = argc > 1 ? cmd_find(argv[1]) : NULL;
	if (cmd)
		return cmd->run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "cpu-online") == 0)
		return cpus_helper(argc - 1, argv + 1);
	switch (options_parse(&options, argc, argv)) {
	case OPTIONS_HELP:
		return 0;
	case OPTIONS_WRONG:
		return 2;
	case OPTIONS_OK:
		break;
	}
	if (options.version) {
		puts(version_reported());
		return 0;
	}
	if (options.commit) {
		puts(version_commit());
		return 0;
	}
	if (options.build) {
		puts(version_build());
		return 0;
	}
	inherited_from_environment(&inherited);
	if (options.init) {
		pid1_run(&options.pid1, &inherited);
		if (!options.state_dir)
			options.state_dir = token_find_directory();
	} else if (getpid() == 1 && !options.resume_handover) {
		/* After a handover, the processes are children of this process: no fork. */
		pid1_reap_for_daemon();
	}
	return daemon_serve(&options, &inherited);
}
