/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mem_trim.h"
#include "pty/proc.h"

#define FIRST_BUCKETS 64

static size_t bucket(const struct proc_table *t, pid_t pid)
{
	/* Pids are handed out in sequence, so their low bits spread well. */
	return (size_t)pid & (t->n_buckets - 1);
}

/* Makes the hash tables n_buckets (a power of two) large. */
static void resize(struct proc_table *t, size_t n_buckets)
{
	struct retained_exit *exit;
	struct proc *p;
	size_t i;

	t->n_buckets = n_buckets;
	free(t->by_pid);
	free(t->retained_by_pid);
	t->by_pid = mem_zalloc(t->n_buckets * sizeof(struct proc *));
	t->retained_by_pid = mem_zalloc(t->n_buckets * sizeof(struct retained_exit *));
	TAILQ_FOREACH (p, &t->live, link) {
		i = bucket(t, p->pid);
		p->hash_next = t->by_pid[i];
		t->by_pid[i] = p;
	}
	TAILQ_FOREACH (exit, &t->retained, link) {
		i = bucket(t, exit->pid);
		exit->hash_next = t->retained_by_pid[i];
		t->retained_by_pid[i] = exit;
	}
}

static void forget(struct proc_table *t, struct retained_exit *exit)
{
	struct retained_exit **at = &t->retained_by_pid[bucket(t, exit->pid)];

	while (*at != exit)
		at = &(*at)->hash_next;
	*at = exit->hash_next;
	TAILQ_REMOVE(&t->retained, exit, link);
	t->n_retained--;
	if (exit->tag)
		TAILQ_REMOVE(&t->tagged, exit, tag_link);
	free(exit->tag);
	free(exit);
}

/* One timer serves all exits: it fires for the oldest one, and is set again for the next. */
static void expire(void *arg)
{
	struct proc_table *t = arg;
	uint64_t now = clock_monotonic_ms();
	struct retained_exit *oldest;
	size_t n_buckets = t->n_buckets;

	while ((oldest = TAILQ_FIRST(&t->retained)) && oldest->until_ms <= now)
		forget(t, oldest);
	if (oldest)
		timer_set_ms(&t->expiry, oldest->until_ms - now);
	while (n_buckets > FIRST_BUCKETS && t->n_live + t->n_retained < n_buckets / 8)
		n_buckets /= 2;
	if (n_buckets < t->n_buckets)
		resize(t, n_buckets);
	mem_trim_released(t->trim);
}

static struct retained_exit *find_exit(struct proc_table *t, pid_t pid)
{
	struct retained_exit *exit = t->retained_by_pid[bucket(t, pid)];

	while (exit && exit->pid != pid)
		exit = exit->hash_next;
	return exit;
}

static struct retained_exit *find_exit_tag(struct proc_table *t, const char *tag)
{
	struct retained_exit *exit;

	/* Two processes may have had the tag at once: the later exit comes first. */
	TAILQ_FOREACH (exit, &t->tagged, tag_link)
		if (strcmp(exit->tag, tag) == 0)
			return exit;
	return NULL;
}

void proc_table_retain(struct proc_table *t, pid_t pid, const char *tag,
		       const struct exit_status *exit_status, uint64_t ms)
{
	struct retained_exit *exit = mem_zalloc(sizeof(*exit));
	size_t i = bucket(t, pid);

	if (t->n_retained == PROC_RETAIN_MAX)
		forget(t, TAILQ_FIRST(&t->retained));
	exit->pid = pid;
	exit->exit_status = *exit_status;
	exit->until_ms = clock_monotonic_ms() + ms;
	if (tag) {
		exit->tag = mem_strdup(tag);
		TAILQ_INSERT_HEAD(&t->tagged, exit, tag_link);
	}
	exit->hash_next = t->retained_by_pid[i];
	t->retained_by_pid[i] = exit;
	TAILQ_INSERT_TAIL(&t->retained, exit, link);
	t->n_retained++;
	if (!timer_pending(&t->expiry))
		timer_set_ms(&t->expiry, ms);
}

/* Drops the table's references to processes that ended in an earlier callback. */
static void bury(void *arg)
{
	struct proc_table *t = arg;
	struct proc *p;

	while ((p = TAILQ_FIRST(&t->ended))) {
		TAILQ_REMOVE(&t->ended, p, link);
		proc_unref(p);
	}
}

void proc_table_init(struct proc_table *t, struct loop *loop, struct budget *budget,
		     struct mem_trim *trim)
{
	memset(t, 0, sizeof(*t));
	t->retain_ms = PROC_RETAIN_MS;
	t->stall_ms = TAP_STALL_MS;
	t->trim = trim;
	TAILQ_INIT(&t->live);
	TAILQ_INIT(&t->ended);
	TAILQ_INIT(&t->retained);
	TAILQ_INIT(&t->tagged);
	resize(t, FIRST_BUCKETS);
	timer_init(&t->expiry, loop, expire, t);
	defer_init(&t->bury, loop, bury, t);
	zombies_init(&t->zombies, loop, budget);
}

void proc_table_clear(struct proc_table *t)
{
	struct retained_exit *exit;
	struct proc *p;

	while ((p = TAILQ_FIRST(&t->live))) {
		TAILQ_REMOVE(&t->live, p, link);
		proc_abandon(p);
	}
	bury(t);
	while ((exit = TAILQ_FIRST(&t->retained)))
		forget(t, exit);
	timer_cancel(&t->expiry);
	defer_cancel(&t->bury);
	zombies_clear(&t->zombies);
	free(t->by_pid);
	free(t->retained_by_pid);
}

void proc_table_add(struct proc_table *t, struct proc *p)
{
	struct retained_exit *exit;
	size_t i;

	exit = find_exit(t, p->pid);
	if (exit)
		forget(t, exit);
	while (p->tag && (exit = find_exit_tag(t, p->tag)))
		forget(t, exit);
	if (t->n_live + t->n_retained >= t->n_buckets)
		resize(t, t->n_buckets * 2);
	i = bucket(t, p->pid);
	p->hash_next = t->by_pid[i];
	t->by_pid[i] = p;
	TAILQ_INSERT_TAIL(&t->live, p, link);
	t->n_live++;
}

void proc_table_retire(struct proc_table *t, struct proc *p)
{
	struct proc **at = &t->by_pid[bucket(t, p->pid)];

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
	TAILQ_REMOVE(&t->live, p, link);
	t->n_live--;
	proc_table_retain(t, p->pid, p->tag, &p->exit_status, t->retain_ms);
	TAILQ_INSERT_TAIL(&t->ended, p, link);
	defer_schedule(&t->bury);
}

struct proc *proc_table_find(struct proc_table *t, pid_t pid)
{
	struct proc *p = t->by_pid[bucket(t, pid)];

	while (p && p->pid != pid)
		p = p->hash_next;
	return p;
}

struct proc *proc_table_find_tag(struct proc_table *t, const char *tag)
{
	struct proc *p;

	for (p = TAILQ_LAST(&t->live, proc_list); p; p = TAILQ_PREV(p, proc_list, link))
		if (p->tag && strcmp(p->tag, tag) == 0)
			return p;
	return NULL;
}

const struct retained_exit *proc_table_exit(struct proc_table *t, pid_t pid)
{
	return find_exit(t, pid);
}

const struct retained_exit *proc_table_exit_tag(struct proc_table *t, const char *tag)
{
	return find_exit_tag(t, tag);
}
