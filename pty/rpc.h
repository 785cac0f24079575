/*
 * What the methods of process.Process share.
 */
#ifndef PTY_RPC_H
#define PTY_RPC_H

#include "pty/proc.h"
#include "pty/proc_table.h"
#include "pty/service.h"
#include "rpc/call.h"

TAILQ_HEAD(start_list, start);

struct pty_service {
	struct context *context;
	struct cgroups *cgroups; /* NULL: none */
	struct proc_table table;
	enum kill_scope kill_scope;
	struct pty_stats stats;

	/* While the workload is frozen: the starts that wait (rpc_start.c). */
	bool holding;
	struct start_list held;
	size_t n_held;
};

/* The methods, each with what it needs beside `open`. */
extern const struct rpc_method rpc_start_method;
extern const struct rpc_method rpc_connect_method;
extern const struct rpc_method rpc_list_method;
extern const struct rpc_method rpc_update_method;
extern const struct rpc_method rpc_stream_input_method;
extern const struct rpc_method rpc_send_input_method;
extern const struct rpc_method rpc_send_signal_method;
extern const struct rpc_method rpc_close_stdin_method;

/* The live process that a selector names. Borrowed; NULL with an error where there is none. */
struct proc *rpc_find_process(struct pty_service *svc, const Process__ProcessSelector *selector,
			      struct error *err);

/*
 * Where input of this kind goes: the bytes of it, or -1 with an error where it is none, or for
 * another kind of process.
 */
int rpc_input_bytes(const struct proc *p, const Process__ProcessInput *input,
		    ProtobufCBinaryData *ret, struct error *err);

/* What a failed input_submit means to the client. Returns -1. */
int rpc_input_error(const struct proc *p, int result, struct error *err);

/* `writable`, `keepalive` and `cancel` of Connect, and of Start once it has its process. */
void rpc_tap_writable(struct rpc_call *call);
void rpc_tap_keepalive(struct rpc_call *call);

#endif
