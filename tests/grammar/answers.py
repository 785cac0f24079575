# SPDX-License-Identifier: Apache-2.0
"""What is right in an answer: its head, its framing, its status, and the form of its body."""

import gzip
import json
import re
import struct

import protobuf_wire


class Wrong(AssertionError):
    pass


def expect(truth, *what):
    if not truth:
        raise Wrong(" ".join(map(str, what)))


class Answer:
    def __init__(self, status, fields, body, n):
        self.status, self.fields, self.body, self.n_bytes = status, fields, body, n

    def get(self, name):
        return self.fields.get(name, b"")

    @property
    def closes(self):
        return self.get(b"connection").lower() == b"close"


def parse(data, method, at_end):
    """The first answer in the data, or None as long as it is not complete. `at_end`: no more will come."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    status_line, *lines = bytes(data[:head_end]).split(b"\r\n")
    match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) ([ -~]+)", status_line)
    expect(match, "status line", status_line)
    fields, status, at = {}, int(match[1]), head_end + 4
    for line in lines:
        match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\x00-\x08\x0a-\x1f\x7f]*)", line)
        expect(match, "field", line)
        expect(match[1].lower() not in fields or match[1].lower() in (b"vary", b"allow"), "twice", line)
        fields[match[1].lower()] = match[2]
    if status < 200:
        return Answer(status, fields, b"", at)
    expect(b"date" in fields, "no Date", status_line)
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    expect(length is None or coding is None, "two framings")
    if method == "HEAD" or status in (204, 304):
        expect(coding is None or method == "HEAD", "a framing of nothing")
        return Answer(status, fields, b"", at)
    if coding:
        expect(coding == b"chunked", coding)
        body = bytearray()
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                return None
            expect(re.fullmatch(rb"[0-9a-f]+", data[at:end]), "chunk", bytes(data[at:end][:40]))
            size, at = int(data[at:end], 16), end + 2
            if size == 0:
                end = data.find(b"\r\n", at)
                while end > at:  # trailers
                    at = end + 2
                    end = data.find(b"\r\n", at)
                return None if end < 0 else Answer(status, fields, bytes(body), at + 2)
            if len(data) < at + size + 2:
                return None
            body += data[at : at + size]
            expect(data[at + size : at + size + 2] == b"\r\n", "the end of a chunk")
            at += size + 2
    if length is not None:
        n = int(length)
        return Answer(status, fields, bytes(data[at : at + n]), at + n) if len(data) >= at + n else None
    return Answer(status, fields, bytes(data[at:]), len(data)) if at_end else None


def envelopes(data):
    found = []
    while data:
        expect(len(data) >= 5, "a cut envelope", data)
        flags, n = struct.unpack(">BI", data[:5])
        expect(len(data) >= 5 + n, "a cut message", n, len(data))
        message = data[5 : 5 + n]
        found.append((flags & ~1, gzip.decompress(message) if flags & 1 else message))
        data = data[5 + n :]
    return found


def plain(answer):
    """The body without compression and envelopes."""
    body = gzip.decompress(answer.body) if answer.get(b"content-encoding") == b"gzip" else answer.body
    if answer.get(b"content-type").startswith((b"application/connect+", b"application/grpc-web")):
        return b"".join(message for _, message in envelopes(body))
    return body


def error_of(error):
    expect(isinstance(error, dict) and isinstance(error["code"], str), "error", error)
    return error["code"], error.get("message", "")


def message_is_right(kind, data):
    if b"json" in kind:
        expect(isinstance(json.loads(data), dict), "no object", data)
    else:
        protobuf_wire.decode(data)


def error_in(answer):
    """(code, text) of the answer's error, or None. Checks the form of the body."""
    kind, body = answer.get(b"content-type").partition(b";")[0], answer.body
    coding = answer.get(b"content-encoding")
    if coding == b"gzip":
        body = gzip.decompress(body)
    if kind in (b"application/connect+json", b"application/connect+proto"):
        *messages, (flags, end) = envelopes(body)
        expect(flags == 2 and all(f == 0 for f, _ in messages), "flags", flags)
        for _, message in messages:
            message_is_right(kind, message)
        end = json.loads(end)
        return error_of(end["error"]) if "error" in end else None
    if kind.startswith(b"application/grpc-web"):
        status, text = answer.get(b"grpc-status"), answer.get(b"grpc-message")
        if not status and body:
            *messages, (flags, trailers) = envelopes(body)
            expect(flags == 128 and all(f == 0 for f, _ in messages), "flags", flags)
            for _, message in messages:
                message_is_right(kind, message)
            trailers = dict(line.split(b":", 1) for line in trailers.lower().split(b"\r\n") if line)
            status, text = trailers[b"grpc-status"].strip(), trailers.get(b"grpc-message", b"")
        expect(re.fullmatch(rb"1?\d", status), "grpc-status", status)
        code = {b"0": None, b"2": "unknown", b"13": "internal"}.get(status, status.decode())
        return (code, text.decode()) if code else None
    if kind == b"application/json" and answer.status != 204:
        value = json.loads(body)
        if answer.status >= 400 and isinstance(value.get("code"), str):
            return error_of(value)
    elif kind == b"application/proto":
        message_is_right(kind, body)
    return ("internal", body.decode(errors="replace")) if answer.status == 500 else None


def check(request, answer):
    """Raises Wrong, or returns the text of an internal error, if the answer is one."""
    expect(answer.status in request.statuses, "status", answer.status, answer.body[:300])
    if (
        request.method == "HEAD"
        or answer.get(b"content-type") == b""
        or request.label.startswith(("GET /files", "broken GET /files"))
        and answer.status in (200, 206)
    ):
        return None
    error = error_in(answer)
    if error and error[0] in ("internal", "unknown"):
        return error[1]
    return None
