/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/seccomp/profiles.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/fd.h"
#include "base/mem.h"
#include "pty/seccomp/compile.h"

/* Longer names of profiles are refused. */
#define NAME_MAX_BYTES 64

struct profile {
	char *name;
	struct sock_fprog program;
	SLIST_ENTRY(profile) link;
};

struct seccomp_profiles {
	struct seccomp_options options;
	bool has_default;   /* there is one, `program` */
	struct error fault; /* ERROR_OK: none */
	struct sock_fprog program;
	pthread_mutex_t lock; /* of `named`, to which workers add */
	SLIST_HEAD(, profile) named;
};

/* Compiles the n bytes of a file; NULL: the profile of this program. */
static int compile(const char *text, size_t n, struct sock_fprog *ret, struct error *err)
{
	struct seccomp_profile profile;
	struct seccomp_machine machine;
	struct arena arena = {0};
	int r = 0;

	if (text) {
		seccomp_machine_inspect(&machine);
		r = seccomp_profile_parse(text, n, &machine, &arena, &profile, err);
	} else {
		seccomp_profile_builtin(&arena, &profile);
	}
	if (r == 0)
		r = seccomp_compile(&profile, ret, err);
	arena_clear(&arena);
	return r;
}

/* 0; -ENOENT: there is no such file; or -1 with ERROR_FAILED_PRECONDITION. */
static int compile_file(const char *path, struct sock_fprog *ret, struct error *err)
{
	FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n;
	char *text;
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	text = mem_alloc(SECCOMP_PROFILE_MAX_BYTES + 1);
	n = fd < 0 ? -errno : fd_read_all(fd, text, SECCOMP_PROFILE_MAX_BYTES + 1);
	if (n < 0)
		r = error_set_errno(err, ERROR_FAILED_PRECONDITION, (int)n, "it cannot be read");
	else if (n > SECCOMP_PROFILE_MAX_BYTES)
		r = error_set(err, ERROR_FAILED_PRECONDITION, "it has more than %d bytes",
			      SECCOMP_PROFILE_MAX_BYTES);
	else
		r = compile(text, (size_t)n, ret, err);
	free(text);
	if (r == 0)
		return 0;
	err->code = ERROR_FAILED_PRECONDITION;
	return error_prefix(err, "seccomp profile '%s'", path);
}

static int load_default(struct seccomp_profiles *profiles, struct error *err)
{
	const char *profile = profiles->options.profile;
	int r;

	if (!profile || strcmp(profile, "none") == 0)
		return 0;
	profiles->has_default = true;
	if (strcmp(profile, "default") == 0)
		return compile(NULL, 0, &profiles->program, err);
	r = compile_file(profile, &profiles->program, err);
	if (r == -ENOENT)
		return error_set(err, ERROR_NOT_FOUND, "seccomp profile '%s' does not exist",
				 profile);
	return r;
}

struct seccomp_profiles *seccomp_profiles_new(const struct seccomp_options *options)
{
	struct seccomp_profiles *profiles = mem_zalloc(sizeof(*profiles));

	profiles->options = *options;
	pthread_mutex_init(&profiles->lock, NULL);
	SLIST_INIT(&profiles->named);
	if (load_default(profiles, &profiles->fault) < 0)
		profiles->fault.code = ERROR_FAILED_PRECONDITION;
	return profiles;
}

const char *seccomp_profiles_fault(const struct seccomp_profiles *profiles)
{
	return profiles->fault.code != ERROR_OK ? profiles->fault.message : NULL;
}

void seccomp_profiles_free(struct seccomp_profiles *profiles)
{
	struct profile *profile;

	if (!profiles)
		return;
	while ((profile = SLIST_FIRST(&profiles->named))) {
		SLIST_REMOVE_HEAD(&profiles->named, link);
		seccomp_program_clear(&profile->program);
		free(profile->name);
		free(profile);
	}
	seccomp_program_clear(&profiles->program);
	pthread_mutex_destroy(&profiles->lock);
	free(profiles);
}

/* Letters, digits, '-', '_' and '.', not first: it becomes the name of a file. */
static bool is_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	size_t n = strspn(text, allowed);

	return n > 0 && n <= NAME_MAX_BYTES && text[n] == '\0' && text[0] != '.';
}

int seccomp_profiles_choose(const struct seccomp_profiles *profiles, const char *asked,
			    const char **ret, struct error *err)
{
	*ret = profiles->has_default ? "" : NULL;
	if (profiles->fault.code != ERROR_OK) {
		*err = profiles->fault;
		return -1;
	}
	if (!asked)
		return 0;
	if (strcmp(asked, "none") == 0) {
		if (profiles->has_default && !profiles->options.optional)
			return error_set(err, ERROR_PERMISSION_DENIED,
					 "X-Envd-Seccomp: none is not allowed here");
		*ret = NULL;
		return 0;
	}
	if (!is_name(asked))
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "X-Envd-Seccomp is default, none or a name, not '%s'", asked);
	/* The daemon's default, if it has one: a client can't choose a weaker one by this name. */
	if (strcmp(asked, "default") != 0 || !profiles->has_default)
		*ret = asked;
	return 0;
}

/* Under the lock. */
static struct profile *find(const struct seccomp_profiles *profiles, const char *name)
{
	struct profile *profile;

	SLIST_FOREACH (profile, &profiles->named, link)
		if (strcmp(profile->name, name) == 0)
			return profile;
	return NULL;
}

/* Under the lock, so that two starts do not compile the same. A failure is not remembered. */
static struct profile *load(struct seccomp_profiles *profiles, const char *name, struct error *err)
{
	struct sock_fprog program = {0};
	struct profile *profile;
	char path[4096];
	int r = -ENOENT;

	if (strcmp(name, "default") == 0)
		r = compile(NULL, 0, &program, err);
	else if (profiles->options.dir && snprintf(path, sizeof(path), "%s/%s.json",
						   profiles->options.dir, name) < (int)sizeof(path))
		r = compile_file(path, &program, err);
	if (r == -ENOENT)
		error_set(err, ERROR_NOT_FOUND, "there is no seccomp profile '%s'", name);
	if (r < 0)
		return NULL;
	profile = mem_zalloc(sizeof(*profile));
	profile->name = mem_strdup(name);
	profile->program = program;
	SLIST_INSERT_HEAD(&profiles->named, profile, link);
	return profile;
}

const struct sock_fprog *seccomp_profiles_program(struct seccomp_profiles *profiles,
						  const char *name, struct error *err)
{
	struct profile *profile;

	if (*name == '\0')
		return &profiles->program;
	pthread_mutex_lock(&profiles->lock);
	profile = find(profiles, name);
	if (!profile)
		profile = load(profiles, name, err);
	pthread_mutex_unlock(&profiles->lock);
	return profile ? &profile->program : NULL;
}
