# SPDX-License-Identifier: Apache-2.0
"""The helper commands as a user runs them: the built binary, real sockets, exit codes."""

import subprocess

import pytest

from daemon import ENVD


@pytest.fixture
def envd():
    """Runs a command to its end: envd("ready", "--port", "80").returncode"""

    def run(*args, timeout=60):
        return subprocess.run([ENVD, *args], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    return run


@pytest.fixture
def background():
    """Starts a command that goes on; what still runs at the end of the test is terminated."""
    started = []

    def start(*args):
        process = subprocess.Popen([ENVD, *args], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        process.stderr.close()
