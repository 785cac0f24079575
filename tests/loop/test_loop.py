# SPDX-License-Identifier: Apache-2.0
"""The loop never blocks: allowed.txt lists every system call of its thread.

One thread serves all clients. If one of its calls blocks, on a dead mount, a full pipe or a traced
process, the whole daemon stops. That happened with a waitid(2) without WNOHANG, and with the open of a
guest's file. The test runs typical clients, traces the thread (trace.c), and reports each call that is
not in the list."""

import base64
import contextlib
import fnmatch
import json
import os
import signal
import subprocess

import pytest

import connect
import daemon as base
from connect import Connection, Failed, envelope, read_message
from daemon import ENVD, TOP
from wait import wait_for

WORLD = os.environ["WORLD"]
TRACE = os.path.join(TOP, "build", "loop-trace")
NEXT = "/usr/bin/envd.next"
LARGE_BYTES = 24 * 1024 * 1024


class Daemon(base.Daemon):
    more_descriptors = 2  # spare inotify instances


def allowed():
    """(call, pattern of its detail) of each line."""
    rules = []
    with open(os.path.join(os.path.dirname(__file__), "allowed.txt"), encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                call, _, reason = line.rstrip("\n").partition(" : ")
                assert reason.strip(), f"no reason: {line}"
                name, _, pattern = call.strip().partition(" ")
                rules.append((name, pattern.strip()))
    return rules


@contextlib.contextmanager
def traced(pid, calls):
    """The calls of the thread `pid` while the block runs are added to the set `calls`."""
    with subprocess.Popen([TRACE, str(pid)], stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGTERM)
            found = tracer.stdout.read().splitlines()
    assert len(found) > 10, found
    calls.update(found)


class Guest(connect.Client):
    """What clients do."""

    def __init__(self, daemon):
        super().__init__(daemon.address)
        self.daemon = daemon

    def unary(self, method, **message):
        self.service, _, name = method.partition("/")
        return self.call(name, message)

    def start(self, script, keep_stdin=False, headers=None, **more):
        """Start: the response, and the pid of its first event."""
        self.service = "process.Process"
        response = self.open("Start", {
            "process": {"cmd": "/bin/sh", "args": ["-c", script]}, "stdin": keep_stdin, **more},
            headers=headers).getresponse()
        return response, read_message(response)[1]["event"]["start"]["pid"]

    @staticmethod
    def drain(response):
        while not read_message(response)[0] & 2:
            pass

    def processes(self):
        self.drain(self.start("echo out; echo err >&2; head -c 3000000 /dev/zero; nosuch")[0])
        self.drain(self.start("exit 3", headers={"Connect-Timeout-Ms": "60000"})[0])
        response, pid = self.start("cat; sleep 0", keep_stdin=True, tag="cat")
        data = base64.b64encode(bytes(100000)).decode()
        self.unary("process.Process/SendInput", process={"pid": pid}, input={"stdin": data})
        self.service = "process.Process"
        second = self.open("Connect", {"process": {"tag": "cat"}}).getresponse()
        self.unary("process.Process/List")
        self.unary("process.Process/CloseStdin", process={"pid": pid})
        self.drain(response)
        self.drain(second)
        for number in "SIGNAL_SIGTERM", "SIGNAL_SIGKILL":
            response, pid = self.start("sleep 1000 & sleep 1000")
            self.unary("process.Process/SendSignal", process={"pid": pid}, signal=number)
            self.drain(response)
        with contextlib.suppress(Failed):
            self.unary("process.Process/SendSignal", process={"pid": 1}, signal="SIGNAL_SIGKILL")

    def terminal(self):
        response, pid = self.start("stty -echo; cat", pty={"size": {"cols": 80, "rows": 24}})
        self.unary("process.Process/Update", process={"pid": pid},
                   pty={"size": {"cols": 100, "rows": 30}})
        for text in b"hello\n", b"\x04":
            self.unary("process.Process/SendInput", process={"pid": pid},
                       input={"pty": base64.b64encode(text).decode()})
        self.drain(response)

    def upload(self, name, data, **headers):
        answer = self.request("POST", f"/files?path={name}&username=user", data,
                              {"Content-Type": "application/octet-stream", **headers})
        assert answer.status == 200, answer.body
        return data

    def files(self):
        home = os.path.join(WORLD, "user")
        large = os.urandom(LARGE_BYTES)
        for name, data in ("small", b"hello"), ("middle", large[:300000]), ("large", large), ("deep/er/f", b""):
            self.upload(name, data)
            for headers in {}, {"Range": "bytes=1-3"}, {"Accept-Encoding": "gzip"}:
                answer = self.request("GET", f"/files?path={name}&username=user", headers=headers)
                assert answer.status in (200, 206, 416)
                assert headers or answer.body == data
        boundary = "b"
        body = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="form"\r\n\r\n'
                f"data\r\n--{boundary}--\r\n")
        assert self.request("POST", "/files?username=user", body, {
            "Content-Type": f"multipart/form-data; boundary={boundary}"}).status == 200
        self.request("GET", "/files?path=missing")
        self.request("GET", "/files?path=deep&username=user&format=tar")
        for method, message in (
                ("Stat", {"path": f"{home}/small"}), ("ListDir", {"path": home, "depth": 3}),
                ("MakeDir", {"path": f"{home}/made/dir"}),
                ("Move", {"source": f"{home}/form", "destination": f"{home}/moved"}),
                ("Remove", {"path": f"{home}/made"})):
            self.unary(f"filesystem.Filesystem/{method}", **message)
        self.request("POST", "/files/compose", json.dumps({
            "source_paths": [f"{home}/small", f"{home}/moved"], "destination": f"{home}/both"}),
            {"Content-Type": "application/json"})

    def broken_off(self):
        """A download, an upload and a Start whose clients go away."""
        for method, path, body in (("GET", f"/files?path={WORLD}/user/large", None),
                                   ("POST", "/files?path=cut&username=user", iter([b"x" * 70000]))):
            connection = Connection(self.address, receive_bytes=4096)
            connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
            connection.close()
        _, pid = self.start("sleep 1000")
        os.kill(pid, signal.SIGKILL)

    def watches(self):
        top = os.path.join(WORLD, "user", "watched")
        os.makedirs(f"{top}/a/b")
        watcher = self.unary("filesystem.Filesystem/CreateWatcher", path=top, recursive=True)
        self.service = "filesystem.Filesystem"
        connection = self.open("WatchDir", {"path": top, "recursive": True, "includeEntry": True})
        response = connection.getresponse()
        read_message(response)
        os.makedirs(f"{top}/c/d/e")
        with open(f"{top}/c/d/e/f", "w", encoding="ascii") as f:
            f.write("text")
        os.rename(f"{top}/c", f"{top}/a/c")
        os.unlink(f"{top}/a/c/d/e/f")
        seen = []

        def removed():
            answer = self.unary("filesystem.Filesystem/GetWatcherEvents", **watcher)
            seen.extend(e["name"] for e in answer.get("events", []))
            return "a/c" in seen

        wait_for(removed, lambda: f"a/c among {seen}")
        read_message(response)
        self.unary("filesystem.Filesystem/RemoveWatcher", **watcher)
        connection.close()
        response.close()

    def control(self):
        assert self.daemon.init(envVars={"A": "b"}, defaultUser="user",
                                defaultWorkdir=f"{WORLD}/user").status == 204
        for path in "/health", "/envs", "/metrics", "/nothing":
            self.request("GET", path)
        self.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        self.request("OPTIONS", "/files", headers={"Origin": "http://x",
                                                   "Access-Control-Request-Method": "POST"})
        with contextlib.suppress(OSError):
            self.request("BAD METHOD", "/")
        self.daemon.report()

    def freeze(self):
        response, pid = self.start("sleep 1000")
        assert self.request("POST", "/freeze").status in (200, 204)
        assert self.request("POST", "/unfreeze").status in (200, 204)
        self.unary("process.Process/SendSignal", process={"pid": pid}, signal="SIGNAL_SIGKILL")
        self.drain(response)

    def stream_input(self):
        """StreamInput with its three messages."""
        response, pid = self.start("head -c 6", keep_stdin=True)
        self.service = "process.Process"
        body = b"".join(map(envelope, (
            {"start": {"process": {"pid": pid}}},
            {"data": {"input": {"stdin": base64.b64encode(b"abcdef").decode()}}},
            {"keepalive": {}})))
        self.drain(self.open("StreamInput", {}, body=body).getresponse())
        self.drain(response)

    def all(self):
        for what in (self.control, self.processes, self.terminal, self.stream_input, self.files,
                     self.broken_off, self.watches, self.freeze):
            what()


def unknown(calls, rules):
    """The calls that no rule allows."""
    return sorted(call for call in calls if not any(
        call.partition(" ")[0] == name and fnmatch.fnmatchcase(call.partition(" ")[2], pattern)
        for name, pattern in rules))


@pytest.fixture
def daemon():
    daemon = Daemon("-cgroup-root", os.environ["CGROUP_ROOT"],
                    prepare=lambda: os.umask(0o022))
    yield daemon
    daemon.stop()


def test_calls_are_listed(daemon):
    """What clients do, and an upgrade between: no call of the loop's thread is missing in allowed.txt."""
    calls = set()
    with traced(daemon.pid, calls):
        Guest(daemon).all()
        with open(ENVD, "rb") as f, contextlib.suppress(OSError, connect.http.client.HTTPException):
            daemon.request("POST", "/upgrade", f.read(), headers={"X-Envd-Upgrade-Bin": NEXT})
    wait_for(daemon.answers, "the daemon after the upgrade")
    with traced(daemon.pid, calls):
        daemon.init()
        Guest(daemon).processes()
    assert any(call.startswith("epoll_") for call in calls)
    missing = unknown(calls, allowed())
    assert not missing, "not in allowed.txt:\n" + "\n".join(missing)


def test_a_wait_is_noticed(daemon):
    """That the test above can fail: a rule less, and the calls that it allowed are named."""
    calls = set()
    with traced(daemon.pid, calls):
        daemon.init()
    rules = [rule for rule in allowed() if not rule[0].startswith("epoll_")]
    assert any(call.startswith("epoll_") for call in unknown(calls, rules))
