# SPDX-License-Identifier: Apache-2.0
"""One daemon for the session; other daemons with other flags for single tests."""

import resource
import selectors
import subprocess

import pytest

from daemon import ENVD, Daemon, Daemons, ports
from wait import wait_for  # noqa: F401
from wire import Wire


def start_quietly(*flags, line=None, descriptors=None):
    """Starts a daemon that need not listen on TCP, and waits for the line that says where it does.
    It has so many descriptors at most."""
    def limit():
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    process = subprocess.Popen([ENVD, "-isnotfc", *flags], stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, preexec_fn=limit)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        assert selector.select(60), "the daemon says nothing"
    said = process.stderr.readline().decode().strip()
    assert said.startswith("listening on "), said
    # A vsock listener of the default set may be named behind.
    assert line is None or said == line or said.startswith(f"{line}, vsock:"), said
    return process


@pytest.fixture(scope="session", autouse=True)
def daemon():
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture
def wire(daemon):
    """A connection to the daemon."""
    with Wire(daemon.address) as wire:
        yield wire


@pytest.fixture
def connect(daemon, other_daemon):
    """A function that makes a connection to the daemon, or to another one. The connections are closed
    before the daemons are ended."""
    wires = []

    def connect(address=None):
        wires.append(Wire(address or daemon.address))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()


@pytest.fixture
def other_daemon():
    """A function that starts a daemon with more flags on a port of its own."""
    daemons = Daemons()
    yield daemons
    daemons.stop()


@pytest.fixture
def quiet_daemon():
    """start_quietly, for one test."""
    started = []

    def start(*flags, **keywords):
        started.append(start_quietly(*flags, **keywords))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        assert process.wait(60) in (0, -9)
        process.stderr.close()


@pytest.fixture
def run_envd():
    """A function that runs the daemon's program to its end: (exit code, stdout, stderr)."""
    def run(*flags, seconds=60):
        done = subprocess.run([ENVD, *flags], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout, done.stderr

    return run
