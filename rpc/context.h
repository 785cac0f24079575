/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the whole daemon shares and a host may change at run time: the global environment, the
 * default user and working directory. /init writes it, processes and file operations read it.
 * Loop only.
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
	bool internal; /* set by the daemon itself (E2B_SANDBOX, …): a client can't touch it */
};

struct context {
	struct loop *loop;
	struct workers *file_workers;	 /* calls on paths of the guest's */
	struct workers *process_workers; /* clones, which wait for an exec */
	struct workers *kill_workers;	 /* KILLs and cgroups, which must not wait behind clones */
	struct user_db *users;
	struct budget budget;
	struct mem_trim trim;

	struct env_var *env; /* sorted by name */
	size_t n_env;
	bool user_delivered;   /* an /init or a handover has set default_user */
	char *default_user;    /* the fallback until then: "root", or the user of the daemon */
	char *default_workdir; /* NULL: the user's home */
};

/* Copies. An internal variable replaces any; another never replaces an internal one. */
void context_env_set(struct context *context, const char *name, const char *value, bool internal);

/* Removes the variables a client set; internal ones stay. */
void context_env_clear_user(struct context *context);

/*
 * The user a request names, or the default user where `name` is NULL: as user_find.
 */
int context_find_user(struct context *context, const char *name, struct arena *arena,
		      struct user *ret, struct error *err);

/* The default user until an /init or a handover delivers one. Copies. */
void context_set_fallback_user(struct context *context, const char *name);

/* The default user and directory that an /init or a handover delivers. Copies. */
void context_set_default_user(struct context *context, const char *name);
void context_set_default_workdir(struct context *context, const char *path);

#endif
