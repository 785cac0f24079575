# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, a client of it, and directories to watch."""

import contextlib
import fcntl
import os
import resource
import subprocess
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

from client import SECONDS, Client  # noqa: E402

ENVD = os.path.abspath(os.environ.get("ENVD", os.path.join(TOP, "build", "envd")))
WORLD = os.environ["WORLD"]
FIRST_PORT = 20000  # below those that the kernel gives to clients
QUEUE = "/proc/sys/fs/inotify/max_queued_events"
LOCK = "/tmp/envd-watch-queue.lock"


class Daemon:
    """A daemon on a port of its own. `user_limits`: inotify's limits, which are those of a user
    namespace, e.g. {"max_inotify_watches": 10}."""

    count = 0

    def __init__(self, *flags, user_limits=None):
        Daemon.count += 1
        port = FIRST_PORT + Daemon.count
        self.log_path = os.path.join(TOP, "build", "log", f"watch-envd-{Daemon.count}.log")
        command = [ENVD, "-isnotfc", "-port", str(port), *flags]
        if user_limits:
            script = "".join(f"echo {value} >/proc/sys/user/{name} && "
                             for name, value in user_limits.items())
            command = ["unshare", "--user", "--map-root-user",
                       "sh", "-c", f'{script} exec "$@"', "sh", *command]

        def prepare():
            resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=prepare)
        self.pid = self.process.pid
        self.client = Client(port)
        wait_for(self._answers)

    def _answers(self):
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return self.client.send("GET", "/health")
        return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def instances(self):
        """The number of watches of each of its inotify instances. The spare one, which has none, is
        left out."""
        counts = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{self.pid}/fd/{fd}") == "anon_inode:inotify":
                    with open(f"/proc/{self.pid}/fdinfo/{fd}", encoding="ascii") as f:
                        counts.append(sum(line.startswith("inotify wd:") for line in f))
        return sorted(count for count in counts if count)

    def memory_kib(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))

    def stop(self):
        self.process.terminate()
        code = self.process.wait(SECONDS)
        log = self.log()
        assert code in (0, -15), log
        assert "Sanitizer" not in log and "runtime error" not in log, log


def wait_for(condition, seconds=SECONDS, pause_seconds=0.005):
    """Waits until the condition holds, and returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(pause_seconds)


@contextlib.contextmanager
def queue_of(events):
    """The kernel's limit on queued events is one for the machine, and read when an inotify instance
    is made: so it is set for as long as that takes, by one at a time."""
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
    """Watches that are closed at the end of the test."""

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
    """The client."""
    opener = Opener(daemon.client)
    yield opener
    opener.close()


@pytest.fixture
def other_daemon():
    """A function that starts a daemon of the test's own; gives it and its client."""
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
    """Client.watch and Client.poll in turn: both ways to watch tell the same."""
    return getattr(envd, request.param)


@pytest.fixture
def directory():
    """An empty directory, with another beside it (../beside) that nobody watches."""
    top = new_directory()
    for name in ("watched", "beside"):
        os.mkdir(os.path.join(top, name), 0o755)
    return os.path.join(top, "watched")


def pytest_collection_modifyitems(items):
    """Where there is no FUSE, what needs it is left out."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        items[:] = [i for i in items if not i.get_closest_marker("fuse")]


def pytest_addoption(parser):
    parser.addoption("--seeds", default="1-7", metavar="FROM-TO",
                     help="of the model, for each of its situations")
