# SPDX-License-Identifier: Apache-2.0
"""The commands on the host as an operator types them: the built binary against a running daemon.

Each test runs over TCP and over a unix socket, and with ENVD_PEER=/path/to/another/envd (make client
PEER=…) also against that one. A test marked `beyond` needs what only this daemon has."""

import itertools
import os
import socket
import subprocess
import threading

import pytest

import daemon as base
from daemon import ENVD
from proxy import Proxy
from wait import SECONDS, wait_for

WORLD = os.environ["WORLD"]
PEER = os.environ.get("ENVD_PEER")
TARGETS = ["unix", "tcp"] + (["peer"] if PEER else [])
ports = itertools.count(24000)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Peer:
    """Another envd, which has a port and no flag for a unix socket."""

    def __init__(self):
        port = next(ports)
        self.to = f"tcp:127.0.0.1:{port}"
        with open(os.path.join(base.LOG_DIR, "peer.log"), "wb") as log:
            self.process = subprocess.Popen(
                [PEER, "-isnotfc", "-no-cgroups", "-port", str(port)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=base.Daemon.environment, cwd="/",
                # Its /init could set the clock of the machine.
                preexec_fn=lambda: base.LIBC.prctl(base.PR_CAPBSET_DROP, base.CAP_SYS_TIME, 0, 0, 0))
        wait_for(lambda: listens(port), "the peer")

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)


class Daemon(base.Daemon):
    # After the first watch it keeps a spare inotify instance.
    more_descriptors = 1


@pytest.fixture(scope="session")
def daemon():
    """A daemon that listens on both: `to` has the address of each kind."""
    path, port = f"{WORLD}/envd.sock", next(base.ports)
    d = Daemon("-listen", f"unix:{path}", "-listen", f"tcp:127.0.0.1:{port}",
               address=("127.0.0.1", port))
    d.to = {"unix": f"unix:{path}", "tcp": f"tcp:127.0.0.1:{port}"}
    yield d
    d.stop()


@pytest.fixture(scope="session")
def peer():
    other = Peer()
    yield other
    other.stop()


class Host:
    """The operator's shell. `to` is the address of the daemon."""

    def __init__(self, to):
        self.to = to
        self.environment = {"PATH": os.environ["PATH"], "ENVD_TO": to, "HOME": "/"}

    def run(self, *args, stdin=None, **how):
        """Runs a command to its end. stdin: bytes, or a file; the result has bytes."""
        how |= {"input": stdin} if isinstance(stdin, bytes) else \
            {"stdin": stdin or subprocess.DEVNULL}
        return subprocess.run([ENVD, *args], capture_output=True, timeout=SECONDS,
                              env=self.environment, check=False, **how)

    def start(self, *args, **how):
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        return subprocess.Popen([ENVD, *args], env=self.environment, **how)

    def ok(self, *args, **how):
        """Runs a command that must succeed without a word on stderr. Returns its output as text."""
        done = self.run(*args, **how)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def pids(self):
        return {int(line.split()[0]): line.split()[1] for line in self.ok("ps").splitlines()[1:]}


@pytest.fixture(params=TARGETS)
def host(request, daemon):
    """What a test leaves running is killed."""
    if request.param == "peer":
        if request.node.get_closest_marker("beyond"):
            pytest.skip("only this daemon has it")
        to = request.getfixturevalue("peer").to
    else:
        to = daemon.to[request.param]
    shell = Host(to)
    yield shell
    for pid in shell.pids():
        shell.run("kill", "-s", "KILL", "--tree", str(pid))
    wait_for(lambda: not shell.pids(), "the end of all processes")


@pytest.fixture
def proxy(daemon, tmp_path):
    opened = []

    def start(**how):
        opened.append(Proxy(tmp_path / "proxy", daemon.to["unix"].removeprefix("unix:"), **how))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def rogue(tmp_path):
    """Answers one connection after the other with these bytes, whatever it is asked."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "rogue"))
    listener.listen()
    listener.settimeout(SECONDS)
    threads = []

    def serve(*answers):
        def run():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(SECONDS)
                    host.requests.append(connection.recv(65536))
                    connection.sendall(answer)

        host = Host(f"unix:{tmp_path}/rogue")
        host.requests = []
        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return host

    yield serve
    for thread in threads:
        thread.join()
    listener.close()
