# SPDX-License-Identifier: Apache-2.0
"""`e2b sandbox exec` and `e2b sandbox connect` of @e2b/cli, the command line of E2B."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest
from conftest import LOCKED
from e2b import Sandbox

CLI = ["node", f"{LOCKED}/js-packages/node_modules/@e2b/cli/dist/index.js", "sandbox"]
SECONDS = 60


@pytest.fixture
def sandbox():
    return Sandbox.create()


def cli(*arguments, **options):
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=SECONDS,
                          check=False, **options)


def test_exec(sandbox):
    done = cli("exec", sandbox.sandbox_id, "echo out; echo err >&2", stdin=subprocess.DEVNULL)
    assert (done.stdout, done.returncode) == ("out\n", 0)
    assert "err\n" in done.stderr


def test_exec_exit_code(sandbox):
    assert cli("exec", sandbox.sandbox_id, "exit 7", stdin=subprocess.DEVNULL).returncode == 7


def test_exec_options(sandbox):
    done = cli("exec", "-u", "user", "-c", "/tmp", "-e", "A=1", sandbox.sandbox_id,
               "id -un; pwd; echo $A", stdin=subprocess.DEVNULL)
    assert done.stdout == "user\n/tmp\n1\n"


def test_exec_input(sandbox):
    """What is piped into the CLI reaches the command, which then sees the end of its input."""
    done = cli("exec", sandbox.sandbox_id, "wc -c", input="x" * 100_000)
    assert (done.stdout.strip(), done.returncode) == ("100000", 0)


def test_exec_in_the_background(sandbox):
    done = cli("exec", "-b", sandbox.sandbox_id, "exec sleep 63", stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    running = [p for p in sandbox.commands.list() if "exec sleep 63" in p.args]
    assert len(running) == 1
    assert sandbox.commands.kill(running[0].pid)


def take_terminal():
    """In the child: without a controlling terminal there is no SIGWINCH (ioctl_tty(2))."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A program on a terminal of its own, as a person has it."""

    def __init__(self, argv, rows, cols):
        self.fd, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.process = subprocess.Popen(argv, stdin=side, stdout=side, stderr=side,
                                        start_new_session=True, preexec_fn=take_terminal)
        os.close(side)
        self.seen = ""

    def expect(self, pattern):
        deadline = time.monotonic() + SECONDS
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # the other side is closed (EIO)
                    break
        assert re.search(pattern, self.seen), self.seen

    def type(self, text):
        os.write(self.fd, text.encode())


def test_connect(sandbox):
    """A terminal with the size of the person's own, whose input and resizes arrive."""
    terminal = Terminal([*CLI, "connect", sandbox.sandbox_id], rows=31, cols=97)
    terminal.type("echo $((40 + 2)); stty size\r")
    terminal.expect(r"42\s+31 97")
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    # The size goes its own way, beside the input.
    terminal.type("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo resized $((1 + 1))\r")
    terminal.expect(r"resized 2")
    terminal.type("exit\r")
    assert terminal.process.wait(SECONDS) == 0
    os.close(terminal.fd)
