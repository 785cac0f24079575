# SPDX-License-Identifier: Apache-2.0
"""envd exec -it -- bash and the completion of bash and zsh, in a real terminal emulator."""

import contextlib
import hashlib
import os
import shlex

import pytest

from daemon import ENVD
from tmux import Tmux
from wait import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPLETION = shlex.quote(os.path.join(TOP, "completions"))  # a clone's path may have a space


@pytest.fixture
def window(tmp_path):
    with contextlib.ExitStack() as stack:
        def start(*command, environment):
            one = Tmux(tmp_path, *command, environment=environment)
            stack.callback(one.close)
            return one

        yield start


def test_a_shell_in_a_guest(host, window, tmp_path):
    """Typing, the size, Ctrl-C, a program on the alternate screen, and a paste of 1 MiB."""
    t = window(ENVD, "exec", "-it", "-e", "TERM", "-e", "PS1=guest> ", "--", "bash", "--norc",
               "--noprofile", environment=host.environment)
    t.expect(r"^guest> $")
    t.line("echo $((6 * 7)); stty size")
    t.expect(r"^42\n30 100$")
    t.resize(120, 40)
    t.line("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo re''sized")
    t.expect(r"^resized$")

    # The program runs when it has said so; Ctrl-C ends it, not the shell or the command here.
    t.line("(echo be''gun; exec sleep 600); echo status $?")
    t.expect(r"^begun$")
    t.keys("C-c")
    t.line("echo al''ive")
    t.expect(r"^alive$")

    t.line("tput smcup; clear; echo in''side; read -r; tput rmcup")
    t.expect(r"^inside$")
    assert t.alternate() and "alive" not in t.screen()
    t.keys("Enter")
    wait_for(lambda: not t.alternate(), "the first screen")
    t.expect(r"^alive$")

    line = b"the quick brown fox jumps over the lazy dog 0123456789 abcdefg\n"
    data = line * (1048576 // len(line))
    (tmp_path / "paste").write_bytes(data)
    t.line(f"stty raw -echo; echo re''ady; head -c {len(data)} | sha256sum; stty sane")
    t.expect(r"ready")
    t.paste(tmp_path / "paste")
    t.expect(hashlib.sha256(data).hexdigest())


# What is typed before the Tab, and what the line is then.
COMPLETIONS = [
    ("envd attac", "envd attach "),
    ("envd exec --inter", "envd exec --interactive "),
    ("envd kill --signal TE", "envd kill --signal TERM "),
    ("envd cp gue", "envd cp guest:"),
    ("envd ps --to vso", "envd ps --to vsock:"),
    ("envd upgrade some-pro", "envd upgrade some-program "),
]


def complete(t, typed, line):
    t.run("send-keys", "-l", typed)
    t.keys("Tab")
    # The X stands where the cursor is, so a space before it is seen.
    t.run("send-keys", "-l", "X")
    t.expect(f"^% {line}X *$")
    # Not Ctrl-C: a shell drops the keys that come just after it.
    t.keys("C-u")
    t.expect(r"^% *$")


def shell_environment(host, tmp_path):
    """envd is in the path, and one file in the directory."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "envd").symlink_to(ENVD)
    (tmp_path / "some-program").touch()
    return host.environment | {"PATH": f"{tmp_path}/bin:{host.environment['PATH']}", "PS1": "% "}


def test_completion_in_bash(host, window, tmp_path):
    t = window("bash", "--norc", "--noprofile", environment=shell_environment(host, tmp_path))
    t.line(f"cd {tmp_path}; PS1='% '; . {COMPLETION}/envd; clear")
    t.expect(r"^% $")
    for typed, line in COMPLETIONS:
        complete(t, typed, line)
    pid = host.ok("exec", "-d", "sleep", "600").strip()
    complete(t, f"envd logs --to {host.to} ", f"envd logs --to {host.to} {pid} ")


def test_completion_in_zsh(host, window, tmp_path):
    t = window("zsh", "-f", environment=shell_environment(host, tmp_path))
    t.line(f"cd {tmp_path}; PS1='%% '; fpath=({COMPLETION} $fpath); autoload -U compinit; "
           f"compinit -u -d {tmp_path}/dump; clear")
    t.expect(r"^% $")
    for typed, line in COMPLETIONS:
        complete(t, typed, line)
