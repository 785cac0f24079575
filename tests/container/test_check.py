# SPDX-License-Identifier: Apache-2.0
"""scripts/check-sandbox against a running daemon, and against another envd (PEER=)."""

import os
import subprocess
import sys

import pytest

from daemon import TOP, Daemon

PROGRAMS = [None, *filter(None, [os.environ.get("ENVD_PEER")])]


def check(*arguments):
    return subprocess.run([sys.executable, f"{TOP}/scripts/check-sandbox", *arguments], capture_output=True, text=True,
                          timeout=150, check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_running_daemon(program):
    daemon = Daemon(command=[program] if program else None)
    try:
        done = check(f"http://127.0.0.1:{daemon.address[1]}", "--user", "root", "--sdk")
    finally:
        daemon.process.terminate()
        daemon.process.wait(60)
    assert done.returncode == 0, done.stdout
    assert "ok      sdk command\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "16 passed, 0 failed"


def test_no_daemon():
    done = check("http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("0 passed, ")


@pytest.mark.parametrize("arguments", [[], ["127.0.0.1:49983"], ["http://x", "--token-file", "/absent"]])
def test_wrong_arguments(arguments):
    assert check(*arguments).returncode == 2
