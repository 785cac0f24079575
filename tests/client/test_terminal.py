# SPDX-License-Identifier: Apache-2.0
"""envd exec -it on a terminal, as a person uses it: typing, resizing, Ctrl-C, a large paste."""

import contextlib
import fcntl
import hashlib
import os
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from conftest import Host
from daemon import ENVD
from wait import SECONDS, wait_for


class Terminal:
    """A terminal whose foreground process is a command on the host. `screen` has all bytes that it was
    sent so far."""

    def __init__(self, host, *args, rows=30, cols=100):
        self.master, self.slave = os.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""
        self.process = subprocess.Popen(
            [ENVD, *args], stdin=self.slave, stdout=self.slave, stderr=self.slave, env=host.environment,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self, seconds):
        """Adds what the terminal was sent to the screen. False if nothing came."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.screen += os.read(self.master, 65536)
        return True

    def type(self, data):
        """Types, and reads meanwhile: a terminal that nobody reads stops taking keys."""
        writer = threading.Thread(target=self._write, args=(data,))
        writer.start()
        while writer.is_alive():
            self.read(0.01)
        writer.join()

    def _write(self, data):
        while data:
            data = data[os.write(self.master, data):]

    def expect(self, pattern):
        """Waits until the screen has the pattern, and forgets the screen up to there."""
        end = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < end, f"waited in vain for {pattern}: {self.screen[-2000:]}"
            self.read(0.1)
        self.screen = self.screen[found.end():]
        return found

    def status(self):
        """Reads to the end of the command, and returns its exit status."""
        end = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end: {self.screen[-2000:]}"
            self.read(0.05)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in self.master, self.slave:
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def terminal(host):
    opened = []

    def start(*args, **how):
        opened.append(Terminal(host, *args, **how))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def shell(terminal, **how):
    """A shell that shows the prompt `$`, without startup files."""
    t = terminal("exec", "-it", "-e", "PS1=$ ", "-e", "TERM=xterm", "--", "sh", **how)
    t.expect(rb"\$ ")
    return t


def test_typing(terminal):
    t = shell(terminal)
    t.type(b"echo $((6 * 7)); tty\r")
    t.expect(rb"\r\n42\r\n/dev/pts/\d+\r\n")
    t.type(b"exit 7\r")
    assert t.status() == 7
    assert termios.tcgetattr(t.slave) == t.before, "the terminal stays as it was"


def test_the_size_follows_the_window(terminal):
    t = shell(terminal, rows=31, cols=101)
    t.type(b"stty size\r")
    t.expect(rb"\r\n31 101\r\n")
    t.resize(45, 132)
    # The new size arrives in the guest a moment later than the signal here.
    t.type(b"until [ \"$(stty size)\" = '45 132' ]; do sleep 0.05; done; echo seen\r")
    # The shell may have shown its prompt again for the signal.
    t.expect(rb"\r\n(\$ )*seen\r\n")


def test_ctrl_c_interrupts_the_program_in_the_guest(terminal):
    t = shell(terminal)
    t.type(b"sleep 600; echo interrupted\r")
    t.expect(rb"\r\n")
    # Until the program runs, the shell itself would get the signal.
    end = time.monotonic() + SECONDS
    while not re.search(rb"interrupted|\$ $", t.screen):
        assert time.monotonic() < end
        t.type(b"\x03")
        t.read(0.2)
    t.type(b"echo alive\r")
    t.expect(rb"\r\nalive\r\n")
    t.type(b"\x04")
    t.status()
    assert termios.tcgetattr(t.slave) == t.before


def test_a_paste_of_a_mebibyte(terminal):
    """A program that reads slowly takes all of it, in order: nothing on the way drops what it has no
    room for. The program has put its terminal into raw mode, as editors do."""
    line = b"the quick brown fox jumps over the lazy dog 0123456789 abcdefg\n"
    data = line * (1048576 // len(line))
    t = shell(terminal)
    t.type(b"stty raw -echo; echo ready; head -c %d | sha256sum; stty sane\r" % len(data))
    t.expect(rb"ready\n")
    t.type(data)
    t.expect(hashlib.sha256(data).hexdigest().encode())


def test_output_without_end_can_be_interrupted(terminal):
    t = shell(terminal)
    t.type(b"yes\r")
    t.expect(rb"y\r\ny\r\ny\r\n")
    t.type(b"\x03")
    t.expect(rb"\$ ")


def test_a_terminal_that_goes_away_ends_the_program(terminal, host):
    t = shell(terminal)
    assert host.pids()
    os.close(t.slave)
    os.close(t.master)
    t.process.wait(SECONDS)
    t.master = t.slave = -1
    wait_for(lambda: not host.pids(), "the end of the shell")


def test_term_restores_the_terminal(terminal):
    t = shell(terminal)
    t.type(b"stty -a >/dev/null; sleep 600\r")
    t.process.send_signal(signal.SIGTERM)
    assert t.status() == 137
    assert termios.tcgetattr(t.slave) == t.before


def test_attach_to_a_terminal(terminal, host):
    t = shell(terminal)
    (pid,) = host.pids()
    other = terminal("attach", "-i", str(pid))
    # It has no prompt before somebody types.
    end = time.monotonic() + SECONDS
    while not re.search(rb"\r\njoined\r\n", other.screen):
        assert time.monotonic() < end, other.screen
        other.type(b"echo joi''ned\r")
        other.read(0.2)
    t.expect(rb"\r\njoined\r\n")
    other.type(b"exit 6\r")
    assert (other.status(), t.status()) == (6, 6)


def left(t, status):
    t.type(b"\r~.")
    assert t.status() == status
    assert termios.tcgetattr(t.slave) == t.before


def test_the_escape_leaves(terminal, host):
    """As in ssh: the command on the host ends, and the program in the guest goes on."""
    t = shell(terminal)
    (pid,) = host.pids()
    left(t, 125)
    t.expect(rb"envd exec: process %d was left: interrupted\r\n" % pid)
    other = terminal("attach", "-i", str(pid))
    wait_for(lambda: termios.tcgetattr(other.slave) != other.before, "the raw terminal")
    left(other, 0)
    assert list(host.pids()) == [pid]


@pytest.mark.parametrize("escape,typed,seen", [
    ("~", b"~~.one\r", b"~.one"), ("~", b"~x\r", b"~x"), ("~", b"a~.b\r", b"a~.b"), ("~", b"~~~~.\r", b"~~~."),
    ("none", b"~.\r", b"~."), ("none", b"~~\r", b"~~"), ("%", b"~.%%.\r", b"~.%%."), ("%", b"%%.\r", b"%."),
])
def test_the_escape_in_text(terminal, escape, typed, seen):
    t = terminal("exec", "-it", "--escape", escape, "--", "sh", "-c",
                 "echo ready; read -r line; echo \"[$line]\"; read -r line; echo \"[$line]\"")
    t.expect(b"ready\r\n")
    t.type(typed)
    t.expect(rb"\r\n\[" + re.escape(seen) + rb"\]\r\n")
    # One key at a time, at the beginning of another line.
    for key in typed:
        t.type(bytes([key]))
        t.read(0.01)
    t.expect(rb"\r\n\[" + re.escape(seen) + rb"\]\r\n")
    assert t.status() == 0


@pytest.mark.parametrize("command", ["exec", "attach"])
@pytest.mark.parametrize("escape", ["", "ab", " ", "\x1b", "\u00e9"])
def test_an_escape_that_is_none(host, command, escape):
    done = host.run(command, "--escape", escape, "7")
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"envd %b: --escape " % command.encode())


def test_a_terminal_without_input(host):
    """-t without -i needs no terminal here: the command has one of the usual size."""
    assert host.ok("exec", "-t", "--", "stty", "size") == "24 80\r\n"


def test_a_cut_terminal_takes_keys_again(proxy, daemon, tmp_path):
    """Both connections break. The end of the input was seen first and was taken for a regular one: the
    output went on, but the keyboard was dead."""
    between = proxy()
    t = Terminal(Host(f"unix:{tmp_path}/proxy"), "exec", "-it", "--keep", "65536", "-e", "PS1=$ ", "-e",
                 "TERM=xterm", "--", "sh")
    try:
        t.expect(rb"\$ ")
        t.type(b"echo be''fore\r")
        t.expect(rb"\r\nbefore\r\n")
        between.cut()
        # Keys that are typed before the command has noticed are lost, as on any line.
        end = time.monotonic() + SECONDS
        while not re.search(rb"\r\nagain\r\n", t.screen):
            assert time.monotonic() < end, t.screen
            t.type(b"echo ag''ain\r")
            t.read(0.2)
        t.type(b"exit 6\r")
        assert t.status() == 6
    finally:
        t.close()
        shell_left = Host(daemon.to["unix"])
        for pid in shell_left.pids():
            shell_left.run("kill", "-s", "KILL", str(pid))
