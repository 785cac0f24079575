# SPDX-License-Identifier: Apache-2.0
"""One daemon for the session; other daemons, and file systems, for single tests."""

import itertools
import os
import subprocess
import time

import pytest

from client import Files
from daemon import Daemon

# Below the ports that connections take for themselves.
PORT = 24000
WORLD = os.environ["WORLD"]
SECONDS = 30  # for what has to happen at some time
ports = itertools.count(PORT + 1)


def wait_for(condition, seconds=SECONDS):
    """Waits until the condition holds, and returns what it gave."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)
    return value


def threads(daemon):
    """How many it has beyond those that it has at rest: with sanitizers there may be one more."""
    return len(os.listdir(f"/proc/{daemon.pid}/task")) - daemon.threads_at_rest


def start(*flags, port=PORT):
    daemon = Daemon("-port", str(port), *flags, port=port, log=f"build/log/files-envd-{port}.log")
    daemon.address = ("127.0.0.1", port)
    # The loop, and the thread that KILLs keep; and one of the sanitizer's own.
    daemon.threads_at_rest = 3 if "tsan" in os.environ.get("ENVD", "") else 2
    return daemon


@pytest.fixture(scope="session", autouse=True)
def daemon():
    """It has to end with no more descriptors and threads than it began with."""
    daemon = start()
    descriptors = daemon.descriptors()
    yield daemon
    if daemon.process.poll() is None:
        wait_for(lambda: daemon.descriptors() == descriptors)
        wait_for(lambda: threads(daemon) == 0)
    complaints = daemon.stop()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def files(daemon):
    """A client whose user is the default one: root."""
    return Files(daemon.address)


@pytest.fixture
def other_daemon():
    """A function that starts a daemon with more flags, for one test."""
    started = []

    def start_other(*flags):
        started.append(start(*flags, port=next(ports)))
        return started[-1]

    yield start_other
    complaints = [text for daemon in started if daemon.process.poll() is None
                  for text in daemon.stop()]
    assert not complaints, "\n".join(complaints)


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


@pytest.fixture
def mounts(tmp_path):
    """A function that mounts a file system at a new directory: its path. Gone after the test."""
    made = []

    def make(kind, mebibytes, options="", mke2fs=()):
        where = tmp_path / f"mount-{len(made)}"
        where.mkdir()
        if kind == "ramfs":
            mount("-t", "ramfs", "ramfs", where)
        elif kind == "tmpfs":
            mount("-t", "tmpfs", "-o", f"size={mebibytes}m,nr_inodes=500{options}", "tmpfs", where)
        else:
            image = tmp_path / f"image-{len(made)}"
            with open(image, "wb") as f:
                f.truncate(mebibytes << 20)
            subprocess.run(["mke2fs", "-q", "-F", "-t", kind, *mke2fs, image], check=True)
            mount("-o", f"loop{options}", image, where)
            if (where / "lost+found").exists():
                (where / "lost+found").rmdir()
        made.append(where)
        return where

    yield make
    for where in reversed(made):
        subprocess.run(["umount", "-l", where], check=True)
