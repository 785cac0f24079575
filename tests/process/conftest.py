"""The daemon under test, and a client of it."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

from client import Client, Failed  # noqa: E402

ENVD = os.path.abspath(os.environ.get("ENVD", os.path.join(TOP, "build", "envd")))
WORLD = os.environ["WORLD"]
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
NOFILE = min(5000, HARD) if HARD > 0 else 5000  # the daemon's soft limit at its start


class Daemon:
    """A daemon on a unix socket of its own."""

    count = 0

    def __init__(self, *flags, uid=None, descriptors=None, processes=None):
        Daemon.count += 1
        self.socket = os.path.join(WORLD, f"envd-{Daemon.count}.sock")
        self.log_path = os.path.join(TOP, "build", "log", f"process-envd-{Daemon.count}.log")
        if uid:
            self.socket = os.path.join(WORLD, "user", f"envd-{Daemon.count}.sock")

        # Other users need not get to where it was built.
        program = shutil.copy(ENVD, WORLD) if uid else ENVD

        def prepare():
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors or NOFILE, descriptors or HARD))
            if processes:
                resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "-isnotfc", "-listen", f"unix:{self.socket}", *flags],
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ENVD_TEST_SECRET": "daemon's own"},
                cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare)
        self.pid = self.process.pid
        self.client = Client(self.socket)
        wait_for(lambda: self.listens() or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.log()

    def listens(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket) == 0

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        log = self.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log


def wait_for(condition, seconds=10):
    """Waits until the condition holds, and returns what it gave."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def is_dead(pid):
    """Gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


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
