# SPDX-License-Identifier: Apache-2.0
"""A daemon that is replaced, and what is to survive that."""

import http.client
import json
import os
import signal
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", name) for name in ("process", "lib")]

import daemon as base  # noqa: E402
from client import Client  # noqa: E402
from daemon import ENVD  # noqa: E402
from wait import wait_for  # noqa: E402


def program(name):
    path = os.environ.get(name)
    return os.path.join(TOP, path) if path else None


PEER = program("PEER")
OLD = program("OLD")
WORLD = os.environ["WORLD"]
CGROUP_ROOT = os.environ["CGROUP_ROOT"]
NEXT = "/usr/bin/envd.next"
PART = "/usr/bin/envd.next.part"
BLOB = "/run/e2b/envd-handover.pb"
PORT = 49983
ADDRESS = ("127.0.0.1", PORT)
LISTEN = f"tcp:127.0.0.1:{PORT}"
FIRST_FD = 200  # UPGRADE_FIRST_FD
TOO_SLOW = b"the new program does not print its version"

NONE = {"failed": False, "procs": 0, "procs_failed": 0, "retained": 0, "retained_failed": 0,
        "watchers": 0, "watchers_failed": 0}


class Daemon(base.Daemon):
    """A daemon on TCP port 49983 of the namespace's loopback, which can be replaced."""

    flags = ["-isnotfc", "-cgroup-root", CGROUP_ROOT]
    more_descriptors = 3  # two spare inotify instances, and mountinfo
    keeps_output = False  # for longer than a test takes: set by those that ask for it

    def __init__(self, *flags, program=ENVD, **how):
        if program == PEER:
            flags = ("-port", str(PORT), *flags)
        elif "-listen" not in flags:
            flags = ("-listen", LISTEN, *flags)
        log = os.path.join(base.LOG_DIR, f"upgrade-{next(self.count)}.log")
        super().__init__(*flags, address=ADDRESS, log=log, **{"command": [program], **how})
        self.client = Client(ADDRESS)
        self.threads_at_rest += 8  # workers end some seconds after their work

    def upgrade(self, program=b"", headers=None):
        """POST /upgrade: None if the connection ended, as it does where it succeeds. A program that has not
        answered in time is asked again: the machine may be busy."""
        if isinstance(program, str):
            with open(program, "rb") as file:
                program = file.read()
        for _ in range(10):
            answer = self.upgrade_once(program, headers)
            if answer is None or TOO_SLOW not in answer.body:
                break
        return answer

    def upgrade_once(self, program, headers=None):
        try:
            return self.request("POST", "/upgrade", program,
                                headers={"X-Envd-Upgrade-Bin": NEXT, **(headers or {})})
        except (http.client.HTTPException, ConnectionError):
            return None

    def replace(self, program=b"", **members):
        """An upgrade that succeeds: what X-Envd-Handover says in the first answer of /init."""
        answer = self.upgrade(program)
        assert answer is None, (answer.status, answer.body)
        wait_for(self.answers, self.log)
        answer = self.init(**members)
        assert answer.status == 204, answer.body
        return json.loads(answer.headers["X-Envd-Handover"])

    def watch(self, method, **message):
        """A call of filesystem.Filesystem that does not stream."""
        answer = self.request("POST", f"/filesystem.Filesystem/{method}", json.dumps(message),
                              headers={"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        return answer.json()

    def words(self):
        return self.proc("cmdline").split("\0")[:-1]

    def numbers(self):
        """The numbers of its descriptors."""
        return sorted(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd"))

    def resident_pages(self):
        return int(self.proc("statm").split()[1])

    def kill_started(self):
        """Also those that the reference has started: they share a group with the daemon."""
        super().kill_started()
        for pid in self.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


    def stop(self):
        if not self.keeps_output:
            return super().stop()
        self.kill_started()
        complaints = self.terminate()
        assert not complaints, complaints
        return complaints


def compiled(text):
    """A program in C, as bytes."""
    path = os.path.join(WORLD, "compiled")
    subprocess.run([os.environ.get("CC", "cc").split()[-1], "-x", "c", "-o", path, "-"], check=True,
                   input=text, text=True)
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture
def daemon():
    """A daemon that has had its /init. At its end nothing of its clients may be left, and no file of an
    upgrade that failed."""
    d = Daemon()
    d.init()
    yield d
    d.stop()
    assert not os.path.exists(PART)
    assert not os.path.exists(BLOB)
