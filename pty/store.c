/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/handover.h"
#include "pty/rpc.h"
#include "rpc/codec/codec.h"

#define PROCESS_PREFIX "proc."
#define STDIN_PREFIX   "stdin."
#define NAME_BYTES     32

/*
 * The maximum size of a description, which contains little more than the process's configuration.
 */
#define RECORD_MAX_BYTES (64u * 1024 * 1024)

/* The delay before another try if there was no descriptor, or no memory, for a description. */
#define STORE_RETRY_MS 1000

/* 1 GiB/s; below 2^53, the whole numbers of JavaScript, for 99 days since boot. */
#define OFFSETS_PER_MS (UINT64_C(1) << 20)

void pty_service_set_store(struct pty_service *svc, const struct pty_store *store)
{
	svc->table.store = *store;
}

/* ---- putting and dropping ---- */

static void name_of(const struct proc *p, const char *prefix, char name[NAME_BYTES])
{
	snprintf(name, NAME_BYTES, "%s%d", prefix, (int)p->pid);
}

/* The inode by which a descriptor is recognised when it comes back without its number. */
static uint64_t inode_of(int fd)
{
	struct stat status;

	return fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
}

/* Creates a memory file with the description of the process. Returns its descriptor, or -errno. */
static int make_record(const struct proc *p)
{
	struct arena arena = {0};
	Handover__HandoverState state = HANDOVER__HANDOVER_STATE__INIT;
	Handover__HandoverProc *record;
	FD_AUTO int fd = memfd_create("envd-process", MFD_CLOEXEC);
	uint8_t *packed;
	size_t n;
	int r;

	if (fd < 0)
		return -errno;
	record = pty_handover_describe(p, &arena);
	record->stdout_ino = inode_of(record->stdout_fd);
	record->stderr_ino = inode_of(record->stderr_fd);
	record->stdin_ino = inode_of(record->stdin_fd);
	record->tty_ino = inode_of(record->tty_fd);
	/*
	 * After a crash the remaining time is unknown, so the deadline starts anew; kept output is
	 * dropped, because the bytes that follow it are lost.
	 */
	if (record->kept)
		record->kept->n_pieces = 0;
	state.schema = 1;
	state.processes = &record;
	state.n_processes = 1;
	n = protobuf_c_message_get_packed_size(&state.base);
	packed = mem_alloc(n);
	protobuf_c_message_pack(&state.base, packed);
	r = fd_write_all(fd, packed, n);
	free(packed);
	arena_clear(&arena);
	return r < 0 ? r : fd_take(&fd);
}

/*
 * Puts the description, the pidfd and the outputs. False: the parent is busy, or the description
 * can't be made now. Then the timer tries again: no parent that has room would.
 */
static bool put_proc(const struct proc *p)
{
	struct proc_table *t = p->table;
	char name[NAME_BYTES];
	int fds[4], n = 0;
	unsigned i;
	bool taken;

	fds[n] = make_record(p);
	if (fds[n] < 0) {
		if (!p->store.is_due)
			log_warn("process %d would be lost in a crash for now: %s", (int)p->pid,
				 error_errno_text(-fds[n]));
		timer_set_ms(&t->store_retry, STORE_RETRY_MS);
		return false;
	}
	n++;
	fds[n++] = p->pidfd;
	for (i = 0; i < p->n_outputs; i++)
		if (p->outputs[i].fd >= 0)
			fds[n++] = p->outputs[i].fd;
	name_of(p, PROCESS_PREFIX, name);
	taken = t->store.put(t->store.arg, name, fds, (size_t)n);
	fd_close(&fds[0]);
	return taken;
}

static bool put_stdin(const struct proc *p)
{
	const struct pty_store *store = &p->table->store;
	char name[NAME_BYTES];

	name_of(p, STDIN_PREFIX, name);
	return store->put(store->arg, name, &p->input.fd, 1);
}

/* Puts the parts that the parent does not have. False: not all of them can be put now. */
static bool put_parts(struct proc *p)
{
	if (!p->store.has_proc)
		p->store.has_proc = put_proc(p);
	if (p->store.has_proc && !p->store.has_stdin && !p->is_pty && p->input.fd >= 0) {
		p->store.has_stdin = put_stdin(p);
		return p->store.has_stdin;
	}
	return p->store.has_proc;
}

void pty_store_put(struct proc *p)
{
	struct proc_table *t = p->table;

	if (!t->store.put || p->store.is_due || (TAILQ_EMPTY(&t->store_due) && put_parts(p)))
		return;
	p->store.is_due = true;
	TAILQ_INSERT_TAIL(&t->store_due, p, store.link);
}

void pty_store_release(struct proc *p)
{
	if (p->store.is_due)
		TAILQ_REMOVE(&p->table->store_due, p, store.link);
	p->store.is_due = false;
}

void pty_store_retry(void *arg)
{
	struct proc_table *t = arg;
	struct proc *p;

	while ((p = TAILQ_FIRST(&t->store_due)) && put_parts(p))
		pty_store_release(p);
}

void pty_store_resume(struct pty_service *svc)
{
	pty_store_retry(&svc->table);
}

void pty_store_assume(struct proc *p)
{
	p->store.has_proc = true;
	p->store.has_stdin = !p->is_pty;
}

void pty_store_drop_stdin(struct proc *p)
{
	const struct pty_store *store = &p->table->store;
	char name[NAME_BYTES];

	name_of(p, STDIN_PREFIX, name);
	if (store->drop && p->store.has_stdin)
		store->drop(store->arg, name);
	p->store.has_stdin = false;
}

void pty_store_drop(struct proc *p)
{
	const struct pty_store *store = &p->table->store;
	char name[NAME_BYTES];

	pty_store_release(p);
	name_of(p, PROCESS_PREFIX, name);
	if (store->drop && p->store.has_proc)
		store->drop(store->arg, name);
	p->store.has_proc = false;
}

void pty_store_drop_names(const struct pty_service *svc, const char *const *names, size_t n)
{
	const struct pty_store *store = &svc->table.store;
	size_t i;

	for (i = 0; store->drop && i < n; i++)
		store->drop(store->arg, names[i]);
}

void pty_store_drop_all(const struct pty_service *svc)
{
	struct proc *p;

	TAILQ_FOREACH (p, &svc->table.live, link) {
		pty_store_drop_stdin(p);
		pty_store_drop(p);
	}
}

void pty_store_put_all(const struct pty_service *svc)
{
	struct proc *p;

	TAILQ_FOREACH (p, &svc->table.live, link)
		pty_store_put(p);
}

/* ---- adopting ---- */

/* The descriptors that came back for one process. */
struct group {
	long pid;
	int record, pidfd;
	int others[8]; /* pipes and terminals */
	size_t n_others;
};

/* The pid in a name, or -1. */
static long pid_of(const char *name)
{
	uint64_t pid;

	if (strncmp(name, PROCESS_PREFIX, strlen(PROCESS_PREFIX)) == 0)
		name += strlen(PROCESS_PREFIX);
	else if (strncmp(name, STDIN_PREFIX, strlen(STDIN_PREFIX)) == 0)
		name += strlen(STDIN_PREFIX);
	else
		return -1;
	return decimal_parse_text(name, INT_MAX, &pid) && pid > 1 ? (long)pid : -1;
}

static bool is_pidfd(int fd)
{
	char path[32], target[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	/* "anon_inode:[pidfd]", or "pidfd:[N]" from Linux 6.9 on. */
	return strstr(target, "pidfd") != NULL;
}

static void add_to_group(struct group *g, int fd)
{
	struct stat status;

	if (g->pidfd < 0 && is_pidfd(fd))
		g->pidfd = fd;
	else if (g->record < 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		g->record = fd;
	else if (g->n_others < ARRAY_LEN(g->others))
		g->others[g->n_others++] = fd;
	else
		close(fd);
}

/* Removes and returns the descriptor with this inode from a group; -1 if there is none. */
static int take_by_inode(struct group *g, uint64_t inode)
{
	size_t i;

	for (i = 0; i < g->n_others; i++)
		if (inode && g->others[i] >= 0 && inode_of(g->others[i]) == inode)
			return fd_take(&g->others[i]);
	return -1;
}

static Handover__HandoverProc *read_record(int fd, struct arena *arena)
{
	Handover__HandoverState *state;
	ProtobufCMessage *message;
	struct stat status;
	struct error err;
	char *text;

	if (fd < 0 || fstat(fd, &status) < 0 || status.st_size <= 0 ||
	    status.st_size > RECORD_MAX_BYTES)
		return NULL;
	text = arena_alloc(arena, (size_t)status.st_size);
	if (pread(fd, text, (size_t)status.st_size, 0) != status.st_size ||
	    codec_decode(RPC_CODEC_PROTO, &handover__handover_state__descriptor, text,
			 (size_t)status.st_size, ERROR_INVALID_ARGUMENT, arena, &message, &err) < 0)
		return NULL;
	state = (Handover__HandoverState *)message;
	return state->n_processes == 1 ? state->processes[0] : NULL;
}

/*
 * Gives the outputs offsets that no client has counted to. How many bytes the process wrote since
 * the record was made is unknown; with the record's counts, a client that resumes at its offset
 * (X-Envd-From) would skip as many bytes and not notice. The new offsets begin above every offset
 * before them: the time since boot grows faster than a process can write.
 */
static void renumber_outputs(Handover__HandoverProc *record)
{
	struct timespec now;
	uint64_t begin;
	size_t i;

	clock_gettime(CLOCK_BOOTTIME, &now);
	begin = ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) * OFFSETS_PER_MS;
	record->stdout_bytes = record->stderr_bytes = record->pty_bytes = begin;
	if (!record->kept)
		return;
	/* An earlier version put the kept output into the record. */
	record->kept->n_pieces = 0;
	for (i = 0; i < record->kept->n_first_offset; i++)
		record->kept->first_offset[i] = begin;
}

static bool adopt_group(struct pty_service *svc, struct group *g)
{
	struct arena arena = {0};
	Handover__HandoverProc *record = read_record(g->record, &arena);
	bool adopted = false;
	size_t i;

	if (record && g->pidfd >= 0 && (long)record->pid == g->pid) {
		record->stdout_fd = take_by_inode(g, record->stdout_ino);
		record->stderr_fd = take_by_inode(g, record->stderr_ino);
		record->stdin_fd = take_by_inode(g, record->stdin_ino);
		record->tty_fd = take_by_inode(g, record->tty_ino);
		renumber_outputs(record);
		adopted = pty_handover_adopt_one(svc, record, fd_take(&g->pidfd)) == 0;
	}
	if (!adopted)
		log_error("process %ld is not adopted", g->pid);
	for (i = 0; i < g->n_others; i++)
		fd_close(&g->others[i]);
	fd_close(&g->record);
	fd_close(&g->pidfd);
	arena_clear(&arena);
	return adopted;
}

struct named {
	long pid;
	int fd;
};

static int compare_pids(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
				: (x->fd > y->fd) - (x->fd < y->fd);
}

unsigned pty_store_adopt(struct pty_service *svc, const int *fds, const char *const *names,
			 size_t n)
{
	struct named *list = mem_alloc((n + 1) * sizeof(*list));
	unsigned adopted = 0;
	struct group g;
	size_t i = 0, j;

	for (j = 0; j < n; j++)
		list[j] = (struct named){pid_of(names[j]), fds[j]};
	qsort(list, n, sizeof(*list), compare_pids);
	while (i < n) {
		g = (struct group){.pid = list[i].pid, .record = -1, .pidfd = -1};
		for (j = i; j < n && list[j].pid == g.pid; j++)
			if (g.pid > 0)
				add_to_group(&g, list[j].fd);
			else
				close(list[j].fd);
		if (g.pid > 0)
			adopted += adopt_group(svc, &g);
		i = j;
	}
	free(list);
	if (!svc->refuses_starts)
		pty_handover_start_deadlines(svc);
	return adopted;
}
