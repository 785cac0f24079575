# SPDX-License-Identifier: Apache-2.0
"""Ours to ours: nothing that the wire can carry is lost."""

import json
import os
import signal
import subprocess

import pytest
from client import Failed
from conftest import CGROUP_ROOT, ENVD, NEXT, wait_for

NONE = {"failed": False, "procs": 0, "procs_failed": 0, "retained": 0, "retained_failed": 0,
        "watchers": 0, "watchers_failed": 0}


@pytest.mark.parametrize("program", [b"", ENVD], ids=["itself", "body"])
def test_nothing_to_carry(daemon, program):
    assert daemon.replace(program) == NONE
    with open(f"/proc/{daemon.pid}/cmdline", "rb") as line:
        words = line.read().split(b"\0")[:-1]
    assert words.count(b"--resume-handover") == 1
    assert not os.path.exists("/run/e2b/envd-handover.pb")


def test_a_process_goes_on(daemon):
    stream = daemon.client.start("sh", "-c", "while read line; do echo got $line; done; exit 7",
                                 tag="reader")
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "b25lCg=="}})
    stream.until("stdout", b"got one\n")
    assert daemon.replace() == {**NONE, "procs": 1}
    (listed,) = daemon.client.call("List", {})["processes"]
    assert (listed["pid"], listed["tag"], listed["config"]["cmd"]) == (stream.pid, "reader", "sh")
    again = daemon.client.stream("Connect", {"process": {"tag": "reader"}})
    assert again.next()["start"]["pid"] == stream.pid
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "dHdvCg=="}})
    again.until("stdout", b"got two\n")
    daemon.client.call("CloseStdin", {"process": {"pid": stream.pid}})
    again.drain()
    assert again.end == {"exitCode": 7, "exited": True, "status": "exit status 7",
                         "error": "exit status 7"}
    assert daemon.children() == []


def test_output_in_the_pipe_is_not_lost(daemon):
    """Numbered lines, while the daemon is replaced ten times: each number is there once for the
    reader that is connected when it is written; none is written while nobody can read it later."""
    stream = daemon.client.start("sh", "-c", "read x; for i in $(seq 1000); do echo $i; done",
                                 tag="lines")
    for _ in range(10):
        assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "lines"}})
    again.next()
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "Cg=="}})
    again.drain()
    assert again.out["stdout"].split() == [b"%d" % i for i in range(1, 1001)]


def test_kept_output_is_complete(daemon):
    """A client that counts what it has misses no byte over an upgrade, whatever was under way."""
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo line $i; done; exec sleep 1000"
    stream = daemon.client.start("sh", "-c", script, tag="counted",
                                 headers={"X-Envd-Keep-Output": "1000000"})
    expected = b"".join(b"line %d\n" % i for i in range(1, 3001))
    got = stream.out["stdout"]
    for _ in range(5):
        assert daemon.replace()["procs"] == 1
        again = daemon.client.stream("Connect", {"process": {"tag": "counted"}},
                                     headers={"X-Envd-From": f"stdout={len(got)}"})
        again.next()
        if len(got) < len(expected):
            again.next()
        got += again.out["stdout"]
        again.close()
    again = daemon.client.stream("Connect", {"process": {"tag": "counted"}},
                                 headers={"X-Envd-From": f"stdout={len(got)}"})
    again.next()
    while len(got) + len(again.out["stdout"]) < len(expected):
        again.next()
    assert got + again.out["stdout"] == expected


def test_kept_output_of_an_exit_and_start_keys(daemon):
    headers = {"X-Envd-Keep-Output": "1000", "X-Envd-Keep-For": "600", "X-Envd-Start-Key": "once"}
    ended = daemon.client.start("sh", "-c", "echo out; echo err >&2; exit 4",
                                headers=headers).drain()
    lives = daemon.client.start("sleep", "1000", headers={**headers, "X-Envd-Start-Key": "twice"})
    assert daemon.replace() == {**NONE, "procs": 1, "retained": 1}
    again = daemon.client.start("sh", "-c", "echo out; echo err >&2; exit 4",
                                headers=headers).drain()
    assert (again.pid, again.out, again.end) == (ended.pid, ended.out, ended.end)
    again = daemon.client.start("sleep", "1000", headers={**headers, "X-Envd-Start-Key": "twice"})
    assert again.pid == lives.pid
    with pytest.raises(Failed, match="already_exists"):
        daemon.client.start("sleep", "999", headers={**headers, "X-Envd-Start-Key": "twice"})


def test_a_terminal_goes_on(daemon):
    stream = daemon.client.start("sh", pty={"size": {"cols": 80, "rows": 24}}, tag="terminal")
    stream.until("pty", b"#")
    assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "terminal"}})
    again.next()
    daemon.client.call("Update", {"process": {"tag": "terminal"},
                                  "pty": {"size": {"cols": 132, "rows": 50}}})
    daemon.client.call("SendInput", {"process": {"tag": "terminal"},
                                     "input": {"pty": "c3R0eSBzaXplCmV4aXQgMwo="}})
    again.drain()
    assert b"50 132" in again.out["pty"]
    assert again.end["exitCode"] == 3


def test_an_exit_is_still_known(daemon):
    stream = daemon.client.start("sh", "-c", "exit 9").drain()
    killed = daemon.client.start("sleep", "1000")
    os.kill(killed.pid, signal.SIGSEGV)
    killed.drain()
    assert daemon.replace() == {**NONE, "retained": 2}
    for before in (stream, killed):
        again = daemon.client.stream("Connect", {"process": {"pid": before.pid}}).drain()
        assert again.end == before.end


def test_a_process_that_ended_meanwhile(daemon):
    """Its leader is a zombie when the next daemon finds it."""
    stream = daemon.client.start("sh", "-c", "sleep 1000 & echo ready; exec sleep 1001",
                                 tag="leader").until("stdout", b"ready")
    os.kill(stream.pid, signal.SIGKILL)
    wait_for(lambda: open(f"/proc/{stream.pid}/stat").read().split(")")[1].split()[0] == "Z")
    assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "leader"}})
    again.next()
    daemon.client.call("SendSignal", {"process": {"tag": "leader"}, "signal": "SIGNAL_SIGKILL"})
    again.drain()
    assert again.end["status"] == "signal: killed"
    wait_for(lambda: not daemon.children())


def test_a_deadline_counts_from_the_thaw(daemon):
    stream = daemon.client.start("sleep", "1000", tag="short", headers={"Connect-Timeout-Ms": "2000"})
    assert daemon.upgrade() is None
    wait_for(daemon.is_healthy)
    assert os.path.exists(f"/proc/{stream.pid}")
    daemon.init()
    wait_for(lambda: not os.path.exists(f"/proc/{stream.pid}"))


@pytest.mark.parametrize("scope", ["leader", "session", "tree"])
def test_a_kill_reaches_as_far_as_before(daemon, scope):
    """`tree` needs the process' own cgroup, which the next daemon must not take for a stale one."""
    stream = daemon.client.start(
        "sh", "-c", "setsid sleep 4242 & sleep 4242 & echo ready; wait", tag="family",
        headers={"X-Envd-Kill-Scope": scope})
    stream.until("stdout", b"ready")
    assert daemon.replace()["procs"] == 1

    def is_sleep(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                return line.read() == b"sleep\0004242\0"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def alive():
        return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_sleep(pid)}

    wait_for(lambda: len(alive()) == 2)
    daemon.client.call("SendSignal", {"process": {"tag": "family"}, "signal": "SIGNAL_SIGKILL"})
    wait_for(lambda: len(alive()) == {"leader": 2, "session": 1, "tree": 0}[scope])
    for pid in alive():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive())


def test_a_poller_misses_nothing(daemon, tmp_path):
    def call(method, message):
        answer = daemon.request("POST", f"/filesystem.Filesystem/{method}", json.dumps(message),
                                {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    watcher = call("CreateWatcher", {"path": str(tmp_path), "recursive": True,
                                     "includeEntry": True})["watcherId"]
    (tmp_path / "before").mkdir()
    assert daemon.replace() == {**NONE, "watchers": 1}
    (tmp_path / "before" / "after").write_text("x")
    events = []

    def have():
        events.extend(call("GetWatcherEvents", {"watcherId": watcher}).get("events", []))
        return any(e["name"] == "before/after" for e in events)

    wait_for(have)
    assert events[0]["name"] == "before" and events[0]["type"] == "EVENT_TYPE_CREATE"
    assert events[0]["entry"]["path"] == str(tmp_path / "before")
    call("RemoveWatcher", {"watcherId": watcher})


def test_variables_and_defaults(daemon):
    daemon.init(envVars={"KEPT": "yes"}, defaultUser="nobody", defaultWorkdir="/usr")
    daemon.replace()
    assert daemon.client.start("sh", "-c", "echo $KEPT; pwd; id -un").drain().out["stdout"] == \
        b"yes\n/usr\nnobody\n"


def test_the_gate_is_closed_until_an_init(daemon):
    assert daemon.upgrade() is None
    wait_for(daemon.is_healthy)
    for method, path in (("GET", "/envs"), ("POST", "/upgrade"), ("GET", "/metrics"),
                         ("POST", "/process.Process/List"), ("GET", "/files")):
        answer = daemon.request(method, path)
        assert answer.status == 401
        assert json.loads(answer.body) == {"code": 401, "message": "envd not initialized"}
    daemon.init()
    assert daemon.request("GET", "/envs").status == 200


def test_a_token_protects_the_upgrade(daemon):
    daemon.init(accessToken="secret")
    assert daemon.upgrade().status == 401
    assert daemon.upgrade(headers={"X-Access-Token": "secret"}) is None
    wait_for(daemon.is_healthy)
    assert daemon.request("GET", "/envs").status == 401
    assert daemon.init(accessToken="secret").status == 204


def test_a_hundred_in_a_row(daemon):
    """Descriptors, children and memory stay what they are."""
    stream = daemon.client.start("cat", tag="cat")
    daemon.replace()
    descriptors = stable_descriptors(daemon)
    pages = None
    for i in range(100):
        assert daemon.replace()["procs"] == 1
        if i == 20:
            pages = resident(daemon)
    wait_for(lambda: len(daemon.descriptors()) == len(descriptors))
    assert resident(daemon) < pages * 1.2
    assert daemon.children() == [stream.pid]


def stable_descriptors(daemon):
    """Those that the daemon has while no connection is open."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        assert table.readline()
    wait_for(lambda: not any(line.split()[3] == "01" for line in open("/proc/net/tcp")))
    return daemon.descriptors()


def resident(daemon):
    with open(f"/proc/{daemon.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1])


def test_clients_wait_and_are_not_refused(daemon):
    """The listening sockets are handed over as well: no connection is refused in between."""
    for _ in range(20):
        assert daemon.upgrade() is None
        assert daemon.request("GET", "/health").status == 204
        daemon.init()


# ---- what leaves the old daemon serving ----

def serves_on(daemon, pid):
    assert daemon.process.poll() is None
    daemon.client.call("List", {})
    (listed,) = daemon.client.call("List", {})["processes"]
    assert listed["pid"] == pid
    with open(f"/proc/{daemon.pid}/cmdline", "rb") as line:
        assert b"resume-handover" not in line.read()
    assert max(daemon.descriptors()) < 200


@pytest.fixture
def echo(daemon):
    stream = daemon.client.start("cat", tag="cat")
    yield stream
    daemon.client.call("SendInput", {"process": {"tag": "cat"}, "input": {"stdin": "YWdhaW4K"}})
    stream.until("stdout", b"again\n")  # the same stream, which was never cut
    serves_on(daemon, stream.pid)


def own_program():
    with open(ENVD, "rb") as file:
        return file.read()


@pytest.mark.parametrize("body,status,text", [
    (b"#!/bin/sh\nexit 0\n", 400, "the body is not an ELF file\n"),
    (b"\x7fELF", 400, "the body is not an ELF file\n"),
    ("half", 400, "the body is cut short\n"),
    ("other machine", 400, "the body is a program of another architecture\n"),
    ("true", 400, "the new program refuses its flags"),
])
def test_a_body_that_is_no_program_of_ours(daemon, echo, body, status, text):
    if body == "half":
        body = own_program()[:-4096]
    elif body == "other machine":
        body = own_program()
        body = body[:18] + b"\x28\x00" + body[20:]
    elif body == "true":
        body = "/usr/bin/true"
    answer = daemon.upgrade(body)
    assert answer.status == status
    assert answer.body.decode().startswith(text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_body_that_is_cut_short(daemon, echo):
    import socket
    from conftest import PORT
    with socket.create_connection(("127.0.0.1", PORT)) as connection:
        connection.sendall(b"POST /upgrade HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
                           + b"\x7fELF" * 100)
    wait_for(lambda: "unexpected EOF" in daemon.log())
    assert daemon.upgrade(b"x").status == 400


def test_a_disk_that_is_full(daemon, echo):
    """/usr/bin/envd.next lies on a tmpfs without room."""
    import subprocess
    from conftest import WORLD
    subprocess.run(["mount", "-o", "remount,size=1m", WORLD], check=True)
    try:
        answer = daemon.upgrade(ENVD)
    finally:
        subprocess.run(["mount", "-o", "remount,size=50%", WORLD], check=True)
    assert answer.status == 500
    assert answer.body == b"write /usr/bin/envd.next: no space left on device\n"
    assert not os.path.exists(NEXT)


def test_a_workload_that_does_not_freeze(daemon, echo):
    """One of the two cgroups is missing, so nobody knows whether all terminals have stopped."""
    os.rmdir(f"{CGROUP_ROOT}/ptys")
    try:
        answer = daemon.upgrade()
    finally:
        os.mkdir(f"{CGROUP_ROOT}/ptys")
    assert answer.status == 500
    assert answer.body.startswith(b"handover aborted: freeze workload: ")
    assert not os.path.exists("/run/e2b/envd-handover.pb")


def test_a_fifo_in_place_of_the_blob(daemon):
    """The open of a FIFO waits for a reader: the worker hung, and every later upgrade got 409."""
    os.makedirs("/run/e2b", exist_ok=True)
    os.mkfifo("/run/e2b/envd-handover.pb")
    assert daemon.upgrade() is None
    wait_for(lambda: not os.path.exists("/run/e2b/envd-handover.pb"))


def test_a_blob_that_cannot_be_written(daemon, echo):
    os.mkdir("/run/e2b/envd-handover.pb")
    try:
        answer = daemon.upgrade()
    finally:
        os.rmdir("/run/e2b/envd-handover.pb")
    assert answer.status == 500
    assert b"envd-handover.pb" in answer.body


def test_no_upgrade(request):
    from conftest import Daemon
    daemon = Daemon("-no-upgrade")
    daemon.init()
    assert daemon.upgrade().status == 501
    daemon.stop()


def test_two_at_once_and_too_early(request):
    from conftest import Daemon
    daemon = Daemon()
    answer = daemon.upgrade()
    assert (answer.status, answer.body) == (409, b"envd not initialized\n")
    daemon.init()
    assert daemon.upgrade(headers={"X-Envd-Upgrade-Bin": "/usr/bin/envd"}).status == 400
    daemon.stop()


# ---- a blob that can't be read ----

@pytest.mark.parametrize("blob", [b"\x08\x04", b"\xff\xff\xff", b"\x1a\x05\x08"],
                         ids=["newer schema", "no protobuf", "cut short"])
def test_a_bad_blob(blob):
    from conftest import Daemon
    os.makedirs("/run/e2b", exist_ok=True)
    with open("/run/e2b/envd-handover.pb", "wb") as file:
        file.write(blob)
    daemon = Daemon("-resume-handover")
    answer = daemon.init()
    assert json.loads(answer.headers["X-Envd-Handover"]) == {**NONE, "failed": True}
    assert not os.path.exists("/run/e2b/envd-handover.pb")
    daemon.stop()


def test_a_state_that_names_a_stranger():
    """The state of a handover is a file: a process that is no child of the daemon is not adopted, nor
    is the daemon itself, and the listening socket is no process' output."""
    from conftest import Daemon
    stranger = subprocess.Popen(["sleep", "1000"])
    os.makedirs("/run/e2b", exist_ok=True)

    def number(field, value):
        out, value = bytes([field << 3]), value & (1 << 64) - 1
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    process = number(1, stranger.pid) + b"".join(number(f, -1) for f in (6, 7, 8, 9))
    with open("/run/e2b/envd-handover.pb", "wb") as file:
        file.write(b"\x08\x01\x1a" + bytes([len(process)]) + process)
    daemon = Daemon("-resume-handover")
    report = json.loads(daemon.init().headers["X-Envd-Handover"])
    assert report == {**NONE, "procs": 1, "procs_failed": 1}
    assert not daemon.client.call("List", {}).get("processes")
    daemon.stop()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_fifo_for_the_state():
    """A FIFO in the place of the state held the daemon up before it served."""
    from conftest import Daemon
    os.makedirs("/run/e2b", exist_ok=True)
    os.mkfifo("/run/e2b/envd-handover.pb")
    daemon = Daemon("-resume-handover")
    assert json.loads(daemon.init().headers["X-Envd-Handover"])["failed"] is True
    daemon.stop()


def test_unknown_process_is_refused_and_others_live(daemon):
    with pytest.raises(Failed):
        daemon.client.call("SendSignal", {"process": {"pid": 1}, "signal": "SIGNAL_SIGTERM"})


# ---- the command ----

def command(*args):
    return subprocess.run([ENVD, "upgrade", *args], capture_output=True, text=True, timeout=60)


def test_the_command_says_what_was_carried(daemon, tmp_path):
    assert daemon.init(accessToken='correct-horse').status == 204
    assert daemon.request('GET', '/envs').status == 401
    token = tmp_path / "token"
    token.write_text('correct-horse\n')
    done = command(ENVD)
    assert done.returncode == 1
    assert "the daemon goes on as before: " in done.stderr and "unauthorized" in done.stderr
    done = command(ENVD, "--to", "tcp:127.0.0.1:49983", "--token-file", str(token))
    assert (done.returncode, done.stderr) == (0, "")
    assert '"failed":false' in done.stdout and done.stdout.startswith("version 0.9.1+c1,")


def test_the_command_says_why_not(daemon):
    done = command("/usr/bin/true")
    assert done.returncode == 1
    assert done.stderr.startswith("envd upgrade: the daemon goes on as before: "
                                  "the new program refuses its flags")
    assert command("/nonexistent").returncode == 1
    assert command().returncode == 2
    assert command(ENVD, "--to", "nowhere").returncode == 2
