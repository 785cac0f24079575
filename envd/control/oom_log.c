/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/oom_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

/* CONSOLE_EXT_LOG_MAX of the kernel (printk/internal.h): no record is longer. */
#define RECORD_MAX_BYTES 8192
/* Maximum records per turn of the loop; a full kernel log has thousands. */
#define RECORDS_A_TURN 64
#define REOPEN_MS      1000
#define MAX_FAILURES   5
#define GIVE_UP_MS     (30 * 60 * 1000)
/* After reading for this time without an error, the count of failures restarts at 0. */
#define SOUND_MS (60 * 1000)

enum oom_log_state {
	OOM_LOG_CLOSED,	  /* the timer will open it */
	OOM_LOG_CATCHING, /* not read to its end yet */
	OOM_LOG_CURRENT,
};

struct oom_log {
	struct loop *loop;
	const char *path;
	enum oom_log_state state;
	int fd;
	struct fd_event event;
	struct timer reopen;
	unsigned failures; /* in a row */
	bool given_up;	   /* until the log can be opened again */
	uint64_t opened_ms;
	struct oom_kill kills[OOM_LOG_KILLS]; /* oldest first */
	size_t n;
	uint64_t total;
	uint64_t count_from; /* kills in records before this one are in `total` already */
	uint64_t last_seq;   /* of the last record that was read */
	bool has_last;
};

static void log_set_state(struct oom_log *o, enum oom_log_state state)
{
	static const char *const names[] = {"closed", "catching up", "current"};

	log_debug("kernel log: %s -> %s", names[o->state], names[state]);
	o->state = state;
}

/* ---- a record ---- */

/*
 * Returns a pointer to PID in "Killed process PID (NAME) total-vm:"; NULL if the text reports no
 * kill.
 */
static const char *find_pid(const char *text)
{
	static const char *const beginnings[] = {
		"Out of memory: Killed process ",
		"Out of memory (oom_kill_allocating_task): Killed process ",
		"Memory cgroup out of memory: Killed process ",
	};
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(beginnings); i++) {
		n = strlen(beginnings[i]);
		if (strncmp(text, beginnings[i], n) == 0)
			return text + n;
	}
	return NULL;
}

/* Copies the name. A name may contain ")", so it ends at the last ") total-vm:" of the line. */
static bool get_name(const char *pid, char ret[OOM_LOG_NAME_BYTES])
{
	const char *name = pid + strspn(pid, "0123456789"), *end = NULL, *at;
	size_t n;

	if (name == pid || strncmp(name, " (", 2) != 0)
		return false;
	name += 2;
	for (at = name; (at = strstr(at, ") total-vm:")) != NULL; at++)
		end = at;
	if (!end)
		return false;
	n = (size_t)(end - name);
	if (n >= OOM_LOG_NAME_BYTES)
		n = OOM_LOG_NAME_BYTES - 1;
	memcpy(ret, name, n);
	ret[n] = '\0';
	return true;
}

/*
 * Parses "priority,sequence,…;text\n": the two numbers, and a copy of the text's first line.
 * Returns false if the record is malformed.
 */
static bool parse_head(const char *record, size_t n, uint64_t *priority, uint64_t *seq, char *text,
		       size_t room)
{
	const char *semicolon = memchr(record, ';', n), *end;
	size_t head_bytes, digits;

	if (!semicolon)
		return false;
	head_bytes = (size_t)(semicolon - record);
	digits = decimal_digits(record, head_bytes, UINT32_MAX, priority);
	if (digits == 0 || record[digits] != ',' ||
	    !decimal_digits(record + digits + 1, head_bytes - digits - 1, UINT64_MAX, seq))
		return false;
	semicolon++;
	end = memchr(semicolon, '\n', n - head_bytes - 1);
	n = end ? (size_t)(end - semicolon) : n - head_bytes - 1;
	if (n >= room)
		n = room - 1;
	memcpy(text, semicolon, n);
	text[n] = '\0';
	return true;
}

bool oom_log_parse(const char *record, size_t n, struct oom_kill *ret)
{
	uint64_t priority;
	char text[1024];
	const char *pid;

	if (!parse_head(record, n, &priority, &ret->seq, text, sizeof(text)) || priority > 7)
		return false;
	pid = find_pid(text);
	if (!pid)
		return false;
	if (!get_name(pid, ret->process)) {
		strcpy(ret->process, "Unknown");
		log_event(&(struct log_line){.level = LOG_LEVEL_ERROR,
					     LOG_FIELDS(LOG_TEXT("error", "no name"),
							LOG_TEXT("record", text))},
			  "the name of a process that was killed can't be read");
	}
	return true;
}

/* ---- reading ---- */

/*
 * Handles one record. After the log was reopened, it starts anew, so records seen before are
 * skipped.
 */
static void take_record(struct oom_log *o, const char *record, size_t n)
{
	unsigned long priority;
	struct oom_kill kill;
	uint64_t seq;
	char text[8];

	if (!parse_head(record, n, &priority, &seq, text, sizeof(text)))
		return;
	if (o->has_last && seq <= o->last_seq)
		return;
	o->has_last = true;
	o->last_seq = seq;
	if (!oom_log_parse(record, n, &kill))
		return;
	if (o->n == OOM_LOG_KILLS)
		memmove(o->kills, o->kills + 1, --o->n * sizeof(*o->kills));
	o->kills[o->n++] = kill;
	if (seq >= o->count_from)
		o->total++;
}

static void fail(struct oom_log *o, int errnum)
{
	uint64_t retry_ms = REOPEN_MS;

	if (o->fd >= 0) {
		fd_event_del(&o->event);
		fd_close(&o->fd);
		if (clock_monotonic_ms() - o->opened_ms >= SOUND_MS)
			o->failures = 0;
	}
	log_set_state(o, OOM_LOG_CLOSED);
	if (++o->failures < MAX_FAILURES) {
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     .sink_only = true,
					     LOG_FIELDS(LOG_TEXT("error", error_errno_text(errnum)),
							LOG_TEXT("path", o->path))},
			  "the kernel log is opened again");
	} else {
		o->failures = 0;
		o->given_up = true;
		retry_ms = GIVE_UP_MS;
		log_event(&(struct log_line){.level = LOG_LEVEL_ERROR,
					     LOG_FIELDS(LOG_TEXT("error", error_errno_text(errnum)),
							LOG_TEXT("path", o->path),
							LOG_NUMBER("retry_in", retry_ms))},
			  "the kernel log can't be read: OOM kills are not reported");
	}
	timer_set_ms(&o->reopen, retry_ms);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct oom_log *o = arg;
	char record[RECORD_MAX_BYTES];
	ssize_t n;
	int i;

	for (i = 0; i < RECORDS_A_TURN; i++) {
		n = read((int)fd, record, sizeof(record));
		if (n > 0) {
			take_record(o, record, (size_t)n);
			continue;
		}
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* EPIPE: records were overwritten before they were read */
		if (n < 0 && errno == EAGAIN) {
			if (o->state != OOM_LOG_CURRENT)
				log_set_state(o, OOM_LOG_CURRENT);
			return;
		}
		fail(o, n < 0 ? errno : ENODATA);
		return;
	}
}

/*
 * Runs on the loop: /dev is a devtmpfs, and opening this device only allocates memory
 * (devkmsg_open, kernel/printk/printk.c). Activates the event once, because an empty log is not
 * readable and would not leave the state `catching up`.
 */
static void open_log(void *arg)
{
	struct oom_log *o = arg;

	o->fd = open(o->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (o->fd < 0) {
		fail(o, errno);
		return;
	}
	o->opened_ms = clock_monotonic_ms();
	if (o->given_up)
		log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
					     LOG_FIELDS(LOG_TEXT("path", o->path))},
			  "the kernel log can be read again");
	o->given_up = false;
	log_set_state(o, OOM_LOG_CATCHING);
	fd_event_init(&o->event, o->loop, o->fd, EV_READ | EV_PERSIST, on_readable, o);
	fd_event_add(&o->event);
	event_active(&o->event.event, EV_READ, 1);
}

/* ---- calls ---- */

bool oom_log_kills(const struct oom_log *o, const struct oom_kill **ret, size_t *ret_n)
{
	*ret = o ? o->kills : NULL;
	*ret_n = o ? o->n : 0;
	return o && o->state == OOM_LOG_CURRENT;
}

uint64_t oom_log_total(const struct oom_log *o)
{
	return o ? o->total : 0;
}

uint64_t oom_log_next(const struct oom_log *o)
{
	uint64_t next = o && o->has_last ? o->last_seq + 1 : 0;

	return o && o->count_from > next ? o->count_from : next;
}

void oom_log_continue(struct oom_log *o, uint64_t total, uint64_t next)
{
	o->total = total;
	o->count_from = next;
}

struct oom_log *oom_log_new(struct loop *loop, const char *path)
{
	struct oom_log *o = mem_zalloc(sizeof(*o));

	o->loop = loop;
	o->path = path;
	o->fd = -1;
	timer_init(&o->reopen, loop, open_log, o);
	timer_set_ms(&o->reopen, 0);
	return o;
}

void oom_log_free(struct oom_log *o)
{
	if (!o)
		return;
	if (o->fd >= 0)
		fd_event_del(&o->event);
	fd_close(&o->fd);
	timer_cancel(&o->reopen);
	free(o);
}
