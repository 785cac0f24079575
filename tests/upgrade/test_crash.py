# SPDX-License-Identifier: Apache-2.0
"""A crash of the daemon costs its streams and nothing else, if a parent keeps what is to outlive it."""

import base64
import contextlib
import os
import signal
import socket

import pytest
from conftest import ADDRESS, BLOB, ENVD, PORT, Client, Daemon, compiled, wait_for
from kept import offsets

STATE_DIRECTORIES = ("/run/envd", "/dev/shm/envd")  # the defaults of -init


def is_daemon(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe") == ENVD
    except OSError:
        return False  # it has ended


def is_free():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
            probe.listen()
        except OSError:
            return False
        return True


class Below(Daemon):
    """A daemon below process 1 of its own process namespace (-init)."""

    def __init__(self, *flags):
        super().__init__("-init", *flags, wrap=("unshare", "--pid", "--mount", "--uts", "--fork", "--kill-child",
                                        "--mount-proc"))
        self.pid = self.daemon()

    def first(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as listed:
            return int(listed.read())

    def daemon(self):
        """The child of process 1 that is called like it; orphans are its children too."""
        with open(f"/proc/{self.first()}/task/{self.first()}/children") as listed:
            found = [int(pid) for pid in listed.read().split() if is_daemon(pid)]
        return found[0] if len(found) == 1 else None

    def crash(self):
        before = self.daemon()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.daemon() not in (None, before))
        wait_for(self.answers)

    def stop(self):
        self.process.kill()
        self.process.wait(20)
        # The rest of its namespace ends a moment later, and only then is the port free.
        wait_for(is_free)
        # The next test's daemon is another machine's: it has had no token.
        for directory in STATE_DIRECTORIES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/token")
        log = self.log()
        assert "Sanitizer" not in log and "runtime error" not in log, log


@pytest.fixture
def below():
    daemon = Below()
    daemon.init()
    yield daemon
    daemon.stop()


def send(daemon, tag, kind, data):
    daemon.client.call("SendInput", {"process": {"tag": tag},
                                     "input": {kind: base64.b64encode(data).decode()}})


def connect(daemon, tag):
    stream = daemon.client.stream("Connect", {"process": {"tag": tag}})
    stream.next()
    return stream


def test_processes_outlive_the_daemon(below):
    """`kill -9` of the daemon: every process was lost, with its pipes."""
    cat = below.client.start("cat", tag="cat")
    below.client.start("sh", pty={"size": {"cols": 80, "rows": 24}}, tag="terminal")
    for round in range(5):
        below.crash()
        listed = below.client.call("List", {})["processes"]
        assert {p["tag"] for p in listed} == {"cat", "terminal"}
        assert cat.pid in {p["pid"] for p in listed}
        stream = connect(below, "cat")
        send(below, "cat", "stdin", b"round %d\n" % round)
        stream.until("stdout", b"round %d\n" % round)
        stream.close()
    stream = connect(below, "terminal")
    send(below, "terminal", "pty", b"stty size; exit 5\n")
    stream.drain()
    assert b"24 80" in stream.out["pty"]
    # No other process has its stdin open any more: it reads an end of file.
    stream = connect(below, "cat")
    below.client.call("CloseStdin", {"process": {"tag": "cat"}})
    stream.drain()
    assert not below.client.call("List", {}).get("processes")


def test_process_1_does_not_read(below):
    """While process 1 did not read, each message for it waited in the daemon with duplicates of its descriptors:
    eight of a process instead of four, and those of ended processes too. What process 1 could not take waits in
    the table of processes, and process 1 gets it when it reads again."""
    os.kill(below.first(), signal.SIGSTOP)
    # The sender's buffer of a socketpair holds some 280 messages, two for each process.
    pids = [below.client.start("cat", tag=f"cat {i}").pid for i in range(170)]
    descriptors = f"/proc/{below.daemon()}/fd"
    before = len(os.listdir(descriptors))
    more = [below.client.start("cat", tag=f"more {i}") for i in range(20)]
    # A pidfd, three pipes and the connection of each one's stream.
    assert len(os.listdir(descriptors)) <= before + 5 * len(more)
    gone = {more[i].pid for i in range(10)}
    for pid in gone:
        below.client.call("SendSignal", {"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"})
    pids += [start.pid for start in more if start.pid not in gone]
    wait_for(lambda: {p["pid"] for p in below.client.call("List", {})["processes"]} == set(pids))
    os.kill(below.first(), signal.SIGCONT)
    first_holds = f"/proc/{below.first()}/fd"
    wait_for(lambda: len(os.listdir(first_holds)) >= 5 * len(pids))
    below.crash()
    assert {p["pid"] for p in below.client.call("List", {})["processes"]} == set(pids)
    stream = connect(below, "more 19")
    send(below, "more 19", "stdin", b"still here\n")
    stream.until("stdout", b"still here\n")
    below.client.call("CloseStdin", {"process": {"tag": "more 19"}})
    stream.drain()


class Manager:
    """A service manager that keeps descriptors, as systemd does: sd_notify(3), FDSTORE."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.kept = []  # names and descriptors

    def read(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                text, fds, _, _ = socket.recv_fds(self.socket, 4096, 8)
                lines = dict(line.split("=", 1) for line in text.decode().splitlines())
                self.kept += [(lines["FDNAME"], fd) for fd in fds]

    def environment(self):
        """In the child: the kept descriptors from number 3 on."""
        above = [os.dup2(fd, 500 + i) for i, (_, fd) in enumerate(self.kept)]
        for i, fd in enumerate(above):
            os.dup2(fd, 3 + i)
        os.environ.clear()
        os.environ.update(Daemon.environment, NOTIFY_SOCKET=self.path, LISTEN_PID=str(os.getpid()),
                          LISTEN_FDS=str(len(self.kept)), LISTEN_FDNAMES=":".join(name for name, _ in self.kept))

    def start(self, *flags):
        self.read()
        pid = os.fork()
        if pid == 0:
            self.environment()
            os.execv(ENVD, ["envd", *Daemon.flags, "-state-dir", "/run/envd", *flags])
        return pid


def test_a_port_that_is_taken_after_a_crash(tmp_path):
    """Nobody held the port while the daemon was down, and a process of the guest bound it. The next daemon ended
    with 1, again and again, and the processes that it had been handed were lost. It lives now, adopts them, and
    tries the port again."""
    manager = Manager(tmp_path)
    other = str(tmp_path / "other.sock")
    flags = ("-listen", f"tcp:127.0.0.1:{PORT}", "-listen", f"unix:{other}")
    pids = [manager.start(*flags)]
    client = Client(ADDRESS)
    try:
        wait_for(lambda: answers(client))
        cat = client.start("cat", tag="cat")
        wait_for(lambda: manager.read() or len(manager.kept) >= 5)
        os.kill(pids[0], signal.SIGKILL)
        os.waitpid(pids.pop(), 0)
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", PORT))
            squatter.listen()
            pids.append(manager.start(*flags))
            assert [p["pid"] for p in wait_for(lambda: listed_over(other))] == [cat.pid]
        wait_for(lambda: answers(client))
        assert [p["pid"] for p in client.call("List", {})["processes"]] == [cat.pid]
        client.call("SendSignal", {"process": {"tag": "cat"}, "signal": "SIGNAL_SIGKILL"})
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for _, fd in manager.kept:
            os.close(fd)
        manager.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/run/envd/token")


def answers(client):
    try:
        return client.request("GET", "/health").status == 204
    except OSError:
        return False


def listed_over(path):
    client = Client(path)
    return answers(client) and client.call("List", {}).get("processes")


def test_an_audit_file_that_no_longer_opens(tmp_path):
    """After a crash, too, the daemon ended with 2 when it could not open its audit file, again and again,
    and nobody reached the processes any more."""
    (tmp_path / "logs").mkdir()
    daemon = Below("-audit", str(tmp_path / "logs" / "audit"))
    try:
        daemon.init()
        cat = daemon.client.start("cat", tag="cat")
        (tmp_path / "logs").rename(tmp_path / "gone")
        daemon.crash()
        assert [p["pid"] for p in daemon.client.call("List", {})["processes"]] == [cat.pid]
        assert "audit: no such file or directory" in daemon.log()
    finally:
        daemon.stop()


def test_stdin_is_closed_although_the_parent_had_it(below):
    """While process 1 keeps the pipe, the process reads no end of file."""
    stream = below.client.start("cat", tag="cat")
    below.client.call("CloseStdin", {"process": {"tag": "cat"}})
    stream.drain()
    assert stream.end["status"] == "exit status 0"


def test_output_that_was_in_the_pipe(below):
    below.client.start("sh", "-c", "read x; seq 1000; read x", tag="lines").close()
    below.crash()
    stream = connect(below, "lines")
    send(below, "lines", "stdin", b"\n")
    stream.until("stdout", b"\n1000\n")
    assert stream.out["stdout"].split() == [b"%d" % i for i in range(1, 1001)]


@pytest.mark.parametrize("upgraded", [False, True])
def test_offsets_after_a_crash(below, upgraded):
    """The outputs were counted from 0 again, or from the number at the upgrade before. A client that
    resumed at its offset skipped as many bytes, and nothing told it."""
    below.client.start("sh", "-c", "echo first; read x; printf 0123456789abcdef; read x", tag="kept",
                       headers={"X-Envd-Keep-Output": "65536"}).until("stdout", b"first\n").close()
    if upgraded:
        below.replace()
    below.crash()
    connect(below, "kept").close()
    send(below, "kept", "stdin", b"\n")
    begins = []
    for _ in range(2):
        stream = below.client.stream("Connect", {"process": {"tag": "kept"}},
                                     headers={"X-Envd-From": "stdout=6"})
        stream.until("stdout", b"0123456789abcdef").close()
        assert stream.out["stdout"] == b"0123456789abcdef"
        begins.append(offsets(stream)["stdout"])
    assert begins[0] == begins[1] > 22
    # A client goes on from there as from any offset, and the next crash leads further.
    late = below.client.stream("Connect", {"process": {"tag": "kept"}},
                               headers={"X-Envd-From": f"stdout={begins[0] + 10}"})
    late.until("stdout", b"abcdef").close()
    assert late.out["stdout"] == b"abcdef"
    below.crash()
    again = below.client.stream("Connect", {"process": {"tag": "kept"}},
                                headers={"X-Envd-From": f"stdout={begins[0] + 16}"})
    assert offsets(again)["stdout"] > begins[0] + 16
    again.close()


def test_a_crash_after_an_upgrade_with_much_kept(below):
    """After an upgrade, the description of a process for the parent had all of its kept output, although
    that is dropped after a crash. The parent kept it in memory, and with 64 MiB of it the description was
    longer than the next daemon accepts: the process was lost."""
    size = 64 << 20
    below.client.start("sh", "-c", f"head -c {size} /dev/zero; read x; echo again; read x", tag="much",
                       headers={"X-Envd-Keep-Output": str(size)}).close()

    def is_kept():
        stream = below.client.connect(tag="much", headers={"X-Envd-From": "stdout=0"})
        stream.close()
        return offsets(stream, "X-Envd-Written")["stdout"] == size

    wait_for(is_kept, "the output")
    below.replace()
    below.crash()
    stream = connect(below, "much")
    send(below, "much", "stdin", b"\n")
    stream.until("stdout", b"again\n").close()


def test_a_kill_scope_and_a_freeze(below):
    """A freeze that was in effect is found, and starts are refused until a thaw."""
    from client import Failed
    below.client.start("sh", "-c", "sleep 1000 & wait", tag="tree",
                       headers={"X-Envd-Kill-Scope": "tree"}).close()
    assert below.request("POST", "/freeze?maxWaitMs=2000").status == 200
    below.crash()
    with pytest.raises(Failed, match="unavailable"):
        below.client.start("true")
    below.init()
    below.client.start("true").drain()
    stream = connect(below, "tree")
    below.client.call("SendSignal", {"process": {"tag": "tree"}, "signal": "SIGNAL_SIGKILL"})
    stream.drain()
    wait_for(lambda: not below.client.call("List", {}).get("processes"))


def test_a_deadline_begins_anew(below):
    stream = below.client.start("sleep", "1000", tag="short", headers={"Connect-Timeout-Ms": "1500"})
    below.crash()
    wait_for(lambda: not below.client.call("List", {}).get("processes"))
    stream.close()


def test_nothing_is_left_in_the_store(below):
    def kept():
        return len(os.listdir(f"/proc/{below.first()}/fd"))

    before = kept()
    for _ in range(50):
        below.client.start("true").drain()
    cats = [below.client.start("cat", tag=f"cat-{i}") for i in range(10)]
    wait_for(lambda: kept() >= before + 10 * 5)
    for i in range(10):
        below.client.call("CloseStdin", {"process": {"tag": f"cat-{i}"}})
        cats[i].drain()
    wait_for(lambda: kept() == before)


def test_an_upgrade_and_then_a_crash(below):
    below.client.start("cat", tag="cat").close()
    assert below.replace()["procs"] == 1
    below.crash()
    stream = connect(below, "cat")
    send(below, "cat", "stdin", b"still\n")
    stream.until("stdout", b"still\n")
    below.client.call("CloseStdin", {"process": {"tag": "cat"}})
    stream.drain()


def test_what_the_store_has_to_drop(below):
    """The names of ended processes that process 1 had not yet been told to drop were forgotten by an upgrade: it
    kept their descriptors for good, and after a crash the daemon took them for processes that outlived it."""
    def kept():
        return len(os.listdir(f"/proc/{below.first()}/fd"))

    before = kept()
    os.kill(below.first(), signal.SIGSTOP)
    # The sender's buffer of a socketpair holds some 280 messages, two for each process.
    pids = [below.client.start("cat").pid for _ in range(150)]
    for pid in pids:
        below.client.kill(pid)
    wait_for(lambda: not below.client.list())
    assert below.replace()["procs"] == 0
    os.kill(below.first(), signal.SIGCONT)
    # Process 1 gets the descriptors of a new process after everything before.
    last = below.client.start("sh", "-c", "readlink /proc/self/fd/0; exec cat").until("stdout", b"\n")
    stdin = last.out["stdout"].decode().strip()

    def has():
        fds = f"/proc/{below.first()}/fd"
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            return any(os.readlink(f"{fds}/{fd}") == stdin for fd in os.listdir(fds))
        return False

    wait_for(has, f"{stdin} in process 1")
    assert kept() == before + 5
    below.crash()
    assert "\n1 processes outlived" in below.log()


DIES = r"""
#include <stdio.h>
#include <string.h>

/* A program that passes the check, and ends as soon as it is to serve. */
int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strcmp(argv[i], "-version") == 0 || strcmp(argv[i], "-build") == 0)
			return puts("0.9.1+c1") < 0;
	return 3;
}
"""


def test_a_new_program_that_dies(below):
    """Process 1 starts the daemon from before the upgrade again. It finds the processes, and the freeze,
    which the next /init ends."""
    below.client.start("cat", tag="cat").close()
    before = below.daemon()
    assert below.upgrade(compiled(DIES)) is None
    wait_for(lambda: below.daemon() not in (None, before))
    wait_for(below.answers)
    # Nobody has read it, and it stayed, with the variables and the kept output of clients.
    assert not os.path.exists(BLOB)
    below.init()
    stream = connect(below, "cat")
    send(below, "cat", "stdin", b"still\n")
    stream.until("stdout", b"still\n")
    below.client.call("CloseStdin", {"process": {"tag": "cat"}})
    stream.drain()


def test_the_port_is_never_free(below):
    for _ in range(5):
        os.kill(below.daemon(), signal.SIGKILL)
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", PORT))
            thief.listen()
        wait_for(below.answers)
        wait_for(below.daemon)


def test_the_door_stays_closed(below):
    below.init(accessToken="secret")
    below.crash()
    assert below.request("GET", "/envs").status == 401
    assert below.request("GET", "/envs", headers={"X-Access-Token": "secret"}).status == 200


def test_the_door_stays_closed_after_an_upgrade(below):
    """-init sets the state directory without a flag, and the daemon after an upgrade did not get it: a token
    that was set then was forgotten in the next crash."""
    below.replace(accessToken="secret")
    below.crash()
    assert below.request("GET", "/envs").status == 401
    assert below.request("GET", "/envs", headers={"X-Access-Token": "secret"}).status == 200
