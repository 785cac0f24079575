# SPDX-License-Identifier: Apache-2.0
"""A daemon that is replaced, and what is to survive that."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", name) for name in ("process", "lib")]

from client import Client  # noqa: E402
from connect import Connection  # noqa: E402

ENVD = os.path.abspath(os.environ.get("ENVD", os.path.join(TOP, "build", "envd")))
PEER = os.environ.get("PEER") and os.path.abspath(os.environ["PEER"])
WORLD = os.environ["WORLD"]
CGROUP_ROOT = os.environ["CGROUP_ROOT"]
NEXT = "/usr/bin/envd.next"
PORT = 49983
ADDRESS = ("127.0.0.1", PORT)


def wait_for(condition, seconds=30):
    """Waits until the condition holds, and returns what it gave."""
    until = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.005)
    return result


class Daemon:
    """A daemon on TCP port 49983 of the namespace's loopback."""

    def __init__(self, *flags, program=ENVD, log="upgrade-envd.log"):
        self.log_path = os.path.join(TOP, "build", "log", log)
        with open(self.log_path, "ab") as log_file:
            self.log_start = log_file.tell()
            self.process = subprocess.Popen(
                [program, "-isnotfc", "-cgroup-root", CGROUP_ROOT,
                 *(["-listen", f"tcp:127.0.0.1:{PORT}"] if program != PEER else []), *flags],
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file)
        self.pid = self.process.pid
        self.client = Client(ADDRESS)
        wait_for(self.is_healthy)

    def request(self, method, path, body=None, headers=None):
        connection = Connection(ADDRESS)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def is_healthy(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.request("GET", "/health").status == 204
        except OSError:
            return False

    def init(self, **members):
        return self.request("POST", "/init", json.dumps(members))

    def upgrade(self, program=b"", headers=None):
        """POST /upgrade: None if the connection ended, as it does where it succeeds."""
        if isinstance(program, str):
            with open(program, "rb") as file:
                program = file.read()
        try:
            return self.request("POST", "/upgrade", program,
                                {"X-Envd-Upgrade-Bin": NEXT, **(headers or {})})
        except (http.client.HTTPException, ConnectionError):
            return None

    def replace(self, program=b"", **members):
        """An upgrade that succeeds: what X-Envd-Handover says in the first answer of /init."""
        answer = self.upgrade(program)
        assert answer is None, (answer.status, answer.body)
        wait_for(self.is_healthy)
        answer = self.init(**members)
        assert answer.status == 204, answer.body
        return json.loads(answer.headers["X-Envd-Handover"])

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_start)
            return log.read()

    def descriptors(self):
        return sorted(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd"))

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as listed:
            return [int(child) for child in listed.read().split()]

    def stop(self):
        for child in self.children():
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.terminate()
        self.process.wait(20)
        log = self.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log


@pytest.fixture
def daemon():
    """A daemon that has had its /init."""
    d = Daemon()
    d.init()
    yield d
    d.stop()
