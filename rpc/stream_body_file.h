/*
 * The request's body straight into a file: what stands behind stream_body_to_fd. The writing is
 * done by workers, in pieces of up to BODY_FILE_PIECE_BYTES; while one is written the next is
 * gathered, and when that is full too the stream is held.
 */
#ifndef RPC_STREAM_BODY_FILE_H
#define RPC_STREAM_BODY_FILE_H

struct evbuffer;
struct stream;

#define BODY_FILE_PIECE_BYTES (256 * 1024)

/* For stream.c: what came goes here while the stream has a body_file. */
void stream_body_file_data(struct stream *s, struct evbuffer *data);
void stream_body_file_end(struct stream *s);

/* The stream has ended: what a worker does not have in hand goes. */
void stream_body_file_abandon(struct stream *s);

#endif
