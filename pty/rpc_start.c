/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start: starts a process and streams its events.
 *
 *	open ─► run (worker: environment, cgroup, clone) ─► done ─► the process with its first tap
 *
 * While the workload is frozen, starts are refused with `unavailable`, because a child would stop
 * before its exec and block its worker. Processes of the platform itself (tag "_system") stay in
 * the daemon's cgroup, which is not frozen, and are started nevertheless.
 *
 * Connect-Timeout-Ms is the deadline of the process. It starts with the request.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/work.h"
#include "pty/cgroup/cgroup.h"
#include "pty/environment.h"
#include "pty/proc_audit.h"
#include "pty/proc_log.h"
#include "pty/rpc.h"
#include "pty/seccomp/profiles.h"
#include "pty/spawn.h"
#include "pty/start_options.h"
#include "pty/store.h"
#include "rpc/context.h"

static void start_open(struct rpc_call *call, const ProtobufCMessage *message);
static void start_run(struct work *work);
static void start_done(struct work *work);
static void start_deadline(void *arg);
static void start_overdue(void *arg);
static void leave_starting(struct start *start);
static void give_up(struct start *start);
static void start_cancel(struct rpc_call *call, enum rpc_cancel why);

const struct rpc_method pty_rpc_start_method = {
	.service = "process.Process",
	.name = "Start",
	.kind = RPC_SERVER_STREAM,
	.input = &process__start_request__descriptor,
	.output = &process__start_response__descriptor,
	.open = start_open,
	.writable = pty_rpc_tap_writable,
	.keepalive = pty_rpc_tap_keepalive,
	.cancel = start_cancel,
};

/*
 * More than any kernel accepts for arguments and environment together (fs/exec.c: three quarters of
 * 8 MiB, counting a pointer for each).
 */
#define START_MAX_ARGUMENT_BYTES (6u * 1024 * 1024)

/* A clone that takes longer is checked this often: it may have been stopped before its exec. */
#define START_OVERDUE_MS 5000

/* A start that has a request but no process yet. */
struct start {
	struct work work;
	struct spawn spawn;
	struct pty_service *svc;
	struct rpc_call *call;		      /* a reference: the request lies in its arena */
	struct tap *tap;		      /* NULL: the client has gone */
	const Process__StartRequest *request; /* in the call's arena */
	struct arena arena;		      /* memory that the spawn borrows */
	struct user user;		      /* in `arena` */
	struct env_var *globals;	      /* a copy of the global environment */
	size_t n_globals;
	struct start_options options;
	struct cgroup *cgroup;	   /* of the child; NULL: the daemon's */
	struct budget_share share; /* for the memory that the process keeps */
	struct start_key *key;	   /* NULL: the request has none, or it joined another */
	bool is_system;
	TAILQ_ENTRY(start) link; /* of svc->starting, unless is_system */
	int result;		 /* of start_run */
	struct error err;
	struct timer overdue;
	bool was_stopped; /* the child was stopped before its exec, and killed */
	bool has_deadline;
	bool deadline_passed;
	uint64_t deadline_ms; /* by clock_monotonic_ms */
	struct timer deadline;
};

/* ---- open ---- */

/* Returns cmd and args, NULL-terminated, after the spare element that spawn.h requires. */
static char **make_argv(const Process__ProcessConfig *config, struct arena *arena)
{
	size_t n_args = config ? config->n_args : 0, i;
	char **argv = (char **)arena_alloc(arena, (n_args + 3) * sizeof(char *)) + 1;

	/* execve(2) takes them without const, but does not write to them. */
	argv[-1] = NULL;
	argv[0] = (char *)(uintptr_t)(config ? config->cmd : "");
	for (i = 0; i < n_args; i++)
		argv[1 + i] = (char *)(uintptr_t)config->args[i];
	argv[1 + n_args] = NULL;
	return argv;
}

/* Copies the global environment, because /init may change the context while the worker runs. */
static void copy_globals(struct start *start)
{
	const struct context *context = start->svc->context;
	size_t i;

	start->n_globals = context->n_env;
	start->globals = arena_alloc(&start->arena, context->n_env * sizeof(*start->globals));
	for (i = 0; i < context->n_env; i++) {
		start->globals[i].name = arena_strdup(&start->arena, context->env[i].name);
		start->globals[i].value = arena_strdup(&start->arena, context->env[i].value);
	}
}

static int prepare_spawn(struct start *start, struct error *err)
{
	const Process__StartRequest *request = start->request;
	const Process__ProcessConfig *config = request->process;
	bool has_cwd = config && config->opt_cwd_case == PROCESS__PROCESS_CONFIG__OPT_CWD_CWD;
	struct context *context = start->svc->context;
	const struct user *user = &start->user;
	struct spawn *s = &start->spawn;
	char *cwd;

	if (context_find_user(context, rpc_call_user(start->call), &start->arena, &start->user,
			      err) < 0 ||
	    path_resolve(has_cwd ? config->cwd : "", user, context->default_workdir, &start->arena,
			 &cwd, err) < 0)
		return -1;
	s->cwd = cwd;
	s->uid = user->uid;
	s->gid = user->gid;
	s->groups = user->groups;
	s->n_groups = user->n_groups;
	s->argv = make_argv(config, &start->arena);
	copy_globals(start);
	s->no_new_privs = start->svc->no_new_privs;
	s->pty = request->pty != NULL;
	if (s->pty && request->pty->size) {
		s->cols = (uint16_t)request->pty->size->cols;
		s->rows = (uint16_t)request->pty->size->rows;
	}
	s->stdin_pipe =
		!s->pty && (request->opt_stdin_case != PROCESS__START_REQUEST__OPT_STDIN_STDIN ||
			    request->stdin);
	return 0;
}

static bool has_tag(const Process__StartRequest *request)
{
	return request->opt_tag_case == PROCESS__START_REQUEST__OPT_TAG_TAG;
}

/* Charges the memory that the process will keep. */
static int take_budget(struct start *start, struct error *err)
{
	struct budget *budget = &start->svc->context->budget;
	const Process__StartRequest *request = start->request;
	struct log_request log = rpc_call_log_request(start->call);
	size_t bytes = sizeof(struct proc) + proc_request_bytes(&log);

	if (request->process)
		bytes += protobuf_c_message_get_packed_size(&request->process->base);
	if (has_tag(request))
		bytes += strlen(request->tag) + 1;
	budget_share_init(&start->share, budget, BUDGET_CLASS_PROCESSES);
	if (!budget_take(budget, BUDGET_PROCESSES, 1))
		return error_set(err, ERROR_RESOURCE_EXHAUSTED, "too many processes");
	if (budget_share_take(&start->share, bytes))
		return 0;
	budget_give(budget, BUDGET_PROCESSES, 1);
	return error_set(err, ERROR_RESOURCE_EXHAUSTED,
			 "too much memory is used by the configurations of processes");
}

/* Chooses the group: CGROUP_PTYS for terminals, CGROUP_USER otherwise. */
static void choose_cgroup(struct start *start)
{
	if (!start->is_system)
		start->cgroup = cgroup_new(start->svc->cgroups,
					   start->spawn.pty ? CGROUP_PTYS : CGROUP_USER);
	if (!start->cgroup && start->options.scope == KILL_SCOPE_TREE)
		log_info("kill scope tree, but no cgroup: a KILL will reach the session");
}

/*
 * Returns true if the request has the key of an earlier one, and now reads the process of that one,
 * or waits for it.
 */
static bool joins(struct start *start)
{
	struct start_key *key = start->key;
	struct tap *tap;

	if (!key)
		return false;
	start->key = NULL;
	tap = tap_new(start->call);
	switch (key->state) {
	case START_KEY_STARTING:
		tap->key = key;
		TAILQ_INSERT_TAIL(&key->waiting, tap, link);
		break;
	case START_KEY_RUNNING:
		pty_join_process(tap, key->proc, true);
		break;
	case START_KEY_ENDED:
		pty_join_exit(tap, key->exit, true);
		break;
	}
	return true;
}

/* Removes and returns the next tap that waits for this start; NULL: none. `key` may be NULL. */
static struct tap *pop_waiting(struct start_key *key)
{
	struct tap *tap = key ? TAILQ_FIRST(&key->waiting) : NULL;

	if (tap) {
		TAILQ_REMOVE(&key->waiting, tap, link);
		tap->key = NULL;
	}
	return tap;
}

static int refuse_while_frozen(const struct start *start, struct error *err)
{
	const struct pty_service *svc = start->svc;

	if (!(start->is_system ? svc->table.paused : svc->refuses_starts))
		return 0;
	return error_set(err, ERROR_UNAVAILABLE, "error starting process '%s': %s",
			 start->request->process ? start->request->process->cmd : "",
			 start->is_system ? "envd is being replaced"
					  : "the target cgroup is frozen");
}

static void start_free(struct start *start)
{
	timer_cancel(&start->deadline);
	timer_cancel(&start->overdue);
	cgroup_release(start->cgroup);
	budget_share_clear(&start->share);
	start_key_free(start->key);
	arena_clear(&start->arena);
	rpc_call_unref(start->call);
	free(start);
}

static struct start *start_new(struct rpc_call *call, const Process__StartRequest *request)
{
	struct start *start = mem_zalloc(sizeof(*start));

	start->svc = rpc_call_service(call);
	start->call = rpc_call_ref(call);
	start->request = request;
	start->is_system = has_tag(request) && strcmp(request->tag, PTY_SYSTEM_TAG) == 0;
	start->work.run = start_run;
	start->work.done = start_done;
	spawn_prepare(&start->spawn);
	timer_init(&start->deadline, rpc_call_loop(call), start_deadline, start);
	timer_init(&start->overdue, rpc_call_loop(call), start_overdue, start);
	return start;
}

static void start_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct start *start = start_new(call, (const Process__StartRequest *)message);
	struct pty_service *svc = start->svc;
	int64_t timeout_ms = rpc_call_connect_timeout_ms(call);
	struct error err;
	int r;

	r = start_key_take(&svc->start_keys, call, message, &start->key, &err);
	if (r > 0 && joins(start)) {
		start_free(start);
		return;
	}
	if (r < 0 || start_options_parse(call, svc, start->is_system, &start->options, &err) < 0 ||
	    prepare_spawn(start, &err) < 0 || refuse_while_frozen(start, &err) < 0 ||
	    take_budget(start, &err) < 0) {
		rpc_fail(call, &err);
		start_free(start);
		return;
	}
	start->tap = tap_new(call);
	start->tap->start = start;
	if (timeout_ms >= 0) {
		start->has_deadline = true;
		start->deadline_ms = clock_monotonic_ms() + (uint64_t)timeout_ms;
		timer_set_ms(&start->deadline, (uint64_t)timeout_ms);
		/* A gRPC call may have another deadline of its own, grpc-timeout. */
		start->tap->ends_at_deadline = rpc_call_timeout_ms(call) == timeout_ms;
	}
	choose_cgroup(start);
	if (start->is_system)
		svc->n_system_starting++;
	else
		TAILQ_INSERT_TAIL(&svc->starting, start, link);
	timer_set_ms(&start->overdue, START_OVERDUE_MS);
	work_submit(svc->context->process_workers, &start->work);
}

/* ---- run, on a worker ---- */

static size_t strings_bytes(char *const *strings)
{
	size_t bytes = 0;

	for (; *strings; strings++)
		bytes += strlen(*strings) + 1 + sizeof(*strings);
	return bytes;
}

/* Runs on the worker, because it sorts all variables that the client sent. */
static int make_environment(struct start *start, struct error *err)
{
	const Process__ProcessConfig *config = start->request->process;
	bool has_cwd = config && config->opt_cwd_case == PROCESS__PROCESS_CONFIG__OPT_CWD_CWD &&
		       *config->cwd;
	struct log_request request = rpc_call_log_request(start->call);
	struct spawn *s = &start->spawn;
	char **pwd;

	s->envp = environment_new(start->globals, start->n_globals, &start->user, &request, config,
				  s->cwd, &start->arena, &s->path, &pwd);
	if (strings_bytes(s->argv) + strings_bytes(s->envp) > START_MAX_ARGUMENT_BYTES)
		return error_set(err, ERROR_INVALID_ARGUMENT, "argument list too long");
	/* The request did not name the home directory. */
	if (!has_cwd && strcmp(s->cwd, start->user.home) == 0)
		s->pwd = pwd;
	return 0;
}

static void start_run(struct work *work)
{
	struct start *start = container_of(work, struct start, work);
	struct spawn *s = &start->spawn;

	start->result = make_environment(start, &start->err);
	if (start->result == 0 && start->options.seccomp) {
		s->filter = seccomp_profiles_program(start->svc->seccomp, start->options.seccomp,
						     &start->err);
		start->result = s->filter ? 0 : -1;
	}
	if (start->result == 0 && start->cgroup) {
		start->result = cgroup_enter(start->cgroup, &s->cgroup_fd, &s->cgroup_procs_fd,
					     &start->err);
		if (start->result < 0)
			error_prefix(&start->err, "error starting process '%s'", s->argv[0]);
	}
	s->limits = &start->options.limits;
	if (start->result == 0)
		start->result =
			limits_apply_cgroup(&start->options.limits, start->cgroup, &start->err);
	if (start->result == 0)
		start->result = spawn_run(s, &start->err);
	fd_close(&s->cgroup_fd);
	fd_close(&s->cgroup_procs_fd);
}

/* Called when the deadline passes before the exec. */
static void start_deadline(void *arg)
{
	struct start *start = arg;

	start->deadline_passed = true;
	spawn_kill(&start->spawn);
}

/* Ends a start that no worker has begun, with the error in start->err. */
static void refuse_queued(struct start *start)
{
	leave_starting(start);
	if (start->tap)
		start->tap->start = NULL;
	give_up(start);
	start_free(start);
}

/*
 * The start takes long. If the kernel refuses threads, as when a fork bomb has used up all pids, it
 * may do so for ever: the client learns it, as it does when the clone itself is refused.
 */
static void start_overdue(void *arg)
{
	struct start *start = arg;
	struct workers *workers = start->svc->context->process_workers;

	if (workers_starve(workers) && work_cancel(workers, &start->work)) {
		error_set(&start->err, ERROR_RESOURCE_EXHAUSTED,
			  "error starting process '%s': there are too many processes, the kernel "
			  "refuses a thread for it",
			  start->spawn.argv[0]);
		refuse_queued(start);
		return;
	}
	if (spawn_kill_stopped(&start->spawn))
		start->was_stopped = true;
	timer_set_ms(&start->overdue, START_OVERDUE_MS);
}

/* ---- done ---- */

/* Removes the start from the list of starts before their exec. */
static void leave_starting(struct start *start)
{
	if (start->is_system)
		start->svc->n_system_starting--;
	else
		TAILQ_REMOVE(&start->svc->starting, start, link);
}

/* Reports the start, or its failure, to the audit stream. `p` is NULL after a failure. */
static void audit_start(const struct start *start, const struct proc *p)
{
	proc_audit_start(&(struct proc_audit_start){
		.request = rpc_call_log_request(start->call),
		.asked_by = rpc_call_user(start->call),
		.config = start->request->process,
		.proc = p,
		.error = p ? NULL : start->err.message,
		.user = start->user.name,
		.cwd = start->spawn.cwd,
		.limits = &start->options.limits,
		.seccomp = start->options.seccomp,
		.tag = has_tag(start->request) ? start->request->tag : NULL,
	});
}

/* Creates the process, from now on listed and read, with its deadline. */
static void begin(struct start *start)
{
	struct pty_service *svc = start->svc;
	uint64_t now = clock_monotonic_ms();
	struct log_request request = rpc_call_log_request(start->call);
	struct start_key *key = start->key;
	struct tap *waiting;
	struct proc *p;

	svc->last_start_ms = now;
	p = proc_new(&svc->table, svc->context, &start->spawn, start->cgroup, start->request,
		     start->options.scope, &start->share);
	start->cgroup = NULL;
	start->share = (struct budget_share){0};
	p->ends_with_leader = start->options.ends_with_leader;
	p->explains_end = tap_explains(start->call);
	p->keep_for_ms = start->options.keep_for_ms;
	if (start->options.keep_output_bytes)
		p->kept = kept_new(&svc->context->budget, start->options.keep_output_bytes);
	p->start_key = key;
	start->key = NULL;
	start_key_run(key, p);
	svc->stats.started++;
	proc_set_request(p, &request);
	proc_log_start(p, start->request->process, rpc_call_connect_timeout_ms(start->call));
	audit_start(start, p);
	if (start->spawn.cwd_replaced)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN, .request = request},
			  "process %d: the home directory '%s' cannot be entered: it began in /",
			  (int)p->pid, start->spawn.cwd);
	if (start->tap)
		tap_attach(start->tap, p);
	else
		proc_update(p);
	while ((waiting = pop_waiting(key)))
		pty_join_process(waiting, p, true);
	if (start->has_deadline && !start->deadline_passed && now < start->deadline_ms)
		proc_set_deadline(p, start->deadline_ms - now);
	pty_store_put(p);
	if (start->has_deadline && !p->deadline_ms)
		proc_pass_deadline(p);
}

/* Releases everything that the start holds, including the child, and fails the call. */
static void give_up(struct start *start)
{
	struct pty_service *svc = start->svc;
	struct spawn *s = &start->spawn;
	struct tap *waiting;

	svc->stats.failed++;
	audit_start(start, NULL);
	/* A traced zombie still counts as a process. */
	if (s->pidfd >= 0)
		zombies_add(&svc->table.zombies, s->pid, fd_take(&s->pidfd));
	else
		budget_give(&svc->context->budget, BUDGET_PROCESSES, 1);
	while ((waiting = pop_waiting(start->key))) {
		rpc_fail(waiting->call, &start->err);
		tap_close(waiting);
	}
	if (!start->tap)
		return;
	rpc_fail(start->call, &start->err);
	tap_close(start->tap);
}

static void start_done(struct work *work)
{
	struct start *start = container_of(work, struct start, work);

	leave_starting(start);
	if (start->tap)
		start->tap->start = NULL;
	if (start->result == 0 && start->was_stopped) {
		spawn_close(&start->spawn);
		start->result = error_set(
			&start->err, ERROR_ABORTED,
			"error starting process '%s': it was stopped by a signal for %u s "
			"before its exec, and has been killed",
			start->spawn.argv[0], START_OVERDUE_MS / 1000);
	}
	if (start->result == 0)
		begin(start);
	else
		give_up(start);
	start_free(start);
}

/* ---- cancel ---- */

/*
 * If the client disconnects, the process is still started. At a deadline, and when the daemon ends,
 * a start that no worker has begun is cancelled.
 */
static void start_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct tap *tap = rpc_call_data(call);
	struct start *start = tap ? tap->start : NULL;

	if (!tap)
		return;
	tap_close(tap);
	if (!start)
		return;
	start->tap = NULL;
	if (why == RPC_CANCEL_GONE ||
	    !work_cancel(start->svc->context->process_workers, &start->work))
		return;
	error_set(&start->err, ERROR_UNAVAILABLE, "the start with this key was cancelled");
	refuse_queued(start);
}

/* ---- freezes ---- */

void pty_service_refuse_starts(struct pty_service *svc, bool refuse)
{
	struct start *start, *next;

	svc->refuses_starts = refuse;
	/* A start that no worker has begun would find the workload frozen. */
	for (start = TAILQ_FIRST(&svc->starting); refuse && start; start = next) {
		next = TAILQ_NEXT(start, link);
		if (!work_cancel(svc->context->process_workers, &start->work))
			continue;
		refuse_while_frozen(start, &start->err);
		refuse_queued(start);
	}
}

bool pty_service_starting(const struct pty_service *svc)
{
	return !TAILQ_EMPTY(&svc->starting) || (svc->table.paused && svc->n_system_starting > 0);
}

size_t pty_starts_waiting(const struct pty_service *svc)
{
	const struct start *start;
	size_t n = 0;

	TAILQ_FOREACH (start, &svc->starting, link)
		n++;
	return n;
}
