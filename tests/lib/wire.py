# SPDX-License-Identifier: Apache-2.0
"""A client that sends the given bytes unchanged, and parses responses strictly."""

import json
import socket
import struct

TIMEOUT_SECONDS = 30


class Answer:
    """One response: `status`, `version`, `fields` (pairs, in order), `body`, `trailers`."""

    def __init__(self, version, status, fields, body=b"", trailers=()):
        self.version = version
        self.status = status
        self.fields = fields
        self.body = body
        self.trailers = list(trailers)

    def __getitem__(self, name):
        """Returns the value of the only field of this name, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)


class Wire:
    """A connection. Responses are read one by one; any other bytes are an error."""

    def __init__(self, address):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT_SECONDS)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, TIMEOUT_SECONDS)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes so that the peer sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def _take(self, n):
        while len(self.buffer) < n:
            assert self._more(), f"the connection ended in the midst of {self.buffer!r}"
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def _line(self):
        while b"\r\n" not in self.buffer:
            assert self._more(), f"the connection ended in the midst of {self.buffer!r}"
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("latin-1")

    def _fields(self):
        fields = []
        while line := self._line():
            name, colon, value = line.partition(":")
            assert colon and name.strip() == name != "", line
            fields.append((name, value.strip()))
        return fields

    def head(self):
        """Reads the head of a response, and not its body."""
        version, status, reason = self._line().split(" ", 2)
        assert reason, "no reason phrase"
        return Answer(version, int(status), self._fields())

    def chunk(self):
        """Reads one chunk of a body; the last one is empty."""
        size = int(self._line(), 16)
        if size == 0:
            return b""
        data = self._take(size)
        assert self._take(2) == b"\r\n"
        return data

    def answer(self, method="GET"):
        """Reads a whole response."""
        answer = self.head()
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        if answer["Transfer-Encoding"]:
            assert answer["Transfer-Encoding"] == "chunked"
            assert answer["Content-Length"] is None
            while data := self.chunk():
                answer.body += data
            answer.trailers = self._fields()
        elif answer["Content-Length"] is not None:
            answer.body = self._take(int(answer["Content-Length"]))
        else:
            answer.body = self.rest()
        return answer

    def rest(self):
        """Reads all bytes up to the end of the connection."""
        while self._more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def closed(self):
        """True if the connection ends with EOF, without further bytes."""
        return self.rest() == b""

    def silent(self, seconds=0.2):
        """True if no bytes come for this time."""
        self.socket.settimeout(seconds)
        try:
            return not self.buffer and self.socket.recv(1, socket.MSG_PEEK) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_SECONDS)


def request(method, path, *fields, body=None, version="1.1"):
    """The text of a request; a body gets its Content-Length."""
    lines = [f"{method} {path} HTTP/{version}"]
    if version != "1.0":
        lines.append("Host: sandbox")
    lines += fields
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def rpc(method, message, *fields):
    """A unary call in Connect's JSON."""
    return request("POST", f"/{method}", "Content-Type: application/json", *fields,
                   body=json.dumps(message).encode())


def stream_rpc(method, message, *fields, chunked=False):
    """A call of a streaming method in Connect's JSON."""
    data = json.dumps(message).encode()
    data = struct.pack(">BI", 0, len(data)) + data
    fields = ("Content-Type: application/connect+json", *fields)
    if not chunked:
        return request("POST", f"/{method}", *fields, body=data)
    head = request("POST", f"/{method}", *fields, "Transfer-Encoding: chunked")
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def envelopes(data):
    """Connect's envelopes as (flags, message) pairs."""
    found = []
    while data:
        flags, n = struct.unpack(">BI", data[:5])
        assert len(data) >= 5 + n
        found.append((flags, json.loads(data[5:5 + n] or b"{}")))
        data = data[5 + n:]
    return found
