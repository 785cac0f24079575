# SPDX-License-Identifier: Apache-2.0
"""Which processes are in which cgroup, from their start to their end."""

import os
import signal

import pytest

from client import Failed
from conftest import Tree, is_dead, read, wait_for, write

NOBODY = 65534


def group_of(pid, tree):
    """The cgroup of a process below the tree, or None."""
    line = [line for line in read(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")][0]
    path = line[3:]
    name = "/" + os.path.basename(os.path.dirname(tree.path)) + "/" + os.path.basename(tree.path)
    return path.partition(name + "/")[2] or None


def test_the_platforms_groups(tree):
    assert {"user", "ptys", "socats"} <= set(tree.children("."))
    assert tree.children("user") == []


def test_each_process_has_one_of_its_own(envd, tree):
    one, two = envd.start("sleep", "100"), envd.start("sleep", "100")
    terminal = envd.pty("sleep 100")
    groups = [group_of(stream.pid, tree) for stream in (one, two, terminal)]
    assert len(set(groups)) == 3
    assert [os.path.dirname(g) for g in groups] == ["user", "user", "ptys"]


def test_the_platforms_own_process_stays_with_the_daemon(daemon, envd, tree):
    stream = envd.start("sleep", "100", tag="_system")
    assert group_of(stream.pid, tree) is None
    assert read(f"/proc/{stream.pid}/cgroup") == read(f"/proc/{daemon.pid}/cgroup")
    envd.kill(stream.pid)
    stream.drain()


def test_what_a_process_starts_is_in_its_group(envd, tree):
    stream = envd.sh("setsid sh -c 'echo $$; exec sleep 100' & wait").until("stdout", b"\n")
    child = int(stream.out["stdout"])
    assert group_of(child, tree) == group_of(stream.pid, tree)


def test_it_is_removed_when_the_process_ends(envd, tree):
    assert envd.run("true").end["exited"]
    wait_for(lambda: tree.children("user") == [], "the removal")


def test_it_is_removed_when_the_last_in_it_ends(envd, tree):
    stream = envd.sh("setsid sleep 100 >/dev/null 2>&1 & echo $!").drain()
    child = int(stream.out["stdout"])
    group = wait_for(lambda: tree.children("user"), "the group")
    # Tried once, as one that is empty at the same time shows.
    envd.run("true")
    wait_for(lambda: tree.children("user") == group, "the removal of the empty one")
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: tree.children("user") == [], "the removal")


def test_it_is_removed_with_what_the_process_made_in_it(envd, tree):
    """Once a name that begins with a dot was left out, and the cgroup stayed for ever."""
    stream = envd.start("sleep", "100")
    group = tree.at("user", tree.children("user")[0])
    os.makedirs(os.path.join(group, "a", "b"))
    os.makedirs(os.path.join(group, ".hidden", ".below"))
    write(os.path.join(group, "a", "b", "cgroup.procs"), str(stream.pid))
    envd.kill(stream.pid)
    stream.drain()
    wait_for(lambda: tree.children("user") == [], "the removal")


def test_a_failed_start_leaves_none(envd, tree):
    with pytest.raises(Failed):
        envd.start("true", cwd="/does/not/exist")
    wait_for(lambda: tree.children("user") == [], "the removal")


def test_many_commands_leave_none(daemon, envd, tree):
    for _ in range(20):
        streams = [envd.start("true") for _ in range(20)]
        for stream in streams:
            stream.drain()
    wait_for(lambda: tree.children("user") == [], "the removal")


def test_stale_ones_are_removed_at_the_start(start):
    tree = Tree()
    for name in ("user/p1", "user/p2/below", "ptys/p3", "user/p1x", "user/other"):
        os.makedirs(tree.at(name))
    start(tree=tree)
    wait_for(lambda: tree.children("user") == ["other", "p1x"] and tree.children("ptys") == [],
             "the removal of what an earlier daemon left, and of nothing else")


def test_a_daemon_that_ends_leaves_its_processes_to_the_next(start):
    first = start()
    tree = first.tree
    stream = first.client.start("sleep", "100")
    group = tree.children("user")
    first.terminate()
    second = start(tree=tree)
    other = second.client.start("sleep", "100")
    assert not is_dead(stream.pid)
    assert set(group) < set(tree.children("user"))
    assert len(tree.children("user")) == 2
    os.kill(stream.pid, signal.SIGKILL)
    wait_for(lambda: len(tree.children("user")) == 1, "the removal of the first one's")
    assert tree.pids("user") == [other.pid]


def test_in_a_cgroup_that_was_once_killed(start):
    """On Linux 6.18, a child that is cloned from such a cgroup into a new one dies at once."""
    tree = Tree()
    tree.make("once-killed")
    write(tree.at("once-killed", "cgroup.kill"), "1")
    daemon = start(tree=tree, place="once-killed")
    stream = daemon.client.start("sleep", "100")
    assert os.path.dirname(group_of(stream.pid, tree)) == "user"
    assert daemon.client.output("echo lives") == ["lives"]


@pytest.mark.parametrize("flags,reason", [
    (["-cgroup-root", "/tmp"], "/tmp is not cgroup2"),
    (["-cgroup-root", "/does/not/exist"], "no such file or directory"),
    (["-no-cgroups"], "-no-cgroups"),
])
def test_without_cgroups(start, flags, reason):
    daemon = start(*flags)
    assert daemon.client.output("echo runs") == ["runs"]
    lines = [line for line in daemon.log().splitlines() if "cgroup" in line]
    assert len(lines) == 1 and reason in lines[0], lines
    assert daemon.tree.children(".") == []


def test_without_privileges(start):
    daemon = start(uid=NOBODY)
    assert daemon.client.output("echo runs", cwd="/") == ["runs"]
    assert "no cgroups" in daemon.log()


def test_with_a_subtree_of_its_own_and_no_privileges(start):
    tree = Tree()
    tree.make("delegated")
    for name in ("delegated", "delegated/cgroup.procs", "delegated/cgroup.subtree_control",
                 "delegated/cgroup.threads"):
        os.chown(tree.at(name), NOBODY, NOBODY)
    daemon = start("-cgroup-root", tree.at("delegated"), tree=tree, uid=NOBODY, place="delegated")
    stream = daemon.client.start("sleep", "100", cwd="/")
    assert group_of(stream.pid, tree).startswith("delegated/user/p")


def test_a_group_that_takes_no_more(daemon, envd, tree):
    """If the cgroup can't be created, the process begins in the group itself."""
    write(tree.at("user", "cgroup.max.descendants"), "0")
    stream = envd.start("sleep", "100", headers={"X-Envd-Kill-Scope": "tree"})
    assert group_of(stream.pid, tree) == "user"
    envd.kill(stream.pid)
    stream.drain()
    assert is_dead(stream.pid)


def test_limits_of_the_cgroup(envd, tree):
    """X-Envd-Limits are written to the process's own cgroup if the kernel has the controller. Otherwise
    the start fails, the error names the limit, and no cgroup remains."""
    controllers = read(tree.at("cgroup.controllers")).split()
    files = {"pids": ("pids", "pids.max", "17"), "memory-high": ("memory", "memory.high", "17825792"),
             "cpu-weight": ("cpu", "cpu.weight", "17")}
    for name, (controller, file, shown) in files.items():
        limits = {"X-Envd-Limits": f"{name}={'17M' if name == 'memory-high' else '17'}"}
        if controller in controllers:
            stream = envd.start("sleep", "100", headers=limits)
            group = tree.children("user")[-1]
            assert read(tree.at("user", group, file)).strip() == shown
            envd.kill(stream.pid)
            stream.drain()
            continue
        with pytest.raises(Failed) as failed:
            envd.start("sleep", "100", headers=limits)
        assert failed.value.code == "failed_precondition" and name in failed.value.message
    wait_for(lambda: tree.children("user") == [], "the removal of the groups")


def test_limits_that_are_reached(envd, tree):
    """With X-Envd-Explain-End the end names the limits of its cgroup that the process ran into."""
    controllers = read(tree.at("cgroup.controllers")).split()
    ask = {"X-Envd-Explain-End": "1"}
    end = envd.sh("(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done) & wait", headers=ask).drain().end
    assert int(end["cpuTimeUs"]) > 1000 and "limitsReached" not in end
    tight = {"pids": ("pids=3", "sleep 0.1 & sleep 0.1 & sleep 0.1 & sleep 0.1 & wait"),
             "cpu": ("cpu=0.05", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")}
    for name, (limit, script) in tight.items():
        if name in controllers:
            end = envd.sh(script, headers={**ask, "X-Envd-Limits": limit}).drain().end
            assert end["limitsReached"] == [name]
