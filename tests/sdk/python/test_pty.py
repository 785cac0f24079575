# SPDX-License-Identifier: Apache-2.0
"""Terminals through the SDK's synchronous half."""

import os
import re
import time

import pytest
from e2b import CommandExitException, NotFoundException, SandboxException
from e2b.sandbox.commands.command_handle import PtySize

NO_SUCH_PID = 4194304 + 1
PROMPT = "prompt> "


class Terminal:
    """A PTY whose output is read until a pattern is in it, as a person would."""

    def __init__(self, sandbox, size=PtySize(rows=24, cols=80), **options):
        self.pty = sandbox.pty
        self.handle = sandbox.pty.create(size, timeout=30, **options)
        self.pid = self.handle.pid
        self.events = iter(self.handle)
        self.output = b""

    def send(self, data):
        self.pty.send_stdin(self.pid, data if isinstance(data, bytes) else data.encode())

    def expect(self, pattern):
        """Reads on until the pattern is in what came since the last match; returns the match."""
        expression = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        while True:
            match = expression.search(self.output)
            if match:
                self.output = self.output[match.end() :]
                return match
            _, _, data = next(self.events)
            self.output += data

    def rest(self):
        """Everything until the end."""
        for _, _, data in self.events:
            self.output += data
        return self.output


@pytest.fixture
def terminal(sandbox):
    """A terminal without echo, whose prompt is PROMPT."""
    terminal = Terminal(sandbox)
    terminal.send("PS1='pro''mpt> '; bind 'set enable-bracketed-paste off'; stty -echo; echo rea''dy\n")
    terminal.expect("ready\r\n")
    terminal.expect(PROMPT)
    return terminal


def cat(terminal):
    """Starts cat and waits until it has the terminal: the shell reads in another mode."""
    terminal.send("sh -c 'echo begun; exec cat'\n")
    terminal.expect("begun\r\n")


def test_echo_and_exit(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80), envs={"ABC": "123"}, cwd="/")
    sandbox.pty.send_stdin(handle.pid, b"echo $ABC in $PWD\nexit\n")
    output = []
    result = handle.wait(on_pty=output.append)
    assert result.exit_code == 0
    assert b"123 in /\r\n" in b"".join(output)
    assert result.stdout == "" and result.stderr == ""


def test_exit_code(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    sandbox.pty.send_stdin(handle.pid, b"exit 7\n")
    with pytest.raises(CommandExitException) as raised:
        handle.wait()
    assert raised.value.exit_code == 7


def test_is_a_terminal(terminal):
    terminal.send("tty; test -t 0 -a -t 1 -a -t 2 && echo 'all' three\n")
    assert terminal.expect(r"/dev/pts/\d+\r\n")
    assert terminal.expect("all three\r\n")


def test_is_the_controlling_terminal(terminal):
    terminal.send("echo through >/dev/tty; cut -d' ' -f5,6,8 /proc/$$/stat\n")
    terminal.expect("through\r\n")
    group, session, foreground = map(int, terminal.expect(r"(\d+) (\d+) (\d+)\r\n").groups())
    assert group == session == terminal.pid
    assert foreground > 0


def test_environment(terminal):
    terminal.send("echo $TERM $LANG $LC_ALL $HOME $USER\n")
    assert terminal.expect(r"xterm-256color C.UTF-8 C.UTF-8 /\S+ root\r\n")


def test_size(sandbox):
    terminal = Terminal(sandbox, PtySize(rows=33, cols=101))
    terminal.send("stty size\n")
    terminal.expect("33 101\r\n")


def test_resize(sandbox, terminal):
    terminal.send("stty size\n")
    terminal.expect("24 80\r\n")
    sandbox.pty.resize(terminal.pid, PtySize(rows=50, cols=132))
    terminal.send("stty size\n")
    terminal.expect("50 132\r\n")


def test_resize_signals_the_program(sandbox, terminal):
    terminal.send("bash -c 'trap \"stty size; exit\" WINCH; echo wait''ing; while :; do sleep 0.05; done'\n")
    terminal.expect("waiting\r\n")
    sandbox.pty.resize(terminal.pid, PtySize(rows=10, cols=20))
    terminal.expect("10 20\r\n")


def test_interrupt(terminal):
    # The foreground program itself prints: before that, the shell would take the signal.
    terminal.send("sh -c 'echo begun; exec sleep 60'\n")
    terminal.expect("begun\r\n")
    terminal.send("\x03")
    terminal.expect(PROMPT)
    terminal.send("echo status $?\n")
    terminal.expect("status 130\r\n")


def test_interrupt_reaches_a_running_program(terminal):
    terminal.send("bash -c 'trap \"echo caught; exit 3\" INT; echo begun; while :; do sleep 0.05; done'\n")
    terminal.expect("begun\r\n")
    terminal.send("\x03")
    terminal.expect("caught\r\n")


def test_end_of_file(terminal):
    cat(terminal)
    terminal.send("a line\n")
    terminal.expect("a line\r\n")
    terminal.send("\x04")
    terminal.expect(PROMPT)
    terminal.send("echo af''ter\n")
    terminal.expect("after\r\n")
    terminal.expect(PROMPT)
    terminal.send("\x04")
    terminal.rest()
    assert terminal.handle.wait().exit_code == 0


def test_suspend_and_resume(terminal):
    terminal.send("bash -c 'echo begun; sleep 60'\n")
    terminal.expect("begun\r\n")
    terminal.send("\x1a")
    terminal.expect("Stopped")
    terminal.send("kill %1; fg\n")
    terminal.expect("Terminated")


def test_unicode(terminal):
    cat(terminal)
    terminal.send("Grüße, 世界! 🦊\n")
    terminal.expect("Grüße, 世界! 🦊\r\n")


def test_bytes_pass_unchanged(terminal):
    # Raw, without echo: each byte comes back as it was sent.
    data = bytes(range(256)) * 40
    terminal.send(f"stty raw; echo raw; head -c {len(data)}; stty sane -echo; echo end\n")
    terminal.expect("raw\n")
    for start in range(0, len(data), 1024):
        terminal.send(data[start : start + 1024])
    while len(terminal.output) < len(data):
        terminal.output += next(terminal.events)[2]
    assert terminal.output[: len(data)] == data


def test_large_output(terminal):
    terminal.send("seq 400000; echo e''nd\n")
    terminal.expect("1\r\n")
    text = b"1\r\n"
    end = b"end\r\n" + PROMPT.encode()
    while not text.endswith(end):
        if terminal.output:
            text, terminal.output = text + terminal.output, b""
            continue
        terminal.output = next(terminal.events)[2]
    assert text == b"".join(b"%d\r\n" % i for i in range(1, 400001)) + end


def test_output_before_the_end_is_not_lost(sandbox):
    for _ in range(20):
        handle = sandbox.pty.create(PtySize(rows=24, cols=80), envs={"PS1": ""})
        sandbox.pty.send_stdin(handle.pid, b"stty -echo; exec seq 2000\n")
        output = []
        assert handle.wait(on_pty=output.append).exit_code == 0
        assert b"".join(output).endswith(b"1999\r\n2000\r\n")


def test_user(sandbox):
    terminal = Terminal(sandbox, user="user")
    terminal.send("id -un; id -Gn; pwd; echo $HOME\n")
    terminal.expect("user\r\n")
    terminal.expect("user crew\r\n")
    terminal.expect(r"(/\S+)\r\n\1\r\n")


@pytest.mark.beside
def test_kill(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    assert sandbox.pty.kill(handle.pid) is True
    with pytest.raises(CommandExitException) as raised:
        handle.wait()
    assert raised.value.exit_code == -1
    assert sandbox.pty.kill(handle.pid) is False
    assert not os.path.exists(f"/proc/{handle.pid}")


def test_kill_unknown_pid(sandbox):
    assert sandbox.pty.kill(NO_SUCH_PID) is False


@pytest.mark.beyond
@pytest.mark.beside
def test_kill_ends_what_runs_in_it(sandbox, terminal):
    terminal.send("sleep 300 & echo $!\n")
    child = int(terminal.expect(r"(\d+)\r\n").group(1))
    sandbox.pty.kill(terminal.pid)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_connect(sandbox):
    terminal = Terminal(sandbox, envs={"FOO": "bar"})
    terminal.send("echo $FOO\n")
    terminal.expect("bar\r\n")
    terminal.handle.disconnect()

    again = sandbox.pty.connect(terminal.pid)
    assert again.pid == terminal.pid
    sandbox.pty.send_stdin(terminal.pid, b"echo $FOO$FOO\nexit\n")
    output = []
    assert again.wait(on_pty=output.append).exit_code == 0
    assert b"barbar\r\n" in b"".join(output)


def test_connect_unknown_pid(sandbox):
    with pytest.raises(NotFoundException):
        sandbox.pty.connect(NO_SUCH_PID)


def test_is_listed(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    (process,) = sandbox.commands.list()
    assert process.pid == handle.pid
    assert (process.cmd, process.args) == ("/bin/bash", ["-i", "-l"])
    assert process.envs["TERM"] == "xterm-256color"


def test_input_to_the_wrong_kind(sandbox):
    terminal = sandbox.pty.create(PtySize(rows=24, cols=80))
    command = sandbox.commands.run("sleep 30", background=True, stdin=True)
    with pytest.raises(SandboxException):
        sandbox.commands.send_stdin(terminal.pid, "x")
    with pytest.raises(SandboxException):
        sandbox.pty.send_stdin(command.pid, b"x")
    with pytest.raises(SandboxException):
        sandbox.commands.close_stdin(terminal.pid)
    with pytest.raises(SandboxException):
        sandbox.pty.resize(command.pid, PtySize(rows=1, cols=1))


def test_unknown_pid(sandbox):
    with pytest.raises(NotFoundException):
        sandbox.pty.send_stdin(NO_SUCH_PID, b"x")
    with pytest.raises(NotFoundException):
        sandbox.pty.resize(NO_SUCH_PID, PtySize(rows=1, cols=1))


def test_many(sandbox):
    terminals = [Terminal(sandbox) for _ in range(16)]
    for index, terminal in enumerate(terminals):
        terminal.send(f"echo =$(({index} + 100))=\n")
    for index, terminal in enumerate(terminals):
        terminal.expect(f"={index + 100}=\r\n")
