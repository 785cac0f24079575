# SPDX-License-Identifier: Apache-2.0
"""One daemon for the session, and the stand-in of the cloud before it unless the SDKs are in debug mode.

The packages are in build/tools/locked, which tests/sdk/run puts on the path."""

import os
import subprocess

import pytest
from cloud import Cloud
from daemon import PORT, Daemon

LOCKED = os.path.abspath("build/tools/locked")


@pytest.fixture(scope="session", autouse=True)
def daemon():
    daemon = Daemon()
    cloud = Cloud(PORT) if "E2B_API_URL" in os.environ else None
    yield daemon
    if cloud:
        cloud.close()
    complaints = daemon.stop()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def node(tmp_path):
    """Runs a JS module beside the packages, with arguments; returns what it printed."""
    def run(text, *arguments):
        # Node looks a package up from where the importing file is.
        script = tmp_path / "script.mjs"
        script.write_text(text)
        os.symlink(f"{LOCKED}/js-packages/node_modules", tmp_path / "node_modules")
        done = subprocess.run(["node", script, *arguments], stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run
