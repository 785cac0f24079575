# SPDX-License-Identifier: Apache-2.0
"""Containers with a terminal (`podman run -it`): the command controls it.

Lines of the daemon's log may stand between those of the command."""

import contextlib
import os
import pty
import re
import select
import signal
import termios

import pytest

from conftest import FIRST_PROCESS
from daemon import ENVD
from wait import SECONDS


class Terminal:
    """A program with a terminal of its own, as a user has one."""

    def __init__(self, *argv):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "ready> "
            os.execvp(argv[0], argv)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern):
        """Reads until the pattern matches what came after the last match. Returns the match."""
        while not (found := re.search(pattern.encode(), self.text, re.S)):
            assert select.select([self.fd], [], [], SECONDS)[0], f"{pattern} is not in {self.text}"
            try:
                self.text += os.read(self.fd, 4096)
            except OSError:  # EIO: no process has the terminal any more
                raise AssertionError(f"{pattern} is not in {self.text}") from None
        self.text = self.text[found.end():]
        return found

    def status(self):
        with contextlib.suppress(OSError):
            while self.text is not None and os.read(self.fd, 4096):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self):
        with contextlib.suppress(OSError):
            os.close(self.fd)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture(params=["first", "session", "foreground"])
def terminal(request, tmp_path):
    """terminal(WORD, ...): a container with that command. "first": process 1, which leads a session.
    "session": the same without a PID namespace. "foreground": a process of a shell's group."""
    ours = [ENVD, "-init", "-isnotfc", "-listen", f"unix:{tmp_path}/envd.sock", "--"]
    prefix = {"first": [*FIRST_PROCESS, "setsid", "--ctty"], "session": [],
              "foreground": ["sh", "-c", '"$@"; exit $?', "-"]}[request.param]
    with contextlib.ExitStack() as stack:

        def start(*command):
            made = Terminal(*prefix, *ours, *command)
            stack.callback(made.end)
            return made

        yield start


SHELL = ["bash", "--norc", "--noprofile", "-i"]


def test_a_shell_has_job_control(terminal):
    t = terminal(*SHELL)
    t.expect("ready> ")
    t.type('echo "flags [$-]"\n')
    assert b"m" in t.expect(r"flags \[(\w+)\]\r")[1]
    t.expect("ready> ")
    t.type("echo it is''up; cat\n")
    t.expect("it isup")
    t.type("typed\n")
    t.expect("typed\r\n.*typed\r")
    t.type("\x1a")  # Ctrl-Z
    t.expect("Stopped")
    t.expect("ready> ")
    t.type("fg\n")
    t.expect("cat")
    t.type("again\n")
    t.expect("again\r\n.*again\r")
    t.type("\x03")  # Ctrl-C
    t.expect("ready> ")
    t.type("echo status=$?\n")
    t.expect("status=130")
    t.type("exit 5\n")
    assert t.status() == 5


def test_ctrl_c_ends_the_command(terminal):
    t = terminal("sh", "-c", "echo it runs; exec sleep 1000")
    t.expect("it runs")
    t.type("\x03")
    assert t.status() == 130


def test_output_and_end_of_input(terminal):
    t = terminal("tac")
    attributes = termios.tcgetattr(t.fd)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(t.fd, termios.TCSANOW, attributes)
    t.type("1\n2\n3\n\x04")
    t.expect("3\r\n.*2\r\n.*1\r\n")
    assert t.status() == 0


@pytest.mark.parametrize("terminal", ["first", "session"], indirect=True)
def test_ctrl_z_does_not_stop_a_command_that_nobody_would_continue(terminal):
    """In a process group of process 1's session the command would stop for good."""
    t = terminal("sh", "-c", "echo it runs; exec cat")
    t.expect("it runs")
    t.type("\x1a")
    t.type("typed\n")
    t.expect("typed\r\n.*typed\r")
    t.type("\x04")
    assert t.status() == 0


def test_a_hangup_ends_the_command(terminal):
    t = terminal("sh", "-c", "echo it runs; exec sleep 1000")
    t.expect("it runs")
    os.close(t.fd)
    # The shell of "foreground" leads the session, and ends by the signal itself.
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) in (129, -signal.SIGHUP)


def test_the_terminals_hand_over_is_not_forwarded(terminal):
    """TIOCNOTTY sends SIGHUP and SIGCONT to process 1, which are not the command's."""
    t = terminal("sh", "-c", "trap 'echo hung' HUP; trap 'echo continued' CONT; echo it runs; read line; "
                             "echo \"got $line\"")
    t.expect("it runs")
    t.type("word\n")
    shown = t.expect("(.*)got word\r")[1]
    assert b"hung" not in shown and b"continued" not in shown
    assert t.status() == 0
