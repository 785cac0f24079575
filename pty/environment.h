/*
 * The environment of a process: behaviour.md, "A process".
 */
#ifndef PTY_ENVIRONMENT_H
#define PTY_ENVIRONMENT_H

#include "base/arena.h"
#include "base/user.h"
#include "process.pb-c.h"
#include "rpc/context.h"

/*
 * The variables, each "NAME=VALUE", NULL-terminated, in the arena: of equal names the later of
 * PATH (the daemon's), HOME, USER, LOGNAME, the global ones, the request's, PWD. What stands before
 * the first `=` is the name. *ret_path is the value of PATH among them.
 */
char **environment_new(const struct context *context, const struct user *user,
		       const Process__ProcessConfig *config, const char *cwd, struct arena *arena,
		       const char **ret_path);

#endif
