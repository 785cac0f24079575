# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 client that hides nothing: it sends the bytes it is given, and tells what came."""

import socket


class Answer:
    """One response: status, header lines in order, body, trailers, and the interim statuses."""

    def __init__(self):
        self.status, self.reason, self.version = 0, "", ""
        self.headers, self.trailers, self.interim = [], [], []
        self.body = b""
        self.framing = ""  # how the end of the body was known
        self.cut = False   # the connection ended or fell silent before that end

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name), None)


class Ended(Exception):
    """The connection has ended."""


class Connection:
    def __init__(self, port, timeout=5):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what was answered before is what counts

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def fill(self):
        """Reads something more, or raises Ended or TimeoutError."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError as e:
            raise Ended from e
        if not data:
            raise Ended
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def fields(self):
        fields = []
        while line := self.line():
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        return fields

    def head(self):
        """The head of the next response, past interim ones."""
        answer = Answer()
        while True:
            first = self.line()
            answer.version, _, rest = first.partition(" ")
            status, _, answer.reason = rest.partition(" ")
            if not answer.version.startswith("HTTP/") or not status.isdigit():
                answer.reason, answer.cut = first, True
                return answer
            headers = self.fields()
            if not 100 <= int(status) < 200:
                answer.status, answer.headers = int(status), headers
                return answer
            answer.interim.append(int(status))

    def pieces(self, answer, method="GET"):
        """The body of the response, piece by piece."""
        length = answer.header("content-length")
        if method == "HEAD" or answer.status in (204, 304):
            answer.framing = "none"
        elif (answer.header("transfer-encoding") or "").lower() == "chunked":
            answer.framing = "chunked"
            while size := int(self.line().split(";")[0] or "0", 16):
                yield self.take(size)
                self.take(2)
            answer.trailers = self.fields()
        elif length is not None:
            answer.framing = "length"
            left = int(length)
            while left:
                if not self.buffer:
                    self.fill()
                piece = self.take(min(left, len(self.buffer)))
                left -= len(piece)
                yield piece
        else:
            answer.framing = "close"
            while True:
                try:
                    if not self.buffer:
                        self.fill()
                except Ended:
                    return
                yield self.take(len(self.buffer))

    def answer(self, method="GET"):
        """The next response, whole, or what came of it; None where nothing came."""
        try:
            answer = self.head()
        except (Ended, TimeoutError):
            return None
        if answer.cut:
            return answer
        try:
            for piece in self.pieces(answer, method):
                answer.body += piece
        except (Ended, TimeoutError):
            answer.cut = True
        return answer

    def ended(self, wait=0.15):
        """Whether the peer closes within a moment."""
        self.socket.settimeout(wait)
        try:
            self.fill()
            return False
        except Ended:
            return True
        except TimeoutError:
            return False
