# SPDX-License-Identifier: Apache-2.0
"""A small client of envd for the checks: HTTP/1.1, and Connect with JSON, over any connected socket."""

import base64
import http.client
import json
import struct


class Connection(http.client.HTTPConnection):
    """An HTTP connection over a socket that the caller has connected."""

    def __init__(self, stream):
        super().__init__("envd")
        self.sock = stream


def ask_for_port(stream, port):
    """Connects the stream, which leads to the device's unix socket, to a vsock port of the guest."""
    stream.sendall(f"CONNECT {port}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        byte = stream.recv(1)
        if not byte:
            raise ConnectionError("the guest refuses")
        answer += byte


def health(stream):
    """Returns the status of GET /health."""
    connection = Connection(stream)
    connection.request("GET", "/health")
    status = connection.getresponse().status
    connection.close()
    return status


class Client:
    """Calls envd. `connect` opens a new stream for each call."""

    def __init__(self, connect, user="root"):
        self.connect = connect
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}

    def use_token(self, token):
        """Sets the token that later calls send."""
        self._headers["X-Access-Token"] = token

    def request(self, method, path, body=None, headers=None):
        """Sends a plain request. Returns (status, headers, body)."""
        connection = Connection(self.connect())
        connection.request(method, path, body, {**self._headers, **(headers or {})})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.headers, data

    def unary(self, method, message):
        """Calls a unary RPC. Returns the response message; raises an exception for an error."""
        status, _, data = self.request("POST", f"/{method}", json.dumps(message),
                                       {"Content-Type": "application/json"})
        if status != 200:
            raise RuntimeError(f"{method}: {status} {data.decode(errors='replace')}")
        return json.loads(data)

    def stream(self, method, message, timeout_ms=None, headers=None):
        """Yields the messages of a server stream. Raises an exception if the stream ends with an error."""
        connection = Connection(self.connect())
        body = json.dumps(message).encode()
        headers = {**self._headers, **(headers or {}), "Content-Type": "application/connect+json"}
        if timeout_ms is not None:
            headers["Connect-Timeout-Ms"] = str(timeout_ms)
        connection.request("POST", f"/{method}", struct.pack(">BI", 0, len(body)) + body, headers)
        response = connection.getresponse()
        try:
            if response.status != 200:
                raise RuntimeError(f"{method}: {response.status} {response.read()[:1000]}")
            while True:
                head = response.read(5)
                if len(head) < 5:
                    raise RuntimeError(f"{method}: the stream broke off ({response.status})")
                flags, size = struct.unpack(">BI", head)
                data = json.loads(response.read(size))
                if flags & 2:
                    if "error" in data:
                        raise RuntimeError(f"{method}: {data['error']}")
                    return
                yield data
        finally:
            connection.close()

    def start(self, *argv, envs=None, cwd=None, tag=None, pty=None, headers=None):
        """Yields the events of a process."""
        message = {"process": {"cmd": argv[0], "args": list(argv[1:]), "envs": envs or {}}}
        if cwd:
            message["process"]["cwd"] = cwd
        if tag:
            message["tag"] = tag
        if pty:
            message["pty"] = {"size": {"cols": pty[0], "rows": pty[1]}}
        for answer in self.stream("process.Process/Start", message, headers=headers):
            yield answer["event"]

    def start_detached(self, *argv, **kwargs):
        """Starts a process, closes its stream, and returns its pid."""
        for event in self.start(*argv, **kwargs):
            return event["start"]["pid"]

    def command(self, *argv, **kwargs):
        """Runs a command to its end. Returns (exit code, stdout, stderr)."""
        out, err, code = b"", b"", None
        for event in self.start(*argv, **kwargs):
            data = event.get("data", {})
            out += base64.b64decode(data.get("stdout", "") or data.get("pty", ""))
            err += base64.b64decode(data.get("stderr", ""))
            if "end" in event:
                code = event["end"].get("exitCode", 0)
        return code, out.decode(errors="replace"), err.decode(errors="replace")
