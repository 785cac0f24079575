/*
 * Start: begins a process and streams its events.
 *
 *	open ── everything is prepared, a worker clones ──► done ── the process has its first tap
 *
 * While the workload is frozen a child would be stopped before its exec, and the worker with it, so
 * a start is held back until the thaw. Its deadline runs, and its client may go.
 *
 * The process' deadline is that of the call (Connect-Timeout-Ms), and holds from the beginning.
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
#include "pty/rpc.h"
#include "pty/spawn.h"
#include "rpc/context.h"

/*
 * More than any kernel takes for arguments and environment together (fs/exec.c: three quarters of
 * 8 MiB, counting a pointer for each).
 */
#define START_MAX_ARGUMENT_BYTES (6u * 1024 * 1024)

/* The tag of the platform's own processes. */
#define SYSTEM_TAG "_system"

/* A start on its way: from the request to the process. */
struct start {
	struct work work;
	struct spawn spawn;
	struct pty_service *svc;
	struct rpc_call *call;		      /* a reference, for the request lies in it */
	struct tap *tap;		      /* NULL: the client has gone */
	const Process__StartRequest *request; /* in the call's arena */
	struct arena arena;		      /* what the spawn borrows */
	enum kill_scope scope;
	struct cgroup *cgroup;	 /* to begin in; NULL: the daemon's */
	bool held;		 /* until the thaw */
	TAILQ_ENTRY(start) link; /* of those that are held */
	int result;		 /* of spawn_run */
	struct error err;
	bool has_deadline;
	bool deadline_passed;
	uint64_t deadline_ms; /* by clock_monotonic_ms */
	struct timer deadline;
};

static void start_free(struct start *start)
{
	timer_cancel(&start->deadline);
	cgroup_release(start->cgroup);
	arena_clear(&start->arena);
	rpc_call_unref(start->call);
	free(start);
}

/* The header, else what the daemon was started with. */
static int choose_scope(struct start *start, struct error *err)
{
	const char *text = rpc_call_header(start->call, "x-envd-kill-scope");

	start->scope = start->svc->kill_scope;
	if (text && kill_scope_parse(text, &start->scope) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "X-Envd-Kill-Scope is leader, session or tree, not '%s'", text);
	return 0;
}

/* cmd and args, NULL-terminated, with the spare element in front that spawn.h asks for. */
static char **make_argv(const Process__ProcessConfig *config, struct arena *arena)
{
	size_t n_args = config ? config->n_args : 0, i;
	char **argv = (char **)arena_alloc(arena, (n_args + 3) * sizeof(char *)) + 1;

	/* execve(2) takes them without const, and writes nothing. */
	argv[-1] = NULL;
	argv[0] = (char *)(uintptr_t)(config ? config->cmd : "");
	for (i = 0; i < n_args; i++)
		argv[1 + i] = (char *)(uintptr_t)config->args[i];
	argv[1 + n_args] = NULL;
	return argv;
}

static size_t strings_bytes(char *const *strings)
{
	size_t bytes = 0;

	for (; *strings; strings++)
		bytes += strlen(*strings) + 1 + sizeof(*strings);
	return bytes;
}

static int prepare_spawn(struct start *start, struct error *err)
{
	const Process__StartRequest *request = start->request;
	const Process__ProcessConfig *config = request->process;
	bool has_cwd = config && config->opt_cwd_case == PROCESS__PROCESS_CONFIG__OPT_CWD_CWD;
	struct context *context = start->svc->context;
	struct spawn *s = &start->spawn;
	struct user user;
	char *cwd;

	spawn_prepare(s);
	if (context_find_user(context, rpc_call_user(start->call), &start->arena, &user, err) < 0 ||
	    path_resolve(has_cwd ? config->cwd : "", &user, context->default_workdir, &start->arena,
			 &cwd, err) < 0)
		return -1;
	s->cwd = cwd;
	s->uid = user.uid;
	s->gid = user.gid;
	s->groups = user.groups;
	s->n_groups = user.n_groups;
	s->argv = make_argv(config, &start->arena);
	s->envp = environment_new(context, &user, config, cwd, &start->arena, &s->path);
	if (strings_bytes(s->argv) + strings_bytes(s->envp) > START_MAX_ARGUMENT_BYTES)
		return error_set(err, ERROR_INVALID_ARGUMENT, "argument list too long");
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

static void start_run(struct work *work)
{
	struct start *start = container_of(work, struct start, work);

	if (start->cgroup)
		cgroup_enter(start->cgroup, &start->spawn);
	start->result = spawn_run(&start->spawn, &start->err);
	cgroup_entered(&start->spawn);
}

/* There is a process now: it is listed, read, and killed when its time is over. */
static void begin(struct start *start)
{
	struct pty_service *svc = start->svc;
	uint64_t now = clock_monotonic_ms();
	struct proc *p;

	svc->context->process_started_ms = now;
	p = proc_new(&svc->table, svc->context, &start->spawn, start->cgroup, start->request,
		     start->scope);
	start->cgroup = NULL;
	svc->stats.started++;
	p->operation = rpc_call_operation(start->call);
	log_operation(p->operation, "process_start", "process %d: %s", (int)p->pid,
		      start->spawn.argv[0]);
	if (start->tap)
		tap_attach(start->tap, p);
	else
		proc_update(p);
	if (!start->has_deadline)
		return;
	if (start->deadline_passed || now >= start->deadline_ms)
		proc_pass_deadline(p);
	else
		proc_set_deadline(p, start->deadline_ms - now);
}

static void start_done(struct work *work)
{
	struct start *start = container_of(work, struct start, work);

	if (start->tap)
		start->tap->start = NULL;
	if (start->result == 0) {
		begin(start);
	} else {
		start->svc->stats.failed++;
		if (start->spawn.pidfd >= 0)
			zombies_add(&start->svc->table.zombies, start->spawn.pid,
				    fd_take(&start->spawn.pidfd));
		else
			budget_give(&start->svc->context->budget, BUDGET_PROCESSES, 1);
		if (start->tap) {
			rpc_fail(start->call, &start->err);
			tap_close(start->tap);
		}
	}
	start_free(start);
}

/* Its time is over before its program was even loaded. */
static void start_deadline(void *arg)
{
	struct start *start = arg;

	start->deadline_passed = true;
	spawn_kill(&start->spawn);
}

/*
 * Where a process belongs: terminals to ptys, others to user; and those of the platform's own,
 * which a freeze may not stop, stay with the daemon.
 */
static void choose_cgroup(struct start *start)
{
	const Process__StartRequest *request = start->request;
	bool is_system = request->opt_tag_case == PROCESS__START_REQUEST__OPT_TAG_TAG &&
			 strcmp(request->tag, SYSTEM_TAG) == 0;

	if (!is_system)
		start->cgroup = cgroup_new(start->svc->cgroups,
					   start->spawn.pty ? CGROUP_PTYS : CGROUP_USER);
	if (!start->cgroup && start->scope == KILL_SCOPE_TREE)
		log_info("kill scope tree, and no cgroup: a KILL will reach the session alone");
}

static void submit(struct start *start)
{
	struct pty_service *svc = start->svc;

	start->held = svc->holding && start->cgroup;
	if (!start->held) {
		work_submit(svc->context->process_workers, &start->work);
		return;
	}
	if (svc->n_held++ == 0)
		log_info("the workload is frozen: processes are started when it is thawed");
	TAILQ_INSERT_TAIL(&svc->held, start, link);
}

static void unhold(struct start *start)
{
	start->held = false;
	TAILQ_REMOVE(&start->svc->held, start, link);
	start->svc->n_held--;
}

void pty_service_hold(struct pty_service *svc, bool hold)
{
	struct start *start;

	if (svc->holding && !hold && svc->n_held)
		log_info("the workload is thawed: starting %zu processes that waited", svc->n_held);
	svc->holding = hold;
	while (!hold && (start = TAILQ_FIRST(&svc->held))) {
		unhold(start);
		submit(start);
	}
}

static void start_open(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct pty_service *svc = rpc_call_service(call);
	struct start *start = mem_zalloc(sizeof(*start));
	int64_t timeout_ms = rpc_call_connect_timeout_ms(call);
	struct error err;

	start->svc = svc;
	start->call = rpc_call_ref(call);
	start->request = (const Process__StartRequest *)message;
	start->work.run = start_run;
	start->work.done = start_done;
	timer_init(&start->deadline, svc->context->loop, start_deadline, start);
	if (choose_scope(start, &err) < 0 || prepare_spawn(start, &err) < 0) {
		rpc_fail(call, &err);
		start_free(start);
		return;
	}
	if (!budget_take(&svc->context->budget, BUDGET_PROCESSES, 1)) {
		error_set(&err, ERROR_RESOURCE_EXHAUSTED, "too many processes");
		rpc_fail(call, &err);
		start_free(start);
		return;
	}
	start->tap = tap_new(call, true);
	start->tap->start = start;
	if (timeout_ms >= 0) {
		start->has_deadline = true;
		start->deadline_ms = clock_monotonic_ms() + (uint64_t)timeout_ms;
		timer_set_ms(&start->deadline, (uint64_t)timeout_ms);
	}
	choose_cgroup(start);
	submit(start);
}

/* Takes a start back that no worker has begun. */
static bool take_back(struct start *start)
{
	if (!start->held)
		return work_cancel(start->svc->context->process_workers, &start->work);
	unhold(start);
	return true;
}

/*
 * A client that goes leaves its process running, the one that is still to be spawned too. At a
 * deadline or the daemon's end a spawn that no worker has begun is taken back.
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
	if (why == RPC_CANCEL_GONE || !take_back(start))
		return;
	budget_give(&start->svc->context->budget, BUDGET_PROCESSES, 1);
	start_free(start);
}

const struct rpc_method rpc_start_method = {
	.service = "process.Process",
	.name = "Start",
	.kind = RPC_SERVER_STREAM,
	.input = &process__start_request__descriptor,
	.output = &process__start_response__descriptor,
	.open = start_open,
	.writable = rpc_tap_writable,
	.keepalive = rpc_tap_keepalive,
	.cancel = start_cancel,
};
