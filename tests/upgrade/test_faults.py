# SPDX-License-Identifier: Apache-2.0
"""A step of the outgoing side that fails leaves the old daemon serving: the clients keep their streams, no
file of the upgrade is left, and a program that lay at its path before is still there."""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from client import Client
from conftest import (ADDRESS, BLOB, CGROUP_ROOT, ENVD, FIRST_FD, HERE, LISTEN, NEXT, NONE, PART,
                      TOO_SLOW, WORLD, Daemon, compiled, wait_for)
from connect import Connection
from world import mount_disk

BEFORE = b"the program of an upgrade before\n"
HALF = b"POST /upgrade HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n" + bytes(1000000)


@pytest.fixture
def echo(daemon):
    """A process with a client, before and after the fault. Afterwards an upgrade must work: what the
    failed one froze, paused or opened would stop it. After a body that was refused, the next body was
    not even read."""
    with open(NEXT, "wb") as file:
        file.write(BEFORE)
    stream = daemon.client.start("cat", tag="cat")
    yield stream
    daemon.client.send_input(stream.pid, b"again\n")
    stream.until("stdout", b"again\n")  # the same stream, which was never cut
    assert daemon.process.poll() is None
    assert [p["pid"] for p in daemon.client.list()] == [stream.pid]
    assert "--resume-handover" not in daemon.words()
    assert max(daemon.numbers()) < FIRST_FD
    assert not os.path.exists(PART)
    assert not os.path.exists(BLOB)
    assert daemon.replace(ENVD)["procs"] == 1


@pytest.fixture
def echo_beside(daemon):
    """A process with a client; the result checks that both go on."""
    stream = daemon.client.start("cat", tag="cat")

    def check():
        daemon.client.send_input(stream.pid, b"again\n")
        stream.until("stdout", b"again\n")
        assert "--resume-handover" not in daemon.words()

    yield check
    daemon.client.kill(stream.pid)


def previous():
    with open(NEXT, "rb") as file:
        return file.read()


def own_program():
    with open(ENVD, "rb") as file:
        return file.read()


@pytest.mark.parametrize("body,status,text", [
    (b"#!/bin/sh\nexit 0\n", 400, "the body is not an ELF file\n"),
    (b"\x7fELF", 400, "the body is not an ELF file\n"),
    ("half", 400, "the body is cut short\n"),
    ("other machine", 400, "the body is a program of another architecture\n"),
    ("/usr/bin/true", 400, "the new program refuses its flags"),
    # It repeats its flags: that passed for a version, and ended the daemon.
    ("/usr/bin/echo", 400, "the new program prints no version: "),
])
def test_a_body_that_is_no_program_of_ours(daemon, echo, body, status, text):
    if body == "half":
        body = own_program()[:-4096]
    elif body == "other machine":
        body = own_program()
        body = body[:18] + b"\x28\x00" + body[20:]
    answer = daemon.upgrade(body)
    assert answer.status == status
    assert answer.body.decode().startswith(text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert previous() == BEFORE


@pytest.mark.parametrize("there", [True, False], ids=["a program before", "none before"])
def test_a_body_that_is_cut_short(daemon, echo, there):
    """The half of a program stayed behind at the path of the whole."""
    if not there:
        os.unlink(NEXT)
    with socket.create_connection(ADDRESS) as connection:
        connection.sendall(HALF)
        wait_for(lambda: os.path.exists(PART))
    # 409 while the daemon still is at the first one.
    wait_for(lambda: daemon.upgrade(b"x").status == 400)
    assert "unexpected EOF" in daemon.log()
    assert os.path.exists(NEXT) == there
    assert not there or previous() == BEFORE


def test_a_disk_that_is_full(daemon, echo):
    """/usr/bin/envd.next lies on a tmpfs without room."""
    used = os.statvfs(WORLD)
    room = (used.f_blocks - used.f_bfree) * used.f_frsize + 200 * 1024
    subprocess.run(["mount", "-o", f"remount,size={room}", WORLD], check=True)
    try:
        answer = daemon.upgrade(ENVD)
    finally:
        subprocess.run(["mount", "-o", "remount,size=50%", WORLD], check=True)
    assert answer.status == 500
    assert answer.body == b"write /usr/bin/envd.next: no space left on device\n"
    assert previous() == BEFORE


@pytest.mark.parametrize("there", [True, False], ids=["a program before", "none before"])
def test_a_workload_that_does_not_freeze(daemon, echo, there):
    """One of the two cgroups is missing, so nobody knows whether all terminals have stopped. The body has
    been checked by then, and is a program."""
    if not there:
        os.unlink(NEXT)
    os.rmdir(f"{CGROUP_ROOT}/ptys")
    try:
        answer = daemon.upgrade(ENVD)
    finally:
        os.mkdir(f"{CGROUP_ROOT}/ptys")
    assert answer.status == 500
    assert answer.body.startswith(b"handover aborted: freeze workload: ")
    assert os.path.exists(NEXT) == there


@pytest.mark.parametrize("placed, why", [(0, b"invalid argument"), (1, b"too many open files")])
def test_descriptors_that_cannot_be_placed(daemon, echo, placed, why):
    """The numbers from 200 up are beyond the limit, or all but the first: the duplicate of the first
    would keep a reader of stdin from its end of file."""
    limit = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (FIRST_FD + placed, limit[1]))
    try:
        answer = daemon.upgrade()
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limit)
    assert (answer.status, answer.body) == (500, b"relocate handover fds: " + why + b"\n")


def test_a_freeze_before_the_upgrade_stays(daemon, echo):
    """A platform has frozen the workload for a snapshot. An upgrade that failed thawed it."""
    assert daemon.request("POST", "/freeze?maxWaitMs=2000").status == 200
    os.mkdir(BLOB)
    assert daemon.upgrade().status == 500
    limit = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    os.rmdir(BLOB)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (FIRST_FD, limit[1]))
    assert daemon.upgrade().status == 500
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limit)
    with open(f"{CGROUP_ROOT}/user/cgroup.freeze", encoding="ascii") as state:
        assert state.read() == "1\n"
    assert daemon.request("POST", "/unfreeze").status == 204


def test_the_directory_of_the_blob_is_missing(daemon):
    """A guest that clears /run took the upgrade away for good."""
    shutil.rmtree(os.path.dirname(BLOB), ignore_errors=True)
    assert daemon.replace() == NONE


def test_a_signal_that_ends_the_daemon(tmp_path):
    """SIGTERM at any time of an upgrade ends the daemon, as the old or the new one. The handler notes a
    signal for the loop, and an execve before the loop's next turn lost it: systemd waited for 90 s."""
    for i in range(30):
        daemon = Daemon()
        daemon.init()
        upgrading = threading.Thread(target=daemon.upgrade)
        upgrading.start()
        time.sleep(i * 0.001)
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0, daemon.log()
        upgrading.join()
        assert not os.path.exists(BLOB)
        if "handover from" not in daemon.log():  # the old one ended: what it froze, it has thawed
            with open(f"{CGROUP_ROOT}/user/cgroup.freeze", encoding="ascii") as state:
                assert state.read() == "0\n"
        thaw()


def test_a_signal_that_writes_the_state(daemon):
    """SIGUSR1 writes the daemon's state to the log. One that came after the execve, and before the new program
    had its handlers, ended the program and with it the sandbox."""
    ending = threading.Event()

    def ask():
        while not ending.is_set():
            os.kill(daemon.pid, signal.SIGUSR1)
            time.sleep(0.0002)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(3):
            assert daemon.replace() == NONE
    finally:
        ending.set()
        asking.join()


def test_a_blob_that_cannot_be_opened(daemon, echo):
    os.mkdir(BLOB)
    try:
        answer = daemon.upgrade()
    finally:
        os.rmdir(BLOB)
    assert answer.status == 500
    assert b"envd-handover.pb" in answer.body


def test_a_blob_that_cannot_be_written(daemon, echo):
    """/run has room for a part of the state, which has a megabyte of kept output."""
    daemon.keeps_output = True
    kept = daemon.client.start("sh", "-c", "head -c 1000000 /dev/zero; exec sleep 1000", tag="kept",
                               headers={"X-Envd-Keep-Output": "1000000"})
    while len(kept.out["stdout"]) < 1000000:
        kept.next()
    subprocess.run(["mount", "-o", "remount,size=512k", "/run"], check=True)
    try:
        answer = daemon.upgrade()
    finally:
        subprocess.run(["mount", "-o", "remount,size=50%", "/run"], check=True)
    assert (answer.status, answer.body) == (500, b"write handover state: no space left on device\n")
    daemon.client.kill(kept.pid)
    kept.drain()


# Prints no version, once a file exists.
WAITING = r"""
#include <unistd.h>
int main(void) { while (access("LEFT", F_OK)) usleep(1000); return 1; }
"""

SILENT = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"

REFUSED_BY_THE_KERNEL = r"""
#include <stdio.h>
#include <sys/stat.h>

/* A program that passes the check, and takes its own permission away. */
int main(int argc, char **argv)
{
	puts("0.9.1+c1");
	return argc > 2 ? chmod("/proc/self/exe", 0600) : 0;
}
"""


def thaw():
    """The workload of a daemon that was killed stays frozen."""
    for group in ("user", "ptys"):
        with open(f"{CGROUP_ROOT}/{group}/cgroup.freeze", "w", encoding="ascii") as file:
            file.write("0")


def is_checked():
    """Whether the body is being run."""
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if pid.isdigit() and os.readlink(f"/proc/{pid}/exe") == PART:
                return True
    return False


def test_a_program_that_says_nothing(daemon, echo):
    answer = daemon.upgrade_once(compiled(SILENT))
    assert answer.status == 400
    assert answer.body.startswith(TOO_SLOW)
    assert previous() == BEFORE


def test_a_client_that_leaves_during_the_check(daemon, echo):
    """The body is complete, and the program is asked for its version: the end of the connection reached
    the upload, which was freed, and the daemon crashed."""
    leave = os.path.join(WORLD, "left")
    body = compiled(WAITING.replace("LEFT", leave))
    with socket.create_connection(ADDRESS) as connection:
        connection.sendall(b"POST /upgrade HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sendall(body)
        wait_for(is_checked)
    open(leave, "w").close()
    wait_for(lambda: daemon.upgrade(b"x").status == 400)
    assert "the new program refuses its flags: " in daemon.log()


@pytest.mark.parametrize("there", [True, False], ids=["a program before", "none before"])
def test_an_execve_that_fails(daemon, echo, there):
    if not there:
        os.unlink(NEXT)
    answer = daemon.upgrade(compiled(REFUSED_BY_THE_KERNEL))
    assert (answer.status, answer.body) == (500, b"execve /usr/bin/envd.next: permission denied\n")
    assert os.path.exists(NEXT) == there


OF_ANOTHER_PROJECT = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Has a version like ours, and no flag of ours. Writes down how it was started. */
int main(int argc, char **argv)
{
	struct rlimit files;
	char line[512];
	FILE *out, *in;
	int i, fd;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-build") == 0)
			return 2;
		if (strcmp(argv[i], "-version") == 0)
			return puts("0.6.13+custom"), 0;
	}
	out = fopen("RECORD.new", "w");
	for (i = 0; i < argc; i++)
		fprintf(out, "argv %s\n", argv[i]);
	getrlimit(RLIMIT_NOFILE, &files);
	fprintf(out, "nofile %ld\n", (long)files.rlim_cur);
	fprintf(out, "listeners %s\n", getenv("ENVD_LISTEN_FDS") ? getenv("ENVD_LISTEN_FDS") : "none");
	for (fd = 3; fd < 4096; fd++) {
		snprintf(line, sizeof(line), "/proc/self/fd/%d", fd);
		if (fd != fileno(out) && access(line, F_OK) == 0)
			fprintf(out, "fd %d\n", fd);
	}
	in = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof(line), in))
		if (strncmp(line, "Sig", 3) == 0)
			fputs(line, out);
	fclose(out);
	rename("RECORD.new", "RECORD");
	for (;;)
		pause();
}
"""


def test_what_a_program_of_another_project_gets():
    """It was taken for a build of ours by "+c" in its version: it got the listening sockets, which it did
    not know and which kept it from binding its port."""
    record = os.path.join(WORLD, "record")
    daemon = Daemon("-listen", LISTEN, "-kill-scope", "tree", nofile=(1000, 4096))
    daemon.init()
    daemon.client.start("cat", tag="cat").close()
    assert daemon.upgrade(compiled(OF_ANOTHER_PROJECT.replace("RECORD", record))) is None
    wait_for(lambda: os.path.exists(record))
    with open(record, encoding="ascii") as lines:
        said = [line.split(maxsplit=1) for line in lines.read().splitlines()]
    words = [value for name, value in said if name == "argv"]
    assert words == [NEXT, "-isnotfc", "-port", "49983", "-cgroup-root", CGROUP_ROOT, "--resume-handover"]
    fds = [int(value) for name, value in said if name == "fd"]
    assert len(fds) == 3 and min(fds) >= FIRST_FD
    assert ["nofile", "1000"] in said and ["listeners", "none"] in said
    # Signals 32 and 33 belong to the C library, which lets no program change them. Below sudo, 32 can
    # be ignored.
    for name in ("SigBlk:", "SigIgn:", "SigCgt:"):
        assert [int(value, 16) & ~(3 << 31) for n, value in said if n == name] == [0], said
    daemon.kill_started()
    daemon.process.kill()
    daemon.process.wait()
    os.unlink(BLOB)
    thaw()


def test_a_fifo_in_place_of_the_blob(daemon):
    """The open of a FIFO waits for a reader: the worker hung, and every later upgrade got 409."""
    os.makedirs(os.path.dirname(BLOB), exist_ok=True)
    os.mkfifo(BLOB)
    assert daemon.upgrade() is None
    wait_for(lambda: not os.path.exists(BLOB))
    wait_for(daemon.answers)


# ---- FUSE ----

def kernel_has_fuse():
    with open("/proc/filesystems", encoding="ascii") as known:
        return "nodev\tfuse\n" in known.readlines()


if kernel_has_fuse():
    @pytest.fixture
    def fuse(daemon, tmp_path):
        """A FUSE file system whose server is a process of the daemon, and is frozen with the others."""
        folder = tmp_path / "fuse"
        folder.mkdir()
        server = daemon.client.start(sys.executable, os.path.join(HERE, "fuse_server.py"), str(folder))
        server.until("stdout", b"ready\n")
        server.folder = folder
        yield server
        subprocess.run(["umount", "-l", str(folder)], check=True)

    def test_a_request_that_a_fuse_server_has(daemon, echo_beside, fuse):
        """A thread that waits for a FUSE server can't be killed, the execve waited for the thread, the server
        was frozen, and nobody was left to thaw it: the sandbox was lost."""
        asking = threading.Thread(target=daemon.request,
                                  args=("GET", f"/files?path={fuse.folder}/silence&username=root"))
        asking.start()
        fuse.until("stdout", b"asked\n")
        answer = daemon.upgrade()
        assert (answer.status, answer.body) == \
            (500, b"handover aborted: a request waits for a FUSE server\n")
        echo_beside()
        os.kill(fuse.pid, signal.SIGKILL)  # the request fails
        asking.join()
        fuse.drain()
        assert daemon.replace()["procs"] == 1

    def test_a_freeze_that_does_not_come(daemon, echo_beside, fuse):
        """A command waits for the server, where no signal and no freezer reaches it."""
        waits = daemon.client.start("stat", str(fuse.folder / "silence"))
        fuse.until("stdout", b"asked\n")
        answer = daemon.upgrade()
        assert answer.status == 500
        assert answer.body.startswith(b"handover aborted: freeze workload: 0 cgroups failed, ")
        echo_beside()
        os.kill(fuse.pid, signal.SIGKILL)
        waits.drain()
        fuse.drain()
        assert daemon.replace()["procs"] == 1

    def test_a_file_of_a_fuse_server(daemon, echo_beside, fuse):
        """The execve closes it, and the close asks the frozen server to flush it."""
        connection = Connection(ADDRESS)
        connection.request("GET", f"/files?path={fuse.folder}/zeros&username=root")
        assert connection.getresponse().status == 200
        # Once the client, which does not read, has stalled the download; a read comes before that.
        wait_for(lambda: daemon.upgrade().body == b"handover aborted: a file of a FUSE server is open\n")
        echo_beside()
        connection.close()
        # The download ends, and the mount alone is no hindrance.
        wait_for(lambda: daemon.upgrade() is None)
        wait_for(daemon.answers)
        assert json.loads(daemon.init().headers["X-Envd-Handover"])["procs"] == 2
        assert os.path.exists(fuse.folder / "zeros")
        daemon.client.kill(fuse.pid)
        wait_for(lambda: len(daemon.client.list()) == 1)


# ---- a disk that the guest has frozen ----

def test_a_file_system_that_the_guest_has_frozen(daemon, echo_beside, tmp_path):
    """A worker that writes to it can't be killed, so the execve waited for the thaw of the file system; and the
    process of the guest that would thaw it was frozen by the upgrade. The sandbox was lost."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount_disk(tmp_path / "image", disk, 32)
    answers = []

    def write():
        answers.append(daemon.request("POST", f"/files?path={disk}/f&username=root", b"x" * 5000,
                                      headers={"Content-Type": "application/octet-stream"}).status)

    def waits():
        tasks = f"/proc/{daemon.pid}/task"
        with contextlib.suppress(FileNotFoundError):
            return any(open(f"{tasks}/{task}/wchan", encoding="ascii").read() == "percpu_rwsem_wait"
                       for task in os.listdir(tasks))
        return False

    writer = threading.Thread(target=write)
    subprocess.run(["fsfreeze", "-f", disk], check=True)
    try:
        writer.start()
        wait_for(waits)
        answer = daemon.upgrade()
        assert (answer.status, answer.body) == \
            (500, b"handover aborted: a write waits for a frozen file system\n")
        echo_beside()
    finally:
        subprocess.run(["fsfreeze", "-u", disk], check=True)
        writer.join()
        subprocess.run(["umount", disk], check=True)
    assert answers == [200]
    assert daemon.replace()["procs"] == 1


# ---- what is refused at its head ----

def test_no_upgrade():
    daemon = Daemon("-no-upgrade")
    daemon.init()
    assert daemon.upgrade().status == 501
    daemon.stop()


def test_two_at_once_and_too_early():
    daemon = Daemon()
    answer = daemon.upgrade()
    assert (answer.status, answer.body) == (409, b"envd not initialized\n")
    daemon.init()
    assert daemon.upgrade(headers={"X-Envd-Upgrade-Bin": "/usr/bin/envd"}).status == 400
    with socket.create_connection(ADDRESS) as connection:
        connection.sendall(HALF)
        wait_for(lambda: os.path.exists(PART))
        answer = daemon.upgrade()
        assert (answer.status, answer.body) == (409, b"another upgrade is in progress\n")
    wait_for(lambda: not os.path.exists(PART))
    daemon.stop()


@pytest.mark.parametrize("sockets", ["its own", "handed over"])
def test_a_listener_that_may_not_upgrade(sockets):
    """Whoever can write to the port may replace the daemon, if no token is set. With -upgrade-over only
    those can who reach that listener; and so it stays after an upgrade."""
    path = os.path.join(WORLD, "upgrade.sock")
    daemon = Daemon("-listen", LISTEN, "-listen", f"unix:{path}", "-upgrade-over", f"unix:{path}")
    daemon.init()

    def over_the_socket():
        connection = Connection(path)
        connection.request("POST", "/upgrade", b"")
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.getresponse()
        connection.close()
        wait_for(daemon.answers)
        daemon.init()

    if sockets == "handed over":
        over_the_socket()
    answer = daemon.upgrade()
    assert answer.status == 403
    assert answer.body == \
        b"live upgrades are not accepted over this listener (-upgrade-over)\n"
    assert Client(path).list() == []
    over_the_socket()
    assert daemon.words().count("--resume-handover") == 1
    daemon.stop()


@pytest.mark.parametrize("listen", ["tcp::49983", "tcp:*:49983", "tcp:0.0.0.0:49983", "tcp:[::]:49983",
                                    "tcp:127.0.0.1:049983"])
def test_every_way_to_write_an_address(listen):
    """The new daemon compares its flags with the sockets that it got, as text: "tcp::49983" was none of
    them, so it tried to bind the port again and ended, and the sandbox was lost."""
    daemon = Daemon("-listen", listen)
    daemon.init()
    assert daemon.replace()["failed"] is False
    assert daemon.replace()["failed"] is False
    daemon.stop()
