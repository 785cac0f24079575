"""Daemons whose cgroups lie in a directory of their own, and what is seen there."""

import ctypes
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "process"))

from client import Client, Failed  # noqa: E402

ENVD = os.path.join(TOP, os.environ.get("ENVD", "build/envd"))
WORLD = os.environ["WORLD"]
ROOT = os.environ["CGROUP_ROOT"]
SECONDS = 30
LIBC = ctypes.CDLL(None)
PR_CAPBSET_DROP, CAP_SYS_TIME = 24, 25


def wait_for(condition, what="it", seconds=SECONDS):
    """Waits until the condition holds, and returns what it gave."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"{what}: waited in vain"
        time.sleep(0.005)


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def is_dead(pid):
    """Gone, or a zombie."""
    try:
        return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Tree:
    """A directory of the hierarchy, as the root of one."""

    count = 0

    def __init__(self):
        Tree.count += 1
        self.path = os.path.join(ROOT, f"t{Tree.count}")
        os.mkdir(self.path)

    def at(self, *names):
        return os.path.join(self.path, *names)

    def make(self, name):
        os.makedirs(self.at(name))
        return self.at(name)

    def children(self, name):
        """The cgroups below one."""
        try:
            return sorted(e.name for e in os.scandir(self.at(name)) if e.is_dir())
        except FileNotFoundError:
            return []

    def pids(self, name):
        """What is in a cgroup and below it."""
        found = []
        for directory, _, _ in os.walk(self.at(name)):
            try:
                found += map(int, read(os.path.join(directory, "cgroup.procs")).split())
            except OSError:
                pass
        return found

    def frozen(self, name):
        """Whether all in it has stopped."""
        return "frozen 1" in read(self.at(name, "cgroup.events"))

    def asked(self, name):
        """Whether it was frozen itself, and not what is above it."""
        return read(self.at(name, "cgroup.freeze")).strip() == "1"

    def freeze(self, name, on=True):
        write(self.at(name, "cgroup.freeze"), "1" if on else "0")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("envd", timeout=SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Daemon:
    """A daemon on a unix socket, in the cgroup `place` of its tree."""

    count = 0

    def __init__(self, tree, *flags, place=None, uid=None):
        Daemon.count += 1
        self.tree = tree
        directory = WORLD
        if uid:
            directory = os.path.join(WORLD, f"user-{Daemon.count}")
            os.mkdir(directory)
            os.chown(directory, uid, uid)
        self.socket = os.path.join(directory, f"envd-{Daemon.count}.sock")
        self.log_path = os.path.join(TOP, "build", "log", f"cgroup-envd-{Daemon.count}.log")

        # Other users need not get to where it was built.
        program = shutil.copy(ENVD, WORLD) if uid else ENVD

        def prepare():
            # No test may move the machine's clock, as an /init can.
            LIBC.prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0)
            if place is not None:
                write(tree.at(place, "cgroup.procs"), str(os.getpid()))
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "-isnotfc", "-listen", f"unix:{self.socket}",
                 "-cgroup-root", tree.path, *flags],
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare)
        self.pid = self.process.pid
        self.client = Client(self.socket)
        wait_for(self.answers, "the first answer")

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.request("GET", "/health").status == 204
        except OSError:
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def request(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def freeze(self, **parameters):
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return self.request("POST", "/freeze" + ("?" + query if query else ""))

    def unfreeze(self):
        return self.request("POST", "/unfreeze")

    def init(self, **fields):
        return self.request("POST", "/init", json.dumps(fields))

    def metrics(self):
        """The OpenMetrics samples, by name and labels."""
        answer = self.request("GET", "/metrics",
                              headers={"Accept": "application/openmetrics-text"})
        lines = answer.body.decode().splitlines()
        assert lines[-1] == "# EOF"
        return {name: float(value) for name, _, value in
                (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)
        log = self.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log


@pytest.fixture
def start():
    """Starts daemons; at the end all that is in their trees is thawed, killed and removed."""
    trees, daemons = [], []

    def begin(*flags, tree=None, **how):
        if tree is None:
            tree = Tree()
        if tree not in trees:
            trees.append(tree)
        daemon = Daemon(tree, *flags, **how)
        daemons.append(daemon)
        return daemon

    begin.trees = trees
    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.stop()
    for tree in trees:
        clear(tree.path)


def clear(path):
    """Kills what is in a cgroup, and removes it with all below it."""
    write(os.path.join(path, "cgroup.kill"), "1")

    def removed():
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        return not os.path.exists(path)

    wait_for(removed, f"the removal of {path}")


@pytest.fixture
def daemon(start):
    return start()


@pytest.fixture
def tree(daemon):
    return daemon.tree


@pytest.fixture
def envd(daemon):
    return daemon.client
