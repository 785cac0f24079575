/* SPDX-License-Identifier: Apache-2.0 */
/* envd bridge: a socket on the host that leads to a port of a guest, over vsock. */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/commands/args.h"
#include "envd/commands/cmd.h"
#include "envd/relay/address.h"
#include "envd/relay/dial.h"
#include "envd/relay/relay.h"
#include "rpc/http/listen.h"

#define BRIDGE_LISTENERS_MAX 8
#define BRIDGE_LINKS_MAX     4096 /* connections at a time; further ones wait in the kernel */
#define BRIDGE_LINK_FDS	     6	  /* of a busy connection: two sockets, and a pipe each way */
#define BRIDGE_RESERVED_FDS  (16 + 2 * RELAY_IDLE_PIPES)
#define BRIDGE_ACCEPT_TURN   64	 /* accepted before other events get a turn */
#define BRIDGE_PAUSE_MS	     100 /* without accepting, after descriptors ran out */
#define BRIDGE_PORT	     49983
#define BRIDGE_WAIT_MS	     10000

struct bridge;

struct listener {
	struct bridge *bridge;
	struct listen_spec spec;
	int fd; /* -1 until it is open */
	struct fd_event event;
};

/* One accepted connection: a dial to the guest, then a relay. */
struct link {
	struct bridge *bridge;
	int client; /* -1 once the relay has taken it */
	struct dial *dial;
	struct relay *relay;
	LIST_ENTRY(link) entry;
};

struct bridge {
	struct loop loop;
	struct relay_hub hub;
	struct listener listeners[BRIDGE_LISTENERS_MAX];
	size_t n_listeners;
	const char *to; /* the value of --to; borrowed */
	unsigned port;
	uint64_t wait_ms;
	struct dial_target target;
	LIST_HEAD(, link) links;
	size_t n_links, max_links;
	struct timer pause;
	struct event signals[2];
};

static const struct arg arguments[] = {
	{"listen", 'l', ARG_VALUE}, {"to", 't', ARG_VALUE},   {"port", 'p', ARG_VALUE},
	{"wait", 'w', ARG_VALUE},   {"help", 'h', ARG_PLAIN}, {NULL, 0, ARG_VALUE},
};

static const char usage[] =
	"Usage: envd bridge --to vsock:CID | uds:PATH [--port N] [--listen ADDRESS]… [--wait "
	"SECONDS]\n"
	"Relays connections on the host to a port of a guest, over vsock.\n"
	"  --to vsock:CID       the guest with this context identifier (vhost-vsock)\n"
	"  --to uds:PATH        the guest behind this socket of Firecracker, or of another VMM\n"
	"                       with the same CONNECT protocol\n"
	"  --port N             the guest's port, 49983 if not given\n"
	"  --listen ADDRESS     tcp:ADDR:PORT or unix:PATH; tcp:127.0.0.1:49983 if not given\n"
	"  --wait SECONDS       how long a connection waits for the guest to listen, 10 if not "
	"given\n";

static void update_listeners(struct bridge *b);

/* Ends a connection, in any state. */
static void link_free(struct link *l)
{
	struct bridge *b = l->bridge;

	LIST_REMOVE(l, entry);
	b->n_links--;
	dial_free(l->dial);
	relay_free(l->relay);
	fd_close(&l->client);
	free(l);
	update_listeners(b);
}

static void on_relay_done(struct relay *r, int rc, void *arg)
{
	link_free(arg);
}

/* The guest accepted, or the time of --wait has passed. */
static void on_dial_done(struct dial *d, int fd, void *arg)
{
	struct link *l = arg;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (fd < 0) {
		log_warn("bridge: %s port %u: %s", l->bridge->to, l->bridge->port,
			 error_errno_text(fd));
		setsockopt(l->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		link_free(l);
		return;
	}
	dial_free(l->dial);
	l->dial = NULL;
	l->relay = relay_new(&l->bridge->hub, fd_take(&l->client), fd, on_relay_done, l);
}

static void link_new(struct bridge *b, int client)
{
	struct link *l = mem_zalloc(sizeof(*l));
	int on = 1;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	l->bridge = b;
	l->client = client;
	LIST_INSERT_HEAD(&b->links, l, entry);
	b->n_links++;
	l->dial = dial_new(&b->loop, &b->target, b->wait_ms, on_dial_done, l);
}

/* The only place that decides whether connections are accepted. */
static void update_listeners(struct bridge *b)
{
	bool open = b->n_links < b->max_links && !timer_pending(&b->pause);

	for (size_t i = 0; i < b->n_listeners; i++) {
		if (open)
			fd_event_add(&b->listeners[i].event);
		else
			fd_event_del(&b->listeners[i].event);
	}
}

static void on_pause_over(void *arg)
{
	update_listeners(arg);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	struct bridge *b = listener->bridge;

	for (int i = 0; i < BRIDGE_ACCEPT_TURN && b->n_links < b->max_links; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			link_new(b, client);
			continue;
		}
		/* The event is level-triggered: without a pause it would fire at once again. */
		if (fd_is_shortage(errno)) {
			log_warn("bridge: %s: %s", listener->spec.text, error_errno_text(errno));
			timer_set_ms(&b->pause, BRIDGE_PAUSE_MS);
		}
		break;
	}
	update_listeners(b);
}

/* Adds a listener in the form of the daemon's -listen. 0 or -errno. */
static int add_listener(struct bridge *b, const char *text)
{
	struct listener *l = &b->listeners[b->n_listeners];
	struct error err;

	if (b->n_listeners == BRIDGE_LISTENERS_MAX)
		return -E2BIG;
	if (listen_parse(text, &l->spec, &err) < 0)
		return -EINVAL;
	l->bridge = b;
	l->fd = -1;
	b->n_listeners++;
	return 0;
}

/* Reads the value of --to, vsock:CID or uds:PATH. 0 or -errno. */
static int set_target(struct bridge *b, const char *text)
{
	b->to = text;
	if (strncmp(text, "vsock:", 6) == 0)
		return address_parse_vsock(text + 6, b->port, &b->target.address);
	if (strncmp(text, "uds:", 4) == 0) {
		b->target.proxy_port = b->port;
		return address_parse_unix(text + 4, &b->target.address);
	}
	return -EINVAL;
}

/* Reads the arguments. 0, 1 if --help asks for the usage, or -EINVAL after one line on stderr. */
static int parse_arguments(struct bridge *b, char **argv)
{
	struct args args;
	int key, rc = 0;

	args_init(&args, "bridge", arguments, argv);
	while ((key = args_next(&args)) > 0) {
		switch (key) {
		case 'h':
			return 1;
		case 'l':
			rc = add_listener(b, args.value);
			break;
		case 't':
			b->to = args.value;
			break;
		case 'p':
			rc = args_number(args.value, 1, 0x7fffffff, &b->port);
			break;
		case 'w':
			rc = args_seconds(args.value, &b->wait_ms);
			break;
		}
		if (rc < 0)
			return args_refuse(&args, rc == -E2BIG ? "too many listeners"
							       : "not a valid value");
	}
	if (key < 0)
		return -EINVAL;
	if (!b->to || set_target(b, b->to) < 0) {
		fprintf(stderr, "envd bridge: %s (see envd bridge --help)\n",
			b->to ? "--to takes vsock:CID or uds:PATH" : "--to is missing");
		return -EINVAL;
	}
	return b->n_listeners ? 0 : add_listener(b, "tcp:127.0.0.1:49983");
}

/* Opens one listener and logs its address. 0, or -1 with an error. */
static int listener_open(struct listener *l, struct error *err)
{
	l->fd = listen_open(&l->spec, err);
	if (l->fd < 0)
		return -1;
	fd_event_init(&l->event, &l->bridge->loop, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
	log_info("bridge: %s leads to %s port %u", l->spec.text, l->bridge->to, l->bridge->port);
	return 0;
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	loop_stop(&((struct bridge *)arg)->loop);
}

/*
 * Limits the connections to what the descriptors allow. Otherwise accepted connections could use up
 * all descriptors, and each would wait for another to end before it can reach the guest.
 */
static void limit_links(struct bridge *b)
{
	struct rlimit files;
	rlim_t links = 1;

	/* Fatal: at the start. */
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		fatal("getrlimit failed");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur > BRIDGE_RESERVED_FDS + BRIDGE_LINK_FDS)
		links = (files.rlim_cur - BRIDGE_RESERVED_FDS) / BRIDGE_LINK_FDS;
	b->max_links = links < BRIDGE_LINKS_MAX ? (size_t)links : BRIDGE_LINKS_MAX;
}

/* Listens and relays until a signal. Returns the exit status. */
static int serve(struct bridge *b)
{
	struct error err;

	limit_links(b);
	for (size_t i = 0; i < b->n_listeners; i++) {
		if (listener_open(&b->listeners[i], &err) < 0) {
			fprintf(stderr, "envd bridge: %s\n", err.message);
			return 1;
		}
	}
	update_listeners(b);
	loop_run(&b->loop);
	return 0;
}

/* Closes everything and removes the files of unix sockets. */
static void bridge_clear(struct bridge *b)
{
	while (!LIST_EMPTY(&b->links))
		link_free(LIST_FIRST(&b->links));
	timer_cancel(&b->pause);
	for (size_t i = 0; i < b->n_listeners; i++) {
		struct listener *l = &b->listeners[i];

		if (l->fd < 0)
			continue;
		fd_event_del(&l->event);
		fd_close(&l->fd);
		if (l->spec.kind == LISTEN_UNIX)
			unlink(((struct sockaddr_un *)&l->spec.address)->sun_path);
	}
	for (size_t i = 0; i < ARRAY_LEN(b->signals); i++)
		event_del(&b->signals[i]);
	relay_hub_clear(&b->hub);
	loop_clear(&b->loop);
}

int cmd_bridge(int argc, char **argv)
{
	static const int ending[] = {SIGTERM, SIGINT};
	struct bridge b = {.port = BRIDGE_PORT, .wait_ms = BRIDGE_WAIT_MS};
	int rc = parse_arguments(&b, argv);

	if (rc < 0)
		return 2;
	if (rc > 0) {
		fputs(usage, stdout);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	loop_init(&b.loop);
	relay_hub_init(&b.hub, &b.loop);
	LIST_INIT(&b.links);
	timer_init(&b.pause, &b.loop, on_pause_over, &b);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		signal_event_add(&b.signals[i], &b.loop, ending[i], on_signal, &b);
	rc = serve(&b);
	bridge_clear(&b);
	return rc;
}
