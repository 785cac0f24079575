# SPDX-License-Identifier: Apache-2.0
"""A daemon as a platform starts it, its metadata service, and a client that says what it sends."""

import base64
import json
import os

import pytest

import daemon as base
from connect import basic, envelope
from daemon import ENVD, TOP  # noqa: F401
from mmds import Mmds
from wait import wait_for as wait_until  # noqa: F401

PORT = 49983


class Daemon(base.Daemon):
    """A daemon on its standard port of loopback; it has no flags but those that it is given."""

    flags = ()
    environment = {"PATH": os.environ["PATH"]}
    # The relay keeps 16 pipes for its next connections.
    more_descriptors = 32

    def __init__(self, *flags, **how):
        super().__init__("-listen", f"tcp:127.0.0.1:{PORT}", *flags, address=("127.0.0.1", PORT), **how)

    def run(self, cmd, token=None, user=None):
        """Runs a command by a shell; returns its stdout."""
        headers = {"Content-Type": "application/connect+json"}
        if user:
            headers["Authorization"] = basic(user)
        answer = self.request("POST", "/process.Process/Start",
                              envelope({"process": {"cmd": "/bin/sh", "args": ["-c", cmd]}}), token,
                              headers)
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


@pytest.fixture
def daemon():
    """Outside Firecracker: no metadata service."""
    d = Daemon("-isnotfc")
    yield d
    d.stop(idle_workers=False)


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
    d.stop(idle_workers=False)


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
