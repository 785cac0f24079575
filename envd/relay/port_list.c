/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/port_list.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/user.h"

/* ---- entries ---- */

int port_entry_compare(const struct port_entry *a, const struct port_entry *b)
{
	return port_listener_compare(&a->listener, &b->listener);
}

static int compare_order(const void *a, const void *b)
{
	return port_entry_compare(a, b);
}

static int compare_inodes(const void *a, const void *b)
{
	const struct port_entry *x = a, *y = b;

	return x->listener.inode < y->listener.inode ? -1 : x->listener.inode > y->listener.inode;
}

void port_listener_address(const struct port_listener *listener, char text[INET6_ADDRSTRLEN])
{
	inet_ntop(listener->family, listener->address, text, INET6_ADDRSTRLEN);
}

/* ---- processes ---- */

struct search {
	struct port_list *list; /* sorted by inode */
	size_t left;		/* entries without a process */
	size_t descriptors;	/* that may still be looked at */
	uint64_t deadline_ms;
	int shortage; /* 0, or -errno: there was no free descriptor, or no memory */
};

static bool search_is_over(const struct search *search)
{
	return search->left == 0 || search->descriptors == 0 || search->shortage < 0 ||
	       clock_monotonic_ms() > search->deadline_ms;
}

/* Notes why an open failed. Any other reason means that the process has ended, or is hidden. */
static int noted(struct search *search, int fd)
{
	if (fd < 0 && fd_is_shortage(errno))
		search->shortage = -errno;
	return fd;
}

/* Reads /proc/PID/comm, without its newline; "" if the process has ended. */
static void read_command(struct search *search, int process, char command[PORT_COMMAND_BYTES])
{
	FD_AUTO int fd = noted(search, openat(process, "comm", O_RDONLY | O_CLOEXEC));
	ssize_t n = fd < 0 ? 0 : read(fd, command, PORT_COMMAND_BYTES - 1);

	memset(command + (n > 0 ? n : 0), 0, PORT_COMMAND_BYTES - (size_t)(n > 0 ? n : 0));
	command[strcspn(command, "\n")] = '\0';
}

/* The target of a descriptor, such as "socket:[4711]"; *ret_inode. */
static bool parse_socket(const char *target, uint32_t *ret_inode)
{
	static const char prefix[] = "socket:[";
	size_t n = strlen(target), skip = sizeof(prefix) - 1;
	uint64_t inode;

	if (n < skip + 2 || memcmp(target, prefix, skip) != 0 || target[n - 1] != ']' ||
	    !decimal_parse(target + skip, n - skip - 1, UINT32_MAX, &inode))
		return false;
	*ret_inode = (uint32_t)inode;
	return true;
}

static void assign(struct search *search, uint32_t inode, pid_t pid, int process)
{
	const struct port_entry key = {.listener = {.inode = inode}};
	struct port_entry *entry =
		bsearch(&key, search->list->entries, search->list->n, sizeof(key), compare_inodes);

	if (!entry || entry->pid)
		return;
	entry->pid = pid;
	read_command(search, process, entry->command);
	search->left--;
}

/* Looks at the descriptors of a process. */
static void search_process(struct search *search, int proc, const char *name, pid_t pid)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	FD_AUTO int process = noted(search, openat(proc, name, flags));
	int fds = process < 0 ? -1 : noted(search, openat(process, "fd", flags));
	DIR *directory = fds < 0 ? NULL : fdopendir(fds);
	const struct dirent *found;
	char target[64];
	uint32_t inode;
	ssize_t n;

	if (!directory) {
		fd_close(&fds);
		return;
	}
	while (!search_is_over(search) && (found = readdir(directory))) {
		search->descriptors--;
		n = readlinkat(fds, found->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (parse_socket(target, &inode))
			assign(search, inode, pid, process);
	}
	closedir(directory);
}

/*
 * Finds the process of each entry. readdir lists /proc by pid, so the lowest pid is found first. 0
 * or -errno.
 */
static int find_processes(struct port_list *list)
{
	struct search search = {
		.list = list,
		.left = list->n,
		.descriptors = PORT_LIST_MAX_DESCRIPTORS,
		.deadline_ms = clock_monotonic_ms() + PORT_LIST_MAX_MS,
	};
	DIR *proc = opendir("/proc");
	const struct dirent *found;
	uint64_t pid;

	if (!proc)
		return fd_is_shortage(errno) ? -errno : 0;
	while (!search_is_over(&search) && (found = readdir(proc)))
		if (decimal_parse_text(found->d_name, INT32_MAX, &pid))
			search_process(&search, dirfd(proc), found->d_name, (pid_t)pid);
	closedir(proc);
	return search.shortage;
}

/* ---- the list ---- */

/* The order does not count, because the kernel's order changes. */
uint64_t port_set_fingerprint(const struct port_set *set)
{
	uint64_t sum = set->n_listeners, hash;
	const unsigned char *p;
	size_t i, k;

	for (i = 0; i < set->n_listeners; i++) {
		p = (const unsigned char *)&set->listeners[i];
		hash = 14695981039346656037u; /* FNV-1a */
		for (k = 0; k < sizeof(set->listeners[i]); k++)
			hash = (hash ^ p[k]) * 1099511628211u;
		sum += hash;
	}
	return sum;
}

/* A dump during which listeners come and go may have one twice. The list is sorted by inode. */
static void remove_doubles(struct port_list *list)
{
	size_t i, n = 0;

	for (i = 0; i < list->n; i++)
		if (n == 0 || compare_inodes(&list->entries[n - 1], &list->entries[i]) != 0)
			list->entries[n++] = list->entries[i];
	list->n = n;
}

static void remove_own(struct port_list *list)
{
	pid_t own = getpid();
	size_t i, n = 0;

	for (i = 0; i < list->n; i++)
		if (list->entries[i].pid != own)
			list->entries[n++] = list->entries[i];
	list->n = n;
}

/* The names of the users; the number of a user that has no name or a long one. */
static void find_users(struct port_list *list, struct user_db *users)
{
	struct arena arena = {0};
	struct port_entry *entry;
	const char *name;

	for (entry = list->entries; entry < list->entries + list->n; entry++) {
		name = user_name(users, entry->listener.uid, &arena);
		if (name && strlen(name) < sizeof(entry->user))
			strcpy(entry->user, name);
		else
			snprintf(entry->user, sizeof(entry->user), "%u", entry->listener.uid);
	}
	arena_clear(&arena);
}

/* NULL and *ret_errno on failure. */
static struct port_list *make_list(const struct port_set *set, struct user_db *users,
				   int *ret_errno)
{
	struct port_list *list =
		mem_zalloc(sizeof(*list) + set->n_listeners * sizeof(list->entries[0]));
	size_t i;

	list->refs = 1;
	list->fingerprint = port_set_fingerprint(set);
	list->n = set->n_listeners;
	for (i = 0; i < list->n; i++)
		list->entries[i].listener = set->listeners[i];
	qsort(list->entries, list->n, sizeof(list->entries[0]), compare_inodes);
	remove_doubles(list);
	*ret_errno = find_processes(list);
	if (*ret_errno < 0) {
		free(list);
		return NULL;
	}
	remove_own(list);
	find_users(list, users);
	qsort(list->entries, list->n, sizeof(list->entries[0]), compare_order);
	return list;
}

struct port_list *port_list_read(const uint32_t *own_inodes, size_t n_own, struct user_db *users,
				 int *ret_errno)
{
	FD_AUTO int netlink = port_scan_open();
	struct port_set *set = mem_zalloc(sizeof(*set));
	struct port_list *list = NULL;

	for (; set->n_own < n_own && set->n_own < PORT_SCAN_MAX_OWN; set->n_own++)
		set->own[set->n_own] = own_inodes[set->n_own];
	*ret_errno = netlink < 0 ? netlink : port_scan(netlink, set);
	if (*ret_errno == 0)
		list = make_list(set, users, ret_errno);
	free(set);
	return list;
}

struct port_list *port_list_ref(struct port_list *list)
{
	list->refs++;
	return list;
}

void port_list_unref(struct port_list *list)
{
	if (list && --list->refs == 0)
		free(list);
}
