/*
 * Input on its way to a process: what a pipe or a terminal does not take at once waits in a queue,
 * so that one process that does not read holds up nobody but those who write to it.
 */
#ifndef PTY_INPUT_H
#define PTY_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"

/* What may wait for one process; more is refused (-ENOBUFS). One message of the largest fits. */
#define INPUT_QUEUE_MAX_BYTES (32u * 1024 * 1024)

/* One piece of input, or the closing, in its turn. */
struct input_job {
	const uint8_t *data; /* what is not written yet; borrowed until the job is finished */
	size_t n;
	bool close;
	/* From the loop, if input_submit said INPUT_WAITS: 0, or -errno. May free the job. */
	void (*finished)(struct input_job *job, int result);
	uint8_t *copy; /* of what waits, where the job owns it */
	TAILQ_ENTRY(input_job) link;
};

TAILQ_HEAD(input_queue, input_job);

struct input {
	int fd; /* owned unless `shared`; -1: there is none, or it was closed */
	bool shared;
	bool waiting; /* the event is set */
	struct event event;
	struct input_queue queue;
	size_t queued_bytes;
};

enum input_result {
	INPUT_DONE,
	INPUT_WAITS, /* `finished` will come */
};

/* fd is -1 for a process without input. A shared one (a terminal's master) is not closed here. */
void input_init(struct input *in, struct loop *loop, int fd, bool shared);

/*
 * Writes, or queues behind what waits. INPUT_DONE, INPUT_WAITS, or -errno: -EPIPE where the input
 * is closed, at whichever end, -ENOBUFS where too much waits. A closing always works.
 */
int input_submit(struct input *in, struct input_job *job);

/*
 * Copies what a waiting job has not written, for bytes that don't live as long as it; and gives the
 * copy back, when the job is finished.
 */
void input_job_own(struct input_job *job);
void input_job_disown(struct input_job *job);

/* Closes the input; all that waits is finished with -EPIPE (closings with 0). From the loop. */
void input_end(struct input *in);

#endif
