# SPDX-License-Identifier: Apache-2.0
"""The log's lines as a collector gets them: a platform filters its store by their members.

The members and their forms are the reference's (docs/compatibility/http.md, "Log export"). Input of
processes and values of variables never reach a log; their lengths do."""

import base64
import json
import socket

import pytest

from conftest import Daemon
from connect import envelope
from mmds import Mmds
from wait import wait_for as wait_until

JSON = {"Content-Type": "application/json"}
STREAM = {"Content-Type": "application/connect+json"}
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def sandbox():
    """One daemon for all tests: its orderly end takes seconds."""
    service = Mmds()
    d = Daemon("-no-cgroups")
    d.mmds = service
    yield d
    d.stop()
    service.end()


@pytest.fixture
def collected(sandbox, request):
    """Finds the line of this test that has these members, and waits for it. Operations are counted
    up, so that lines of the tests before, which may come late, have lower numbers."""
    def find(**members):
        def match(line):
            return (int(line.get("operation_id", last + 1)) > last
                    and all(line.get(name) == value for name, value in members.items()))
        return wait_until(lambda: next(filter(match, sandbox.mmds.lines), None), f"a line {members}")

    last = 0
    mark = {"path": f"/no/mark/{request.node.name}"}
    call(sandbox, "filesystem.Filesystem/Stat", mark)
    last = int(find(request=mark)["operation_id"])
    return find


def call(sandbox, method, message, headers=()):
    return sandbox.request("POST", f"/{method}", json.dumps(message).encode(),
                           headers={**JSON, **dict(headers)})


def test_unary_call(sandbox, collected, tmp_path):
    path = str(tmp_path / "f")
    (tmp_path / "f").write_text("hi")
    assert call(sandbox, "filesystem.Filesystem/Stat", {"path": path}).status == 200
    line = collected(message="Filesystem stat")
    assert line["logger"] == "filesystem" and line["level"] == "info"
    assert line["method"] == "POST /filesystem.Filesystem/Stat"
    assert line["operation_id"].isdecimal()
    assert line["request"] == {"path": path}
    entry = line["response"]["entry"]
    assert (entry["name"], entry["type"], entry["size"]) == ("f", 1, 2)
    assert set(entry["modified_time"]) == {"seconds", "nanos"}
    assert "error" not in line and "error_code" not in line


def test_unary_call_that_fails(sandbox, collected):
    assert call(sandbox, "filesystem.Filesystem/Stat", {"path": "/no/such"}).status == 404
    line = collected(message="Filesystem stat")
    assert line["level"] == "error" and line["error_code"] == 5
    assert line["error"].startswith("not_found: ")
    assert line["request"] == {"path": "/no/such"}
    assert "response" not in line


def test_list_of_a_directory_is_told_by_its_length(sandbox, collected, tmp_path):
    assert call(sandbox, "filesystem.Filesystem/ListDir", {"path": str(tmp_path)}).status == 200
    line = collected(message="Filesystem listDir")
    assert line["response_bytes"] > 0 and "response" not in line


def test_process(sandbox, collected):
    message = {"process": {"cmd": "/bin/sh", "args": ["-c", "echo out; echo err >&2; exit 3"],
                           "envs": {"NAME": "value-of-the-test"}}, "tag": "t"}
    answer = sandbox.request("POST", "/process.Process/Start", envelope(message),
                             headers={**STREAM, "Connect-Timeout-Ms": "60000"})
    assert answer.status == 200
    begin = collected(message="Process start (server stream start)")
    assert begin["level"] == "debug" and begin["logger"] == "process"
    assert begin["method"] == "POST /process.Process/Start"
    assert begin["request"] == {"process": {**message["process"], "envs": {"NAME": "17 bytes"}},
                                "tag": "t"}
    started = collected(event_type="process_start")
    assert started["level"] == "info" and started["logger"] == "process"
    assert started["command"] == "/bin/sh -c echo out; echo err >&2; exit 3"
    assert started["request_timeout_ms"] == 60000
    assert started["message"] == f"Process with pid {started['pid']} started"
    ended = collected(event_type="process_end")
    assert ended["message"] == f"Process with pid {started['pid']} ended"
    assert ended["process_result"] == {"error": "exit status 3", "exit_code": 3, "exited": True,
                                       "status": "exit status 3"}
    assert (ended["stdout_bytes"], ended["stderr_bytes"], ended["pty_bytes"]) == (4, 4, 0)
    assert "pid" not in ended
    end = collected(message="Process start (server stream end)")
    assert end["level"] == "debug" and end["response"] is None
    assert {x["operation_id"] for x in (begin, started, ended, end)} == {begin["operation_id"]}
    assert "value-of-the-test" not in str(sandbox.mmds.lines)


def test_input_is_told_by_its_length(sandbox, collected):
    """The reference logs what SendInput carries, in base64: passwords that are typed, too."""
    secret = base64.b64encode(b"typed-by-the-user").decode()
    started = envelope({"process": {"cmd": "cat"}, "stdin": True})
    with socket.create_connection(("127.0.0.1", 49983)) as s:
        s.sendall(b"POST /process.Process/Start HTTP/1.1\r\nHost: x\r\n"
                  b"Content-Type: application/connect+json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(started) + started)
        pid = collected(event_type="process_start")["pid"]
        assert call(sandbox, "process.Process/SendInput",
                    {"process": {"pid": pid}, "input": {"stdin": secret}}).status == 200
        line = collected(message="Process sendInput")
        assert line["request"] == {"process": {"Selector": {"Pid": pid}},
                                   "input": {"Input": {"Stdin": "17 bytes"}}}
        assert line["response"] == {}
    gone = collected(message="Process start (server stream end)")
    assert (gone["error"], gone["error_code"], gone["level"]) == ("context canceled", 2, "error")
    body = b"".join(envelope(m) for m in (
        {"start": {"process": {"pid": pid}}}, {"data": {"input": {"stdin": secret}}}))
    assert sandbox.request("POST", "/process.Process/StreamInput", body,
                           headers=STREAM).status == 200
    assert collected(message="Process streamInput (client stream start)")["level"] == "debug"
    assert collected(message="Process streamInput (client stream end)")["response"] == {}
    assert call(sandbox, "process.Process/SendSignal",
                {"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"}).status == 200
    assert collected(message="Process sendSignal")["request"]["signal"] == 9
    assert collected(event_type="process_end")["process_result"]["status"] == "signal: killed"
    for text in ("typed-by-the-user", secret):
        assert text not in str(sandbox.mmds.lines)


def test_deadline_of_a_stream(sandbox, collected, tmp_path):
    sandbox.request("POST", "/filesystem.Filesystem/WatchDir", envelope({"path": str(tmp_path)}),
                    headers={**STREAM, "Connect-Timeout-Ms": "50"})
    line = collected(message="Filesystem watchDir (server stream end)")
    assert (line["error"], line["error_code"]) == ("context deadline exceeded", 2)


def test_trace_context_of_a_request(sandbox, collected, tmp_path):
    """The caller's span is in every line of its request, and of the process that it started, also
    after the request. A context that violates the grammar is ignored."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    trace = {"traceparent": parent, "tracestate": "a=1"}
    message = {"process": {"cmd": "/bin/sh", "args": ["-c", ":"]}}
    sandbox.request("POST", "/process.Process/Start", envelope(message),
                    headers={**STREAM, **trace})
    for members in ({"message": "Process start (server stream start)"},
                    {"event_type": "process_start"}, {"event_type": "process_end"},
                    {"message": "Process start (server stream end)"}):
        line = collected(**members)
        assert (line["traceparent"], line["tracestate"]) == (parent, "a=1")
    path = str(tmp_path / "f")
    sandbox.request("POST", f"/files?path={path}", b"x", headers={**RAW, **trace})
    for members in ({"message": "File write"}, {"event_type": "file_processing"}):
        line = collected(path=path, **members)
        assert (line["traceparent"], line["tracestate"]) == (parent, "a=1")
    assert sandbox.request("POST", "/init", b"{", headers=trace).status == 400
    assert collected(level="error", traceparent=parent)["message"].startswith("init: ")
    call(sandbox, "filesystem.Filesystem/Stat", {"path": "/other"},
         {"traceparent": parent.upper(), "tracestate": "a=1"})
    assert "traceparent" not in collected(request={"path": "/other"})
    call(sandbox, "filesystem.Filesystem/Stat", {"path": path},
         {"traceparent": parent, "tracestate": "a"})
    line = collected(message="Filesystem stat", traceparent=parent)
    assert "tracestate" not in line


def test_files(sandbox, collected, tmp_path):
    path = str(tmp_path / "f")
    where = f"/files?path={path}&username=root"
    assert sandbox.request("POST", f"{where}&signature=sig-of-the-test", b"content-of-the-test",
                           headers=RAW).status == 200
    written = collected(message="File write")
    assert (written["method"], written["path"], written["username"], written["logger"]) == \
        ("POST /files", path, "root", "envd")
    processing = collected(event_type="file_processing")
    assert processing["path"] == path and processing["level"] == "debug"
    assert processing["operation_id"] == written["operation_id"]
    assert sandbox.request("GET", where).status == 200
    read = collected(message="File read")
    assert (read["method"], read["path"], read["username"]) == ("GET /files", path, "root")
    assert "error" not in read and read["level"] == "info"
    for text in ("sig-of-the-test", "content-of-the-test"):
        assert text not in str(sandbox.mmds.lines)


def test_files_that_fail(sandbox, collected, tmp_path):
    path = str(tmp_path / "none")
    assert sandbox.request("GET", f"/files?path={path}").status == 404
    line = collected(message="File read")
    assert (line["level"], line["error_code"], line["path"]) == ("error", 404, path)
    assert "does not exist" in line["error"] and line["username"] == "root"
    assert sandbox.request("POST", f"/files?path={tmp_path}", b"x", headers=RAW).status >= 400
    line = collected(message="File write")
    assert line["level"] == "error" and line["error"] and line["path"] == str(tmp_path)


def test_compose(sandbox, collected, tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("abc")
    message = {"source_paths": [str(tmp_path / n) for n in "ab"], "destination": str(tmp_path / "c")}
    assert call(sandbox, "files/compose", message).status == 200
    line = collected(message="File compose completed")
    assert (line["path"], line["sources"], line["size"]) == (str(tmp_path / "c"), 2, 6)
    assert call(sandbox, "files/compose", message).status == 404
    line = collected(message="File compose")
    assert line["level"] == "error" and "not found" in line["error"]


def test_init_and_envs(sandbox, collected):
    assert sandbox.init(envVars={"NAME": "value-of-the-test"}, defaultUser="root",
                        defaultWorkdir="/tmp").status == 204
    assert sandbox.request("GET", "/envs").status == 200
    assert collected(message="init: 1 variables: NAME")["level"] == "debug"
    assert collected(message="init: default user root")["operation_id"]
    assert collected(message="init: default workdir /tmp")["operation_id"]
    assert collected(message="Getting env vars")["level"] == "debug"
    assert "value-of-the-test" not in str(sandbox.mmds.lines)


def test_init_that_is_no_json(sandbox, collected):
    assert sandbox.request("POST", "/init", b"{").status == 400
    assert collected(level="error")["message"].startswith("init: ")


def test_refused_requests(sandbox, collected):
    """A platform alarms on requests without the token, so they are told from other failures."""
    assert sandbox.request("GET", "/no/such/path").status == 404
    assert collected(method="GET /no/such/path")["level"] == "info"
    assert sandbox.init(accessToken="token").status == 204
    try:
        assert sandbox.request("GET", "/no/such/path", token="wrong").status == 401
        line = collected(level="error", method="GET /no/such/path")
        assert line["error_code"] == 401 and line["error"].startswith("unauthorized access")
    finally:
        # Only the metadata service can allow that a token goes.
        sandbox.mmds.hash_of("")
        assert sandbox.init().status == 204
        sandbox.mmds.data["accessTokenHash"] = ""


def test_collapse(sandbox, collected):
    answer = sandbox.request("POST", "/collapse")
    assert answer.status == 200
    line = collected(level="info", regions=answer.json()["regions"])
    for member, name in (("chunks", "chunks"), ("collapsed", "collapsed"), ("skipped", "skipped"),
                         ("already_huge", "alreadyHuge"), ("elapsed_ms", "elapsedMs")):
        assert line[member] == answer.json()[name]


def test_freeze(sandbox, collected):
    """The lines of a freeze belong to its request. They arrive although the queue is emptied."""
    assert sandbox.request("POST", "/freeze?maxWaitMs=5000").status == 200
    assert sandbox.request("POST", "/unfreeze").status == 204
    line = collected(unobservable=2)
    freeze = collected(method="POST /freeze")
    assert (line["level"], line["operation_id"]) == ("warn", freeze["operation_id"])


def test_forwarded_port(sandbox, collected):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = collected(message="Detected new local port", port=port)
        assert (found["logger"], found["level"]) == ("port-forwarder", "debug")
        assert (found["ip"], found["family"], found["state"]) == ("127.0.0.1", 4, "LISTEN")
        begun = collected(message="Started port forwarding", port=port)
        assert begun["family"] == 4 and begun["sourceIP"] == "169.254.0.21"
    assert collected(message="Stopped port forwarding", port=port)["sourceIP"] == "169.254.0.21"


def test_large_request_is_cut(sandbox, collected):
    """A line stays far below the 192 KiB at which it would be dropped."""
    args = ["-c", ":"] + ["x" * 3000] * 100
    answer = sandbox.request("POST", "/process.Process/Start",
                             envelope({"process": {"cmd": "/bin/sh", "args": args}}), headers=STREAM)
    assert answer.status == 200
    begin = collected(message="Process start (server stream start)")
    assert begin["request"]["process"]["args"][-1] == "..."
    assert len(json.dumps(begin)) < 64 * 1024
    assert len(collected(event_type="process_start")["command"]) <= 16 * 1024


def test_probes_log_nothing(sandbox, collected):
    sandbox.request("GET", "/health")
    sandbox.request("GET", "/metrics")
    sandbox.request("GET", "/envs")
    collected(message="Getting env vars")
    told = str(sandbox.mmds.lines)
    assert "/health" not in told and "/metrics" not in told
