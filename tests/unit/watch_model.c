/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/watch_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "watch/engine/source.h"

const char *event_type_name(unsigned type)
{
	static const char *const names[] = {
		[WATCH_CREATE] = "CREATE", [WATCH_WRITE] = "WRITE", [WATCH_REMOVE] = "REMOVE",
		[WATCH_RENAME] = "RENAME", [WATCH_CHMOD] = "CHMOD",
	};

	return names[type];
}

/* ---- the client ---- */

void picture_init(struct picture *p, const char *root, bool recursive)
{
	memset(p, 0, sizeof(*p));
	p->root = root;
	p->recursive = recursive;
}

void picture_clear(struct picture *p)
{
	while (p->n > 0)
		free(p->entries[--p->n].path);
	free(p->entries);
	memset(p, 0, sizeof(*p));
}

static __attribute__((format(printf, 2, 3))) void wrong(struct picture *p, const char *format, ...)
{
	va_list ap;

	if (p->error[0])
		return;
	va_start(ap, format);
	vsnprintf(p->error, sizeof(p->error), format, ap);
	va_end(ap);
}

static struct picture_entry *find(struct picture *p, const char *path)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (strcmp(p->entries[i].path, path) == 0)
			return &p->entries[i];
	return NULL;
}

/* Whether `path` is `top` or below it. */
static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strcmp(top, ".") == 0 ||
	       (strncmp(path, top, n) == 0 && (path[n] == '/' || !path[n]));
}

static void forget(struct picture *p, const char *top)
{
	size_t i = 0;

	while (i < p->n) {
		if (!is_below(p->entries[i].path, top)) {
			i++;
			continue;
		}
		free(p->entries[i].path);
		p->entries[i] = p->entries[--p->n];
	}
}

static struct picture_entry *add(struct picture *p, const char *path)
{
	struct picture_entry *entry = find(p, path);

	if (entry)
		return entry;
	if (p->n == p->capacity) {
		p->capacity = p->capacity * 2 + 64;
		p->entries = mem_realloc(p->entries, p->capacity * sizeof(*p->entries));
	}
	entry = &p->entries[p->n++];
	memset(entry, 0, sizeof(*entry));
	entry->path = mem_strdup(path);
	return entry;
}

static void full_path(const struct picture *p, const char *path, char out[PATH_MAX])
{
	if (snprintf(out, PATH_MAX, "%s/%s", p->root, path) >= PATH_MAX)
		fatal("a path of the model is too long");
}

static void look_at(struct picture *p, struct picture_entry *entry)
{
	char path[PATH_MAX];

	full_path(p, entry->path, path);
	entry->seen = lstat(path, &entry->st) == 0;
}

/* Lists a directory, and adds what the client finds there. */
static void list(struct picture *p, const char *top)
{
	struct picture_entry *entry;
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	p->ahead = p->looked = true;
	full_path(p, top, path);
	dir = opendir(path);
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (strcmp(top, ".") == 0)
			snprintf(path, sizeof(path), "%s", d->d_name);
		else if (snprintf(path, sizeof(path), "%s/%s", top, d->d_name) >= PATH_MAX)
			fatal("a path of the model is too long");
		entry = add(p, path);
		entry->is_dir = d->d_type == DT_DIR;
		look_at(p, entry);
		if (entry->is_dir && p->recursive)
			list(p, path);
	}
	closedir(dir);
}

void picture_look(struct picture *p, const char *path)
{
	struct picture_entry *entry = find(p, path);
	bool known = entry != NULL;

	forget(p, path);
	if (known) {
		entry = add(p, path);
		entry->is_dir = true;
		look_at(p, entry);
	}
	list(p, path);
}

static void apply_create(struct picture *p, const struct watch_output *output)
{
	const struct watch_event *event = output->event;
	struct picture_entry *entry = find(p, event->name);

	if (entry)
		forget(p, event->name);
	entry = add(p, event->name);
	entry->is_dir = event->is_dir;
	look_at(p, entry);
	if (p->lists && event->is_dir && p->recursive)
		list(p, event->name);
}

static void apply(struct picture *p, const struct watch_output *output)
{
	const struct watch_event *event = output->event;
	struct picture_entry *entry = find(p, event->name);

	p->events++;
	if (event->look_again) {
		p->look_agains++;
		if (!p->blind)
			picture_look(p, event->name);
		return;
	}
	if (event->type == WATCH_CREATE) {
		apply_create(p, output);
		return;
	}
	if (strcmp(event->name, ".") == 0)
		return;
	/*
	 * REMOVE and RENAME may come for a name that the client does not know: that changes
	 * nothing.
	 */
	if (!entry && !p->ahead && (event->type == WATCH_WRITE || event->type == WATCH_CHMOD)) {
		wrong(p, "%s %s: it was not there", event_type_name(event->type), event->name);
		return;
	}
	if (event->type == WATCH_REMOVE || event->type == WATCH_RENAME)
		forget(p, event->name);
	else if (entry)
		look_at(p, entry);
}

void picture_apply(struct picture *p, const struct watch_output *output)
{
	apply(p, output);
	watch_event_unref(output->event);
}

static int entry_order(const void *a, const void *b)
{
	const struct picture_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Whether the client looked at the entry after its last change. */
static bool same_state(const struct picture_entry *known, const struct picture_entry *real)
{
	const struct stat *a = &known->st, *b = &real->st;

	/* The client knows that it did not find the directory, and can look there again. */
	if (!known->seen)
		return real->is_dir;
	if (a->st_mode != b->st_mode)
		return false;
	return real->is_dir ||
	       (a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ino == b->st_ino);
}

/* Compares an entry that the client knows with the real one. One of the two may be NULL. */
static void compare(struct picture *p, const struct picture_entry *known,
		    const struct picture_entry *real)
{
	if (!real) {
		if (!p->came_and_went)
			wrong(p, "%s is not there, and the client does not know", known->path);
		return;
	}
	if (!known)
		wrong(p, "%s is there, and the client does not know", real->path);
	else if (known->is_dir != real->is_dir)
		wrong(p, "%s is of another type than the client knows", real->path);
	else if (!same_state(known, real))
		wrong(p,
		      "%s has changed, and the client was not told: mode %o, %lld bytes, "
		      "%lld.%09ld, not %o, %lld bytes, %lld.%09ld",
		      real->path, real->st.st_mode, (long long)real->st.st_size,
		      (long long)real->st.st_mtim.tv_sec, real->st.st_mtim.tv_nsec,
		      known->st.st_mode, (long long)known->st.st_size,
		      (long long)known->st.st_mtim.tv_sec, known->st.st_mtim.tv_nsec);
}

bool picture_matches(struct picture *p)
{
	struct picture real;
	size_t i = 0, k = 0;
	int order;

	picture_init(&real, p->root, p->recursive);
	picture_look(&real, ".");
	if (p->n > 0)
		qsort(p->entries, p->n, sizeof(*p->entries), entry_order);
	if (real.n > 0)
		qsort(real.entries, real.n, sizeof(*real.entries), entry_order);
	while (i < p->n || k < real.n) {
		if (i == p->n)
			order = 1;
		else
			order = k == real.n ? -1 : entry_order(&p->entries[i], &real.entries[k]);
		compare(p, order <= 0 ? &p->entries[i] : NULL,
			order >= 0 ? &real.entries[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
	picture_clear(&real);
	return !p->error[0];
}

/* ---- the changes ---- */

struct changer {
	const char *root;
	const char *outside;
	unsigned long random;
	/* The last elements of paths at which directories, and files that move, may be. */
	const char *dir_names;
	const char *moved_names;
};

static unsigned pick(struct changer *c, unsigned n)
{
	/* xorshift: the same sequence everywhere. */
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (unsigned)(c->random >> 11) % n;
}

#define NAMES "abcde"

/*
 * Picks a path of one to four elements, the last of them from `last`. There are few names, so that
 * the processes often change the same ones.
 */
static void pick_path(struct changer *c, const char *top, const char *last, char out[PATH_MAX])
{
	unsigned depth = 1 + pick(c, 4), i;
	size_t n = (size_t)snprintf(out, PATH_MAX, "%s", top);

	for (i = 0; i < depth; i++) {
		out[n++] = '/';
		out[n++] = NAMES[pick(c, sizeof(NAMES) - 1)];
	}
	out[n - 1] = last[pick(c, (unsigned)strlen(last))];
	out[n] = '\0';
}

static void append(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);

	if (fd < 0)
		return;
	if (write(fd, "some text\n", 10) < 0)
		fatal("write");
	close(fd);
}

static void remove_tree(const char *path)
{
	char below[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	if (unlink(path) == 0 || rmdir(path) == 0)
		return;
	dir = opendir(path);
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, d->d_name) < PATH_MAX)
			remove_tree(below);
	}
	closedir(dir);
	rmdir(path);
}

/* Makes a small tree at once, as an archiver does. */
static void unpack(struct changer *c, const char *path)
{
	char below[PATH_MAX];
	unsigned i;

	mkdir(path, 0755);
	for (i = 0; i < 4; i++) {
		if (snprintf(below, sizeof(below), "%s/%c", path,
			     c->dir_names[pick(c, (unsigned)strlen(c->dir_names))]) >= PATH_MAX)
			return;
		mkdir(below, 0755);
		strcat(below, "/f");
		append(below, O_CREAT);
	}
}

/* Saves as editors do: makes a new file, and renames it over the old one. */
static void save(const char *path)
{
	char temporary[PATH_MAX];

	if (snprintf(temporary, sizeof(temporary), "%s~%d", path, (int)getpid()) >= PATH_MAX)
		return;
	append(temporary, O_CREAT | O_TRUNC);
	if (rename(temporary, path) < 0)
		unlink(temporary);
}

static void set_old(const char *path)
{
	const struct timespec times[2] = {{1000000000, 1}, {1000000000, 2}};

	utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static void change(struct changer *c)
{
	char path[PATH_MAX], other[PATH_MAX];
	unsigned what = pick(c, 100);

	if (what < 22 || (what >= 70 && what < 75) || (what >= 91 && what < 94))
		pick_path(c, c->root, c->dir_names, path);
	else if (what >= 50 && what < 65)
		pick_path(c, c->root, c->moved_names, path);
	else
		pick_path(c, c->root, NAMES, path);
	if (what < 22) {
		mkdir(path, 0755);
	} else if (what < 42) {
		append(path, O_CREAT | O_APPEND);
	} else if (what < 50) {
		append(path, O_APPEND);
	} else if (what < 65) {
		pick_path(c, c->root, c->moved_names, other);
		renameat2(AT_FDCWD, path, AT_FDCWD, other, pick(c, 6) ? 0 : RENAME_EXCHANGE);
	} else if (what < 70) {
		pick_path(c, c->outside, NAMES, other);
		rename(path, other);
	} else if (what < 75) {
		pick_path(c, c->outside, NAMES, other);
		rename(other, path);
	} else if (what < 80) {
		unlink(path);
	} else if (what < 83) {
		rmdir(path);
	} else if (what < 86) {
		remove_tree(path);
	} else if (what < 89) {
		chmod(path, pick(c, 2) ? 0700 : 0755);
	} else if (what < 91) {
		/* No hard links: a change through one name has no event at the other. */
		if (symlink("a", path) < 0)
			return;
	} else if (what < 94) {
		unpack(c, path);
	} else if (what < 97) {
		save(path);
	} else if (what < 99) {
		set_old(path);
	} else {
		if (truncate(path, 3) < 0)
			return;
	}
}

pid_t changes_start(const char *root, const char *outside, unsigned long seed, unsigned n,
		    bool moves_dirs)
{
	struct changer c = {root, outside, seed * 2654435761u + 88172645463325252u,
			    moves_dirs ? NAMES : "abc", moves_dirs ? NAMES : "de"};
	pid_t pid = fork();
	unsigned i;

	if (pid < 0)
		fatal("fork");
	if (pid > 0)
		return pid;
	for (i = 0; i < n; i++) {
		change(&c);
		/* A pause now and then, so that events are read in between. */
		if (pick(&c, 8) == 0)
			usleep(pick(&c, 300));
	}
	_exit(0);
}
