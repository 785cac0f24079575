# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, and a client of it."""

import itertools
import os
import resource
import signal

import pytest

import daemon as base
from client import Client, Failed
from daemon import ENVD, TOP  # noqa: F401
from wait import is_dead, wait_for  # noqa: F401

WORLD = os.environ["WORLD"]
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
NOFILE = min(5000, HARD) if HARD > 0 else 5000  # the daemon's soft limit at its start


class Daemon(base.Daemon):
    """A daemon on a unix socket of its own, with a client. `descriptors`: its limit of them. `soft`: the soft
    limit that it inherits, and raises for itself. `processes`: its user's limit of processes. `home`: the
    directory of its socket."""

    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "ENVD_TEST_SECRET": "daemon's own"}
    sockets = itertools.count(1)

    def __init__(self, *flags, uid=None, descriptors=None, soft=NOFILE, processes=None, home=None, **how):
        home = home or (os.path.join(WORLD, "user") if uid else WORLD)
        self.socket = os.path.join(home, f"envd-{next(self.sockets)}.sock")
        nofile = (descriptors, descriptors) if descriptors else (soft, HARD)

        def prepare():
            if processes:
                resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        super().__init__(*flags, address=self.socket, uid=uid, nofile=nofile, prepare=prepare, **how)
        self.client = Client(self.socket)


@pytest.fixture(scope="session")
def daemon():
    d = Daemon()
    yield d
    d.stop()


@pytest.fixture
def envd(daemon):
    """The client. What a test leaves running is killed."""
    yield daemon.client
    for process in daemon.client.list():
        try:
            daemon.client.kill(process["pid"])
        except Failed:
            pass
    wait_for(lambda: not daemon.client.list())
