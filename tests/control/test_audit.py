# SPDX-License-Identifier: Apache-2.0
"""The audit stream: one line for each thing that a client did, in a file or to a collector."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from conftest import Daemon
from connect import basic, envelope
from daemon import ENVD
from wait import wait_for as wait_until
from wire import Wire, request

JSON = {"Content-Type": "application/json"}
STREAM = {"Content-Type": "application/connect+json"}
RAW = {"Content-Type": "application/octet-stream"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def lines_of(path):
    """The events in the file; a line that is not complete yet is left out."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


class Audited(Daemon):
    def __init__(self, target, *flags):
        self.target = str(target)
        super().__init__("-isnotfc", "-audit", self.target, *flags)

    def event(self, name, **members):
        """The newest event that has these members."""
        def find():
            found = [line for line in lines_of(self.target) if line["event"] == name
                     and all(line.get(k) == v for k, v in members.items())]
            return found and found[-1]
        event = wait_until(find, f"the event {name} {members}")
        assert event.pop("timestamp")[-1] == "Z"
        return event

    def call(self, method, message, headers=()):
        return self.request("POST", f"/{method}", json.dumps(message).encode(),
                            headers={**JSON, **dict(headers)})


@pytest.fixture
def audited(tmp_path):
    made = []

    def start(target=tmp_path / "audit", *flags):
        made.append(Audited(target, *flags))
        return made[-1]

    yield start
    for d in made:
        if d.process.poll() is None:
            d.stop(idle_workers=False)


def test_processes(audited):
    d = audited()
    message = {"process": {"cmd": "/bin/sh", "args": ["-c", "read line; exit 3"], "cwd": "/tmp",
                           "envs": {"NAME": "value-of-the-test"}}, "tag": "t", "stdin": True}
    connection = d.stream(message, {"Authorization": basic("root"), "traceparent": PARENT,
                                    "X-Envd-Limits": "nofile=64, nice=5"})
    start = d.event("start")
    pid, operation = start["pid"], start["operation_id"]
    assert start == {"event": "start", "operation_id": operation, "traceparent": PARENT,
                     "asked_by": "root", "pid": pid, "command": "/bin/sh -c read line; exit 3",
                     "user": "root", "cwd": "/tmp", "tag": "t", "limits": "nofile=64, nice=5"}
    d.call("process.Process/SendInput", {"process": {"pid": pid}, "input": {
        "stdin": base64.b64encode(b"typed-by-the-user\n").decode()}})
    assert d.event("end") == {"event": "end", "operation_id": operation, "traceparent": PARENT,
                              "pid": pid, "status": "exit status 3"}
    connection.close()
    connection = d.stream({"process": {"cmd": "sleep", "args": ["1000"]}}, {"X-Envd-Seccomp": "default"})
    start = d.event("start", command="sleep 1000")
    assert start["seccomp"] == "default" and "asked_by" not in start and "limits" not in start
    d.call("process.Process/SendSignal", {"process": {"pid": start["pid"]},
                                          "signal": "SIGNAL_SIGKILL"})
    sent = d.event("signal")
    assert (sent["pid"], sent["signal"], sent["descendants"]) == (start["pid"], 9, False)
    assert d.event("end", pid=start["pid"])["status"] == "signal: killed"
    connection.close()
    d.request("POST", "/process.Process/Start", envelope({"process": {
        "cmd": "true", "cwd": "/no/such"}}), headers=STREAM)
    failed = d.event("start", command="true")
    assert "/no/such" in failed["error"] and "pid" not in failed
    with open(d.target, encoding="utf-8") as f:
        text = f.read()
    assert "value-of-the-test" not in text and "typed-by-the-user" not in text


def stream(self, message, headers=()):
    connection = socket.create_connection(self.address)
    body = envelope(message)
    fields = {"Host": "x", **STREAM, "Content-Length": len(body), **dict(headers)}
    connection.sendall(b"POST /process.Process/Start HTTP/1.1\r\n"
                       + "".join(f"{k}: {v}\r\n" for k, v in fields.items()).encode()
                       + b"\r\n" + body)
    return connection


Audited.stream = stream


def test_files(audited, tmp_path):
    d = audited()
    path, other = str(tmp_path / "f"), str(tmp_path / "g")
    d.request("POST", f"/files?path={path}&username=root", b"content-of-the-test", headers=RAW)
    written = d.event("file_written")
    del written["operation_id"]
    assert written == {"event": "file_written", "path": path, "user": "root"}
    d.call("filesystem.Filesystem/Move", {"source": path, "destination": other})
    moved = d.event("file_moved")
    assert (moved["path"], moved["destination"]) == (path, other) and "error" not in moved
    d.call("files/compose", {"source_paths": [other], "destination": path})
    assert d.event("file_written", path=path) and d.event("file_removed", path=other)
    d.call("files/compose", {"source_paths": ["/no/such"], "destination": f"{tmp_path}/whole"})
    failed = d.event("file_written", path=f"{tmp_path}/whole")
    assert failed["user"] == "root" and "/no/such" in failed["error"]
    d.call("filesystem.Filesystem/Remove", {"path": path})
    assert "error" not in d.event("file_removed", path=path)
    d.call("filesystem.Filesystem/Move", {"source": "/no/such", "destination": other})
    assert d.event("file_moved", path="/no/such")["error"]
    d.request("POST", f"/files?path={tmp_path}", b"x", headers=RAW)
    assert d.event("file_written", path=str(tmp_path))["error"]
    with socket.create_connection(d.address) as s:
        s.sendall(f"POST /files?path={tmp_path}/cut HTTP/1.1\r\nHost: x\r\nContent-Type: "
                  "application/octet-stream\r\nContent-Length: 1000000\r\n\r\n".encode()
                  + bytes(200_000))
    assert d.event("file_written", path=f"{tmp_path}/cut")["error"] == "the client has gone"
    with open(d.target, encoding="utf-8") as f:
        assert "content-of-the-test" not in f.read()


def test_sandbox(audited):
    d = audited()
    d.init(lifecycleID="one", accessToken="correct-horse", envVars={"A": "value-of-the-test"})
    event = d.event("init")
    assert (event["lifecycle_id"], event["sets_token"]) == ("one", True) and "error" not in event
    d.init(accessToken="wrong-horse")
    assert d.event("init", sets_token=True, error="access token validation failed")
    token = {"token": "correct-horse"}
    d.request("POST", "/freeze", **token)
    assert d.event("freeze")["mode"] == "legacy"
    d.request("POST", "/unfreeze", **token)
    assert "error" not in d.event("unfreeze")
    assert d.request("POST", "/upgrade", b"no program", **token).status == 400
    event = d.event("upgrade")
    assert event["with_program"] and event["error"]
    with open(d.target, encoding="utf-8") as f:
        text = f.read()
    assert "horse" not in text and "value-of-the-test" not in text


def test_rotation(audited, tmp_path):
    """By a signal, and by a request that is answered when the new file is there."""
    d = audited()
    d.init()
    d.event("init")
    os.rename(d.target, tmp_path / "old")
    assert d.request("POST", "/audit/reopen").status == 204
    assert os.stat(d.target).st_mode & 0o777 == 0o600
    assert len(lines_of(tmp_path / "old")) == 1 and not lines_of(d.target)
    d.init()
    d.event("init")
    os.rename(d.target, tmp_path / "older")
    os.kill(d.pid, signal.SIGUSR2)
    wait_until(lambda: os.path.exists(d.target), "the new file")
    d.init()
    d.event("init")
    assert len(lines_of(tmp_path / "older")) == 1


def test_reopening_that_fails(audited, tmp_path):
    """The answer has the reason. Lines are lost, and counted, until the directory is back."""
    (tmp_path / "dir").mkdir()
    d = audited(tmp_path / "dir" / "audit")
    os.rename(tmp_path / "dir", tmp_path / "away")
    for _ in range(3):
        d.init()
        assert d.request("POST", "/audit/reopen").status == 500
    os.rename(tmp_path / "away", tmp_path / "dir")
    assert d.request("POST", "/audit/reopen").status == 204
    d.init()

    def told():
        """All four calls, each written or counted. An /init can be written after its answer, so the last
        of the three may find the directory again."""
        lines = lines_of(d.target)
        dropped = [line["lines"] for line in lines if line["event"] == "dropped"]
        return sum(dropped) >= 2 and sum(dropped) + len(lines) - len(dropped) == 4

    wait_until(told, lambda: str(lines_of(d.target)))


class Collector:
    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.listener.settimeout(60)

    def accept(self):
        connection = self.listener.accept()[0]
        connection.settimeout(60)
        return connection.makefile("r", encoding="utf-8"), connection


def test_collector(audited, tmp_path):
    """It may start later, and go and come back. What it missed is counted, in the first line that it
    gets afterwards. Once the last /init came while the lost line was still being written: its line
    waited, went first, and the count of lost lines would have come with a later event."""
    path = tmp_path / "collector"
    d = audited(f"unix:{path}")
    d.init()
    wait_until(lambda: "audit: " in d.log(), "the failure")
    collector = Collector(path)
    d.init()
    reader, connection = collector.accept()
    assert (lambda e: (e["event"], e["lines"]))(json.loads(reader.readline())) == ("dropped", 1)
    assert json.loads(reader.readline())["event"] == "init"
    reader.close()
    connection.close()
    calls = 40  # with the first, the daemon learns that the collector has gone
    with Wire(d.address) as wire:
        wire.send(request("POST", "/init", body=b"{}") * calls)
        assert [wire.answer().status for _ in range(calls)] == [204] * calls
    reader, connection = collector.accept()
    first = json.loads(reader.readline())
    assert first["event"] == "dropped"
    for _ in range(calls - first["lines"]):
        assert json.loads(reader.readline())["event"] == "init"
    reader.close()
    connection.close()
    collector.listener.close()


def test_collector_that_does_not_read(audited, tmp_path):
    """Its lines wait in 1 MiB; what does not fit is counted. No request waits. Later each line that
    comes is whole, and those that came and those that were lost are all."""
    collector = Collector(tmp_path / "collector")
    d = audited(f"unix:{tmp_path}/collector")
    n, path, counts = 1200, "/no/such/" + "x" * 3000, {"got": 0, "lost": 0}
    before = d.private_kib()
    for _ in range(n):
        d.call("filesystem.Filesystem/Remove", {"path": path})
    assert "asan" in ENVD or d.private_kib() - before < 8192

    def collect():
        with contextlib.suppress(OSError):
            while True:
                reader, connection = collector.accept()
                with connection, reader:
                    for line in reader:
                        if line.endswith("\n"):
                            event = json.loads(line)
                            counts["got"] += event.get("path") == path
                            counts["lost"] += event.get("lines", 0)

    def all_counted():
        d.init()  # a later event, before which what was lost is reported
        return counts["got"] + counts["lost"] >= n

    thread = threading.Thread(target=collect)
    thread.start()
    wait_until(all_counted, lambda: f"{n} lines: {counts}", pause_seconds=0.1)
    assert counts["lost"] > 0
    d.stop(idle_workers=False)
    collector.listener.shutdown(socket.SHUT_RDWR)
    collector.listener.close()
    thread.join()


def test_last_lines_are_written_at_the_end(audited):
    d = audited()
    for _ in range(50):
        d.init()
    assert not d.terminate()
    assert len(lines_of(d.target)) == 50


def test_wrong_target(tmp_path):
    """One line, and status 2."""
    os.mkfifo(tmp_path / "fifo")
    for target in (tmp_path / "no" / "such", tmp_path, tmp_path / "fifo"):
        r = subprocess.run([ENVD, "-isnotfc", "-listen", f"unix:{tmp_path}/s", "-audit", str(target)],
                           capture_output=True, text=True, timeout=20, check=False)
        assert r.returncode == 2 and str(target) in r.stderr and r.stderr.count("\n") == 1, r.stderr


def test_without_audit(daemon):
    assert daemon.request("POST", "/audit/reopen").status == 501
    os.kill(daemon.pid, signal.SIGUSR2)
    assert daemon.request("GET", "/health").status == 204
