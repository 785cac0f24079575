/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where libevent keeps what it never gives back.
 *
 * For every descriptor that it has once watched it has a record of a few bytes, for good. Made when
 * a connection is accepted, a record lies between that connection's memory and the next one's; so
 * after a crowd has gone, each page of the heap has one in it and none can go back to the system.
 * Here they lie side by side.
 */
#ifndef BASE_LOOP_MEMORY_H
#define BASE_LOOP_MEMORY_H

#define LOOP_RECORD_BYTES 16	     /* struct evmap_io of libevent 2.1 */
#define LOOP_RECORDS	  (1u << 20) /* room in the address space; more come from malloc */

/* Call it before anything else of libevent's; again does nothing. */
void loop_memory_init(void);

#endif
