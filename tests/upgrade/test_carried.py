# SPDX-License-Identifier: Apache-2.0
"""What an upgrade carries besides processes, exits and watchers: mounts, port forwards of E2B's envd, what
the guest froze, helpers, defaults; and the workload that nobody thaws."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import protobuf_wire as protobuf
import pytest
from client import Failed
from conftest import CGROUP_ROOT, ENVD, NONE, Daemon, wait_for
from protobuf_wire import BYTES, VARINT
from test_blobs import launch, report  # noqa: F401  (launch is a fixture)

SCHEMA, MOUNTS, GUEST_FROZEN, DEFAULTS = 1, 6, 8, 9


def empty(*fields, schema=1):
    """A state of the reference without processes."""
    return protobuf.encode([[SCHEMA, VARINT, schema], [2, BYTES, b"0.9.1"], *fields])


# ---- the mount ledger ----

def volume(path):
    return [{"nfs_target": "127.0.0.1:/volume", "path": str(path)}]


@pytest.fixture
def mounted(tmp_path):
    """A directory with a mount, which stands for the NFS mount that the reference made."""
    path = tmp_path / "volume"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "volume", str(path)], check=True)
    (path / "file").write_text("content")
    yield path
    while os.path.ismount(path):
        subprocess.run(["umount", "-l", str(path)], check=True)


def ledger(path, lifecycle):
    return empty([MOUNTS, BYTES, protobuf.encode([[1, BYTES, str(path).encode()],
                                                  [2, BYTES, lifecycle]])])


@pytest.mark.parametrize("upgrades", [0, 2], ids=["from the reference", "and on"])
def test_a_mount_of_the_daemon_before(launch, mounted, upgrades):  # noqa: F811
    """An /init with the lifecycle of the mount does not mount again: processes work there. One with another
    lifecycle unmounts it first, as the reference does; here the mount that follows must fail."""
    daemon = launch(ledger(mounted, b"life"))
    assert daemon.init(lifecycleID="life").status == 204
    for _ in range(upgrades):
        assert daemon.replace(lifecycleID="life", volumeMounts=volume(mounted)) == NONE
    answer = daemon.init(lifecycleID="life", volumeMounts=volume(mounted))
    assert (answer.status, answer.body) == (204, b"")
    assert (mounted / "file").read_text() == "content"
    answer = daemon.init(lifecycleID="other", volumeMounts=volume(mounted))
    assert answer.status == 400
    assert not os.path.ismount(mounted)
    # What failed is not in the ledger, so it is tried again.
    assert daemon.init(lifecycleID="other", volumeMounts=volume(mounted)).status == 400


def test_a_mount_that_the_ledger_does_not_name(launch, mounted):  # noqa: F811
    """Somebody else mounted it, perhaps for an earlier lifecycle: it is not trusted."""
    daemon = launch(ledger("/elsewhere", b"life"))
    assert daemon.init(lifecycleID="life", volumeMounts=volume(mounted)).status == 400
    assert not os.path.ismount(mounted)


# ---- socat children ----


def greet(program):
    """Until the socket is shut down."""
    with contextlib.suppress(OSError):
        while True:
            connection = program.accept()[0]
            with connection, contextlib.suppress(ConnectionError):
                connection.sendall(b"hello")


def greeted(port):
    """Whether the program greets who connects to the forwarded port. A process of socat's group can be
    about to end, and still hold the address: a connection to it is reset."""
    with contextlib.suppress(ConnectionError), \
            socket.create_connection(("127.0.0.2", port), 60) as client:
        return client.recv(5) == b"hello"
    return False


def test_port_forwarders_of_the_reference(launch):  # noqa: F811
    """Its socat holds the address on which ours must listen: it is ended with its group and reaped, and the
    port is forwarded by ours, with no /init. Pids of others in the state are left alone."""
    stranger = subprocess.Popen(["sleep", "1000"])
    with socket.create_server(("127.0.0.1", 0)) as program:
        port = program.getsockname()[1]
        daemon = launch(empty(), "-forward-ip", "127.0.0.2", forwards=[port],
                        strangers=[1, stranger.pid, 4194303])
        wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")
        threading.Thread(target=greet, args=(program,), daemon=True).start()
        wait_for(lambda: greeted(port), daemon.log)
        program.shutdown(socket.SHUT_RDWR)
        assert report(daemon) == NONE
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


# ---- helpers ----

def test_helpers_are_reaped(launch):  # noqa: F811
    """They are children that the daemon before waited for, such as a write to cpuN/online that hangs."""
    stranger = subprocess.Popen(["sleep", "1000"])
    daemon = launch(empty(), helpers=2, strangers=[stranger.pid])
    assert report(daemon) == NONE
    assert len(daemon.children()) == 2
    first, second = daemon.children()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: daemon.children() == [second])
    assert daemon.replace(ENVD) == NONE
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: not daemon.children(), lambda: f"an end of {daemon.children()}")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


# ---- what the guest froze ----

def frozen(group):
    with open(f"{CGROUP_ROOT}/{group}/cgroup.freeze", encoding="ascii") as file:
        return file.read() == "1\n"


def set_frozen(group, value):
    with open(f"{CGROUP_ROOT}/{group}/cgroup.freeze", "w", encoding="ascii") as file:
        file.write("1" if value else "0")


def group_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return os.path.relpath("/sys/fs/cgroup" + file.read().splitlines()[-1].split("::")[1],
                               "/sys/fs/cgroup" + own_root())


def own_root():
    """The path of CGROUP_ROOT below the root of the hierarchy."""
    with open("/proc/mounts", encoding="ascii") as mounts:
        where = next(line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
    return "/" + os.path.relpath(CGROUP_ROOT, where)


def test_what_the_guest_froze_stays_frozen(daemon):
    """A guest stops a command of its own by the freezer. An upgrade freezes all, and the /init after it must
    thaw what the upgrade froze and nothing else; also after a second upgrade."""
    daemon.keeps_output = True
    stopped = daemon.client.start("sleep", "1000", tag="stopped")
    runs = daemon.client.start("cat", tag="runs")
    group = group_of(stopped.pid)
    assert group.startswith("user/")
    set_frozen(group, True)
    for i in range(2):
        assert daemon.replace(ENVD)["procs"] == 2
        assert frozen(group) and not frozen("user") and not frozen("ptys")
        again = daemon.client.connect(tag="runs")
        daemon.client.send_input(runs.pid, b"%d\n" % i)
        again.until("stdout", b"%d\n" % i).close()
    set_frozen(group, False)
    for stream in stopped, runs:
        daemon.client.kill(stream.pid)
    wait_for(lambda: not daemon.client.list())


@pytest.fixture
def groups():
    """Cgroups of the guest, and those of the daemon, all frozen."""
    made = ["user", "user/mine", "ptys", "mine", "theirs"]
    for name in made:
        os.makedirs(f"{CGROUP_ROOT}/{name}", exist_ok=True)
        set_frozen(name, True)
    yield made
    for name in reversed(made):
        set_frozen(name, False)
        with contextlib.suppress(OSError):
            os.rmdir(f"{CGROUP_ROOT}/{name}")


def test_a_state_that_names_what_the_guest_froze(launch, groups):  # noqa: F811
    """The reference stamps schema 2 for it. Its own two groups are thawed whatever the state says, as the
    reference does: nothing would run any more."""
    named = ["user", "user/mine", "mine"]
    daemon = launch(empty(*([GUEST_FROZEN, BYTES, name.encode()] for name in named), schema=2))
    daemon.init(thaw="skip")
    assert all(frozen(name) for name in groups)
    with pytest.raises(Failed, match="unavailable"):
        daemon.client.start("true")
    assert report(daemon) == NONE
    assert [name for name in groups if frozen(name)] == ["user/mine", "mine"]
    daemon.client.start("true").drain()
    # Handed on, although this daemon did not freeze it itself.
    assert daemon.replace() == {**NONE, "retained": 1}
    assert [name for name in groups if frozen(name)] == ["user/mine", "mine"]


# ---- defaults ----

@pytest.mark.parametrize("user, workdir, header", [
    (b"nobody", b"/usr", {"user": "nobody", "workdir": "/usr", "fallback": False}),
    (b"root", None, {"user": "root", "fallback": False}),
    (None, b"/usr", {"user": "root", "workdir": "/usr", "fallback": True}),
    (None, None, {"user": "root", "fallback": True}),
])
def test_defaults_of_the_reference(launch, user, workdir, header):  # noqa: F811
    fields = ([[1, BYTES, user]] if user else []) + \
        ([[2, BYTES, workdir], [3, VARINT, 1]] if workdir else [])
    blob = empty([DEFAULTS, BYTES, protobuf.encode(fields)], schema=3) if fields else empty()
    daemon = launch(blob)
    answer = daemon.init()
    assert json.loads(answer.headers["X-Envd-Handover"]) == NONE
    assert json.loads(answer.headers["X-Envd-Defaults"]) == header
    said = daemon.client.start("sh", "-c", "id -un; pwd").drain().out["stdout"].split()
    assert said[0] == header["user"].encode()
    assert said[1] == (workdir or said[1])
    # An /init that names a user wins.
    answer = daemon.init(defaultUser="daemon")
    assert json.loads(answer.headers["X-Envd-Defaults"])["user"] == "daemon"


# ---- nobody thaws ----

def test_the_workload_is_thawed_without_an_init():
    """The platform went away between the upgrade and the /init. The processes go on, and their deadlines
    count; but the gate stays closed, since nobody has shown the token."""
    daemon = Daemon("-upgrade-thaw", "1")
    daemon.init()
    counts = daemon.client.start("sleep", "1000", headers={"Connect-Timeout-Ms": "1500"})
    goes_on = daemon.client.start("cat", tag="cat")
    assert daemon.upgrade() is None
    wait_for(lambda: "no /init for 1 s, the workload is thawed" in daemon.log(), daemon.log)
    wait_for(lambda: not frozen("user") and not frozen("ptys"))
    wait_for(lambda: not os.path.exists(f"/proc/{counts.pid}"))
    assert daemon.request("GET", "/envs").status == 401
    assert daemon.upgrade().status == 401
    # On a busy machine the deadline may have passed before the upgrade.
    assert json.loads(daemon.init().headers["X-Envd-Handover"])["procs"] in (1, 2)
    again = daemon.client.connect(tag="cat")
    daemon.client.send_input(goes_on.pid, b"on\n")
    again.until("stdout", b"on\n").close()
    # The flag is carried over, and does nothing where an /init comes.
    assert daemon.words().count("-upgrade-thaw") == 1
    daemon.stop()
