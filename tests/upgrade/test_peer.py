# SPDX-License-Identifier: Apache-2.0
"""From another envd to ours and back, if PEER names one. Without it these tests do not exist: the project
contains no other envd."""

import base64

import pytest
from conftest import ENVD, PEER, Daemon, wait_for

if PEER:
    LINES = "i=0; while :; do i=$((i + 1)); echo $i; read x; [ \"$x\" = $i ] || exit 99; done"

    @pytest.fixture
    def peer():
        daemon = Daemon(program=PEER)
        daemon.init()
        yield daemon
        daemon.keeps_output = True  # what it held at first is the peer's
        daemon.stop()

    # By pid: the reference finds no tag while another tagged process exists.
    def connect(daemon, pid):
        stream = daemon.client.stream("Connect", {"process": {"pid": pid}})
        stream.next()
        return stream

    def send(daemon, pid, kind, data):
        daemon.client.call("SendInput", {"process": {"pid": pid}, "input": {
            kind: base64.b64encode(data).decode()}})

    def test_there_and_back_and_there(peer):
        """Go -> ours -> Go -> ours: forty processes whose numbered lines are answered, ten terminals."""
        lines, terminals = [], []
        for i in range(40):
            stream = peer.client.start("sh", "-c", LINES, tag=f"lines-{i}")
            lines.append(stream.pid)
            stream.close()
        for i in range(10):
            stream = peer.client.start("sh", pty={"size": {"cols": 80, "rows": 24}}, tag=f"tty-{i}")
            terminals.append(stream.pid)
            stream.close()
        for number, program in enumerate((ENVD, PEER, ENVD), start=1):
            report = peer.replace(program)
            assert report["failed"] is False, peer.log()
            assert (report["procs"], report["procs_failed"]) == (50, 0)
            for pid in lines:
                stream = connect(peer, pid)
                send(peer, pid, "stdin", b"%d\n" % number)
                stream.until("stdout", b"%d\n" % (number + 1))
                stream.close()
            for pid in terminals:
                stream = connect(peer, pid)
                send(peer, pid, "pty", b"stty size\n")
                stream.until("pty", b"24 80")
                stream.close()
        for pid in lines + terminals:
            peer.client.call("SendSignal", {"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"})
        wait_for(lambda: not peer.children())

    def test_a_kill_spares_the_daemon(peer):
        """A process of the reference shares the daemon's session and group: a kill of the session would
        be the daemon's own end."""
        stream = peer.client.start("sleep", "1000", tag="shared")
        stream.close()
        peer.replace(ENVD)
        peer.client.call("SendSignal", {"process": {"pid": stream.pid}, "signal": "SIGNAL_SIGKILL"})
        wait_for(lambda: not peer.children())
        assert peer.answers()

    def test_exits_and_pollers(peer, tmp_path):
        ended = peer.client.start("sh", "-c", "exit 9").drain()
        watcher = peer.watch("CreateWatcher", path=str(tmp_path), recursive=True)["watcherId"]
        (tmp_path / "one").write_text("")
        names = []
        for i, program in enumerate((ENVD, PEER, ENVD)):
            report = peer.replace(program)
            assert (report["retained"], report["watchers"], report["watchers_failed"]) == (1, 1, 0)
            (tmp_path / f"after-{i}").write_text("")
            again = peer.client.stream("Connect", {"process": {"pid": ended.pid}}).drain()
            assert again.end["exitCode"] == 9

        def have():
            names.extend(e["name"] for e in
                         peer.watch("GetWatcherEvents", watcherId=watcher).get("events", []))
            return "after-2" in names

        wait_for(have)
        assert {"one", "after-0", "after-1", "after-2"} <= set(names)
