# SPDX-License-Identifier: Apache-2.0
"""A client of process.Process that shows every message as it came."""

import base64

import connect
from connect import Connection, Failed, envelope, read_message


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
        flags, message = read_message(self.response)
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


class Client(connect.Client):
    service = "process.Process"

    def stream(self, method, message, user=None, headers=None, receive_bytes=0, body=None):
        connection = self.open(method, message, user, headers, receive_bytes, body)
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
        self.connection = Connection(client.address)
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
            flags, message = read_message(response)
            if flags & 2:
                self.connection.close()
                if "error" in message:
                    raise Failed(message["error"])
                return messages
            messages.append(message)

    def close(self):
        self.connection.close()
