# SPDX-License-Identifier: Apache-2.0
"""/freeze, /unfreeze and the thaw of /init, on the kernel's cgroups."""

import json
import time

import pytest

from client import Failed
from connect import Connection
from conftest import Tree, is_dead, wait_for, write

SERVICE = "system.slice/envd.service"


def cpu_time(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture
def guest(start):
    """A daemon in a service of its own, among other cgroups of a guest's."""
    tree = Tree()
    for name in (SERVICE, "system.slice/systemd-journald.service", "system.slice/nginx.service",
                 "init.scope", "docker/a/b"):
        tree.make(name)
    return start(tree=tree, place=SERVICE)


def put_process(daemon, name):
    """A process of the guest's in a cgroup of its own."""
    stream = daemon.client.start("sleep", "1000", tag="_system")
    write(daemon.tree.at(name, "cgroup.procs"), str(stream.pid))
    return stream.pid


def test_the_workload_stops_and_goes_on(daemon, envd, tree):
    busy = envd.sh("echo on; while :; do :; done").until("stdout", b"on")
    terminal = envd.pty("echo on; sleep 1000").until("pty", b"on")
    answer = daemon.freeze(maxWaitMs=20000)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    report = answer.json()
    assert report.pop("sweepMs") >= 0 and report.pop("waitMs") >= 0
    assert report == {"mode": "legacy", "visited": 0, "allowlisted": 0, "truncated": False,
                      "preFrozen": 0, "requested": 2, "frozen": 2, "notFrozen": 0, "failed": 0,
                      "unobservable": 0, "vanished": 0}
    assert tree.frozen("user") and tree.frozen("ptys") and not tree.frozen("socats")
    used = cpu_time(busy.pid)
    time.sleep(0.1)
    assert cpu_time(busy.pid) == used
    answer = daemon.unfreeze()
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert not tree.frozen("user") and not tree.frozen("ptys")
    wait_for(lambda: cpu_time(busy.pid) > used, "the process to go on")
    envd.kill(terminal.pid)


def test_without_a_budget_there_is_no_report(daemon, tree):
    answer = daemon.freeze()
    assert (answer.status, answer.body) == (204, b"")
    assert "Cache-Control" not in answer.headers
    assert tree.asked("user") and tree.asked("ptys")
    assert daemon.freeze(maxWaitMs=0).status == 204
    assert daemon.freeze(maxWaitMs=-1).status == 204
    assert daemon.unfreeze().status == 204


@pytest.mark.parametrize("parameters", [
    {"maxWaitMs": "x"}, {"maxWaitMs": ""}, {"maxWaitMs": "0x10"}, {"maxWaitMs": "5.0"},
    {"maxWaitMs": "99999999999999999999"}, {"maxCgroups": "x"}, {"maxCgroups": "1&maxCgroups=2"},
    {"mode": "legacy&mode=hierarchy"},
])
def test_bad_parameters(daemon, tree, parameters):
    answer = daemon.freeze(**parameters)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert not tree.asked("user")


@pytest.mark.parametrize("mode", ["", "other", "HIERARCHY"])
def test_an_unknown_mode_is_legacy(daemon, mode):
    assert daemon.freeze(mode=mode, maxWaitMs="%2B20000").json()["mode"] == "legacy"


def test_without_cgroups(start):
    daemon = start("-no-cgroups")
    report = daemon.freeze(mode="hierarchy", maxWaitMs=1000).json()
    assert report == {"mode": "legacy", "visited": 0, "allowlisted": 0, "truncated": False,
                      "preFrozen": 0, "requested": 2, "frozen": 0, "notFrozen": 0, "failed": 0,
                      "unobservable": 2, "vanished": 0, "sweepMs": 0, "waitMs": 0}
    assert daemon.freeze().status == 204
    with pytest.raises(Failed, match="unavailable"):
        daemon.client.start("true")
    assert daemon.unfreeze().status == 204
    assert daemon.client.output("echo runs") == ["runs"]


def test_the_hierarchy(guest):
    tree = guest.tree
    pid = put_process(guest, "docker/a/b")
    journal = put_process(guest, "system.slice/systemd-journald.service")
    report = guest.freeze(mode="hierarchy", maxWaitMs=20000).json()
    assert report["mode"] == "hierarchy"
    # user, ptys, docker, system.slice/nginx.service; not below docker.
    assert (report["requested"], report["frozen"], report["failed"]) == (4, 4, 0)
    # init.scope, socats, the journal.
    assert report["allowlisted"] == 3
    # The six of the root, the three of system.slice.
    assert report["visited"] == 9
    for name in ("user", "ptys", "docker", "docker/a/b", "system.slice/nginx.service"):
        assert tree.frozen(name), name
    for name in ("init.scope", "socats", "system.slice", SERVICE,
                 "system.slice/systemd-journald.service"):
        assert not tree.frozen(name), name
    assert not tree.asked("docker/a/b")
    assert guest.unfreeze().status == 204
    assert not tree.frozen("docker/a/b")
    assert not is_dead(pid) and not is_dead(journal)


def test_the_cgroups_of_processes_do_not_count(guest):
    streams = [guest.client.start("sleep", "1000") for _ in range(20)]
    assert guest.freeze(mode="hierarchy", maxWaitMs=20000, maxCgroups=9).json()["visited"] == 9
    audit = json.loads(guest.init().headers["X-Envd-Freeze-Audit"])
    assert audit["visited"] == 12 and not audit["truncated"]
    for stream in streams:
        guest.client.kill(stream.pid)


def test_the_bound(guest):
    report = guest.freeze(mode="hierarchy", maxWaitMs=20000, maxCgroups=1).json()
    assert report["truncated"] and report["visited"] == 1
    # The groups of the daemon's own processes come first, whatever the bound.
    assert guest.tree.frozen("user") and guest.tree.frozen("ptys")
    assert guest.unfreeze().status == 204


def test_what_the_guest_has_frozen_stays_frozen(guest):
    tree = guest.tree
    put_process(guest, "docker/a/b")
    tree.freeze("docker/a")
    tree.make("paused")
    tree.freeze("paused")
    report = guest.freeze(mode="hierarchy", maxWaitMs=20000).json()
    assert report["preFrozen"] == 2
    # A second one in the same time, as of a live upgrade, takes none of ours for the guest's.
    assert guest.freeze(mode="hierarchy", maxWaitMs=20000).json()["preFrozen"] == 2
    assert guest.unfreeze().status == 204
    assert tree.asked("docker/a") and tree.asked("paused")
    assert not tree.asked("docker") and not tree.asked("user")


def test_a_thaw_without_a_freeze_leaves_the_guests_own(guest):
    guest.tree.freeze("docker")
    assert guest.unfreeze().status == 204
    assert guest.init().status == 204
    assert guest.tree.asked("docker")


def test_a_freeze_voids_the_thaw_of_an_init_before_it(guest):
    """An /init that began before a freeze, and whose body arrived after it, thawed the workload again,
    so the snapshot contained running processes. The later freeze must win over an /init that was
    entered before it."""
    connection = Connection(guest.socket)
    body = json.dumps({"envVars": {"A": "1"}}).encode()
    connection.connect()
    connection.sock.sendall(b"POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                            % len(body))
    # A request on another connection after it: the daemon has read the head by then.
    wait_for(lambda: guest.request("GET", "/health").status == 204, "the daemon")
    assert guest.freeze(maxWaitMs=20000).json()["frozen"] == 2
    connection.sock.sendall(body)
    assert connection.sock.recv(65536).startswith(b"HTTP/1.1 204 ")
    connection.close()
    assert guest.request("GET", "/envs").json()["A"] == "1"
    assert guest.tree.frozen("user")
    assert guest.init().status == 204
    assert not guest.tree.asked("user")


def test_init_that_skips_the_thaw(guest):
    assert guest.freeze(maxWaitMs=20000).json()["frozen"] == 2
    answer = guest.init(thaw="skip", envVars={"A": "1"})
    assert (answer.status, answer.headers["X-Envd-Thaw"]) == (204, "skip")
    assert guest.request("GET", "/envs").json()["A"] == "1"
    assert guest.tree.frozen("user")
    assert guest.init(thaw="later").status == 204
    assert not guest.tree.asked("user")


def test_init_thaws_and_tells_what_escaped(guest):
    tree = guest.tree
    guest.freeze(mode="hierarchy", maxWaitMs=20000)
    tree.make("new")
    answer = guest.init()
    assert answer.status == 204
    assert json.loads(answer.headers["X-Envd-Freeze-Audit"]) == {
        # With the root; user, ptys, docker and the two below it, nginx.
        "visited": 13, "frozen": 6, "escaped": 1, "violations": 0, "truncated": False}
    assert not tree.frozen("user") and not tree.frozen("docker")
    assert "X-Envd-Freeze-Audit" not in guest.init().headers


def test_the_audit_finds_what_should_not_be_frozen(guest):
    guest.freeze(mode="hierarchy", maxWaitMs=20000)
    guest.tree.freeze("init.scope")
    wait_for(lambda: guest.tree.frozen("init.scope"), "the freeze")
    audit = json.loads(guest.init().headers["X-Envd-Freeze-Audit"])
    assert audit["violations"] == 1
    assert not guest.tree.asked("init.scope")
    assert "init.scope" in guest.log()


def test_no_audit_after_a_legacy_freeze_or_a_thaw(guest):
    guest.freeze(maxWaitMs=20000)
    assert "X-Envd-Freeze-Audit" not in guest.init().headers
    guest.freeze(mode="hierarchy", maxWaitMs=20000)
    guest.unfreeze()
    assert "X-Envd-Freeze-Audit" not in guest.init().headers


def test_init_thaws_whatever_its_timestamp_says(daemon, tree):
    now = time.time()
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06}Z"
              for at in (now, now - 0.01)]
    assert daemon.init(timestamp=stamps[0], envVars={"A": "new"}).status == 204
    daemon.freeze(maxWaitMs=20000)
    assert daemon.init(timestamp=stamps[1], envVars={"A": "old"}).status == 204
    assert daemon.request("GET", "/envs").json()["A"] == "new"
    assert not tree.frozen("user")


def test_a_refused_init_does_not_thaw(daemon, tree):
    daemon.init(accessToken="right")
    headers = {"X-Access-Token": "right"}
    assert daemon.request("POST", "/freeze?maxWaitMs=20000").status == 401
    assert daemon.request("POST", "/freeze?maxWaitMs=20000", headers=headers).status == 200
    assert daemon.init(accessToken="wrong").status == 401
    assert tree.frozen("user")
    assert daemon.request("POST", "/unfreeze").status == 401
    assert daemon.init(accessToken="right").status == 204
    assert not tree.frozen("user")


def test_a_daemon_that_was_frozen_by_the_one_before(start):
    first = start()
    tree = first.tree
    stream = first.client.start("sleep", "1000")
    first.freeze(mode="hierarchy", maxWaitMs=20000)
    first.terminate()
    second = start(tree=tree)
    assert tree.frozen("user")
    assert second.init().status == 204
    assert not tree.frozen("user")
    assert not is_dead(stream.pid)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_start_while_frozen_is_unavailable(daemon, envd, terminal):
    """Starts were held until the thaw, so a client without a deadline hung. Now they fail at once with
    `unavailable`, as in the reference. Processes of the platform itself are started."""
    begin = envd.pty if terminal else envd.sh
    daemon.freeze(maxWaitMs=20000)
    with pytest.raises(Failed) as failed:
        begin("true")
    assert failed.value.code == "unavailable" and "is frozen" in failed.value.message
    assert envd.run("echo", "system", tag="_system").out["stdout"] == b"system\n"
    assert not envd.list()
    assert daemon.unfreeze().status == 204
    assert begin("exit 0").drain().end["status"] == "exit status 0"


def test_a_cgroup_that_the_guest_froze(daemon, envd, tree):
    """A child that begins in a frozen cgroup stops before its exec and blocks its worker. After
    sixty-four of them, no process could be started any more. Now the start is refused; starts with a
    terminal are not affected."""
    tree.freeze("user")
    for _ in range(70):
        with pytest.raises(Failed) as failed:
            envd.start("true")
        assert failed.value.code == "unavailable" and f"{tree.path}/user" in failed.value.message
    assert envd.pty("exit 0").drain().end["status"] == "exit status 0"
    tree.freeze("user", False)
    assert envd.run("true").end["status"] == "exit status 0"


def test_hooks_run_before_anything_is_frozen(start, tmp_path):
    """A hook of pre-freeze finds the workload running, so it can wait for a process of it."""
    hook = tmp_path / "pre-freeze" / "10-look"
    hook.parent.mkdir(mode=0o755)
    d = start("-hooks-dir", str(tmp_path))
    hook.write_text(f"#!/bin/sh\ncat {d.tree.path}/user/cgroup.freeze >{tmp_path}/seen\n")
    hook.chmod(0o755)
    assert d.freeze(maxWaitMs=20000).json()["frozen"] == 2
    assert (tmp_path / "seen").read_text() == "0\n"
    assert d.tree.frozen("user")
    assert d.unfreeze().status == 204


def test_frozen_processes_can_be_killed(daemon, envd):
    stream = envd.start("sleep", "1000")
    daemon.freeze(maxWaitMs=20000)
    envd.kill(stream.pid)
    assert stream.drain().end["status"] == "signal: killed"
    daemon.unfreeze()


def test_a_deadline_passes_while_frozen(daemon, envd):
    stream = envd.start("sleep", "1000", headers={"Connect-Timeout-Ms": "500"})
    daemon.freeze(maxWaitMs=20000)
    with pytest.raises(Failed, match="deadline_exceeded"):
        stream.drain()
    wait_for(lambda: is_dead(stream.pid), "its end")
    daemon.unfreeze()


def test_five_hundred_processes(daemon, envd, tree):
    """In one cgroup, and in as many."""
    envd.sh("i=0; while [ $i -lt 249 ]; do sleep 1000 & i=$((i+1)); done; echo on; wait"
            ).until("stdout", b"on")
    for _ in range(250):
        envd.start("sleep", "1000").close()
    wait_for(lambda: len(tree.pids("user")) >= 500, "five hundred processes")
    assert daemon.freeze(maxWaitMs=20000).json()["frozen"] == 2
    assert all(tree.frozen(f"user/{name}") for name in tree.children("user"))
    assert daemon.unfreeze().status == 204
    assert not any(tree.frozen(f"user/{name}") for name in tree.children("user"))
