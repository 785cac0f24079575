/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input of a process: its pipe or terminal, and a queue of bytes that the pipe or terminal has
 * not taken yet. A process that does not read its input delays only the clients that write to it.
 *
 * The waiting bytes are charged to a share of BUDGET_CLASS_STDIN.
 */
#ifndef PTY_INPUT_H
#define PTY_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/budget.h"
#include "base/loop.h"

/*
 * The maximum number of waiting bytes for one process; more bytes are refused with -ENOBUFS. The
 * largest message fits.
 */
#define INPUT_QUEUE_MAX_BYTES (32u * 1024 * 1024)

/* One piece of input, or a request to close the input after all earlier pieces. */
struct input_job {
	const uint8_t *data; /* bytes not written yet; borrowed until the job is finished */
	size_t n;
	bool close;
	/*
	 * Called from the loop if input_submit returned INPUT_WAITS. `result` is 0 or -errno. May
	 * free the job.
	 */
	void (*finished)(struct input_job *job, int result);
	uint8_t *copy;	/* owned copy of the waiting bytes (input_job_own) */
	size_t charged; /* bytes charged to the share */
	TAILQ_ENTRY(input_job) link;
};

TAILQ_HEAD(input_queue, input_job);

struct input {
	int fd; /* owned unless `shared`; -1: none, or closed */
	bool shared;
	void (*closed)(struct input *in); /* called when the daemon has closed fd; may be NULL */
	bool waiting;			  /* the event is set */
	struct fd_event event;
	struct input_queue queue;
	size_t queued_bytes;
	struct budget_share share;
};

enum input_result {
	INPUT_DONE,
	INPUT_WAITS, /* `finished` will be called */
};

/*
 * Initialises the input. `fd` is -1 for a process without input. `shared`: this object does not
 * close fd, because fd is the master of a terminal. The budget may be NULL.
 */
void input_init(struct input *in, struct loop *loop, struct budget *budget, int fd, bool shared);

/*
 * Writes the job's bytes or queues the job. Returns INPUT_DONE, INPUT_WAITS, or -errno: -EPIPE if
 * either end of the input is closed, -ENOBUFS if too many bytes wait. A request to close is always
 * accepted.
 */
int input_submit(struct input *in, struct input_job *job);

/*
 * input_job_own copies the unwritten bytes of a waiting job, if their memory may be freed before
 * the job is finished. input_job_disown frees the copy of a finished job.
 */
void input_job_own(struct input_job *job);
void input_job_disown(struct input_job *job);

/* Closes the input. Finishes waiting jobs with -EPIPE, and requests to close with 0. */
void input_end(struct input *in);

#endif
