# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, a client of it, and directories to watch."""

import contextlib
import fcntl
import os
import subprocess
import tempfile

import pytest

import daemon as base
from client import Client
from daemon import ENVD, TOP  # noqa: F401
from wait import wait_for

WORLD = os.environ["WORLD"]
QUEUE = "/proc/sys/fs/inotify/max_queued_events"
LOCK = "/tmp/envd-watch-queue.lock"


class Daemon(base.Daemon):
    """A daemon with its own port, and a client for it. `user_limits` sets limits of inotify, which belong
    to a user namespace; e.g. {"max_inotify_watches": 10}."""

    more_descriptors = 2  # spare inotify instances

    def __init__(self, *flags, user_limits=None):
        wrap = ()
        if user_limits:
            script = "".join(f"echo {value} >/proc/sys/user/{name} && "
                             for name, value in user_limits.items())
            wrap = ("unshare", "--user", "--map-root-user",
                    "sh", "-c", f'{script} exec "$@"', "sh")
        super().__init__(*flags, wrap=wrap)
        self.client = Client(self.address)

    def instances(self):
        """Returns the number of watches of each inotify instance, sorted. Spare instances, which have no
        watches, are left out."""
        counts = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{self.pid}/fd/{fd}") == "anon_inode:inotify":
                    counts.append(self.proc(f"fdinfo/{fd}").count("\ninotify wd:"))
        return sorted(count for count in counts if count)

    def memory_kib(self):
        return self.private_kib()


@contextlib.contextmanager
def queue_of(events):
    """Limits the queue of inotify instances that are created in the `with` block. The limit applies to the
    whole machine, so a lock allows one process at a time to change it."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(QUEUE, encoding="ascii") as f:
            before = f.read()
        try:
            with open(QUEUE, "w", encoding="ascii") as f:
                f.write(str(events))
            yield
        finally:
            with open(QUEUE, "w", encoding="ascii") as f:
                f.write(before)


def new_directory():
    directory = tempfile.mkdtemp(dir=WORLD, prefix="d")
    os.chmod(directory, 0o755)
    return directory


def sh(directory, script):
    subprocess.run(["sh", "-ec", script], cwd=directory, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def daemon():
    d = Daemon()
    yield d
    wait_for(lambda: not d.instances())
    d.stop()


class Opener:
    """A client whose watches are closed at the end of the test."""

    def __init__(self, client):
        self.client = client
        self.opened = []

    def __getattr__(self, name):
        return getattr(self.client, name)

    def _keep(self, watch):
        self.opened.append(watch)
        return watch

    def watch(self, *options, **more):
        return self._keep(self.client.watch(*options, **more))

    def poll(self, *options, **more):
        return self._keep(self.client.poll(*options, **more))

    def close(self):
        for watch in self.opened:
            watch.close()


@pytest.fixture
def envd(daemon):
    """A client of the shared daemon."""
    opener = Opener(daemon.client)
    yield opener
    opener.close()


@pytest.fixture
def other_daemon():
    """A function that starts another daemon for this test. It returns the daemon and a client."""
    started = []

    def start(*flags, **how):
        started.append(Daemon(*flags, **how))
        started.append(Opener(started[-1].client))
        return started[-2], started[-1]

    yield start
    for d, opener in zip(started[::2], started[1::2]):
        opener.close()
        d.stop()


@pytest.fixture(params=["watch", "poll"])
def open_watch(request, envd):
    """Client.watch and Client.poll in turn, because both must return the same events."""
    return getattr(envd, request.param)


@pytest.fixture
def directory():
    """An empty directory. An unwatched directory lies beside it (../beside)."""
    top = new_directory()
    for name in ("watched", "beside"):
        os.mkdir(os.path.join(top, name), 0o755)
    return os.path.join(top, "watched")


def pytest_runtest_setup(item):
    """Skips a test that needs FUSE on a machine without FUSE. The suite's result names the test."""
    if item.get_closest_marker("fuse"):
        try:
            os.close(os.open("/dev/fuse", os.O_RDWR))
        except OSError as e:
            pytest.skip(f"no FUSE: {e.strerror}")


def pytest_addoption(parser):
    parser.addoption("--seeds", default="1-7", metavar="FROM-TO",
                     help="seeds of the model test, for each situation")
