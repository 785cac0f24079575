/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failing system calls and allocations, for the build VARIANT=faults and tests/faults.
 *
 * The linker's --wrap puts wrap_*.c between the daemon, libevent included, and the C library. A
 * call fails with an error that the kernel can give for it at any moment, or does less than it was
 * asked for. The file $ENVD_FAULTS, mapped by the daemon and by the test, says which calls fail;
 * without the variable none does. Each failed call is a line "fault: NAME KIND" on stderr.
 *
 * Random failures depend on the seed and on the number of the call. Threads are numbered as they
 * come, so a seed gives the same kind of run again, but not exactly the same run.
 *
 * Models: the test_* files of SQLite, dropbear's fuzz-wrapfd.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <stdint.h>

enum fault_kind {
	FAULT_EINTR = 1,
	FAULT_SHORT = 2, /* fewer bytes than asked for */
	FAULT_ENOSPC = 4,
	FAULT_EMFILE = 8,
	FAULT_EAGAIN = 16, /* of sockets, and of threads and processes that are to be created */
	FAULT_ENOMEM = 32,
	FAULT_EIO = 64,
};

/* $ENVD_FAULTS; native byte order. */
struct fault_control {
	uint64_t seed;
	uint32_t rate;	 /* one call of so many fails, at random; 0: none */
	uint32_t kinds;	 /* of enum fault_kind */
	uint64_t number; /* this call fails, counted from 1; 0: none */
	uint64_t calls;	 /* the daemon counts: calls that could have failed */
	uint64_t failed; /* and calls that did */
};

/* Decides about one call: 0, or the kind of its failure, which is one of `kinds`. */
unsigned fault_pick(const char *name, unsigned kinds);

/* As fault_pick. Sets errno: true if the call fails. Not for FAULT_SHORT. */
int fault_fails(const char *name, unsigned kinds);

/* The kinds that a read, or a write, of the descriptor can fail with. */
unsigned fault_data_kinds(int fd, int writes);

#endif
