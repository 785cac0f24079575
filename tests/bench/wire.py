# SPDX-License-Identifier: Apache-2.0
"""Makes requests as raw bytes: Connect over HTTP/1.1, in JSON or protobuf."""

import base64
import json
import struct


def http(method, path, headers=(), body=b"", close=False):
    """Returns a whole request. `headers` are pairs; Content-Length is added if there is a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers]
    if close:
        lines.append("Connection: close")
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def envelope(message, flags=0):
    """Returns one message of a Connect stream with its envelope."""
    return struct.pack(">BI", flags, len(message)) + message


def encode(message):
    """Encodes a dict as JSON. Bytes are protobuf, and stay unchanged."""
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def codec(message):
    return "proto" if isinstance(message, bytes) else "json"


def unary(method, message, close=False):
    """Returns a unary call of `package.Service/Method`."""
    return http("POST", f"/{method}", [("Content-Type", f"application/{codec(message)}")],
                encode(message), close)


def stream(method, message, close=False, headers=()):
    """Returns a call with one request message, whose response is a stream."""
    kind = ("Content-Type", f"application/connect+{codec(message)}")
    return http("POST", f"/{method}", [kind, *headers], envelope(encode(message)), close)


def client_stream_head(method, kind):
    """Returns the head of a call whose request is a stream. The envelopes follow as chunks."""
    return (f"POST /{method} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/connect+{kind}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n").encode()


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


LAST_CHUNK = b"0\r\n\r\n"


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def field(number, value):
    """Encodes a protobuf field: an integer as a varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def start(cmd, *args, tag=None):
    """Returns a StartRequest in JSON."""
    message = {"process": {"cmd": str(cmd), "args": [str(a) for a in args]}}
    if tag:
        message["tag"] = tag
    return message


def start_proto(cmd, *args, tag=None):
    """Returns a StartRequest in protobuf."""
    config = field(1, str(cmd)) + b"".join(field(2, str(a)) for a in args)
    return field(1, config) + (field(3, tag) if tag else b"")


def b64(data):
    return base64.b64encode(data).decode()
