# SPDX-License-Identifier: Apache-2.0
"""The daemon around the processes: what it leaves behind, ends, and does without root."""

import gc
import os
import signal
import threading

import pytest

from client import Connection, Failed, envelope
from conftest import ENVD, WORLD, Daemon, is_dead, wait_for
from test_steer import fails

COMMANDS = 10000
AT_ONCE = 16


def descriptors(daemon):
    # A connection of a stream that is in a cycle of references is open until the next collection.
    gc.collect()
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def children(daemon):
    with open(f"/proc/{daemon.pid}/task/{daemon.pid}/children", encoding="ascii") as f:
        return f.read().split()


def memory_kib(daemon):
    with open(f"/proc/{daemon.pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))


def run_many(envd, count):
    def work():
        for i in range(count // AT_ONCE):
            if envd.run("true" if i % 2 else "/bin/echo", "x", stdin=i % 3 == 0).end is None:
                failures.append(i)

    failures = []
    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.timeout(240)
def test_ten_thousand_commands_leave_nothing():
    daemon = Daemon()
    run_many(daemon.client, 500)
    before = descriptors(daemon), memory_kib(daemon)
    run_many(daemon.client, COMMANDS)
    wait_for(lambda: descriptors(daemon) <= before[0])
    assert children(daemon) == []
    # For thirty seconds each exit is known, at some hundred bytes. (A sanitizer frees late.)
    assert memory_kib(daemon) - before[1] < 2048 or "asan" in ENVD
    wait_for(lambda: exits_retained(daemon) == 0, 60)
    wait_for(lambda: memory_kib(daemon) - before[1] < 256 or "asan" in ENVD, 30)
    daemon.stop()


def exits_retained(daemon):
    """What the daemon says of itself when it is asked by SIGUSR1."""
    asked = daemon.log().count("exits retained")
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_for(lambda: daemon.log().count("exits retained") > asked)
    line = [l for l in daemon.log().splitlines() if "exits retained" in l][-1]
    return int(line.split(" exits retained")[0].split()[-1])


def test_readers_that_leave_at_any_byte():
    """A reader that disconnects inside a message leaves no resources behind and does not affect others.
    """
    daemon = Daemon()
    daemon.client.run("true")
    before = descriptors(daemon)
    for n in range(150):
        connection = Connection(daemon.socket)
        connection.request("POST", "/process.Process/Start",
                           envelope({"process": {"cmd": "seq", "args": ["20000"]}}),
                           {"Content-Type": "application/connect+json"})
        if n % 3:
            connection.sock.recv(1 + n * 7)
        connection.close()
    assert daemon.client.output("echo on") == ["on"]
    wait_for(lambda: descriptors(daemon) <= before and not children(daemon),
             lambda: f"the release of {daemon.descriptors()}, children {children(daemon)}; "
                     f"before there were {before} descriptors")
    daemon.stop()


def test_more_processes_than_descriptors():
    """If the daemon has no descriptors for a process, it refuses the start, and everything else
    continues."""
    daemon = Daemon(descriptors=128)
    refused = 0
    for i in range(60):
        try:
            daemon.client.start("sleep", "100", stdin=i % 2 == 0).close()
        except Failed as failed:
            assert failed.code == "resource_exhausted", failed
            refused += 1
    assert 0 < refused < 60
    live = daemon.client.list()
    assert len(live) == 60 - refused
    for process in live:
        daemon.client.kill(process["pid"])
    wait_for(lambda: not daemon.client.list(), 30)
    assert daemon.client.output("echo on") == ["on"]
    daemon.stop()


def test_more_descriptors_than_a_process_may_have():
    """The child has all descriptors of the daemon, and opened /dev/null after it had taken the lower soft
    limit of descriptors that its program gets, often 1,024. With so many connections, each start without a
    standard input failed: "bad file descriptor"."""
    daemon = Daemon(soft=64)
    connections = [Connection(daemon.socket) for _ in range(100)]
    for connection in connections:
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b""
    assert daemon.client.output("ulimit -n; readlink /proc/self/fd/0", stdin=False) == \
        ["64", "/dev/null"]
    for connection in connections:
        connection.close()
    daemon.stop()


def test_processes_outlive_the_daemon():
    daemon = Daemon()
    stream = daemon.client.sh("sleep 0.5; echo x; sleep 100")
    unread = daemon.client.start("sleep", "100")
    unread.close()
    daemon.process.terminate()
    fails("unavailable", stream.drain)
    daemon.process.wait(20)
    for pid in (stream.pid, unread.pid):
        assert not is_dead(pid)
        os.kill(pid, signal.SIGKILL)


def test_kill_scope_flag():
    daemon = Daemon("-kill-scope", "leader")
    stream = daemon.client.sh("sleep 100 >&- 2>&- & echo $!; wait").until("stdout", b"\n")
    daemon.client.kill(stream.pid)
    assert stream.drain().end["status"] == "signal: killed"
    child = int(stream.out["stdout"])
    assert not is_dead(child)
    os.kill(child, signal.SIGKILL)
    daemon.stop()


def test_limits_flag():
    """-limits apply to each process, for the names that its Start does not set. Processes of the
    platform itself do not get them."""
    daemon = Daemon("-limits", "nofile=123, nice=5")
    envd = daemon.client
    assert envd.output("ulimit -n; nice") == ["123", "5"]
    assert envd.output("ulimit -n; nice", headers={"X-Envd-Limits": "nofile=99, core=0"}) == ["99", "5"]
    assert envd.output("ulimit -n; nice", tag="_system") != ["123", "5"]
    daemon.stop()


def test_without_root():
    daemon = Daemon(uid=1000)
    envd = daemon.client
    assert envd.output("id -u; id -g; cat /proc/$$/oom_score_adj; pwd") == \
        ["1000", "1000", "100", f"{WORLD}/user"]
    assert envd.output("id -u", user="user") == ["1000"]
    for user in ("root", "nohome"):
        with pytest.raises(Failed) as failed:
            envd.run("true", user=user)
        assert failed.value.code == "unauthenticated"
    assert envd.pty("tty").drain().out["pty"].startswith(b"/dev/pts/")
    stream = envd.sh("sleep 100 & wait")
    envd.kill(stream.pid)
    assert stream.drain().end["status"] == "signal: killed"
    daemon.stop()


def test_an_unknown_user_id():
    """OpenShift runs containers with a random uid. The daemon ended at its start, because the uid has no line
    in /etc/passwd. It serves as that uid."""
    home = f"{WORLD}/anybody"
    os.mkdir(home)
    os.chmod(home, 0o777)
    daemon = Daemon(uid=54321, home=home)
    assert daemon.client.output("id -u; echo $HOME; pwd") == ["54321", "/", "/"]
    daemon.stop()


def test_root_without_capabilities():
    """setgroups(2) is EPERM in a container whose root has no capabilities, and no command started. Where the
    ids are right already, nothing has to change."""
    daemon = Daemon(wrap=("setpriv", "--bounding-set", "-all"))
    assert daemon.client.output("id -u; grep CapEff /proc/self/status") == ["0", "CapEff:\t0000000000000000"]
    with pytest.raises(Failed):
        daemon.client.run("true", user="user")
    daemon.stop()


def test_without_the_user_files():
    """An image may hold one program and no /etc/passwd. Every request was 401; root is known without it."""
    daemon = Daemon(wrap=("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc; exec "$@"', "sh"))
    assert daemon.client.output("ls /etc; echo $(id -u) $USER") == ["0 root"]
    with pytest.raises(Failed) as failed:
        daemon.client.run("true", user="user")
    assert failed.value.code == "unauthenticated"
    daemon.stop()


def test_the_state_is_written_to_the_log(envd, daemon):
    stream = envd.start("sleep", "100")
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_for(lambda: f"process {stream.pid}: pipes" in daemon.log())
