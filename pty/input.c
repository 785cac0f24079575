/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* Waits for the pipe to become writable while there is a job. */
static void input_update(struct input *in)
{
	bool wait = in->fd >= 0 && !TAILQ_EMPTY(&in->queue);

	if (wait == in->waiting)
		return;
	in->waiting = wait;
	if (wait)
		fd_event_add(&in->event);
	else
		fd_event_del(&in->event);
}

static void close_fd(struct input *in)
{
	if (in->waiting)
		fd_event_del(&in->event);
	in->waiting = false;
	if (in->shared) {
		in->fd = -1;
	} else if (in->fd >= 0) {
		fd_close(&in->fd);
		if (in->closed)
			in->closed(in);
	}
}

/* Writes the bytes of the job that the pipe accepts. INPUT_DONE, INPUT_WAITS or -errno. */
static int job_run(struct input *in, struct input_job *job)
{
	ssize_t n;

	if (job->close) {
		close_fd(in);
		return INPUT_DONE;
	}
	if (in->fd < 0)
		return -EPIPE;
	while (job->n > 0) {
		n = write(in->fd, job->data, job->n);
		if (n < 0 && errno == EAGAIN)
			return INPUT_WAITS;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			job->data += n;
			job->n -= (size_t)n;
		}
	}
	return INPUT_DONE;
}

/*
 * Called when the pipe is writable. Finishes at most one job, because its callback may free this
 * input.
 */
static void input_writable(evutil_socket_t fd, short what, void *arg)
{
	struct input *in = arg;
	struct input_job *job = TAILQ_FIRST(&in->queue);
	size_t before;
	int r;

	if (!job)
		return;
	before = job->n;
	r = job_run(in, job);
	in->queued_bytes -= before - job->n;
	if (r == INPUT_WAITS)
		return;
	TAILQ_REMOVE(&in->queue, job, link);
	in->queued_bytes -= job->n;
	budget_share_give(&in->share, job->charged);
	input_update(in);
	job->finished(job, r);
	/* The job closed the input: later jobs fail. */
	if (in->fd < 0)
		input_end(in);
}

void input_init(struct input *in, struct loop *loop, struct budget *budget, int fd, bool shared)
{
	in->fd = fd;
	in->shared = shared;
	in->waiting = false;
	in->queued_bytes = 0;
	budget_share_init(&in->share, budget, BUDGET_CLASS_STDIN);
	TAILQ_INIT(&in->queue);
	fd_event_init(&in->event, loop, fd, EV_WRITE | EV_PERSIST, input_writable, in);
}

int input_submit(struct input *in, struct input_job *job)
{
	int r;

	if (TAILQ_EMPTY(&in->queue)) {
		r = job_run(in, job);
		if (r != INPUT_WAITS)
			return r;
	}
	if (job->n > INPUT_QUEUE_MAX_BYTES - in->queued_bytes ||
	    !budget_share_take(&in->share, job->n))
		return -ENOBUFS;
	job->charged = job->n;
	in->queued_bytes += job->n;
	TAILQ_INSERT_TAIL(&in->queue, job, link);
	input_update(in);
	return INPUT_WAITS;
}

void input_job_own(struct input_job *job)
{
	job->copy = mem_alloc(job->n);
	memcpy(job->copy, job->data, job->n);
	job->data = job->copy;
}

void input_job_disown(struct input_job *job)
{
	free(job->copy);
	job->copy = NULL;
}

void input_end(struct input *in)
{
	struct input_queue jobs = TAILQ_HEAD_INITIALIZER(jobs);
	struct input_job *job;

	close_fd(in);
	TAILQ_CONCAT(&jobs, &in->queue, link);
	in->queued_bytes = 0;
	budget_share_clear(&in->share);
	while ((job = TAILQ_FIRST(&jobs))) {
		TAILQ_REMOVE(&jobs, job, link);
		job->finished(job, job->close ? 0 : -EPIPE);
	}
}
