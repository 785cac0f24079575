/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rpc/context.h"

struct variable {
	char *text; /* NAME=VALUE */
	size_t name_bytes;
	size_t place; /* a later one replaces an earlier one of the same name */
};

struct environment {
	struct arena *arena;
	struct variable *variables;
	size_t n;
};

static void add(struct environment *env, const char *name, const char *value)
{
	struct variable *v = &env->variables[env->n];

	v->text = arena_printf(env->arena, "%s=%s", name, value);
	v->name_bytes = strcspn(v->text, "=");
	v->place = env->n++;
}

static int compare_names(const struct variable *x, const struct variable *y)
{
	size_t n = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
	int order = memcmp(x->text, y->text, n);

	if (order != 0)
		return order;
	return x->name_bytes < y->name_bytes ? -1 : x->name_bytes > y->name_bytes;
}

static int compare(const void *a, const void *b)
{
	const struct variable *x = a, *y = b;
	int order = compare_names(x, y);

	if (order != 0)
		return order;
	return x->place < y->place ? -1 : 1;
}

/* Sorts by name and place, and keeps the last variable of each name. */
static char **without_duplicates(struct environment *env)
{
	char **texts = arena_alloc(env->arena, (env->n + 1) * sizeof(char *));
	struct variable *v = env->variables;
	size_t i, n = 0;

	qsort(v, env->n, sizeof(*v), compare);
	for (i = 0; i < env->n; i++)
		if (i + 1 == env->n || compare_names(&v[i], &v[i + 1]) != 0)
			texts[n++] = v[i].text;
	texts[n] = NULL;
	return texts;
}

static bool is_trace(const char *name)
{
	return strcmp(name, "TRACEPARENT") == 0 || strcmp(name, "TRACESTATE") == 0;
}

/* The trace context of the request, unless the request sets the variables itself. */
static const struct log_request *choose_trace(const struct log_request *request,
					      const Process__ProcessConfig *config)
{
	size_t i;

	if (!request || !request->traceparent)
		return NULL;
	for (i = 0; config && i < config->n_envs; i++)
		if (strcmp(config->envs[i]->key, "TRACEPARENT") == 0)
			return NULL;
	return request;
}

char **environment_new(const struct env_var *globals, size_t n_globals, const struct user *user,
		       const struct log_request *request, const Process__ProcessConfig *config,
		       const char *cwd, struct arena *arena, const char **ret_path, char ***ret_pwd)
{
	const struct log_request *trace = choose_trace(request, config);
	size_t most = 7 + n_globals + (config ? config->n_envs : 0), i;
	struct environment env = {.arena = arena};
	const char *path = getenv("PATH");
	char **texts;

	env.variables = arena_alloc(arena, most * sizeof(*env.variables));
	add(&env, "PATH", path ? path : "");
	add(&env, "HOME", user->home);
	add(&env, "USER", user->name);
	add(&env, "LOGNAME", user->name);
	for (i = 0; i < n_globals; i++)
		if (!trace || !is_trace(globals[i].name))
			add(&env, globals[i].name, globals[i].value);
	if (trace)
		add(&env, "TRACEPARENT", trace->traceparent);
	if (trace && trace->tracestate)
		add(&env, "TRACESTATE", trace->tracestate);
	for (i = 0; config && i < config->n_envs; i++)
		add(&env, config->envs[i]->key, config->envs[i]->value);
	add(&env, "PWD", cwd);
	texts = without_duplicates(&env);
	*ret_path = NULL;
	*ret_pwd = NULL;
	for (i = 0; texts[i]; i++) {
		if (strncmp(texts[i], "PATH=", 5) == 0)
			*ret_path = texts[i] + 5;
		else if (strncmp(texts[i], "PWD=", 4) == 0)
			*ret_pwd = &texts[i];
	}
	return texts;
}
