# SPDX-License-Identifier: Apache-2.0
"""envd as the entry point of a container, without an engine: the namespaces are unshare(1)'s.

tests/pods does the same with podman."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess

import pytest

from daemon import ENVD
from wait import wait_for

# What an engine does for the first process of a container: namespaces, a /proc of its own. The
# process leads a session, and has standard input as its terminal if that is one.
FIRST_PROCESS = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def children(pid):
    """The pids of a process's children."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(child) for child in f.read().split()]
    return []


def words(pid):
    """The command line of a process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
        return [os.fsdecode(word) for word in f.read().split(b"\0")[:-1]]
    return []


class Container:
    """`envd -init FLAGS -- COMMAND`. `place` is "first", for process 1 of a PID namespace, or
    "subreaper", for a process below another process 1. `socket` is where the daemon listens."""

    def __init__(self, place, directory, command, flags=(), **options):
        self.socket = f"{directory}/envd.sock"
        self.command = command
        self.log = f"{directory}/log"
        prefix = [*FIRST_PROCESS, "setsid"] if place == "first" else []
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | options
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, ENVD, "-init", "-isnotfc", "-listen", f"unix:{self.socket}", *flags, "--",
                 *command], stderr=log, **options)
        self.first = place == "first"

    @property
    def init(self):
        """The pid of the process that waits for all others; None before it runs."""
        if not self.first:
            return self.process.pid
        found = children(self.process.pid)
        return found[0] if found and words(found[0])[:1] == [ENVD] else None

    @property
    def main(self):
        """The pid of the command; None before it runs."""
        for pid in children(self.init) if self.init else ():
            if words(pid) == list(self.command):
                return pid
        return None

    @property
    def daemon(self):
        for pid in children(self.init) if self.init else ():
            if words(pid)[:1] == [ENVD] and os.path.exists(f"/proc/{pid}"):
                return pid
        return None

    def started(self):
        wait_for(lambda: self.main, lambda: "the command: " + self.output())
        return self

    def answers(self):
        return subprocess.run([ENVD, "health", "--to", f"unix:{self.socket}"], check=False,
                              capture_output=True).returncode == 0

    def serves(self):
        wait_for(self.answers, lambda: "the daemon: " + self.output())
        return self

    def post(self, path, body):
        """The status of an answer."""
        connection = http.client.HTTPConnection("envd", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(self.socket)
            connection.request("POST", path, body)
            return connection.getresponse().status

    def send(self, number):
        os.kill(self.init, number)

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self):
        """The exit status."""
        return self.process.wait(60)

    def end(self):
        with contextlib.suppress(OSError, TypeError):
            self.send(signal.SIGKILL)
        for pid in () if self.first else children(self.process.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(60)
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture(params=["first", "subreaper"])
def container(request, tmp_path):
    """container(WORD, ..., flags=[...]): starts a container; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(*command, **options):
            made = Container(request.param, tmp_path, command, **options)
            stack.callback(made.end)
            return made

        yield start
