# SPDX-License-Identifier: Apache-2.0
"""Kill scope `tree`: all descendants of a process, even if they left its session."""

import os

import pytest

from client import Failed
from conftest import is_dead, wait_for

TREE = {"X-Envd-Kill-Scope": "tree"}

# Children, grandchildren whose parent has gone, sessions of their own; each waits to be killed.
# The shell itself is the last of them.
FOREST = """
i=0
while [ $i -lt 250 ]; do
    sleep 1000 &
    (sleep 1000 &)
    setsid sleep 1000 &
    setsid sh -c 'sleep 1000 &'
    i=$((i+1))
done
echo planted
wait
"""


def planted(envd, tree, **how):
    stream = envd.sh(FOREST, headers=TREE, **how).until("stdout", b"planted")
    wait_for(lambda: len(tree.pids("user")) >= 1001, "a thousand processes")
    return stream


def test_all_of_a_thousand(envd, tree):
    stream = planted(envd, tree)
    pids = tree.pids("user")
    envd.kill(stream.pid)
    assert stream.drain().end["status"] == "signal: killed"
    wait_for(lambda: all(is_dead(pid) for pid in pids), "their end")
    wait_for(lambda: tree.children("user") == [], "the removal of the group")


def test_no_other_process(envd, tree):
    other = envd.start("sleep", "100", headers=TREE)
    stream = envd.sh("sleep 1000 & echo on; wait", headers=TREE).until("stdout", b"on")
    envd.kill(stream.pid)
    stream.drain()
    wait_for(lambda: len(tree.pids("user")) == 1, "the end of one tree")
    assert tree.pids("user") == [other.pid]


def test_after_the_leader_has_gone(envd, tree):
    """A background child holds the output; the process is still listed, and so killed."""
    stream = envd.sh("setsid sleep 1000 & echo $!", headers=TREE).until("stdout", b"\n")
    child = int(stream.out["stdout"])
    wait_for(lambda: is_dead(stream.pid), "the leader's end")
    envd.kill(stream.pid)
    assert stream.drain().end["exited"]
    wait_for(lambda: is_dead(child), "the child's end")


def test_by_the_deadline(envd, tree):
    stream = envd.sh("setsid sleep 1000 & echo $!; wait",
                     headers={**TREE, "Connect-Timeout-Ms": "1000"}).until("stdout", b"\n")
    child = int(stream.out["stdout"])
    with pytest.raises(Failed, match="deadline_exceeded"):
        stream.drain()
    wait_for(lambda: is_dead(child) and is_dead(stream.pid), "their end")


def test_of_a_frozen_tree(envd, tree):
    stream = envd.sh("setsid sleep 1000 & echo $!; wait", headers=TREE).until("stdout", b"\n")
    child = int(stream.out["stdout"])
    tree.freeze("user")
    wait_for(lambda: tree.frozen("user"), "the freeze")
    envd.kill(stream.pid)
    wait_for(lambda: is_dead(child) and is_dead(stream.pid), "their end")
    tree.freeze("user", False)


def test_by_the_flag(start):
    daemon = start("-kill-scope", "tree")
    stream = daemon.client.sh("setsid sleep 1000 & echo $!; wait").until("stdout", b"\n")
    child = int(stream.out["stdout"])
    daemon.client.kill(stream.pid)
    wait_for(lambda: is_dead(child), "the child's end")


def test_without_cgroups_it_is_the_session(start):
    daemon = start("-no-cgroups")
    stream = daemon.client.sh("sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & wait",
                              headers=TREE)
    while stream.out["stdout"].count(b"\n") < 2:
        stream.next()
    member, away = map(int, stream.out["stdout"].split())
    daemon.client.kill(stream.pid)
    stream.drain()
    wait_for(lambda: is_dead(member), "the member's end")
    assert not is_dead(away)
    os.kill(away, 9)
    assert "no cgroup: a KILL will reach the session" in daemon.log()


@pytest.mark.parametrize("nested", [False, True])
def test_the_session_is_found_in_its_cgroup(envd, tree, nested):
    """A session KILL searched all of /proc, which took 55 ms with 4,000 processes. Now the cgroup of
    the process lists the candidates. If a process has created cgroups below its own, /proc is searched
    as before."""
    script = "set -m; sleep 1000 & echo $!; set +m; setsid sleep 1000 & echo $!; wait"
    stream = envd.start("bash", "-c", script)
    while stream.out["stdout"].count(b"\n") < 2:
        stream.next()
    member, away = map(int, stream.out["stdout"].split())
    wait_for(lambda: os.getsid(away) == away, "the other session")
    if nested:
        group, = tree.children("user")
        below = tree.make(f"user/{group}/below")
        with open(os.path.join(below, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(member))
    envd.kill(stream.pid)
    stream.drain()
    wait_for(lambda: is_dead(member), "the member's end")
    assert not is_dead(away)
    os.kill(away, 9)
