# SPDX-License-Identifier: Apache-2.0
"""envd as the entry point of containers, by podman and crun."""

import os
import pty

import pytest

from conftest import healthy, podman


def status(name):
    return int(podman("wait", name))


@pytest.mark.parametrize("options", [[], ["--init"]], ids=["first", "subreaper"])
def test_exit_status_and_signals(box, options):
    assert status(box("/bin/sh", "-c", "exit 7", options=options)) == 7
    assert status(box("/no/such/program", options=options)) == 127
    name = box("/bin/sleep", "1000", options=options)
    healthy(name, "/usr/bin/envd")
    podman("kill", "-s", "USR1", name)
    assert status(name) == 128 + 10


@pytest.mark.parametrize("options", [
    ["--user=123456:0"],
    ["--user=123456:0", "--cap-drop=all", "--security-opt=no-new-privileges"],
    ["--cap-drop=all"],
    ["--read-only", "--read-only-tmpfs=false"],
    ["--user=123456:0", "--cap-drop=all", "--read-only", "--read-only-tmpfs=false"],
], ids=["uid", "uid-caps", "caps", "read-only", "all"])
def test_restrictions(box, options):
    name = box("/bin/sleep", "1000", options=options)
    healthy(name, "/usr/bin/envd")
    uid = "123456" if "--user=123456:0" in options else "0"
    assert podman("exec", name, "/usr/bin/envd", "exec", "--to", "tcp:127.0.0.1:49983", "--",
                  "/bin/id", "-u") == uid


def test_the_daemon_alone(box):
    """Without -init: the image's only program."""
    name = box("-isnotfc", image="localhost/envd:latest")
    healthy(name, "/usr/bin/envd")
    podman("stop", "-t", "60", name)
    assert podman("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


def test_terminal():
    """podman run -it: Ctrl-C reaches the foreground process, and the container ends with its status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("podman", ["podman", "run", "-it", "--rm", "--network=none",
                             "localhost/both:latest", "/bin/sh", "-c", "echo it runs; exec sleep 1000"])
    text = b""
    while b"it runs" not in text:
        text += os.read(fd, 4096)
    os.write(fd, b"\x03")
    try:
        while os.read(fd, 4096):
            pass
    except OSError:  # EIO: podman has ended
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
