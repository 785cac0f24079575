/* SPDX-License-Identifier: Apache-2.0 */
#include "base/user.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

/*
 * Timestamps of files advance with the kernel's tick, so a file that is written twice within a tick
 * has the same timestamps after both writes. If the timestamps are more recent than this when the
 * file is read, it is read again next time.
 */
#define SETTLED_MS 100

/* A line of passwd(5) or group(5); the strings lie in the file's text. */
struct entry {
	const char *name;
	uint32_t id;
	uint32_t gid;	     /* passwd: the primary group */
	const char *home;    /* passwd */
	const char *shell;   /* passwd */
	const char *members; /* group: names with commas between them */
};

struct table {
	const char *what; /* "passwd" or "group", for the log */
	char *path;
	bool (*parse)(char *line, struct entry *ret);
	bool read;    /* the text belongs to the version of the file in `st` */
	bool settled; /* any later change would also change the file's timestamps */
	struct stat st;
	uint64_t checked_ms; /* time of the last stat(2) */
	char *text;
	struct entry *entries; /* in the order of the file */
	size_t n_entries;
	struct entry **by_id; /* sorted by id, then by place in the file */
};

struct user_db {
	pthread_mutex_t lock; /* protects all members */
	struct table users;
	struct table groups;
	bool restricted;
	uid_t only_uid;
	struct entry
		unnamed; /* the only user, if it has no line in passwd(5); else its name is NULL */
	char unnamed_name[16];
	char *unnamed_home;
};

/* The user of a system without /etc/passwd: an image may contain only a program. */
static const struct entry builtin_root = {
	.name = "root",
	.home = "/root",
	.shell = "/bin/sh",
	.members = "",
};

/* Removes the next field from a line: the part before the colon, or the rest. */
static char *next_field(char **line)
{
	char *field = *line;
	char *colon;

	if (!field)
		return NULL;
	colon = strchr(field, ':');
	if (colon)
		*colon++ = '\0';
	*line = colon;
	return field;
}

/* Parses a whole decimal number, except (uid_t)-1, which system calls interpret as "unchanged". */
static bool parse_id(const char *text, uint32_t *ret)
{
	uint64_t id;

	if (!text || !decimal_parse_text(text, UINT32_MAX - 1, &id))
		return false;
	*ret = (uint32_t)id;
	return true;
}

/* Returns true for comments, and for the `+` and `-` lines of NIS. */
static bool name_is_special(const char *name)
{
	return *name == '\0' || *name == '#' || *name == '+' || *name == '-';
}

/* name:password:uid:gid:gecos:home:shell; the shell may be missing. */
static bool parse_passwd(char *line, struct entry *ret)
{
	const char *uid, *gid;

	ret->name = next_field(&line);
	next_field(&line);
	uid = next_field(&line);
	gid = next_field(&line);
	next_field(&line);
	ret->home = next_field(&line);
	ret->shell = next_field(&line);
	if (!ret->home || name_is_special(ret->name))
		return false;
	if (!ret->shell)
		ret->shell = "";
	return parse_id(uid, &ret->id) && parse_id(gid, &ret->gid);
}

/* name:password:gid:members */
static bool parse_group(char *line, struct entry *ret)
{
	const char *gid;

	ret->name = next_field(&line);
	next_field(&line);
	gid = next_field(&line);
	ret->members = next_field(&line);
	if (name_is_special(ret->name))
		return false;
	if (!ret->members)
		ret->members = "";
	return parse_id(gid, &ret->id);
}

/* Sorts by id, then by position in the file, because getpwuid(3) returns the first entry. */
static int compare_ids(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a;
	const struct entry *y = *(struct entry *const *)b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void table_clear(struct table *t)
{
	free(t->text);
	free(t->entries);
	free(t->by_id);
	t->text = NULL;
	t->entries = NULL;
	t->by_id = NULL;
	t->n_entries = 0;
	t->read = false;
}

/* Splits the text into lines and entries. Malformed lines are skipped. */
static void table_parse(struct table *t)
{
	char *line = t->text, *end, *next;
	size_t room = 0, i;
	struct entry entry;

	for (; line; line = next) {
		end = strchr(line, '\n');
		next = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		memset(&entry, 0, sizeof(entry));
		if (!t->parse(line, &entry))
			continue;
		if (t->n_entries == room) {
			room = room ? room * 2 : 32;
			t->entries = mem_realloc(t->entries, room * sizeof(*t->entries));
		}
		t->entries[t->n_entries++] = entry;
	}
	t->by_id = mem_alloc(t->n_entries * sizeof(struct entry *));
	for (i = 0; i < t->n_entries; i++)
		t->by_id[i] = &t->entries[i];
	qsort(t->by_id, t->n_entries, sizeof(struct entry *), compare_ids);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

/* Returns true if a change from now on would give the file another ctime. */
static bool time_is_past(struct timespec changed)
{
	struct timespec now;
	int64_t age_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	age_ms = (int64_t)(now.tv_sec - changed.tv_sec) * 1000 +
		 (now.tv_nsec - changed.tv_nsec) / 1000000;
	return age_ms > SETTLED_MS;
}

/*
 * Reads the file again if it has changed. Caller holds the lock. 0 or -errno; after an error the
 * earlier content stays in effect, and the next call tries again (a shortage of descriptors may
 * pass). A file that does not exist is an empty table.
 */
static int table_refresh(struct table *t)
{
	struct stat st;
	char *text;
	int r;

	if (stat(t->path, &st) < 0) {
		r = -errno;
		if (r != -ENOENT && r != -ENOTDIR)
			return r;
		table_clear(t);
		t->checked_ms = clock_monotonic_ms();
		return 0;
	}
	if (t->read && t->settled && same_file(&st, &t->st)) {
		t->checked_ms = clock_monotonic_ms();
		return 0;
	}
	r = fd_read_file(AT_FDCWD, t->path, USER_FILE_MAX_BYTES, &text, NULL);
	if (r < 0)
		log_error("%s: the %s file cannot be read: %s", t->path, t->what,
			  error_errno_text(r));
	/* A file that is too large is not read again until it changes. Any other error may pass. */
	if (r < 0 && r != -EFBIG)
		return r;
	table_clear(t);
	t->text = r < 0 ? mem_strdup("") : text;
	t->st = st;
	t->read = true;
	t->settled = time_is_past(st.st_ctim);
	t->checked_ms = clock_monotonic_ms();
	table_parse(t);
	return 0;
}

/* Sets the error for a table that could never be read: the user may exist. */
static int table_unreadable(const struct table *t, int r, struct error *err)
{
	return error_set_errno(err, fd_is_shortage(r) ? ERROR_RESOURCE_EXHAUSTED : ERROR_INTERNAL,
			       r, "reading %s", t->path);
}

static bool table_is_missing(const struct table *t)
{
	return !t->read && access(t->path, F_OK) < 0 && errno == ENOENT;
}

static const struct entry *table_find_id(const struct table *t, uint32_t id)
{
	size_t low = 0, high = t->n_entries, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (t->by_id[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n_entries && t->by_id[low]->id == id ? t->by_id[low] : NULL;
}

static const struct entry *table_find_name(const struct table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->n_entries; i++)
		if (strcmp(t->entries[i].name, name) == 0)
			return &t->entries[i];
	return NULL;
}

/* Returns true if a comma-separated list of names has this one. */
static bool members_have(const char *members, const char *name, size_t n)
{
	const char *end;

	for (;; members = end + 1) {
		end = strchrnul(members, ',');
		if ((size_t)(end - members) == n && memcmp(members, name, n) == 0)
			return true;
		if (!*end)
			return false;
	}
}

/* Sets the user's groups: the primary group, and each group with the user as a member. */
static void find_groups(const struct table *groups, struct arena *arena, struct user *user)
{
	size_t name_bytes = strlen(user->name);
	size_t n = 1, i;

	for (i = 0; i < groups->n_entries; i++)
		if (members_have(groups->entries[i].members, user->name, name_bytes))
			n++;
	user->groups = arena_alloc(arena, n * sizeof(gid_t));
	user->groups[0] = user->gid;
	n = 1;
	for (i = 0; i < groups->n_entries && n < USER_MAX_GROUPS; i++)
		if (groups->entries[i].id != user->gid &&
		    members_have(groups->entries[i].members, user->name, name_bytes))
			user->groups[n++] = groups->entries[i].id;
	user->n_groups = n;
}

/*
 * Returns true if a daemon that serves one user may not read a table. It needs neither names nor
 * groups: it can't change its own. podman writes both files with mode 600 for an image without
 * them.
 */
static bool is_withheld(const struct user_db *db, int r)
{
	return db->restricted && r == -EACCES;
}

/*
 * Copies a user into the arena. Caller holds the lock. 0, or -1 if the group file could never be
 * read: without its groups, a process would have fewer rights than its user.
 */
static int fill_user(struct user_db *db, const struct entry *entry, struct arena *arena,
		     struct user *ret, struct error *err)
{
	int r = table_refresh(&db->groups);

	if (r < 0 && !db->groups.read && !is_withheld(db, r))
		return table_unreadable(&db->groups, r, err);
	ret->name = arena_strdup(arena, entry->name);
	ret->uid = entry->id;
	ret->gid = entry->gid;
	ret->home = arena_strdup(arena, entry->home);
	ret->shell = arena_strdup(arena, entry->shell);
	find_groups(&db->groups, arena, ret);
	return 0;
}

struct user_db *user_db_new(const char *passwd_path, const char *group_path)
{
	struct user_db *db = mem_zalloc(sizeof(*db));

	pthread_mutex_init(&db->lock, NULL);
	db->users.what = "passwd";
	db->users.path = mem_strdup(passwd_path ? passwd_path : "/etc/passwd");
	db->users.parse = parse_passwd;
	db->groups.what = "group";
	db->groups.path = mem_strdup(group_path ? group_path : "/etc/group");
	db->groups.parse = parse_group;
	return db;
}

void user_db_free(struct user_db *db)
{
	if (!db)
		return;
	table_clear(&db->users);
	table_clear(&db->groups);
	free(db->users.path);
	free(db->groups.path);
	free(db->unnamed_home);
	pthread_mutex_destroy(&db->lock);
	free(db);
}

/*
 * Finds the entry of a user: in the current file, or the entry that replaces a missing one; NULL:
 * none. Caller holds the lock. *ret_errno is 0, or -errno if the file could never be read.
 */
static const struct entry *find_entry(struct user_db *db, const char *name, uid_t uid,
				      int *ret_errno)
{
	const struct entry *entry;
	int r = table_refresh(&db->users);

	entry = name ? table_find_name(&db->users, name) : table_find_id(&db->users, uid);
	if (!entry && db->unnamed.name &&
	    (name ? strcmp(name, db->unnamed.name) == 0 : uid == db->unnamed.id))
		entry = &db->unnamed;
	if (!entry && (name ? strcmp(name, builtin_root.name) == 0 : uid == 0) &&
	    table_is_missing(&db->users))
		entry = &builtin_root;
	*ret_errno = !entry && !db->users.read ? r : 0;
	return entry;
}

void user_db_restrict(struct user_db *db, uid_t uid, gid_t gid, const char *home)
{
	int ignored;

	pthread_mutex_lock(&db->lock);
	db->restricted = true;
	db->only_uid = uid;
	if (!find_entry(db, NULL, uid, &ignored)) {
		snprintf(db->unnamed_name, sizeof(db->unnamed_name), "%u", (unsigned)uid);
		db->unnamed_home = mem_strdup(home && *home ? home : "/");
		db->unnamed = (struct entry){
			.name = db->unnamed_name,
			.id = uid,
			.gid = gid,
			.home = db->unnamed_home,
			.shell = "/bin/sh",
		};
	}
	pthread_mutex_unlock(&db->lock);
}

/* Looks a user up by name, or by uid if name is NULL. */
static int find_user(struct user_db *db, const char *name, uid_t uid, struct arena *arena,
		     struct user *ret, struct error *err)
{
	const struct entry *entry;
	int failed, r;

	pthread_mutex_lock(&db->lock);
	entry = find_entry(db, name, uid, &failed);
	if (entry && name && db->restricted && entry->id != db->only_uid)
		entry = NULL;
	if (entry)
		r = fill_user(db, entry, arena, ret, err);
	else if (failed < 0 && !is_withheld(db, failed))
		r = table_unreadable(&db->users, failed, err);
	else if (name)
		r = error_set(err, ERROR_UNAUTHENTICATED, "invalid username: '%s'", name);
	else
		r = error_set(err, ERROR_NOT_FOUND, "no user has the uid %u", uid);
	pthread_mutex_unlock(&db->lock);
	return r;
}

int user_find(struct user_db *db, const char *name, struct arena *arena, struct user *ret,
	      struct error *err)
{
	return find_user(db, name, 0, arena, ret, err);
}

int user_find_uid(struct user_db *db, uid_t uid, struct arena *arena, struct user *ret,
		  struct error *err)
{
	return find_user(db, NULL, uid, arena, ret, err);
}

/* Finds the name of a number, in recently read content or in the current file. */
static const char *find_name(struct user_db *db, struct table *t, uint32_t id, struct arena *arena)
{
	const struct entry *entry = NULL;
	const char *name;

	pthread_mutex_lock(&db->lock);
	if (t->read && clock_monotonic_ms() - t->checked_ms < USER_NAME_STALE_MS)
		entry = table_find_id(t, id);
	if (!entry) {
		table_refresh(t);
		entry = table_find_id(t, id);
	}
	name = entry ? arena_strdup(arena, entry->name) : NULL;
	pthread_mutex_unlock(&db->lock);
	return name;
}

const char *user_name(struct user_db *db, uid_t uid, struct arena *arena)
{
	return find_name(db, &db->users, uid, arena);
}

const char *user_group_name(struct user_db *db, gid_t gid, struct arena *arena)
{
	return find_name(db, &db->groups, gid, arena);
}
