# SPDX-License-Identifier: Apache-2.0
"""One daemon for the session; other daemons, and file systems, for single tests."""

import os
import subprocess

import pytest

from client import Files
from daemon import Daemon, Daemons, ports  # noqa: F401
from wait import SECONDS, wait_for  # noqa: F401
from world import mount, mount_disk

WORLD = os.environ["WORLD"]


def threads(daemon):
    """How many it has beyond those that it has at rest."""
    return daemon.threads()


@pytest.fixture(scope="session", autouse=True)
def daemon():
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture
def files(daemon):
    """A client whose user is the default one: root."""
    return Files(daemon.address)


@pytest.fixture
def other_daemon():
    """A function that starts a daemon with more flags, for one test."""
    daemons = Daemons()
    yield daemons
    daemons.stop()


@pytest.fixture
def mounts(tmp_path):
    """A function that mounts a file system at a new directory: its path. Gone after the test."""
    made = []

    def make(kind, mebibytes, options="", mke2fs=()):
        where = tmp_path / f"mount-{len(made)}"
        where.mkdir()
        if kind == "ramfs":
            mount("-t", "ramfs", "ramfs", where)
        elif kind == "tmpfs":
            mount("-t", "tmpfs", "-o", f"size={mebibytes}m,nr_inodes=500{options}", "tmpfs", where)
        else:
            mount_disk(tmp_path / f"image-{len(made)}", where, mebibytes, kind, options, mke2fs)
            if (where / "lost+found").exists():
                (where / "lost+found").rmdir()
        made.append(where)
        return where

    yield make
    for where in reversed(made):
        subprocess.run(["umount", "-l", where], check=True)
