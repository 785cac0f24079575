"""A daemon as a platform starts it, its metadata service, and a client that says what it sends."""

import http.client
import json
import os
import socket
import subprocess
import time

import pytest

from mmds import Mmds

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVD = os.environ.get("ENVD", "build/envd")
PORT = 49983


def wait_until(condition, what, seconds=20):
    """Waits for a condition, and says what it was where it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds} s")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Daemon:
    """A running envd, and requests to it."""

    def __init__(self, *flags, command=(os.path.join(TOP, ENVD),),
                 log=os.path.join(TOP, "build/log/control-envd.log"), keep_fds=()):
        self.log = open(log, "ab+") if isinstance(log, (str, os.PathLike)) else log
        self.process = subprocess.Popen(
            [*command, "-listen", f"tcp:127.0.0.1:{PORT}", *flags],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=keep_fds,
            env={"PATH": os.environ["PATH"]})
        wait_until(self.answers, "the daemon's first answer")

    def answers(self):
        assert self.process.poll() is None, "the daemon has ended"
        try:
            return self.request("GET", "/health").status == 204
        except OSError:
            return False

    def request(self, method, path, body=None, token=None, headers=None):
        fields = dict(headers or {})
        if token is not None:
            fields["X-Access-Token"] = token
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        try:
            connection.request(method, path, body=body, headers=fields)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def init(self, **fields):
        return self.request("POST", "/init", json.dumps(fields))

    def envs(self, token=None):
        return self.request("GET", "/envs", token=token).json()

    def run(self, cmd, token=None, user=None):
        """Runs a command by a shell; returns its stdout."""
        import base64
        import struct
        headers = {"Content-Type": "application/connect+json"}
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:".encode()).decode()
        message = json.dumps({"process": {"cmd": "/bin/sh", "args": ["-c", cmd]}}).encode()
        answer = self.request("POST", "/process.Process/Start",
                              b"\0" + struct.pack(">I", len(message)) + message, token, headers)
        assert answer.status == 200, answer.body
        out, at = b"", 0
        while at < len(answer.body):
            flags, n = answer.body[at], int.from_bytes(answer.body[at + 1:at + 5], "big")
            event = json.loads(answer.body[at + 5:at + 5 + n])
            at += 5 + n
            assert not (flags & 2 and "error" in event), event
            data = event.get("event", {}).get("data", {})
            out += base64.b64decode(data.get("stdout", ""))
        return out.decode()

    def end(self):
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.log.close()


@pytest.fixture
def daemon():
    """Outside Firecracker: no metadata service."""
    d = Daemon("-isnotfc")
    yield d
    d.end()


@pytest.fixture
def mmds():
    service = Mmds()
    yield service
    service.end()


@pytest.fixture
def sandbox(mmds):
    """Inside Firecracker, with its metadata service."""
    d = Daemon("-no-cgroups")
    d.mmds = mmds
    yield d
    d.end()


@pytest.fixture
def stand_in():
    """Puts a program where the daemon looks first; returns the file it writes its arguments to."""
    made = []

    def put(name, script):
        path = f"/usr/local/sbin/{name}"
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
        made.append(path)

    yield put
    for path in made:
        os.unlink(path)
