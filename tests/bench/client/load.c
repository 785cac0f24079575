/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* One keep-alive connection with one request in progress. */
struct lane {
	int fd;
	const struct bytes *request;
	uint64_t began_ns;
	struct reply reply;
};

struct load {
	struct target target;
	unsigned connections;
	size_t count; /* number of requests; 0: the time is the limit */
	double seconds;
	unsigned interval_ms; /* between two requests of a connection; 0: none */
	const char *text;     /* every response must contain it */
	struct samples samples;
	size_t begun;
	uint64_t until_ns;
};

/* Returns true if another request must be sent. */
static bool wants_more(const struct load *load)
{
	return load->count ? load->begun < load->count : now_ns() < load->until_ns;
}

/* Sends the lane's request. Its time starts before the first byte is written. */
static void lane_begin(struct load *load, struct lane *lane)
{
	load->begun++;
	reply_reset(&lane->reply);
	lane->began_ns = now_ns();
	send_all(lane->fd, lane->request->data, lane->request->n);
}

/* Reads from the socket. At the end of the response, records its time and returns true. */
static bool lane_readable(struct load *load, struct lane *lane)
{
	if (!reply_read(&lane->reply, lane->fd))
		return false;
	samples_add(&load->samples, now_ns() - lane->began_ns);
	reply_check(&lane->reply, load->text);
	return true;
}

/* One connection: blocking reads, because they take the least time between two requests. */
static void run_single(struct load *load, struct lane *lane)
{
	struct timespec pause = {load->interval_ms / 1000, (load->interval_ms % 1000) * 1000000L};

	while (wants_more(load)) {
		lane_begin(load, lane);
		while (!lane_readable(load, lane))
			;
		if (load->interval_ms)
			nanosleep(&pause, NULL);
	}
}

/* Many connections. Each sends its next request when the last one is answered. */
static void run_many(struct load *load, struct lane *lanes)
{
	struct epoll_event events[64], interest = {.events = EPOLLIN};
	int epfd = epoll_create1(EPOLL_CLOEXEC), n;
	unsigned active = 0;
	struct lane *lane;

	for (unsigned i = 0; i < load->connections && wants_more(load); i++, active++) {
		interest.data.ptr = &lanes[i];
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, lanes[i].fd, &interest) < 0)
			die(errno, "epoll_ctl");
		lane_begin(load, &lanes[i]);
	}
	while (active) {
		n = epoll_wait(epfd, events, 64, 30000);
		if (n == 0)
			die(0, "no answer for 30 s (%zu so far)", load->samples.count);
		for (int i = 0; i < n; i++) {
			lane = events[i].data.ptr;
			if (!lane_readable(load, lane))
				continue;
			if (wants_more(load))
				lane_begin(load, lane);
			else
				active--;
		}
	}
	close(epfd);
}

/*
 * Sends requests in a closed loop. Each connection uses the next of the files. Prints the quantiles
 * of the latency, and the rate.
 */
int cmd_load(int argc, char **argv)
{
	struct load load = {.connections = 1};
	struct bytes *requests;
	struct lane *lanes;
	uint64_t began_ns;
	int c, files;

	target_init(&load.target);
	while ((c = getopt(argc, argv, "+p:a:c:n:s:i:e:")) != -1) {
		switch (c) {
		case 'p':
			target_set_port(&load.target, optarg);
			break;
		case 'a':
			target_set_address(&load.target, optarg);
			break;
		case 'c':
			load.connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			load.count = strtoul(optarg, NULL, 10);
			break;
		case 's':
			load.seconds = strtod(optarg, NULL);
			break;
		case 'i':
			load.interval_ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'e':
			load.text = optarg;
			break;
		default:
			return 2;
		}
	}
	files = argc - optind;
	if (files < 1 || !load.connections)
		return 2;
	requests = xalloc((size_t)files * sizeof(*requests));
	for (int i = 0; i < files; i++)
		requests[i] = read_file(argv[optind + i]);
	lanes = xalloc(load.connections * sizeof(*lanes));
	for (unsigned i = 0; i < load.connections; i++) {
		lanes[i].request = &requests[i % (unsigned)files];
		lanes[i].fd = target_connect(&load.target);
	}

	began_ns = now_ns();
	load.until_ns = began_ns + (uint64_t)(load.seconds * 1e9);
	if (load.connections == 1)
		run_single(&load, lanes);
	else
		run_many(&load, lanes);
	samples_print(&load.samples);
	printf(" seconds=%.6f\n", (double)(now_ns() - began_ns) / 1e9);
	return 0;
}
