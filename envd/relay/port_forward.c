/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/port_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/relay/address.h"
#include "envd/relay/dial.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/port_watch.h"
#include "envd/relay/relay.h"

#define BACKLOG	       4096 /* the kernel lowers it to net.core.somaxconn */
#define ACCEPTS_A_TURN 16

/* A client's connection: first the dial to the guest's program, then the relay. */
struct connection {
	struct forwarder *forwarder; /* NULL after the port's forwarding has ended */
	struct port_forward *owner;
	int client; /* until the relay takes it */
	struct dial *dial;
	struct relay *relay;
	LIST_ENTRY(connection) link;
	LIST_ENTRY(connection) port_link; /* in the forwarder's list */
};

enum forwarder_state {
	FORWARDER_FOUND, /* not listening yet: new, or its address is taken */
	FORWARDER_ACCEPTING,
	FORWARDER_PAUSED, /* over its share, or no free descriptor */
};

/* A port that is forwarded. */
struct forwarder {
	struct port_forward *owner;
	struct port_found found;
	enum forwarder_state state;
	bool seen; /* the last scan found the port */
	int fd;
	struct fd_event event;
	LIST_HEAD(, connection) connections;
	size_t n_connections;
	LIST_ENTRY(forwarder) link;
};

struct port_forward {
	struct loop *loop;
	struct port_watch *watch;
	struct port_reader reader;
	struct address address; /* with port 0: each forwarder has a port of its own */
	struct relay_hub hub;
	LIST_HEAD(, forwarder) forwarders;
	LIST_HEAD(, connection) connections;
	size_t n_forwarders, n_connections;
};

/* ---- a port: accepting, or paused ---- */

/* The only writer of the state and of the listener's event. */
static void forwarder_set_state(struct forwarder *w, enum forwarder_state state)
{
	static const char *const names[] = {
		[FORWARDER_FOUND] = "found",
		[FORWARDER_ACCEPTING] = "accepting",
		[FORWARDER_PAUSED] = "paused",
	};

	if (w->state == state)
		return;
	log_debug("forwarded port %u: %s -> %s", w->found.port, names[w->state], names[state]);
	w->state = state;
	if (state == FORWARDER_ACCEPTING)
		fd_event_add(&w->event);
	else
		fd_event_del(&w->event);
}

/* Returns true if the port may have another connection. */
static bool has_share(const struct forwarder *w)
{
	size_t left = PORT_FORWARD_MAX_CONNECTIONS - w->owner->n_connections;

	return w->n_connections < left;
}

/* Lets paused ports accept again, after a connection has ended. */
static void resume_ports(struct port_forward *f)
{
	struct forwarder *w;

	LIST_FOREACH (w, &f->forwarders, link)
		if (w->state == FORWARDER_PAUSED && has_share(w))
			forwarder_set_state(w, FORWARDER_ACCEPTING);
}

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
	struct port_forward *f = c->owner;

	LIST_REMOVE(c, link);
	f->n_connections--;
	if (c->forwarder) {
		LIST_REMOVE(c, port_link);
		c->forwarder->n_connections--;
	}
	fd_close(&c->client);
	if (c->dial)
		dial_free(c->dial);
	if (c->relay)
		relay_free(c->relay);
	free(c);
	resume_ports(f);
}

static void on_relay_done(struct relay *r, int rc, void *arg)
{
	connection_free(arg);
}

/* The guest's program accepted the connection. If it refused, the client gets a reset. */
static void on_dialed(struct dial *d, int fd, void *arg)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct connection *c = arg;

	if (fd < 0) {
		setsockopt(c->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		connection_free(c);
		return;
	}
	dial_free(c->dial);
	c->dial = NULL;
	c->relay = relay_new(&c->owner->hub, fd_take(&c->client), fd, on_relay_done, c);
}

/*
 * If a host disappears, its connections stay open on this side. Without probes each of them would
 * use one of the connections for ever.
 */
static void set_keepalive(int fd)
{
	static const int on = 1, idle = PORT_FORWARD_KEEPALIVE_IDLE_S,
			 interval = PORT_FORWARD_KEEPALIVE_INTERVAL_S,
			 count = PORT_FORWARD_KEEPALIVE_COUNT;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void connection_new(struct forwarder *w, int client)
{
	struct connection *c = mem_zalloc(sizeof(*c));
	struct dial_target target = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target.address.storage;

	c->forwarder = w;
	c->owner = w->owner;
	c->client = client;
	set_keepalive(client);
	LIST_INSERT_HEAD(&w->owner->connections, c, link);
	LIST_INSERT_HEAD(&w->connections, c, port_link);
	w->owner->n_connections++;
	w->n_connections++;
	if (w->found.families & PORT_IPV4) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET,
					   .sin_port = htons(w->found.port),
					   .sin_addr = w->found.v4};
		target.address.bytes = sizeof(*v4);
	} else {
		address_parse_ip("::1", w->found.port, &target.address);
	}
	c->dial = dial_new(w->owner->loop, &target, 0, on_dialed, c);
}

/* Accepts a connection. Returns false, with errno, if there was none. */
static bool accept_one(struct forwarder *w)
{
	int client = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client >= 0)
		connection_new(w, client);
	return client >= 0;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct forwarder *w = arg;
	int i;

	for (i = 0; i < ACCEPTS_A_TURN; i++) {
		if (!has_share(w)) {
			forwarder_set_state(w, FORWARDER_PAUSED);
			return;
		}
		if (!accept_one(w)) {
			/*
			 * Without a free descriptor accept4 fails again at once, and a
			 * level-triggered event would spin. The next scan tries again.
			 */
			if (fd_is_shortage(errno))
				forwarder_set_state(w, FORWARDER_PAUSED);
			return;
		}
	}
}

/* ---- ports ---- */

static int open_listener(const struct port_forward *f, uint16_t port)
{
	struct address address = f->address;
	int fd, one = 1, r;

	if (address.storage.ss_family == AF_INET)
		((struct sockaddr_in *)&address.storage)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&address.storage)->sin6_port = htons(port);
	fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address.storage, address.bytes) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static unsigned family_number(const struct forwarder *w)
{
	return w->found.families & PORT_IPV4 ? 4 : 6;
}

static void log_forwarder(const struct forwarder *w, const char *text)
{
	const struct sockaddr_storage *own = &w->owner->address.storage;
	char address[INET6_ADDRSTRLEN] = "";

	if (own->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)own)->sin_addr, address,
			  sizeof(address));
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)own)->sin6_addr, address,
			  sizeof(address));
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
				     .logger = "port-forwarder",
				     LOG_FIELDS(LOG_NUMBER("family", family_number(w)),
						LOG_TEXT("sourceIP", address),
						LOG_NUMBER("port", w->found.port))},
		  "%s", text);
}

/* A port that a scan has found for the first time. */
static void log_found(const struct forwarder *w)
{
	char ip[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &w->found.v4, ip, sizeof(ip));
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
				     .logger = "port-forwarder",
				     LOG_FIELDS(LOG_TEXT("ip", family_number(w) == 4 ? ip : "::1"),
						LOG_NUMBER("port", w->found.port),
						LOG_NUMBER("family", family_number(w)),
						LOG_TEXT("state", "LISTEN"))},
		  "Detected new local port");
}

static void forwarder_free(struct forwarder *w)
{
	struct connection *c;

	if (w->state != FORWARDER_FOUND)
		log_forwarder(w, "Stopped port forwarding");
	while ((c = LIST_FIRST(&w->connections))) {
		LIST_REMOVE(c, port_link);
		c->forwarder = NULL;
	}
	LIST_REMOVE(w, link);
	w->owner->n_forwarders--;
	if (w->state != FORWARDER_FOUND)
		fd_event_del(&w->event);
	fd_close(&w->fd);
	free(w);
}

/*
 * Ends a port that the scan did not find. Its program may listen again by now, and the listener's
 * close would reset clients that came since: so the clients in the queue are accepted and dialed
 * first. If nobody listens, the dial is refused, and they get their reset then.
 */
static void forwarder_end(struct forwarder *w)
{
	while (w->fd >= 0 && has_share(w) && accept_one(w))
		continue;
	forwarder_free(w);
}

static struct forwarder *forwarder_new(struct port_forward *f, const struct port_found *found)
{
	struct forwarder *w = mem_zalloc(sizeof(*w));

	w->owner = f;
	w->found = *found;
	w->fd = -1;
	LIST_INIT(&w->connections);
	LIST_INSERT_HEAD(&f->forwarders, w, link);
	f->n_forwarders++;
	log_found(w);
	return w;
}

/*
 * Starts to listen. If the address is in use, because a program of the guest listens on it, the
 * next scan tries again.
 */
static void forwarder_open(struct forwarder *w)
{
	w->fd = open_listener(w->owner, w->found.port);
	if (w->fd < 0)
		return;
	fd_event_init(&w->event, w->owner->loop, w->fd, EV_READ | EV_PERSIST, on_acceptable, w);
	forwarder_set_state(w, FORWARDER_ACCEPTING);
	log_forwarder(w, "Started port forwarding");
}

static struct forwarder *find_forwarder(struct port_forward *f, uint16_t port)
{
	struct forwarder *w;

	LIST_FOREACH (w, &f->forwarders, link)
		if (w->found.port == port)
			return w;
	return NULL;
}

/* Opens and closes forwarders until there is one for each port that the scan found. */
static void update_forwarders(struct port_forward *f, const struct port_set *set)
{
	struct forwarder *w, *next;
	bool is_new;
	size_t i;

	LIST_FOREACH (w, &f->forwarders, link)
		w->seen = false;
	for (i = 0; i < set->n; i++) {
		w = find_forwarder(f, set->ports[i].port);
		is_new = !w;
		if (is_new && f->n_forwarders == PORT_FORWARD_MAX_PORTS)
			continue;
		if (is_new)
			w = forwarder_new(f, &set->ports[i]);
		w->found = set->ports[i];
		w->seen = true;
		/*
		 * A program that serves both families binds "::" for IPv6 only, and then 0.0.0.0.
		 * If the daemon listened in between, the second bind would fail. At the next scan
		 * the program has both, or will not bind the second.
		 */
		if (w->state == FORWARDER_FOUND && (!is_new || w->found.families & PORT_IPV4))
			forwarder_open(w);
	}
	for (w = LIST_FIRST(&f->forwarders); w; w = next) {
		next = LIST_NEXT(w, link);
		if (!w->seen)
			forwarder_end(w);
	}
}

static void scanned(void *arg, const struct port_set *set)
{
	struct port_forward *f = arg;

	resume_ports(f);
	update_forwarders(f, set);
}

int port_forward_new(struct loop *loop, struct port_watch *watch, const char *address,
		     struct port_forward **ret, struct error *err)
{
	struct port_forward *f = mem_zalloc(sizeof(*f));
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&f->address.storage;

	f->loop = loop;
	f->watch = watch;
	if (address_parse_ip(address, 0, &f->address) < 0) {
		free(f);
		return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is not an IP address", address);
	}
	if (f->address.storage.ss_family == AF_INET)
		port_watch_set_own_address(watch, v4->sin_addr);
	LIST_INIT(&f->forwarders);
	LIST_INIT(&f->connections);
	relay_hub_init(&f->hub, loop);
	f->reader.scanned = scanned;
	f->reader.arg = f;
	port_watch_add(watch, &f->reader);
	*ret = f;
	return 0;
}

void port_forward_free(struct port_forward *f)
{
	if (!f)
		return;
	port_watch_remove(f->watch, &f->reader);
	while (!LIST_EMPTY(&f->forwarders))
		forwarder_free(LIST_FIRST(&f->forwarders));
	while (!LIST_EMPTY(&f->connections))
		connection_free(LIST_FIRST(&f->connections));
	relay_hub_clear(&f->hub);
	free(f);
}
