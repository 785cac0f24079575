/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as members of the log: `request` and `response` of an RPC's line
 * (docs/compatibility/http, "Log export").
 *
 * The form is the one that Go's encoding/json gives to the messages of the reference, because
 * platforms filter their logs by it: the field names of the proto, enums and 64-bit integers as
 * numbers, a Timestamp as {"seconds":…,"nanos":…}, and a oneof as an object named like its group:
 * {"process":{"Selector":{"Pid":186}}}. Fields that are zero or empty are left out.
 *
 * Input of processes and values of environment variables must not reach a log. Therefore a field of
 * bytes, and each value of a map, is replaced by its length as text ("12 bytes").
 */
#ifndef RPC_CODEC_CODEC_LOG_H
#define RPC_CODEC_CODEC_LOG_H

#include <protobuf-c/protobuf-c.h>

/* A longer string is cut, and a list ends with "..." when the text has CODEC_LOG_TEXT_BYTES. */
#define CODEC_LOG_STRING_BYTES 4096
#define CODEC_LOG_TEXT_BYTES   (32 * 1024)

/* Returns the text with a NUL, owned (free). */
char *codec_log_text(const ProtobufCMessage *message);

#endif
