/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state that all services share: loop, workers, budget, and the settings that /init may change
 * at run time, which are the global environment, the default user and the default working
 * directory. Loop only.
 */
#ifndef RPC_CONTEXT_H
#define RPC_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/budget.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/mem_trim.h"
#include "base/user.h"

struct workers;

struct env_var {
	char *name;
	char *value;
	bool internal; /* set by the daemon (E2B_SANDBOX, …); clients can't change it */
};

struct context {
	struct loop *loop;
	struct workers *file_workers;	 /* system calls on paths of the guest */
	struct workers *process_workers; /* clones, which block until the exec */
	struct workers *kill_workers;	 /* KILLs and cgroups, which must not wait for clones */
	struct user_db *users;
	struct budget budget;
	struct mem_trim trim;

	struct env_var *env; /* sorted by name */
	size_t n_env;
	bool user_delivered;   /* /init or a handover has set default_user */
	char *default_user;    /* if not user_delivered: "root", or the daemon's user */
	char *default_workdir; /* NULL: the user's home */
};

/*
 * Sets a variable. Copies. An internal variable replaces any other; a variable that is not internal
 * does not replace an internal one.
 */
void context_env_set(struct context *context, const char *name, const char *value, bool internal);

/* Frees the settings. The caller frees the pools and the users. */
void context_clear(struct context *context);

/* Removes all variables except internal ones. */
void context_env_clear_user(struct context *context);

/* Finds the user of this name, or the default user if `name` is NULL. Returns as user_find. */
int context_find_user(struct context *context, const char *name, struct arena *arena,
		      struct user *ret, struct error *err);

/* Sets the default user that is used until /init or a handover sets one. Copies. */
void context_set_fallback_user(struct context *context, const char *name);

/* For a daemon without root: from now on its own user is the only user. */
void context_serve_invoker(struct context *context);

/* Set the default user and directory from /init or a handover. Copy the strings. */
void context_set_default_user(struct context *context, const char *name);
void context_set_default_workdir(struct context *context, const char *path);

#endif
