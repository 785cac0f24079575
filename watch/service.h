/*
 * The watch methods of filesystem.Filesystem: WatchDir, which streams what happens in a directory,
 * and CreateWatcher, GetWatcherEvents and RemoveWatcher for clients that poll.
 */
#ifndef WATCH_SERVICE_H
#define WATCH_SERVICE_H

struct router;
struct context;
struct watch_service;

/* Borrows the state, with its users and budget. */
struct watch_service *watch_service_new(struct context *context);

/* All calls have ended. Ends the watchers that are polled. */
void watch_service_free(struct watch_service *svc);

/* Adds the methods. The service must outlive the router. */
void watch_service_register(struct watch_service *svc, struct router *router);

/* Writes every watch to the log. */
void watch_service_dump(const struct watch_service *svc);

#endif
