/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mem_trim.h"
#include "pty/proc.h"
#include "pty/start_key.h"

#define FIRST_BUCKETS 64

static size_t bucket(const struct proc_table *t, pid_t pid)
{
	/* The kernel assigns pids in sequence, so their low bits are evenly distributed. */
	return (size_t)pid & (t->n_buckets - 1);
}

static void hash_exits(struct proc_table *t, const struct retained_list *list)
{
	struct retained_exit *exit;
	size_t i;

	TAILQ_FOREACH (exit, list, link) {
		i = bucket(t, exit->pid);
		exit->hash_next = t->retained_by_pid[i];
		t->retained_by_pid[i] = exit;
	}
}

/* Makes the hash tables n_buckets (a power of two) large. */
static void resize(struct proc_table *t, size_t n_buckets)
{
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
	hash_exits(t, &t->retained);
	hash_exits(t, &t->timed);
}

/* The timer of an exit with its own retention time. */
struct timed_exit {
	struct proc_table *table;
	struct retained_exit *exit;
	struct timer timer;
};

/* Returns the bytes that are charged for the tag of a retained exit. */
static size_t tag_charge(const char *tag)
{
	size_t n = strlen(tag) + 1;

	return n > PROC_RETAIN_TAG_FREE_BYTES ? n : 0;
}

static void forget(struct proc_table *t, struct retained_exit *exit)
{
	struct retained_exit **at = &t->retained_by_pid[bucket(t, exit->pid)];

	while (*at != exit)
		at = &(*at)->hash_next;
	*at = exit->hash_next;
	if (exit->timed) {
		TAILQ_REMOVE(&t->timed, exit, link);
		timer_cancel(&exit->timed->timer);
		free(exit->timed);
	} else {
		TAILQ_REMOVE(&t->retained, exit, link);
	}
	t->n_retained--;
	kept_unref(exit->kept);
	start_key_free(exit->start_key);
	if (exit->tag) {
		TAILQ_REMOVE(&t->tagged, exit, tag_link);
		budget_share_give(&t->tags, tag_charge(exit->tag));
	}
	free(exit->tag);
	free(exit);
}

static void forget_oldest(struct proc_table *t)
{
	forget(t, TAILQ_EMPTY(&t->retained) ? TAILQ_FIRST(&t->timed) : TAILQ_FIRST(&t->retained));
}

/* Charges a tag. Returns false if it does not fit even without the tags of other exits. */
static bool take_tag(struct proc_table *t, const char *tag)
{
	while (!budget_share_take(&t->tags, tag_charge(tag))) {
		if (t->tags.used == 0)
			return false;
		forget_oldest(t);
	}
	return true;
}

static void timed_exit_due(void *arg)
{
	struct timed_exit *timed = arg;
	struct proc_table *t = timed->table;

	forget(t, timed->exit);
	mem_trim_released(t->trim);
}

static void insert_timed(struct proc_table *t, struct retained_exit *exit, uint64_t ms)
{
	struct timed_exit *timed = mem_zalloc(sizeof(*timed));

	exit->until_ms = clock_monotonic_ms() + ms;
	timed->table = t;
	timed->exit = exit;
	exit->timed = timed;
	TAILQ_INSERT_TAIL(&t->timed, exit, link);
	timer_init(&timed->timer, t->loop, timed_exit_due, timed);
	timer_set_ms(&timed->timer, ms);
}

/* One timer serves all other exits: it fires for the oldest one, and is set again for the next. */
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

/* Adds a new exit to the hash tables; the caller adds it to a list. */
static struct retained_exit *add_exit(struct proc_table *t, pid_t pid, const char *tag,
				      const struct exit_status *exit_status)
{
	struct retained_exit *exit = mem_zalloc(sizeof(*exit));
	size_t i = bucket(t, pid);

	if (t->n_retained == PROC_RETAIN_MAX)
		forget_oldest(t);
	exit->pid = pid;
	exit->exit_status = *exit_status;
	if (tag && take_tag(t, tag)) {
		exit->tag = mem_strdup(tag);
		TAILQ_INSERT_HEAD(&t->tagged, exit, tag_link);
	}
	exit->hash_next = t->retained_by_pid[i];
	t->retained_by_pid[i] = exit;
	t->n_retained++;
	return exit;
}

static void insert_exit(struct proc_table *t, struct retained_exit *exit, uint64_t ms)
{
	exit->until_ms = clock_monotonic_ms() + ms;
	TAILQ_INSERT_TAIL(&t->retained, exit, link);
	if (!timer_pending(&t->expiry))
		timer_set_ms(&t->expiry, ms);
}

/* Retains the exit of a process with what is kept of it. */
static void retain(struct proc_table *t, struct proc *p)
{
	struct retained_exit *exit = add_exit(t, p->pid, p->tag, &p->exit_status);
	unsigned o;

	exit->is_pty = p->is_pty;
	for (o = 0; o < p->n_outputs; o++)
		exit->total_bytes[p->outputs[o].kind] = p->outputs[o].total_bytes;
	if (p->kept) {
		exit->kept = kept_ref(p->kept);
		kept_trim(exit->kept);
	}
	exit->start_key = p->start_key;
	p->start_key = NULL;
	start_key_end(exit->start_key, exit);
	if (p->keep_for_ms)
		insert_timed(t, exit, p->keep_for_ms);
	else
		insert_exit(t, exit, t->retain_ms);
}

struct retained_exit *proc_table_retain(struct proc_table *t, pid_t pid, const char *tag,
					const struct exit_status *exit_status, uint64_t ms)
{
	struct retained_exit *exit = add_exit(t, pid, tag, exit_status);

	insert_timed(t, exit, ms);
	return exit;
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
	t->loop = loop;
	TAILQ_INIT(&t->store_due);
	TAILQ_INIT(&t->live);
	TAILQ_INIT(&t->ended);
	TAILQ_INIT(&t->retained);
	TAILQ_INIT(&t->timed);
	TAILQ_INIT(&t->tagged);
	resize(t, FIRST_BUCKETS);
	timer_init(&t->expiry, loop, expire, t);
	timer_init(&t->store_retry, loop, pty_store_retry, t);
	defer_init(&t->bury, loop, bury, t);
	budget_share_init(&t->tags, budget, BUDGET_CLASS_PROCESSES);
	zombies_init(&t->zombies, loop, budget);
	discards_init(&t->discards, loop, budget);
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
	while ((exit = TAILQ_FIRST(&t->retained)) || (exit = TAILQ_FIRST(&t->timed)))
		forget(t, exit);
	timer_cancel(&t->expiry);
	timer_cancel(&t->store_retry);
	defer_cancel(&t->bury);
	zombies_clear(&t->zombies);
	discards_clear(&t->discards);
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
	retain(t, p);
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
