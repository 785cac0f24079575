# SPDX-License-Identifier: Apache-2.0
"""States of other versions of this daemon, and states that are wrong.

blobs/first.pb is the state of the first version that had /upgrade, kept.pb that of one which carries kept
output and start keys, and sums.pb that of one which carries the counters of /metrics. All name a reader, a
terminal with a deadline, and a poller; the later two an exit too. launch.py plays the daemon that wrote
them."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading

import protobuf_wire as protobuf
import pytest
from client import Failed
from conftest import ADDRESS, ENVD, FIRST_FD, NONE, PORT, Daemon, wait_for
from daemon import LOG_DIR
from protobuf_wire import BYTES, FIXED32, FIXED64, VARINT
from test_crash import is_free

HERE = os.path.dirname(os.path.abspath(__file__))
WHOLE = {**NONE, "procs": 2, "retained": 1, "watchers": 1}

SCHEMA, PROCESSES, TERMINATED, WATCHERS = 1, 3, 4, 5
PID, CONFIG, STDOUT, STDERR, STDIN, TTY = 1, 5, 6, 7, 8, 9
KEPT, SUMS = 1010, 1003

# The messages in a state, by the numbers of their fields.
MESSAGES = {PROCESSES: {CONFIG: {}, KEPT: {3: {}}}, TERMINATED: {4: {}, KEPT: {3: {}}}, WATCHERS: {5: {}},
            9: {}, 1000: {}, SUMS: {}, 1004: {}}


def stored(name):
    with open(os.path.join(HERE, "blobs", name), "rb") as file:
        return file.read()


def of_a_later_version(data, messages=MESSAGES):
    """Every message has fields of every wire type that no version knows, first and last."""
    fields = protobuf.decode(data)
    for field in fields:
        if field[0] in messages and field[1] == BYTES:
            field[2] = of_a_later_version(field[2], messages[field[0]])
    unknown = [[1900, VARINT, 1 << 63], [1901, FIXED64, bytes(8)], [1902, BYTES, b"\xff later"],
               [1903, FIXED32, bytes(4)], [123456, BYTES, b""]]
    return protobuf.encode(unknown + fields + unknown)


def each(state, number):
    """Lets a loop change the messages of one field."""
    for field in state:
        if field[0] == number:
            message = protobuf.decode(field[2])
            yield message
            field[2] = protobuf.encode(message)


@pytest.fixture
def launch(tmp_path):
    """Starts a daemon that takes over from launch.py."""
    daemons = []

    def start(blob, *flags, wrap=(), nofile=None, **more):
        state = protobuf.decode(blob)
        (tmp_path / "watched").mkdir(exist_ok=True)
        for watcher in each(state, WATCHERS):
            protobuf.put(watcher, 2, str(tmp_path / "watched").encode())
        path = tmp_path / "state"
        path.write_bytes(protobuf.encode(state))
        (tmp_path / "state.json").write_text(json.dumps(more))
        launcher = os.path.join(HERE, "launch.py")
        daemon = Daemon(*flags, command=[sys.executable, launcher, str(path), ENVD], wrap=wrap,
                        nofile=nofile)
        daemon.keeps_output = True
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.stop()


def report(daemon):
    return json.loads(daemon.init().headers["X-Envd-Handover"])


@pytest.mark.parametrize("later", [False, True], ids=["as stored", "with unknown fields"])
@pytest.mark.parametrize("name", ["first.pb", "kept.pb", "sums.pb"])
def test_a_state_of_another_version(launch, tmp_path, name, later):
    """An older version leaves fields out; a later one adds some, also where a fleet goes back to this
    version. Neither loses a process."""
    blob = stored(name)
    daemon = launch(of_a_later_version(blob) if later else blob)
    assert report(daemon) == {**WHOLE, "retained": name != "first.pb"}
    client = daemon.client
    assert {p["tag"] for p in client.list()} == {"reader", "terminal"}
    reader, terminal = client.connect(tag="reader"), client.connect(tag="terminal")
    client.send_input(reader.pid, b"two\n")
    reader.until("stdout", b"got two\n")
    client.close_stdin(reader.pid)
    assert reader.drain().end == {"exitCode": 7, "exited": True, "status": "exit status 7",
                                  "error": "exit status 7"}
    client.send_input(terminal.pid, b"tty; exit 5\n", "pty")
    assert terminal.drain().end["exitCode"] == 5
    assert b"/dev/pts/" in terminal.out["pty"]
    if name != "first.pb":
        assert client.connect(tag="ended").drain().end["exitCode"] == 9
    (watcher,) = [protobuf.get(protobuf.decode(value), 1).decode()
                  for n, _, value in protobuf.decode(blob) if n == WATCHERS]
    (tmp_path / "watched" / "after").mkdir()
    names = []

    def seen():
        names.extend(e["name"] for e in
                     daemon.watch("GetWatcherEvents", watcherId=watcher).get("events", []))
        return names[-1:] == ["after"]

    wait_for(seen)
    assert names[0] == "before"
    daemon.watch("RemoveWatcher", watcherId=watcher)
    assert client.start("sh", "-c", "echo $KEPT; pwd; id -un").drain().out["stdout"] == \
        b"yes\n/usr\nnobody\n"
    assert daemon.children() == []


def test_what_a_version_has_kept(launch):
    """Output that was kept, and the key of the start, are those of the version before. More bytes than
    this version keeps are no reason to keep none."""
    state = protobuf.decode(stored("kept.pb"))
    for process in each(state, PROCESSES):
        kept = protobuf.get(process, KEPT)
        if kept:
            kept = protobuf.decode(kept)
            protobuf.put(kept, 1, 1 << 40)
            protobuf.put(process, KEPT, protobuf.encode(kept))
    daemon = launch(protobuf.encode(state))
    assert report(daemon) == WHOLE
    again = daemon.client.stream("Connect", {"process": {"tag": "reader"}},
                                 headers={"X-Envd-From": "stdout=0"})
    pid = again.next()["start"]["pid"]
    again.until("stdout", b"got one\n")
    with pytest.raises(Failed, match="already_exists"):
        daemon.client.start("true", headers={"X-Envd-Start-Key": "key"})
    daemon.client.close_stdin(pid)
    again.drain()


# The counters of /metrics, by the numbers of their fields. Number 2 counts log lines, which are sent to a
# platform that is not there.
COUNTERS = ("requests", None, "processes_started", "process_start_failures", "oom_kills",
            "process_output_bytes", "freezes", "thaws", "thaws_by_watchdog")


def test_counters_of_a_version(launch):
    state = protobuf.decode(stored("sums.pb"))
    for sums in each(state, SUMS):
        for i in range(len(COUNTERS)):
            protobuf.put(sums, i + 1, 1000 * (i + 1))
    daemon = launch(protobuf.encode(state))
    report(daemon)
    found = daemon.metrics()
    for i, name in enumerate(COUNTERS):
        assert not name or 1000 * (i + 1) <= found[f"envd_{name}_total"] < 1000 * (i + 1) + 100
    assert found["envd_processes_started_total"] == 3000


# ---- states that are wrong ----

def test_a_state_that_is_refused(launch):
    """What could not be adopted is not held: its descriptors are closed, so a reader of stdin ends; and it
    is reaped when it ends. It stayed a zombie for as long as the daemon lived."""
    daemon = launch(stored("kept.pb"), tail="\x1a\x05\x08")
    assert max(daemon.numbers()) < FIRST_FD
    assert report(daemon) == {**NONE, "failed": True}
    wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")
    daemon.client.start("true").drain()


def descriptor(blob, number):
    """The number of a descriptor of the process with pipes."""
    for process in each(protobuf.decode(blob), PROCESSES):
        if protobuf.signed(protobuf.get(process, TTY)) < 0:
            return protobuf.get(process, number)
    return None


@pytest.mark.parametrize("lost", [STDOUT, STDERR, STDIN])
def test_a_descriptor_that_is_missing(launch, lost):
    blob = stored("kept.pb")
    daemon = launch(blob, close=[descriptor(blob, lost)])
    assert report(daemon) == {**WHOLE, "procs_failed": 1}
    assert [p["tag"] for p in daemon.client.list()] == ["terminal"]
    daemon.client.kill(daemon.client.list()[0]["pid"])
    # The other process reads the end of its input, and is reaped.
    for pid in daemon.children():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")


def test_a_descriptor_that_is_the_daemons_own(launch):
    """The state names a number that is not open, which the new daemon is about to give to a descriptor of its own:
    it adopted its epoll instance as the output of a process, and served nobody any more."""
    blob = stored("kept.pb")
    for own in range(3, 12):
        daemon = launch(blob, instead={str(descriptor(blob, STDOUT)): own})
        assert report(daemon) == {**WHOLE, "procs_failed": 1}
        daemon.client.start("true").drain()
        daemon.stop()


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "/dev/null"])
@pytest.mark.parametrize("taken", [STDOUT, STDIN])
def test_a_descriptor_that_is_no_pipe(launch, taken, path):
    """epoll(7) does not take a regular file or a directory."""
    blob = stored("kept.pb")
    daemon = launch(blob, open={str(descriptor(blob, taken)): path})
    assert report(daemon)["procs"] == 2
    daemon.client.start("true").drain()
    for pid in daemon.children():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")


def test_a_process_that_is_named_twice(launch):
    state = protobuf.decode(stored("kept.pb"))
    twin = next(value for n, _, value in state if n == PROCESSES)
    twin = protobuf.decode(twin)
    for field in (STDOUT, STDERR, STDIN, TTY):
        protobuf.put(twin, field, -1)
    state.append([PROCESSES, BYTES, protobuf.encode(twin)])
    daemon = launch(protobuf.encode(state))
    assert report(daemon) == {**WHOLE, "procs": 3, "procs_failed": 1}
    assert len(daemon.client.list()) == 2


def test_children_that_the_state_does_not_name(launch):
    """A mount(8) or iptables(8) that the old daemon was waiting for stayed a zombie."""
    daemon = launch(stored("kept.pb"), extra=3)
    assert report(daemon) == WHOLE
    strangers = set(daemon.children()) - {p["pid"] for p in daemon.client.list()}
    assert len(strangers) == 3
    assert daemon.replace()["procs"] == 2
    for pid in strangers:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not strangers & set(daemon.children()))


def test_more_processes_than_a_daemon_starts(launch):
    """E2B's envd has no limit of processes but its descriptors. Those beyond our limit were not adopted: their
    input ended, and with a sandbox of five hundred commands some were lost."""
    count = 150
    state = protobuf.decode(stored("kept.pb"))
    reader = next(value for n, _, value in state if n == PROCESSES)
    state = [field for field in state if field[0] != PROCESSES]
    for i in range(count):
        process = protobuf.decode(reader)
        protobuf.put(process, PID, 1000 + i)
        protobuf.put(process, 2, b"reader-%d" % i)
        for field, at in ((STDOUT, 0), (STDERR, 1), (STDIN, 2)):
            protobuf.put(process, field, FIRST_FD + 3 * i + at)
        process = [field for field in process if field[0] < 1000]
        state.append([PROCESSES, BYTES, protobuf.encode(process)])
    daemon = launch(protobuf.encode(state), nofile=(1024, 1024))
    assert report(daemon) == {**WHOLE, "procs": count}
    assert daemon.metrics()['envd_budget_limit{kind="processes"}'] < count
    with pytest.raises(Failed, match="resource_exhausted"):
        daemon.client.start("true")
    for process in daemon.client.list():
        daemon.client.kill(process["pid"])
    wait_for(lambda: not daemon.children(), lambda: f"an end of {len(daemon.children())}")
    daemon.client.start("true").drain()


EXITS = 10000


def test_ten_thousand_exits(launch):
    """A sandbox that has run a command every three milliseconds for half a minute."""
    state = protobuf.decode(stored("kept.pb"))
    (exit_,) = (protobuf.decode(value) for n, _, value in state if n == TERMINATED)
    state = [field for field in state if field[0] != TERMINATED]
    protobuf.put(exit_, 5, 600000)
    exit_ = [field for field in exit_ if field[0] < 1000]
    for i in range(EXITS):
        protobuf.put(exit_, PID, 100000 + i)
        protobuf.put(exit_, 2, b"exit-%d" % i)
        state.append([TERMINATED, BYTES, protobuf.encode(exit_)])
    daemon = launch(protobuf.encode(state))
    assert report(daemon) == {**WHOLE, "retained": EXITS}
    assert daemon.replace() == {**WHOLE, "retained": EXITS}
    for i in (0, EXITS - 1):
        assert daemon.client.connect(tag=f"exit-{i}").drain().end["exitCode"] == 9


def forwards(port):
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 20):
        return True
    return False


def test_a_port_that_another_has_bound(launch):
    """The sockets of E2B's envd close with the execve, and the next daemon has to bind the port. It ended
    if another had the port by then, and the sandbox with it. Later it bound the port at the next try, but
    did not know it for its own, and forwarded itself to the sandbox's address."""
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(ADDRESS)
        thief.listen()

        def leave():
            wait_for(lambda: os.path.exists(log) and "in use" in open(log, encoding="utf-8").read())
            thief.close()

        number = next(Daemon.count)
        log = os.path.join(LOG_DIR, f"upgrade-{number + 1}.log")
        leaving = threading.Thread(target=leave)
        leaving.start()
        daemon = launch(stored("kept.pb"), "-forward-ip", "127.0.0.2")
        leaving.join()
    assert report(daemon) == WHOLE
    with socket.create_server(("127.0.0.1", 0)) as program:
        # A scan since the daemon has its port.
        wait_for(lambda: forwards(program.getsockname()[1]), daemon.log)
        wait_for(lambda: not forwards(PORT), daemon.log)


def test_process_1_takes_over(launch):
    """E2B's envd as the entry point of a container is process 1. Ours forks in that place, so that
    process 1 can reap orphans: then the processes were no children of the daemon, and all were lost."""
    daemon = launch(stored("kept.pb"), wrap=("unshare", "--pid", "--mount", "--fork", "--kill-child",
                                             "--mount-proc"))
    assert report(daemon) == WHOLE
    reader = daemon.client.connect(tag="reader")
    daemon.client.close_stdin(reader.pid)
    assert reader.drain().end["exitCode"] == 7
    daemon.process.kill()
    daemon.process.wait()
    wait_for(is_free)  # its namespace ends a moment later
