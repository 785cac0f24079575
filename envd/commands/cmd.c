/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/cmd.h"

#include <string.h>

const struct cmd cmds[] = {
	{"ready", cmd_ready, "wait until the guest is ready"},
	{"bridge", cmd_bridge, "reach a guest over vsock"},
	{"install", cmd_install, "copy this program into a directory"},
	{"upgrade", cmd_upgrade, "replace a running envd"},
	{"exec", cmd_exec, "run a command in a guest"},
	{"attach", cmd_attach, "join a process"},
	{"logs", cmd_logs, "show the kept output of a process"},
	{"ps", cmd_ps, "list processes"},
	{"kill", cmd_kill, "send a signal to a process"},
	{"cp", cmd_cp, "copy files to or from a guest"},
	{"cat", cmd_cat, "write a file of a guest to stdout"},
	{"ls", cmd_ls, "list files of a guest"},
	{"rm", cmd_rm, "remove files of a guest"},
	{"watch", cmd_watch, "print the changes in a directory of a guest"},
	{"health", cmd_health, "ask whether the daemon answers"},
	{"info", cmd_info, "show the version of a guest's envd, and what it can do"},
	{"top", cmd_top, "show the use of processors, memory and disk"},
	{"ports", cmd_ports, "list the ports of a guest's programs"},
	{"freeze", cmd_freeze, "stop the processes of a guest"},
	{"thaw", cmd_thaw, "continue these processes"},
	{NULL, NULL, NULL},
};

const struct cmd *cmd_find(const char *name)
{
	for (const struct cmd *c = cmds; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
