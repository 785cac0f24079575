/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input of a process. Bytes that its pipe or terminal does not take at once wait in a queue, so
 * that a process that does not read holds up only those who write to it.
 *
 * Waiting bytes are charged to a share of BUDGET_CLASS_STDIN.
 */
#ifndef PTY_INPUT_H
#define PTY_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/budget.h"
#include "base/loop.h"

/* Bytes that may wait for one process; more is refused (-ENOBUFS). The largest message fits. */
#define INPUT_QUEUE_MAX_BYTES (32u * 1024 * 1024)

/* One piece of input, or the closing of the input behind all earlier pieces. */
struct input_job {
	const uint8_t *data; /* not written yet; borrowed until the job is finished */
	size_t n;
	bool close;
	/* From the loop, if input_submit said INPUT_WAITS: 0, or -errno. May free the job. */
	void (*finished)(struct input_job *job, int result);
	uint8_t *copy;	/* owned: of the bytes that wait (input_job_own) */
	size_t charged; /* bytes of the share */
	TAILQ_ENTRY(input_job) link;
};

TAILQ_HEAD(input_queue, input_job);

struct input {
	int fd; /* owned unless `shared`; -1: there is none, or it was closed */
	bool shared;
	void (*closed)(struct input *in); /* the daemon has closed fd; NULL: nobody wants to know */
	bool waiting;			  /* the event is set */
	struct event event;
	struct input_queue queue;
	size_t queued_bytes;
	struct budget_share share;
};

enum input_result {
	INPUT_DONE,
	INPUT_WAITS, /* `finished` will come */
};

/*
 * fd is -1 for a process without input. A shared one (a terminal's master) is not closed here. The
 * budget may be NULL.
 */
void input_init(struct input *in, struct loop *loop, struct budget *budget, int fd, bool shared);

/*
 * Writes the job, or queues it. INPUT_DONE, INPUT_WAITS, or -errno: -EPIPE if either end of the
 * input is closed, -ENOBUFS if too many bytes wait. A closing is always accepted.
 */
int input_submit(struct input *in, struct input_job *job);

/*
 * Copies the bytes that a waiting job has not written, if their memory does not live as long as the
 * job; and frees the copy, when the job is finished.
 */
void input_job_own(struct input_job *job);
void input_job_disown(struct input_job *job);

/* Closes the input. Waiting jobs are finished with -EPIPE, closings with 0. */
void input_end(struct input *in);

#endif
