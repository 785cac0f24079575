/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/context.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* Returns the index of `name`, or the index at which to insert it. */
static size_t env_position(const struct context *context, const char *name, bool *found)
{
	size_t low = 0, high = context->n_env, middle;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		order = strcmp(context->env[middle].name, name);
		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

void context_env_set(struct context *context, const char *name, const char *value, bool internal)
{
	struct env_var *var;
	bool found;
	size_t at = env_position(context, name, &found);

	if (found) {
		var = &context->env[at];
		if (var->internal && !internal)
			return;
		free(var->value);
		var->value = mem_strdup(value);
		var->internal = internal;
		return;
	}
	context->env = mem_realloc(context->env, (context->n_env + 1) * sizeof(*context->env));
	memmove(context->env + at + 1, context->env + at,
		(context->n_env - at) * sizeof(*context->env));
	context->n_env++;
	context->env[at] = (struct env_var){mem_strdup(name), mem_strdup(value), internal};
}

void context_env_clear_user(struct context *context)
{
	size_t i, kept = 0;

	for (i = 0; i < context->n_env; i++) {
		if (context->env[i].internal) {
			context->env[kept++] = context->env[i];
			continue;
		}
		free(context->env[i].name);
		free(context->env[i].value);
	}
	context->n_env = kept;
}

int context_find_user(struct context *context, const char *name, struct arena *arena,
		      struct user *ret, struct error *err)
{
	if (name)
		return user_find(context->users, name, arena, ret, err);
	if (user_find(context->users, context->default_user, arena, ret, err) == 0)
		return 0;
	if (err->code == ERROR_UNAUTHENTICATED)
		return error_set(err, ERROR_UNAUTHENTICATED, "invalid default user: '%s'",
				 context->default_user);
	return -1;
}

void context_set_fallback_user(struct context *context, const char *name)
{
	char *copy = mem_strdup(name);

	free(context->default_user);
	context->default_user = copy;
	context->user_delivered = false;
}

void context_set_default_user(struct context *context, const char *name)
{
	context_set_fallback_user(context, name);
	context->user_delivered = true;
}

void context_set_default_workdir(struct context *context, const char *path)
{
	char *copy = path && *path ? mem_strdup(path) : NULL;

	free(context->default_workdir);
	context->default_workdir = copy;
}

void context_serve_invoker(struct context *context)
{
	struct arena arena = {0};
	struct user user;
	struct error err;

	user_db_restrict(context->users, geteuid(), getegid(), getenv("HOME"));
	if (user_find_uid(context->users, geteuid(), &arena, &user, &err) == 0)
		context_set_fallback_user(context, user.name);
	log_info("not root: serving user '%s' alone", context->default_user);
	arena_clear(&arena);
}

void context_clear(struct context *context)
{
	size_t i;

	for (i = 0; i < context->n_env; i++) {
		free(context->env[i].name);
		free(context->env[i].value);
	}
	free(context->env);
	free(context->default_user);
	free(context->default_workdir);
	timer_cancel(&context->trim.timer);
}
