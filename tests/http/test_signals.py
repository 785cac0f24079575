# SPDX-License-Identifier: Apache-2.0
"""The orderly end, and the report."""

import json
import os
import signal
import struct
import subprocess
import time

from wire import Wire, envelopes, request, rpc, stream_rpc

HEALTH = request("GET", "/health")


def start_sleep(wire, seconds="1000", **keywords):
    """Starts a process; returns its pid when the stream has said it."""
    wire.send(stream_rpc("process.Process/Start",
                         {"process": {"cmd": "sleep", "args": [seconds]}}, **keywords))
    assert wire.head().status == 200
    (_, message), = envelopes(wire.chunk())
    return message["event"]["start"]["pid"]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestTerm:
    def test_idle(self, other_daemon, connect):
        daemon = other_daemon()
        wire = connect(daemon.address)
        wire.send(HEALTH)
        assert wire.answer().status == 204
        start = time.monotonic()
        daemon.process.terminate()
        assert wire.closed()
        assert daemon.process.wait(5) == 0
        assert time.monotonic() - start < 2
        assert "ending" in daemon.log()

    def test_streams_end_and_processes_live(self, other_daemon, connect):
        daemon = other_daemon()
        wire = connect(daemon.address)
        pid = start_sleep(wire)
        try:
            daemon.process.terminate()
            data = b""
            while chunk := wire.chunk():
                data += chunk
            (flags, message), = envelopes(data)
            assert flags == 2
            assert message["error"]["code"] == "unavailable"
            assert daemon.process.wait(5) == 0
            assert is_alive(pid)
        finally:
            os.kill(pid, signal.SIGKILL)

    def test_no_new_connections(self, other_daemon, connect):
        daemon = other_daemon()
        wire = connect(daemon.address)
        head, _, body = rpc("filesystem.Filesystem/Stat", {"path": "/"}).partition(b"\r\n\r\n")
        wire.send(head + b"\r\n\r\n" + body[:3])
        # A connection with half a request keeps the daemon waiting a little.
        other = connect(daemon.address)
        other.send(HEALTH)
        assert other.answer().status == 204
        daemon.process.terminate()
        assert other.closed()
        try:
            Wire(daemon.address).close()
            raise AssertionError("a connection was taken")
        except ConnectionRefusedError:
            pass
        wire.close()
        assert daemon.process.wait(10) == 0

    def test_a_client_that_reads_nothing_does_not_keep_it(self, other_daemon, connect):
        daemon = other_daemon()
        wire = connect(daemon.address)
        wire.send(stream_rpc("process.Process/Start", {"process": {"cmd": "yes"}}))
        assert wire.head().status == 200
        (_, message), = envelopes(wire.chunk())
        try:
            daemon.process.terminate()
            assert daemon.process.wait(10) == 0
        finally:
            try:
                os.kill(message["event"]["start"]["pid"], signal.SIGKILL)
            except ProcessLookupError:
                pass  # by SIGPIPE


def test_usr1_tells_the_state(other_daemon, connect):
    daemon = other_daemon()
    wire = connect(daemon.address)
    pid = start_sleep(wire)
    daemon.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 5
    while f"process {pid}" not in daemon.log():
        assert time.monotonic() < deadline, daemon.log()
        time.sleep(0.01)
    log = daemon.log()
    for text in ("1 connections", "connections: 1 used", "streams: 1 used", "processes: 1 used",
                 "watchers: 0 used", "bytes: "):
        assert text in log
    os.kill(pid, signal.SIGKILL)


ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGUSR1,
          signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV,
          signal.SIGSYS, signal.SIGTRAP,
          # Not ends, but stops.
          signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


def test_other_signals_do_nothing(other_daemon, connect):
    """SIGHUP, which process 1 forwards, SIGUSR2, and every other signal whose default action is
    termination ended the daemon. Now signals that do not mean termination do nothing. Processes get the
    default actions."""
    daemon = other_daemon()
    for number in sorted(signal.valid_signals() - ENDING):
        daemon.process.send_signal(number)
    wire = connect(daemon.address)
    wire.send(HEALTH)
    assert wire.answer().status == 204
    pid = start_sleep(wire)
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        masks = dict(line.split(":\t") for line in status.read().splitlines() if "Sig" in line)
    assert int(masks["SigIgn"], 16) == 0
    os.kill(pid, signal.SIGKILL)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        return [int(child) for child in listed.read().split()]


def test_orphans_are_reaped_if_the_daemon_is_process_1(tmp_path, connect):
    """The daemon was the entry point of a container, without -init: processes whose parent had ended
    became its children, and remained zombies until the container ended."""
    path = tmp_path / "envd.sock"
    program = os.path.abspath(os.environ.get("ENVD", "build/envd"))
    unshare = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", program, "-isnotfc",
                                "-no-cgroups", "-listen", f"unix:{path}"],
                               stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(path.exists)
        (first,) = children(unshare.pid)
        (daemon,) = children(first)
        wire = connect(str(path))
        # The subshell ends at once, so the first sleeper is an orphan.
        wire.send(stream_rpc("process.Process/Start", {"process": {
            "cmd": "sh", "args": ["-c", "(sleep 1000 &); exec sleep 1000"]}}))
        assert wire.head().status == 200
        wait_for(lambda: len(children(first)) > 1)
        (orphan,) = set(children(first)) - {daemon}
        os.kill(orphan, signal.SIGKILL)
        wait_for(lambda: children(first) == [daemon])
        os.kill(first, signal.SIGTERM)
        assert unshare.wait(10) == 0
    finally:
        unshare.kill()
        unshare.wait()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestStreams:
    """What the connection means to a stream over it."""

    def test_half_close_is_going_away(self, wire):
        """The stream says so and ends; the process lives on."""
        pid = start_sleep(wire)
        wire.half_close()
        data = b""
        while chunk := wire.chunk():
            data += chunk
        (flags, message), = envelopes(data)
        assert (flags, message["error"]["code"]) == (2, "canceled")
        assert wire._line() == ""
        assert wire.closed()
        assert is_alive(pid)
        os.kill(pid, signal.SIGKILL)

    def test_half_close_at_once(self, wire, connect):
        """Who does not wait for the process gets it all the same."""
        wire.send(stream_rpc("process.Process/Start",
                             {"process": {"cmd": "sleep", "args": ["1000"]}, "tag": "at-once"}))
        wire.half_close()
        assert envelopes(wire.answer().body)[-1][1]["error"]["code"] == "canceled"
        self.kill_tagged(connect(), "at-once")

    def test_vanishing_at_once(self, wire, connect):
        wire.send(stream_rpc("process.Process/Start",
                             {"process": {"cmd": "sleep", "args": ["1000"]}, "tag": "vanished"}))
        wire.close()
        self.kill_tagged(connect(), "vanished")

    def kill_tagged(self, wire, tag):
        """Waits for a process with that tag, and kills it."""
        deadline = time.monotonic() + 5
        found = []
        while not found:
            assert time.monotonic() < deadline
            wire.send(rpc("process.Process/List", {}))
            found = [entry["pid"] for entry in wire.answer().json().get("processes", [])
                     if entry.get("tag") == tag]
        os.kill(found[0], signal.SIGKILL)

    def test_connection_goes_on_behind_a_stream(self, wire):
        for chunked in (False, True):
            wire.send(stream_rpc("process.Process/Start",
                                 {"process": {"cmd": "echo", "args": ["hi"]}}, chunked=chunked))
            answer = wire.answer()
            assert answer.status == 200
            messages = envelopes(answer.body)
            assert messages[-1][0] == 2 and "error" not in messages[-1][1]
            wire.send(HEALTH)
            assert wire.answer().status == 204

    def test_request_behind_a_stream_waits(self, wire):
        pid = start_sleep(wire)
        wire.send(HEALTH)
        assert wire.silent()
        os.kill(pid, signal.SIGTERM)
        data = b""
        while chunk := wire.chunk():
            data += chunk
        assert envelopes(data)[-1][0] == 2
        assert wire._line() == ""
        assert wire.answer().status == 204

    def test_http_1_0_stream_ends_with_the_connection(self, wire):
        text = stream_rpc("process.Process/Start", {"process": {"cmd": "echo", "args": ["hi"]}})
        wire.send(text.replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = wire.answer()
        assert answer.status == 200
        assert answer["Transfer-Encoding"] is None
        assert envelopes(answer.body)[-1][0] == 2

    def test_input_streams_while_it_is_sent(self, wire, connect):
        """A chunked request body is handed on piece by piece."""
        reader = connect()
        reader.send(stream_rpc("process.Process/Start",
                               {"process": {"cmd": "cat"}, "stdin": True}))
        assert reader.head().status == 200
        pid = envelopes(reader.chunk())[0][1]["event"]["start"]["pid"]
        wire.send(request("POST", "/process.Process/StreamInput",
                          "Content-Type: application/connect+json", "Transfer-Encoding: chunked"))

        def send(message):
            data = json.dumps(message).encode()
            data = struct.pack(">BI", 0, len(data)) + data
            wire.send(b"%x\r\n%s\r\n" % (len(data), data))

        send({"start": {"process": {"pid": pid}}})
        for text in ("b25lCg==", "dHdvCg=="):
            send({"data": {"input": {"stdin": text}}})
            (_, message), = envelopes(reader.chunk())
            assert message["event"]["data"]["stdout"] == text
        wire.send(b"0\r\n\r\n")
        answer = wire.answer()
        assert envelopes(answer.body)[-1] == (2, {})
        os.kill(pid, signal.SIGKILL)
