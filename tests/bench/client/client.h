/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load client of the benchmark: one program with a subcommand for each kind of load.
 *
 * It reads requests from files of raw bytes, and does not decode the responses, so that the client
 * does not limit a figure. Each subcommand prints one line of `name=value` pairs. If a load fails
 * (a refused request, a response without its required text), the program ends with a message and
 * status 1, so that a figure is not made of failures.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Prints the error, with the text of `errnum` if it is not 0, and exits with status 1. */
_Noreturn void die(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* Allocates or dies. */
void *xalloc(size_t n);

/* read_file reads a whole file, or dies. */
struct bytes {
	char *data;
	size_t n;
};
struct bytes read_file(const char *path);

/* Durations of single requests, in nanoseconds. */
struct samples {
	uint64_t *ns;
	size_t count, room;
};
void samples_add(struct samples *s, uint64_t ns);

/* Prints `count= p50_us= p99_us= mean_us=` without a newline; sorts the samples. */
void samples_print(struct samples *s);

/* The address of the daemon: -a ADDRESS (default 127.0.0.1) and -p PORT. */
struct target {
	struct sockaddr_in address;
};
void target_init(struct target *t);
void target_set_address(struct target *t, const char *text);
void target_set_port(struct target *t, const char *text);

/* Returns a connected, blocking socket with TCP_NODELAY, or dies. */
int target_connect(const struct target *t);

/* Sends all n bytes of a blocking socket, or dies. */
void send_all(int fd, const void *data, size_t n);

/*
 * One response while it arrives. The first REPLY_BYTES are kept, later bytes are counted. The end
 * is known by Content-Length, by a last chunk at the end of the received bytes, or by EOF.
 */
#define REPLY_BYTES (64 * 1024)

struct reply {
	char head[REPLY_BYTES + 1]; /* NUL-terminated up to `kept` */
	size_t kept;
	size_t total;	 /* bytes that arrived */
	size_t expected; /* of head and body; 0 until known */
	bool have_head, chunked, done;
	bool reads; /* copies all bytes; otherwise the bytes of a long body are discarded */
};
void reply_reset(struct reply *r);

/* Reads from the socket once. Returns 1 if the response is complete, otherwise 0. */
int reply_read(struct reply *r, int fd);

/* Dies unless the status is 2xx and the kept bytes contain `text` (NULL: not checked). */
void reply_check(const struct reply *r, const char *text);

/* The subcommands, with their own argc and argv. */
int cmd_load(int argc, char **argv);
int cmd_fetch(int argc, char **argv);
int cmd_push(int argc, char **argv);
int cmd_hold(int argc, char **argv);
int cmd_boot(int argc, char **argv);
int cmd_spawn(int argc, char **argv);
int cmd_pipe(int argc, char **argv);
int cmd_produce(int argc, char **argv);
int cmd_sink(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_burst(int argc, char **argv);
int cmd_files(int argc, char **argv);
int cmd_tree(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_serve(int argc, char **argv);

#endif
