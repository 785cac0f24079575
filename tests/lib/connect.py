# SPDX-License-Identifier: Apache-2.0
"""A client for HTTP, and for Connect with JSON, that returns messages unchanged. Each call uses its own
connection. An address is the path of a unix socket, or (host, port)."""

import base64
import fcntl
import http.client
import json
import select
import socket
import struct
import termios

from wait import SECONDS


class Failed(Exception):
    """The error of a call. `code` is the error code of Connect."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = error.get("code")
        self.message = error.get("message", "")


def envelope(message, flags=0):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", flags, len(data)) + data


def basic(user):
    """The value of Authorization that names a user (HTTP Basic)."""
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


class Connection(http.client.HTTPConnection):
    def __init__(self, address, receive_bytes=0):
        host, port = ("envd", None) if isinstance(address, str) else address
        super().__init__(host, port, timeout=SECONDS)
        self.address = address
        self.receive_bytes = receive_bytes

    def connect(self):
        family = socket.AF_UNIX if isinstance(self.address, str) else \
            socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(SECONDS)
        if self.receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.sock.connect(self.address)

    def unread_bytes(self):
        """The number of sent bytes that the daemon has not read yet (unix(7), SIOCOUTQ)."""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]

    def is_answered(self):
        return bool(select.select([self.sock], [], [], 0)[0])


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Client:
    """Calls of one service, e.g. "process.Process"."""

    service = None

    def __init__(self, address):
        self.address = address

    @staticmethod
    def headers(kind, user=None, headers=None):
        return {"Content-Type": kind} | ({} if user is None else {"Authorization": basic(user)}) | \
            (headers or {})

    def request(self, method, path, body=None, headers=None):
        """Sends a request and returns the whole response."""
        connection = Connection(self.address)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def begin(self, method, message, user=None, headers=None):
        """Sends a unary call and returns the connection, for finish()."""
        connection = Connection(self.address)
        connection.request("POST", f"/{self.service}/{method}", json.dumps(message),
                           self.headers("application/json", user, headers))
        return connection

    @staticmethod
    def finish(connection):
        """Returns the response message of a unary call, or raises Failed."""
        try:
            answer = Answer(connection.getresponse())
        finally:
            connection.close()
        message = answer.json() if answer.body else {}
        if answer.status != 200:
            raise Failed(message)
        return message

    def call(self, method, message, user=None, headers=None):
        return self.finish(self.begin(method, message, user, headers))

    def open(self, method, message, user=None, headers=None, receive_bytes=0, body=None):
        """Sends a streaming call and returns the connection without reading from it. `body` replaces the
        envelope of the message."""
        connection = Connection(self.address, receive_bytes)
        connection.request("POST", f"/{self.service}/{method}",
                           envelope(message) if body is None else body,
                           self.headers("application/connect+json", user, headers))
        return connection


def read_message(response):
    """Reads the next envelope and returns (flags, message)."""
    header = response.read(5)
    assert len(header) == 5, "the stream ended without its envelope"
    flags, size = struct.unpack(">BI", header)
    return flags, json.loads(response.read(size))
