/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the methods of process.Process: the service, the method tables, and the lookup of the
 * process that a request selects. Each method has its own file, pty/rpc_*.c.
 */
#ifndef PTY_RPC_H
#define PTY_RPC_H

#include "pty/limits.h"
#include "pty/proc.h"
#include "pty/proc_table.h"
#include "pty/service.h"
#include "pty/start_key.h"
#include "pty/zombie.h"
#include "rpc/call.h"

/* The message limit of methods whose request contains little more than a process selector. */
#define PTY_SMALL_REQUEST_BYTES (64u * 1024)

/*
 * The tag of the platform's own processes. They stay in the daemon's cgroup, which is not frozen.
 */
#define PTY_SYSTEM_TAG "_system"

TAILQ_HEAD(start_list, start);

struct pty_service {
	struct context *context;
	struct cgroups *cgroups; /* NULL: none */
	struct proc_table table;
	enum kill_scope kill_scope;
	struct limits limits;		  /* defaults of limits that a Start does not set */
	struct seccomp_profiles *seccomp; /* borrowed */
	bool no_new_privs;
	struct pty_stats stats;
	uint64_t last_start_ms; /* by clock_monotonic_ms; 0: no process was started */

	/* rpc_start.c: starts that have a request but no process yet. */
	bool refuses_starts; /* the workload is frozen */
	struct start_keys start_keys;
	struct start_list starting; /* submitted to a worker */
	unsigned n_system_starting; /* the same for starts with the tag "_system" */
};

extern const struct rpc_method pty_rpc_start_method;
extern const struct rpc_method pty_rpc_connect_method;
extern const struct rpc_method pty_rpc_list_method;
extern const struct rpc_method pty_rpc_update_method;
extern const struct rpc_method pty_rpc_stream_input_method;
extern const struct rpc_method pty_rpc_send_input_method;
extern const struct rpc_method pty_rpc_send_signal_method;
extern const struct rpc_method pty_rpc_close_stdin_method;

/* Finds the live process that a selector names. Borrowed; NULL with an error if there is none. */
struct proc *pty_find_process(struct pty_service *svc, const Process__ProcessSelector *selector,
			      struct error *err);

/*
 * Gets the bytes of an input, and checks that the input fits the process: stdin for pipes, pty for
 * a terminal. 0, or -1 with an error. The bytes are borrowed from the message.
 */
int pty_input_bytes(const struct proc *p, const Process__ProcessInput *input,
		    ProtobufCBinaryData *ret, struct error *err);

/* Fills in the error for a failed input_submit. Returns -1. */
int pty_input_error(const struct proc *p, int result, struct error *err);

/*
 * Make the call a reader of a live process or of a retained exit, from the offsets of X-Envd-From.
 * If from_start is true or the header says "start", the reader first receives all kept output.
 * `tap` is the call's, in state TAP_STARTING. If the header is invalid, the call fails.
 */
void pty_join_process(struct tap *tap, struct proc *p, bool from_start);
void pty_join_exit(struct tap *tap, const struct retained_exit *exit, bool from_start);

/* Returns the number of starts that wait for a worker or for their exec. */
size_t pty_starts_waiting(const struct pty_service *svc);

/* `writable` and `keepalive` of Start and Connect. */
void pty_rpc_tap_writable(struct rpc_call *call);
void pty_rpc_tap_keepalive(struct rpc_call *call);

#endif
