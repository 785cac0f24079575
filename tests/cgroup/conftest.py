# SPDX-License-Identifier: Apache-2.0
"""Daemons whose cgroups lie in a directory of their own, and what is seen there."""

import itertools
import contextlib
import os
import signal
import sys

import pytest

import daemon as base
from wait import is_dead, wait_for  # noqa: F401

sys.path.append(os.path.join(base.TOP, "tests", "process"))

from client import Client, Failed  # noqa: E402, F401

WORLD = os.environ["WORLD"]
ROOT = os.environ["CGROUP_ROOT"]


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


class Tree:
    """A directory of the hierarchy, as the root of one."""

    count = 0

    def __init__(self):
        Tree.count += 1
        self.path = os.path.join(ROOT, f"t{Tree.count}")
        os.mkdir(self.path)

    def at(self, *names):
        return os.path.join(self.path, *names)

    def make(self, name):
        os.makedirs(self.at(name))
        return self.at(name)

    def children(self, name):
        """The cgroups below one."""
        try:
            return sorted(e.name for e in os.scandir(self.at(name)) if e.is_dir())
        except FileNotFoundError:
            return []

    def pids(self, name):
        """What is in a cgroup and below it."""
        found = []
        for directory, _, _ in os.walk(self.at(name)):
            try:
                found += map(int, read(os.path.join(directory, "cgroup.procs")).split())
            except OSError:
                pass
        return found

    def frozen(self, name):
        """Whether all in it has stopped."""
        return "frozen 1" in read(self.at(name, "cgroup.events"))

    def asked(self, name):
        """Whether it was frozen itself, and not what is above it."""
        return read(self.at(name, "cgroup.freeze")).strip() == "1"

    def freeze(self, name, on=True):
        write(self.at(name, "cgroup.freeze"), "1" if on else "0")


class Daemon(base.Daemon):
    """A daemon on a unix socket, in the cgroup `place` of its tree."""

    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    sockets = itertools.count(1)
    # It watches cgroups from the first process on, and keeps the directories of its own open.
    more_descriptors = 4

    def __init__(self, tree, *flags, place=None, uid=None):
        self.tree = tree
        n = next(self.sockets)
        directory = WORLD
        if uid:
            directory = os.path.join(WORLD, f"user-{n}")
            os.mkdir(directory)
            os.chown(directory, uid, uid)

        def enter():
            if place is not None:
                write(tree.at(place, "cgroup.procs"), str(os.getpid()))

        self.socket = os.path.join(directory, f"envd-{n}.sock")
        super().__init__("-cgroup-root", tree.path, *flags, address=self.socket, uid=uid,
                         prepare=enter)
        self.client = Client(self.socket)

    def kill_started(self):
        """What is frozen can be killed, too."""
        for pid in self.tree.pids("."):
            if pid != self.pid:
                with contextlib.suppress(ProcessLookupError):  # it ends meanwhile
                    os.kill(pid, signal.SIGKILL)

    def freeze(self, **parameters):
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return self.request("POST", "/freeze" + ("?" + query if query else ""))

    def unfreeze(self):
        return self.request("POST", "/unfreeze")


@pytest.fixture
def start():
    """Starts daemons; at the end all that is in their trees is thawed, killed and removed."""
    trees, daemons = [], []

    def begin(*flags, tree=None, **how):
        if tree is None:
            tree = Tree()
        if tree not in trees:
            trees.append(tree)
        daemon = Daemon(tree, *flags, **how)
        daemons.append(daemon)
        return daemon

    begin.trees = trees
    yield begin
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.stop(idle_workers=False)
    for tree in trees:
        clear(tree.path)


def clear(path):
    """Kills what is in a cgroup, and removes it with all below it."""
    write(os.path.join(path, "cgroup.kill"), "1")

    def removed():
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        return not os.path.exists(path)

    wait_for(removed, f"the removal of {path}")


@pytest.fixture
def daemon(start):
    return start()


@pytest.fixture
def tree(daemon):
    return daemon.tree


@pytest.fixture
def envd(daemon):
    return daemon.client
