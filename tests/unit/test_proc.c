/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process object with real processes and pretended calls: the facts in every order, who holds
 * up whom, what is left behind.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "pty/proc.h"
#include "pty/proc_table.h"
#include "pty/spawn.h"
#include "rpc/context.h"
#include "tests/unit/self.h"

/* ---- a call that remembers what it was told ---- */

struct rpc_call {
	void *data;
	size_t full_after; /* answers RPC_FULL from so many bytes on; 0: never */
	size_t pending;
	unsigned starts, ends, keepalives;
	size_t bytes;
	char head[256]; /* the first bytes of output */
	char status[64];
	bool finished, failed;
	struct error err;
};

void rpc_call_set_data(struct rpc_call *call, void *data)
{
	call->data = data;
}

const char *rpc_call_header(const struct rpc_call *call, const char *name)
{
	return NULL;
}

const char *rpc_call_user(const struct rpc_call *call)
{
	return NULL;
}

/* In a callback of the loop, out of which no test may jump. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fatal("broken promise: %s", #condition);                                   \
	} while (0)

enum rpc_flow rpc_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Process__ProcessEvent *event = ((const Process__StartResponse *)message)->event;
	const ProtobufCBinaryData *data;
	size_t room = sizeof(call->head) - 1 - strlen(call->head);

	must(!call->finished && !call->failed);
	must(call->ends == 0);
	switch (event->event_case) {
	case PROCESS__PROCESS_EVENT__EVENT_START:
		must(call->starts++ == 0);
		break;
	case PROCESS__PROCESS_EVENT__EVENT_DATA:
		must(call->starts == 1);
		data = &event->data->stdout;
		must(data->len > 0 && data->len <= PROC_PIPE_CHUNK_BYTES);
		call->bytes += data->len;
		call->pending += data->len;
		strncat(call->head, (const char *)data->data, data->len < room ? data->len : room);
		break;
	case PROCESS__PROCESS_EVENT__EVENT_END:
		must(call->ends++ == 0);
		strcpy(call->status, event->end->status);
		break;
	default:
		call->keepalives++;
		break;
	}
	return call->full_after && call->pending >= call->full_after ? RPC_FULL : RPC_OK;
}

unsigned rpc_call_encoding(const struct rpc_call *call)
{
	return 1;
}

/* A frame is the message itself here: it is sent before the message goes. */
struct rpc_frame *rpc_frame_new(unsigned encoding, const ProtobufCMessage *message)
{
	return (struct rpc_frame *)(uintptr_t)message;
}

void rpc_frame_unref(struct rpc_frame *frame)
{
}

enum rpc_flow rpc_send_frame(struct rpc_call *call, struct rpc_frame *frame)
{
	return rpc_send(call, (const ProtobufCMessage *)frame);
}

void rpc_finish(struct rpc_call *call)
{
	call->finished = true;
}

void rpc_fail(struct rpc_call *call, const struct error *err)
{
	call->failed = true;
	call->err = *err;
}

size_t rpc_call_pending_bytes(const struct rpc_call *call)
{
	return call->pending;
}

/* ---- the daemon around it ---- */

static struct loop loop;
static struct context daemon_state;
static struct proc_table table;

/* Turns the loop until the condition holds; ten seconds are too long. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t since = clock_monotonic_ms();                                             \
		while (!(condition)) {                                                             \
			turn();                                                                    \
			if (clock_monotonic_ms() - since > 10000)                                  \
				fail_msg("waited in vain for: %s", #condition);                    \
		}                                                                                  \
	} while (0)

static void tick(evutil_socket_t fd, short what, void *arg)
{
}

static void turn(void)
{
	const struct timeval moment = {.tv_usec = 2000};

	event_base_once(loop.base, -1, EV_TIMEOUT, tick, NULL, &moment);
	event_base_loop(loop.base, EVLOOP_ONCE);
}

static struct proc *start(const char *script, bool pty, const char *tag, enum kill_scope scope,
			  struct rpc_call *call)
{
	char shell[] = "/bin/sh", option[] = "-c", *text = mem_strdup(script);
	char *words[] = {NULL, shell, option, text, NULL}, *env[] = {NULL};
	Process__StartRequest request = PROCESS__START_REQUEST__INIT;
	struct budget_share share = {0};
	struct spawn s;
	struct error err;
	struct proc *p;

	spawn_prepare(&s);
	s.argv = words + 1;
	s.envp = env;
	s.cwd = "/";
	s.pty = pty;
	s.stdin_pipe = !pty;
	if (tag) {
		request.opt_tag_case = PROCESS__START_REQUEST__OPT_TAG_TAG;
		request.tag = tag;
	}
	assert_true(budget_take(&daemon_state.budget, BUDGET_PROCESSES, 1));
	assert_int_equal(spawn_run(&s, &err), 0);
	p = proc_new(&table, &daemon_state, &s, NULL, &request, scope, &share);
	if (call)
		tap_attach(tap_new(call), p);
	else
		proc_update(p);
	free(text);
	return p;
}

static bool exists(pid_t pid)
{
	return kill(pid, 0) == 0;
}

/* Whether a process has become a zombie, or less. */
static bool dead(pid_t pid)
{
	char path[64], text[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return true;
	(void)!fgets(text, sizeof(text), f);
	fclose(f);
	return strstr(text, ") Z ") != NULL || text[0] == '\0';
}

/* ---- the end ---- */

static void test_output_and_end(void **state)
{
	static const struct {
		const char *script, *out, *status;
	} cases[] = {
		{"echo hello", "hello\n", "exit status 0"},
		{"echo out; echo err >&2; exit 3", "out\nerr\n", "exit status 3"},
		{"kill -TERM $$", "", "signal: terminated"},
		{"exec >&- 2>&-; sleep 0.05; exit 4", "", "exit status 4"},
		{"(sleep 0.05; echo late) & echo early", "early\nlate\n", "exit status 0"},
		{"(sleep 0.05; echo late >&2) >&- & exit 5", "late\n", "exit status 5"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int pty = 0; pty < 2; pty++) {
			struct rpc_call call = {0};

			/* A terminal is hung up when its leader exits. */
			if (pty && (i >= 3 || strchr(cases[i].out, '\n')))
				continue;
			start(cases[i].script, pty, NULL, KILL_SCOPE_SESSION, &call);
			WAIT_FOR(call.finished);
			assert_string_equal(call.head, cases[i].out);
			assert_string_equal(call.status, cases[i].status);
			assert_int_equal(table.n_live, 0);
		}
	}
}

static void test_terminal_output(void **state)
{
	struct rpc_call call = {0};

	start("stty -onlcr; echo hello; tty >/dev/null && echo tty; exec sleep 0", true, NULL,
	      KILL_SCOPE_SESSION, &call);
	WAIT_FOR(call.finished);
	assert_string_equal(call.head, "hello\ntty\n");
}

/* A leader that leaves its terminal is not hung up by the daemon's reading EIO. */
static void test_leader_without_its_terminal(void **state)
{
	struct rpc_call call = {0};

	start("exec </dev/null >/dev/null 2>&1; sleep 0.1; exit 6", true, NULL, KILL_SCOPE_SESSION,
	      &call);
	WAIT_FOR(call.finished);
	assert_string_equal(call.status, "exit status 6");
}

/* An exited leader keeps its pid until the end, and counts as live. */
static void test_draining(void **state)
{
	struct rpc_call call = {0};
	struct proc *p = start("sleep 100 & echo $!", false, NULL, KILL_SCOPE_SESSION, &call);
	pid_t pid = p->pid, background;

	WAIT_FOR(p->state == PROC_DRAINING && call.bytes > 0);
	assert_true(exists(pid));
	assert_ptr_equal(proc_table_find(&table, pid), p);
	assert_int_equal(p->input.fd, -1);
	background = atoi(call.head);
	assert_int_equal(proc_terminate(p, false), 0);
	assert_true(call.finished);
	assert_string_equal(call.status, "exit status 0");
	assert_false(exists(pid));
	assert_true(exists(background)); /* it was the leader's to end */
	kill(background, SIGKILL);
}

static void test_kill_does_not_wait_for_output(void **state)
{
	struct rpc_call call = {0};
	struct proc *p;

	p = start("setsid sleep 100 & echo $!; trap '' HUP; while :; do sleep 1; done", false, NULL,
		  KILL_SCOPE_LEADER, &call);
	WAIT_FOR(call.bytes > 0);
	assert_int_equal(proc_kill(p, p->scope, NULL, NULL), PROC_KILL_WAITS);
	WAIT_FOR(call.finished);
	assert_string_equal(call.status, "signal: killed");
	kill(atoi(call.head), SIGKILL);
}

static void count_done(void *arg)
{
	++*(unsigned *)arg;
}

static void test_kill_scopes(void **state)
{
	static const struct {
		enum kill_scope scope;
		bool grouped_dies, other_group_dies;
	} cases[] = {
		{KILL_SCOPE_LEADER, false, false},
		{KILL_SCOPE_SESSION, true, true},
	};
	/* A member of the leader's group, one of a group of its own, one of its own session. */
	const char *script = "exec bash -c 'sleep 100 >&- 2>&- & a=$!;"
			     "set -m; sleep 101 >&- 2>&- & b=$!; set +m;"
			     "setsid sleep 102 >&- 2>&- & c=$!; echo $a $b $c; wait'";
	unsigned done;
	int grouped, other_group, other_session, r;
	char *rest;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rpc_call call = {0};
		struct proc *p = start(script, false, NULL, cases[i].scope, &call);

		WAIT_FOR(strchr(call.head, '\n'));
		grouped = (int)strtol(call.head, &rest, 10);
		other_group = (int)strtol(rest, &rest, 10);
		other_session = (int)strtol(rest, &rest, 10);
		assert_true(grouped > 0 && other_group > 0 && other_session > 0);
		WAIT_FOR(getsid(other_session) == other_session);
		done = 0;
		r = proc_kill(p, p->scope, count_done, &done);
		WAIT_FOR(call.finished && (r == PROC_KILL_DONE || done));
		assert_string_equal(call.status, "signal: killed");
		if (cases[i].grouped_dies)
			WAIT_FOR(dead(grouped));
		if (cases[i].other_group_dies)
			WAIT_FOR(dead(other_group));
		assert_int_equal(dead(grouped), cases[i].grouped_dies);
		assert_int_equal(dead(other_group), cases[i].other_group_dies);
		assert_false(dead(other_session));
		kill(grouped, SIGKILL);
		kill(other_group, SIGKILL);
		kill(other_session, SIGKILL);
		WAIT_FOR(table.n_live == 0 && workers_busy(daemon_state.kill_workers) == 0);
	}
}

/* The owner's stream ends with the deadline, others see how the process ended. */
static void test_deadline(void **state)
{
	struct rpc_call owner = {0}, other = {0}, grpc = {0};
	struct proc *p = start("sleep 100", false, NULL, KILL_SCOPE_SESSION, &owner);
	pid_t pid = p->pid;

	/* A gRPC call's own deadline is another: its tap does not have the flag. */
	((struct tap *)owner.data)->ends_at_deadline = true;
	tap_attach(tap_new(&other), p);
	proc_set_deadline(p, 10);
	WAIT_FOR(other.finished);
	assert_true(owner.failed);
	assert_int_equal(owner.err.code, ERROR_DEADLINE_EXCEEDED);
	assert_int_equal(owner.ends, 0);
	assert_string_equal(other.status, "signal: killed");
	assert_int_equal(proc_table_exit(&table, pid)->exit_status.status, SIGKILL);

	p = start("sleep 100", false, NULL, KILL_SCOPE_SESSION, &grpc);
	proc_set_deadline(p, 10);
	WAIT_FOR(grpc.finished);
	assert_string_equal(grpc.status, "signal: killed");

	/* It holds without any reader too, and while a child of it holds the output. */
	p = start("sleep 100 & echo", false, NULL, KILL_SCOPE_SESSION, NULL);
	WAIT_FOR(p->state == PROC_DRAINING);
	proc_set_deadline(p, 10);
	WAIT_FOR(table.n_live == 0);
}

/* ---- readers ---- */

static void test_nobody_reads(void **state)
{
	struct rpc_call call = {0};
	struct proc *p =
		start("yes | head -c 3000000; sleep 100", false, NULL, KILL_SCOPE_SESSION, NULL);

	WAIT_FOR(p->outputs[0].total_bytes == 3000000);
	tap_attach(tap_new(&call), p);
	assert_int_equal(call.starts, 1);
	proc_kill(p, p->scope, NULL, NULL);
	WAIT_FOR(call.finished);
	assert_int_equal(call.bytes, 0);
}

/* The only reader holds up the process; what it has not taken stays in the pipe. */
static void test_only_reader_is_slow(void **state)
{
	struct rpc_call call = {.full_after = 100000};
	struct proc *p = start("yes", false, NULL, KILL_SCOPE_SESSION, &call);
	size_t seen;

	table.stall_ms = 20;
	WAIT_FOR(p->full_taps == 1);
	seen = call.bytes;
	assert_in_range(seen, 100000, 100000 + PROC_PIPE_CHUNK_BYTES);
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(call.bytes, seen);
	assert_false(call.failed);
	call.pending = 0;
	tap_writable(call.data);
	WAIT_FOR(call.bytes >= seen + 100000);
	/* Its client goes: the process runs on, unread. */
	tap_close(call.data);
	WAIT_FOR(p->outputs[0].total_bytes > 3000000);
	proc_kill(p, p->scope, NULL, NULL);
	WAIT_FOR(table.n_live == 0);
	table.stall_ms = TAP_STALL_MS;
}

/* One of several took nothing: it is cut off, the other goes on and misses nothing. */
static void test_stalled_reader(void **state)
{
	struct rpc_call stalled = {.full_after = 100000}, other = {0};
	struct proc *p = start("yes", false, NULL, KILL_SCOPE_SESSION, &stalled);

	table.stall_ms = 100;
	WAIT_FOR(p->full_taps == 1);
	tap_attach(tap_new(&other), p);
	WAIT_FOR(stalled.failed);
	assert_int_equal(stalled.err.code, ERROR_RESOURCE_EXHAUSTED);
	WAIT_FOR(other.bytes > 1000000);
	assert_int_equal(p->n_taps, 1);
	assert_int_equal(p->full_taps, 0);
	proc_kill(p, p->scope, NULL, NULL);
	WAIT_FOR(other.finished);
	table.stall_ms = TAP_STALL_MS;
}

/* One that takes a little now and then is not cut off. */
static void test_slow_reader_among_others(void **state)
{
	struct rpc_call slow = {.full_after = 100000}, other = {0};
	struct proc *p = start("yes", false, NULL, KILL_SCOPE_SESSION, &slow);
	uint64_t until;

	table.stall_ms = 200;
	tap_attach(tap_new(&other), p);
	WAIT_FOR(p->full_taps == 1);
	for (until = clock_monotonic_ms() + 1000; clock_monotonic_ms() < until;) {
		slow.pending--;
		turn();
	}
	assert_false(slow.failed);
	WAIT_FOR(slow.failed);
	proc_kill(p, p->scope, NULL, NULL);
	WAIT_FOR(other.finished);
	table.stall_ms = TAP_STALL_MS;
}

static int readable(const struct output *o)
{
	int n = 0;

	assert_int_equal(ioctl(o->fd, FIONREAD, &n), 0);
	return n;
}

/* The end comes even to a reader that is full, with all that was in the pipe. */
static void test_end_to_a_full_reader(void **state)
{
	struct rpc_call call = {.full_after = 1};
	struct proc *p =
		start("echo one; echo two >&2; sleep 100", false, NULL, KILL_SCOPE_SESSION, &call);

	WAIT_FOR(p->full_taps == 1 && readable(&p->outputs[0]) + readable(&p->outputs[1]) == 4);
	assert_int_equal(call.bytes, 4);
	proc_kill(p, p->scope, NULL, NULL);
	WAIT_FOR(call.finished);
	assert_int_equal(call.bytes, 8);
}

/* ---- the table ---- */

/* As if their time had passed. */
static void forget_exits(void)
{
	struct retained_exit *exit;

	TAILQ_FOREACH (exit, &table.retained, link)
		exit->until_ms = 0;
	timer_set_ms(&table.expiry, 0);
	WAIT_FOR(table.n_retained == 0);
}

static void test_table(void **state)
{
	struct proc *a = start("sleep 100", false, "t", KILL_SCOPE_SESSION, NULL);
	struct proc *b = start("sleep 100", false, "t", KILL_SCOPE_SESSION, NULL);
	struct proc *c = start("sleep 100", false, NULL, KILL_SCOPE_SESSION, NULL);
	pid_t pid_a = a->pid, pid_b = b->pid, pid_c = c->pid;

	forget_exits();
	assert_ptr_equal(TAILQ_FIRST(&table.live), a);
	assert_ptr_equal(TAILQ_NEXT(a, link), b);
	assert_ptr_equal(proc_table_find_tag(&table, "t"), b);
	assert_null(proc_table_find_tag(&table, ""));
	assert_ptr_equal(proc_table_find(&table, pid_c), c);
	assert_null(proc_table_find(&table, pid_c + 64 * 1024));

	table.retain_ms = 100;
	proc_kill(b, b->scope, NULL, NULL);
	WAIT_FOR(!proc_table_find(&table, pid_b));
	assert_ptr_equal(proc_table_find_tag(&table, "t"), a);
	assert_int_equal(proc_table_exit(&table, pid_b)->pid, pid_b);
	assert_int_equal(proc_table_exit_tag(&table, "t")->pid, pid_b);

	/* A later process with the tag: the exit is forgotten, by pid as well. */
	b = start("exit 3", false, "t", KILL_SCOPE_SESSION, NULL);
	assert_null(proc_table_exit(&table, pid_b));
	assert_null(proc_table_exit_tag(&table, "t"));
	pid_b = b->pid;
	WAIT_FOR(proc_table_exit(&table, pid_b));
	assert_int_equal(proc_table_exit_tag(&table, "t")->exit_status.status, 3);
	WAIT_FOR(!proc_table_exit(&table, pid_b));
	assert_int_equal(table.n_retained, 0);
	table.retain_ms = PROC_RETAIN_MS;

	proc_kill(a, a->scope, NULL, NULL);
	proc_kill(c, c->scope, NULL, NULL);
	WAIT_FOR(table.n_live == 0);
	assert_non_null(proc_table_exit(&table, pid_a));
}

#define MANY	1000
#define AT_ONCE 16

static void run_many(unsigned n)
{
	static struct rpc_call calls[AT_ONCE];

	for (unsigned i = 0; i < n; i += AT_ONCE) {
		memset(calls, 0, sizeof(calls));
		for (unsigned j = 0; j < AT_ONCE; j++)
			start("echo x", j % 4 == 0, j % 2 ? "tag" : NULL, KILL_SCOPE_SESSION,
			      &calls[j]);
		for (unsigned j = 0; j < AT_ONCE; j++)
			WAIT_FOR(calls[j].finished);
	}
	forget_exits();
}

static void test_nothing_is_left(void **state)
{
	size_t fds, bytes;

	run_many(AT_ONCE * 8);
	fds = count_descriptors();
	bytes = mallinfo2().uordblks;
	run_many(MANY);
	assert_int_equal(count_descriptors(), fds);
	/*
	 * The hash has grown with the retained exits, and libevent's heap of timers by a little; a
	 * leak would be at least one allocation (32 bytes) for each process.
	 */
	assert_in_range(mallinfo2().uordblks, 0,
			bytes + table.n_buckets * 2 * sizeof(void *) + 8192);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(daemon_state.budget.used[BUDGET_PROCESSES], 0);
}

/* ---- without a free descriptor ---- */

/*
 * A KILL looks for the members of the session in /proc. Without a free descriptor it found none,
 * was answered, and a member with a process group of its own lived on.
 */
static void test_kill_without_descriptors(void **state)
{
	struct rpc_call call = {0};
	unsigned done = 0;
	int other_group;
	struct proc *p;

	p = start("exec bash -c 'set -m; sleep 101 >&- 2>&- & echo $!; set +m; wait'", false, NULL,
		  KILL_SCOPE_SESSION, &call);
	WAIT_FOR(strchr(call.head, '\n'));
	other_group = atoi(call.head);
	take_descriptors();
	assert_int_equal(proc_kill(p, p->scope, count_done, &done), PROC_KILL_WAITS);
	for (int i = 0; i < 50; i++)
		turn();
	give_descriptors();
	assert_int_equal(done, 0);
	WAIT_FOR(done && call.finished);
	WAIT_FOR(dead(other_group));
	WAIT_FOR(table.n_live == 0 && workers_busy(daemon_state.kill_workers) == 0);
}

/* What the store was given. */
static unsigned n_put;

static bool count_put(void *arg, const char *name, const int *fds, size_t n)
{
	n_put++;
	return true;
}

static void ignore_drop(void *arg, const char *name)
{
}

/*
 * While no descriptor was free, a process that was put into the store was taken for stored, so a
 * crash of the daemon lost it, also when descriptors were free again.
 */
static void test_store_without_descriptors(void **state)
{
	struct rpc_call call = {0};
	struct proc *p = start("read x; exit 3", false, NULL, KILL_SCOPE_SESSION, &call);

	table.store = (struct pty_store){.put = count_put, .drop = ignore_drop};
	n_put = 0;
	take_descriptors();
	pty_store_put(p);
	turn();
	give_descriptors();
	assert_int_equal(n_put, 0);
	WAIT_FOR(n_put == 2); /* the process and its stdin */
	assert_true(TAILQ_EMPTY(&table.store_due));
	assert_int_equal(kill(p->pid, SIGKILL), 0);
	WAIT_FOR(call.finished);
	table.store = (struct pty_store){0};
}

static int setup(void **state)
{
	spawn_init();
	signal(SIGPIPE, SIG_IGN);
	loop_init(&loop);
	daemon_state.loop = &loop;
	budget_init(&daemon_state.budget);
	daemon_state.kill_workers = workers_new(&loop, "kills", 4);
	proc_table_init(&table, &loop, &daemon_state.budget, NULL);
	return 0;
}

static int teardown(void **state)
{
	proc_table_clear(&table);
	workers_free(daemon_state.kill_workers);
	loop_clear(&loop);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_end),
		cmocka_unit_test(test_terminal_output),
		cmocka_unit_test(test_leader_without_its_terminal),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_kill_does_not_wait_for_output),
		cmocka_unit_test(test_kill_scopes),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_only_reader_is_slow),
		cmocka_unit_test(test_stalled_reader),
		cmocka_unit_test(test_slow_reader_among_others),
		cmocka_unit_test(test_end_to_a_full_reader),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_kill_without_descriptors),
		cmocka_unit_test(test_store_without_descriptors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
