# SPDX-License-Identifier: Apache-2.0
"""The root file system stopped for a snapshot: an ext4 image that a daemon has for its root."""

import http.client
import os
import resource
import shutil
import subprocess
import threading

import pytest

from conftest import ENVD, PORT, Daemon, wait_until
from world import mount_disk

# More than there are workers for files.
WRITERS = 80


@pytest.fixture
def guest(tmp_path):
    """A daemon whose "/" is a file system of its own, with its log in a file there."""
    root = tmp_path / "root"
    root.mkdir()
    mount_disk(tmp_path / "image", root, 32)
    try:
        for name in ("etc", "proc", "run", "root"):
            (root / name).mkdir(exist_ok=True)
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        shutil.copy(ENVD, root / "envd")
        d = Daemon("-isnotfc", "-no-cgroups", "-verbose", command=("chroot", str(root), "/envd"),
                   log=root / "log")
        d.root = root
        try:
            yield d
        finally:
            # Whatever became of the test, nothing that waits for the file system may stay.
            subprocess.run(["fsfreeze", "--unfreeze", root], capture_output=True, check=False)
            d.end()
    finally:
        subprocess.run(["umount", root], check=True)


def upload(guest, name, statuses):
    answer = guest.request("POST", f"/files?path=/root/{name}", b"x" * 5000,
                           headers={"Content-Type": "application/octet-stream"})
    statuses.append(answer.status)


def test_freeze_and_thaw_are_idempotent(guest):
    for path in ("/fsthaw", "/fsfreeze", "/fsfreeze", "/fsthaw", "/fsthaw"):
        answer = guest.request("POST", path)
        assert (answer.status, answer.headers["Cache-Control"]) == (204, "no-store")


def test_writers_wait_and_nothing_else_does(guest):
    statuses = []
    assert guest.request("POST", "/fsfreeze").status == 204
    writers = [threading.Thread(target=upload, args=(guest, f"f{i}", statuses))
               for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    wait_until(lambda: blocked(guest) >= 10, "writers in wait")
    assert guest.request("GET", "/health").status == 204
    assert guest.init(envVars={"DURING": "yes"}).status == 204
    assert guest.envs()["DURING"] == "yes"
    assert statuses == []
    assert guest.request("POST", "/fsthaw").status == 204
    for writer in writers:
        writer.join(30)
    assert statuses == [200] * WRITERS
    assert len(list((guest.root / "root").iterdir())) == WRITERS


def test_nothing_that_init_writes_keeps_it_from_thawing(guest):
    """The CA bundle is on the frozen file system. The /init that wrote it waited for the disk for ever,
    no later /init ran, and none thawed the workload. Now it ends with 503, and later calls run."""
    (guest.root / "etc/ssl/certs").mkdir(parents=True)
    bundle = guest.root / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_text("SYSTEM\n")
    assert guest.request("POST", "/fsfreeze").status == 204
    answer = guest.init(caBundle="X", envVars={"A": "1"})
    assert (answer.status, answer.body) == \
        (503, b"failed to install CA bundle: installation in progress")
    assert guest.init(caBundle="Y").status == 503
    assert guest.init(envVars={"A": "2"}, hyperloopIP="10.1.2.3").status == 204
    assert guest.envs()["A"] == "2"
    assert guest.request("POST", "/fsthaw").status == 204
    wait_until(lambda: bundle.read_text() == "SYSTEM\nX\n", "the bundle")
    wait_until(lambda: guest.envs().get("E2B_EVENTS_ADDRESS"), "the line of /etc/hosts")


def test_no_upgrade_meanwhile(guest):
    """POST /upgrade waited 1 s for the audit stream and then called execve, which waits for the end of
    all threads: those that wrote to the frozen disk did not end, and nobody was left to thaw it."""
    assert guest.init().status == 204
    assert guest.request("POST", "/fsfreeze").status == 204
    answer = guest.request("POST", "/upgrade", b"")
    assert (answer.status, answer.body) == (409, b"the file system is frozen (/fsfreeze)\n")
    assert guest.request("POST", "/fsthaw").status == 204
    # This root has no /proc, so the upgrade fails later.
    answer = guest.request("POST", "/upgrade", b"")
    assert answer.status == 500 and b"/proc/self/exe" in answer.body


def test_a_call_that_fails_does_not_thaw(guest):
    """A second /fsfreeze that found no descriptor made the daemon forget the first one: POST /upgrade was
    not refused any more, and log lines were written to the frozen disk again."""
    assert guest.init().status == 204
    assert guest.request("POST", "/fsfreeze").status == 204
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b""
    limit = resource.prlimit(guest.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(guest.pid, resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        connection.request("POST", "/fsfreeze")
        answer = connection.getresponse()
        assert answer.status == 500 and b"too many open files" in answer.read()
    finally:
        resource.prlimit(guest.pid, resource.RLIMIT_NOFILE, limit)
        connection.close()
    assert guest.request("POST", "/upgrade", b"").status == 409
    assert guest.request("POST", "/fsthaw").status == 204


def blocked(guest):
    """How many threads of the daemon wait for a disk."""
    waiting = 0
    for task in os.listdir(f"/proc/{guest.process.pid}/task"):
        try:
            with open(f"/proc/{guest.process.pid}/task/{task}/stat") as stat:
                waiting += stat.read().rpartition(")")[2].split()[0] == "D"
        except OSError:
            pass
    return waiting
