"""A client of process.Process that shows every message as it came: Connect with JSON, over a unix
socket, one connection a call."""

import base64
import fcntl
import http.client
import json
import select
import socket
import struct
import termios

SECONDS = 20  # no answer takes longer


class Failed(Exception):
    """The error of a call."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = error.get("code")
        self.message = error.get("message", "")


def envelope(message, flags=0):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", flags, len(data)) + data


class Connection(http.client.HTTPConnection):
    def __init__(self, path, receive_bytes=0):
        super().__init__("envd", timeout=SECONDS)
        self.path = path
        self.receive_bytes = receive_bytes

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        if self.receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.sock.connect(self.path)

    def unread_bytes(self):
        """How much of what was sent the daemon has not read (unix(7), SIOCOUTQ)."""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]

    def is_answered(self):
        return bool(select.select([self.sock], [], [], 0)[0])


class Stream:
    """The answer of a streaming call, one envelope after the other."""

    def __init__(self, connection, response):
        self.connection = connection
        self.response = response
        self.pid = None
        self.raw = []  # every message, as it was decoded
        self.out = {"stdout": b"", "stderr": b"", "pty": b""}
        self.chunks = []  # (output, size)
        self.end = None
        self.finished = False

    def next(self):
        """The next message; None at the end of the stream. Raises what the stream ends with."""
        header = self.response.read(5)
        assert len(header) == 5, "the stream ended without its envelope"
        flags, size = struct.unpack(">BI", header)
        message = json.loads(self.response.read(size))
        if flags & 2:
            self.finished = True
            assert self.response.read() == b""
            self.close()
            if "error" in message:
                raise Failed(message["error"])
            return None
        self.raw.append(message)
        event = message["event"]
        if "start" in event:
            self.pid = event["start"]["pid"]
        for output, text in event.get("data", {}).items():
            data = base64.b64decode(text)
            self.out[output] += data
            self.chunks.append((output, len(data)))
        if "end" in event:
            self.end = event["end"]
        return event

    def until(self, output, text):
        """Reads until the output has the text."""
        while text not in self.out[output]:
            assert self.next() is not None, f"{text!r} did not come: {self.out[output]!r}"
        return self

    def drain(self):
        """Reads to the end."""
        while self.next() is not None:
            pass
        return self

    def close(self):
        self.connection.close()
        self.response.close()


class Client:
    def __init__(self, path):
        self.path = path

    def _headers(self, kind, user, headers):
        all_headers = {"Content-Type": kind}
        if user is not None:
            credentials = base64.b64encode(f"{user}:".encode()).decode()
            all_headers["Authorization"] = f"Basic {credentials}"
        all_headers.update(headers or {})
        return all_headers

    def begin(self, method, message, user=None, headers=None):
        """Sends a unary call: the connection, for finish()."""
        connection = Connection(self.path)
        connection.request("POST", f"/process.Process/{method}", json.dumps(message),
                           self._headers("application/json", user, headers))
        return connection

    @staticmethod
    def finish(connection):
        """The answer of a unary call, or Failed."""
        response = connection.getresponse()
        body = response.read()
        connection.close()
        answer = json.loads(body) if body else {}
        if response.status != 200:
            raise Failed(answer)
        return answer

    def call(self, method, message, user=None, headers=None):
        return self.finish(self.begin(method, message, user, headers))

    def stream(self, method, message, user=None, headers=None, receive_bytes=0, body=None):
        connection = Connection(self.path, receive_bytes)
        connection.request("POST", f"/process.Process/{method}",
                           envelope(message) if body is None else body,
                           self._headers("application/connect+json", user, headers))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return Stream(connection, response)

    def start(self, cmd, *args, user=None, headers=None, receive_bytes=0, envs=None, cwd=None,
              **request):
        """Start, with its first event read."""
        process = {"cmd": cmd, "args": list(args)}
        if envs is not None:
            process["envs"] = envs
        if cwd is not None:
            process["cwd"] = cwd
        stream = self.stream("Start", {"process": process, **request}, user, headers,
                             receive_bytes)
        stream.next()
        return stream

    def sh(self, script, **how):
        return self.start("/bin/sh", "-c", script, **how)

    def pty(self, script, cols=80, rows=24, **how):
        return self.sh(script, pty={"size": {"cols": cols, "rows": rows}}, **how)

    def run(self, cmd, *args, **how):
        """Start, read to the end."""
        return self.start(cmd, *args, **how).drain()

    def output(self, script, **how):
        """What a script writes to stdout, as lines."""
        return self.sh(script, **how).drain().out["stdout"].decode().splitlines()

    def connect(self, pid=None, tag=None, **how):
        stream = self.stream("Connect", {"process": selector(pid, tag)}, **how)
        stream.next()
        return stream

    def list(self):
        return self.call("List", {}).get("processes", [])

    def begin_input(self, pid, data, kind="stdin"):
        return self.begin("SendInput", {"process": {"pid": pid},
                                        "input": {kind: base64.b64encode(data).decode()}})

    def send_input(self, pid, data, kind="stdin"):
        return self.finish(self.begin_input(pid, data, kind))

    def close_stdin(self, pid):
        return self.call("CloseStdin", {"process": {"pid": pid}})

    def signal(self, pid, name):
        return self.call("SendSignal", {"process": {"pid": pid}, "signal": f"SIGNAL_{name}"})

    def kill(self, pid):
        return self.signal(pid, "SIGKILL")

    def stream_input(self):
        return InputStream(self)


def selector(pid=None, tag=None):
    return {"pid": pid} if tag is None else {"tag": tag}


class InputStream:
    """StreamInput: the request is sent piece by piece."""

    def __init__(self, client):
        self.connection = Connection(client.path)
        self.connection.putrequest("POST", "/process.Process/StreamInput")
        self.connection.putheader("Content-Type", "application/connect+json")
        self.connection.putheader("Transfer-Encoding", "chunked")
        self.connection.endheaders()

    def send_bytes(self, data):
        self.connection.send(b"%x\r\n%s\r\n" % (len(data), data))
        return self

    def send(self, message):
        return self.send_bytes(envelope(message))

    def start(self, pid=None, tag=None):
        return self.send({"start": {"process": selector(pid, tag)}})

    def data(self, data, kind="stdin"):
        return self.send({"data": {"input": {kind: base64.b64encode(data).decode()}}})

    def finish(self):
        """Ends the request: the answer, or Failed."""
        self.connection.send(b"0\r\n\r\n")
        return self.answer()

    def answer(self):
        response = self.connection.getresponse()
        assert response.status == 200
        messages = []
        while True:
            header = response.read(5)
            assert len(header) == 5
            flags, size = struct.unpack(">BI", header)
            message = json.loads(response.read(size))
            if flags & 2:
                self.connection.close()
                if "error" in message:
                    raise Failed(message["error"])
                return messages
            messages.append(message)

    def close(self):
        self.connection.close()
