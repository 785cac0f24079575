#include "base/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The place of `name`, or where it belongs. */
static size_t env_position(const struct state *state, const char *name, bool *found)
{
	size_t low = 0, high = state->n_env, middle;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		order = strcmp(state->env[middle].name, name);
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

void state_env_set(struct state *state, const char *name, const char *value, bool internal)
{
	struct env_var *var;
	bool found;
	size_t at = env_position(state, name, &found);

	if (found) {
		var = &state->env[at];
		if (var->internal && !internal)
			return;
		free(var->value);
		var->value = mem_strdup(value);
		var->internal = internal;
		return;
	}
	state->env = mem_realloc(state->env, (state->n_env + 1) * sizeof(*state->env));
	memmove(state->env + at + 1, state->env + at, (state->n_env - at) * sizeof(*state->env));
	state->n_env++;
	state->env[at] = (struct env_var){mem_strdup(name), mem_strdup(value), internal};
}

void state_env_clear_user(struct state *state)
{
	size_t i, kept = 0;

	for (i = 0; i < state->n_env; i++) {
		if (state->env[i].internal) {
			state->env[kept++] = state->env[i];
			continue;
		}
		free(state->env[i].name);
		free(state->env[i].value);
	}
	state->n_env = kept;
}

const char *state_env_get(const struct state *state, const char *name)
{
	bool found;
	size_t at = env_position(state, name, &found);

	return found ? state->env[at].value : NULL;
}

int state_find_user(struct state *state, const char *name, struct arena *arena, struct user *ret,
		    struct error *err)
{
	if (name)
		return user_find(state->users, name, arena, ret, err);
	if (user_find(state->users, state->default_user, arena, ret, err) < 0)
		return error_set(err, ERROR_UNAUTHENTICATED, "invalid default user: '%s'",
				 state->default_user);
	return 0;
}

void state_set_default_user(struct state *state, const char *name)
{
	char *copy = mem_strdup(name);

	free(state->default_user);
	state->default_user = copy;
}

void state_set_default_workdir(struct state *state, const char *path)
{
	char *copy = path && *path ? mem_strdup(path) : NULL;

	free(state->default_workdir);
	state->default_workdir = copy;
}
