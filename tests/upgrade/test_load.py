# SPDX-License-Identifier: Apache-2.0
"""An upgrade under load: what survives it, and that nothing is left behind. Ours to ours; with OLD, from
and to an older build; with PEER, from another envd to ours, back to it, and to ours again. The project
contains none of these: OLD and PEER name programs that the developer has."""

import contextlib
import http.client
import os
import threading

import pytest
from conftest import ADDRESS, ENVD, FIRST_FD, OLD, PEER, Daemon, wait_for
from connect import Connection
from daemon import Daemons

LINES, TERMINALS, POLLERS, EXITS, DEADLINES = 40, 10, 4, 3, 3
PEER_LINES = 30  # with more, descriptors of the peer have numbers from 200 up
UPGRADES = 100

# Writes a number, and reads it back: a line that is lost or comes twice ends it with 99.
NUMBERS = """
i=0
while :; do i=$((i + 1)); echo $i; read x || exit 0; [ "$x" = $i ] || exit 99; done
"""


def chain():
    """(the first program, those that follow it)."""
    yield pytest.param(ENVD, [b"", ENVD, b""], id="ours")
    if OLD:
        yield pytest.param(OLD, [ENVD, OLD, ENVD], id="old")
    if PEER:
        yield pytest.param(PEER, [ENVD, PEER, ENVD], id="peer")


def connect(daemon, pid):
    """By pid: the reference finds no tag while another process with a tag exists."""
    return daemon.client.connect(pid=pid)


class Numbered:
    """A process that counts. Its output and its input, both, are checked line by line."""

    def __init__(self, daemon):
        self.daemon = daemon
        stream = daemon.client.sh(NUMBERS)
        self.pid = stream.pid
        self.stream = stream
        self.last = 0

    def step(self):
        """Reads the next number, and sends it back."""
        expected = b"%d\n" % (self.last + 1)
        self.stream.until("stdout", b"\n")
        assert self.stream.out["stdout"] == expected
        self.stream.out["stdout"] = b""
        self.last += 1

    def answer(self):
        self.daemon.client.send_input(self.pid, b"%d\n" % self.last)

    def leave(self):
        """The client goes while a number waits to be answered: then nothing is under way."""
        self.stream.close()

    def come_back(self):
        """The answer makes the process write the next number, which the new stream must bring."""
        self.stream = connect(self.daemon, self.pid)
        self.answer()

    def finish(self):
        self.daemon.client.close_stdin(self.pid)
        self.stream.drain()
        assert self.stream.end.get("exitCode", 0) == 0
        assert self.stream.out["stdout"] == b""


class Traffic:
    """Uploads and downloads that go on until they are told to stop: those that an upgrade cuts begin
    again."""

    SIZE = 4 * 1024 * 1024

    def __init__(self, folder):
        self.folder = folder
        self.ending = threading.Event()
        self.done = {"GET": 0, "POST": 0}
        self.wrong = []
        self.data = os.urandom(self.SIZE)
        with open(folder / "down", "wb") as file:
            file.write(self.data)
        self.threads = [threading.Thread(target=self.run, args=(m,)) for m in self.done]
        for thread in self.threads:
            thread.start()

    def once(self, method):
        connection = Connection(ADDRESS)
        try:
            if method == "GET":
                connection.request("GET", f"/files?path={self.folder / 'down'}&username=root")
                answer = connection.getresponse()
                whole = answer.read() if answer.status == 200 else None
                return whole == self.data if whole is not None else None
            connection.request("POST", f"/files?path={self.folder / 'up'}&username=root", self.form(),
                               {"Content-Type": "multipart/form-data; boundary=edge"})
            return True if connection.getresponse().status == 200 else None
        finally:
            connection.close()

    def form(self):
        return (b'--edge\r\nContent-Disposition: form-data; name="file"; filename="up"\r\n\r\n' +
                self.data + b"\r\n--edge--\r\n")

    def run(self, method):
        while not self.ending.is_set():
            # Cut by the upgrade, or refused by the gate before the next /init.
            with contextlib.suppress(OSError, http.client.HTTPException):
                result = self.once(method)
                self.done[method] += result is True
                if result is False:
                    self.wrong.append(method)

    def more(self):
        """Waits until both have gone through once more."""
        before = dict(self.done)
        wait_for(lambda: all(self.done[m] > before[m] for m in before), "uploads and downloads")

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()
        assert not self.wrong, "a download with status 200 was complete and wrong"


class Poller:
    def __init__(self, daemon, folder):
        self.daemon, self.folder = daemon, folder
        folder.mkdir()
        self.id = daemon.watch("CreateWatcher", path=str(folder), recursive=True)["watcherId"]
        self.made, self.seen = [], []

    def change(self, name):
        (self.folder / name).mkdir()
        self.made.append(name)

    def fetch(self):
        events = self.daemon.watch("GetWatcherEvents", watcherId=self.id).get("events", [])
        self.seen += [e["name"] for e in events if e["type"] == "EVENT_TYPE_CREATE"]
        return len(self.seen) >= len(self.made)

    def check(self):
        wait_for(self.fetch, lambda: f"{set(self.made) - set(self.seen)} of a watch")
        assert self.seen == self.made


@pytest.fixture
def start():
    daemons = Daemons(Daemon)
    yield daemons
    daemons.stop()


@pytest.mark.parametrize("first,following", list(chain()))
def test_under_load(start, first, following, tmp_path):
    unused = start()
    unused.stop()
    daemon = start(program=first)
    daemon.init()
    lines = PEER_LINES if first == PEER else LINES
    numbered = [Numbered(daemon) for _ in range(lines)]
    for process in numbered:
        process.step()
    terminals = []
    for _ in range(TERMINALS):
        stream = daemon.client.start("sh", pty={"size": {"cols": 80, "rows": 24}})
        terminals.append(stream.pid)
        stream.close()
    pollers = [Poller(daemon, tmp_path / f"poller-{i}") for i in range(POLLERS)]
    traffic = Traffic(tmp_path)
    try:
        for number, program in enumerate(following):
            for process in numbered:
                process.leave()
            for poller in pollers:
                poller.change(f"before-{number}")
            traffic.more()
            exits = [daemon.client.sh(f"exit {i + 4}").drain() for i in range(EXITS)]
            for _ in range(DEADLINES):
                daemon.client.start("sleep", "1000", headers={"Connect-Timeout-Ms": "1500"}).close()
            if first == PEER:
                # It places descriptors from 200 up, and refuses if one of the numbers is open.
                wait_for(lambda: max(daemon.numbers()) < FIRST_FD)
            report = daemon.replace(program)
            assert report["failed"] is False, daemon.log()
            # On a busy machine a deadline may pass before the upgrade.
            assert 0 <= report["procs"] - lines - TERMINALS <= DEADLINES
            assert report["procs_failed"] == 0
            assert report["retained"] >= EXITS and report["retained_failed"] == 0
            assert (report["watchers"], report["watchers_failed"]) == (POLLERS, 0)
            for i, ended in enumerate(exits):
                assert connect(daemon, ended.pid).drain().end["exitCode"] == i + 4
            for poller in pollers:
                poller.change(f"after-{number}")
                poller.check()
            for process in numbered:
                process.come_back()
            for process in numbered:
                process.step()
            for pid in terminals:
                stream = connect(daemon, pid)
                daemon.client.send_input(pid, b"stty size; echo at-$((%d * 3))\n" % number, "pty")
                stream.until("pty", b"at-%d" % (number * 3)).close()
                assert b"24 80" in stream.out["pty"]
            wait_for(lambda: len(daemon.client.list()) == lines + TERMINALS, "the deadlines")
            traffic.more()
    finally:
        traffic.stop()
    for process in numbered:
        process.answer()
        process.step()
        process.answer()
        process.step()
        process.finish()
    for poller in pollers:
        daemon.watch("RemoveWatcher", watcherId=poller.id)
    for pid in terminals:
        daemon.client.kill(pid)
    wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")
    # The last one is ours, whatever the first was.
    daemon.held = [name.replace(unused.log_path, daemon.log_path) for name in unused.held]
    daemon.stop()


def connections():
    """Those that are open on this side or the other; a closed one may stay for a moment."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        return [line for line in table if line.split()[3] in ("01", "08")]


def test_a_hundred_in_a_row(daemon):
    """Descriptors, children and memory stay what they are, with processes, a terminal and a poller."""
    numbered = [Numbered(daemon) for _ in range(5)]
    for process in numbered:
        process.step()
        process.leave()
    terminal = daemon.client.start("sh", pty={"size": {"cols": 80, "rows": 24}})
    terminal.close()
    poller = daemon.watch("CreateWatcher", path="/tmp", recursive=False)["watcherId"]
    daemon.replace()
    wait_for(lambda: not connections())
    descriptors, pages = len(daemon.numbers()), None
    for i in range(UPGRADES):
        report = daemon.replace()
        assert (report["procs"], report["watchers"], report["watchers_failed"]) == (6, 1, 0)
        if i == UPGRADES // 5:
            pages = daemon.resident_pages()
    wait_for(lambda: len(daemon.numbers()) == descriptors, lambda: f"{daemon.descriptors()}")
    assert daemon.resident_pages() < pages * 1.2
    assert sorted(daemon.children()) == sorted([p.pid for p in numbered] + [terminal.pid])
    for process in numbered:
        process.come_back()
        process.step()
        process.answer()
        process.step()
        process.finish()
    daemon.watch("RemoveWatcher", watcherId=poller)
