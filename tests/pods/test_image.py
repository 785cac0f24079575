# SPDX-License-Identifier: Apache-2.0
"""The OCI image of a release (scripts/dist/oci), used as docs/packages.md says."""

import os
import shutil
import subprocess
import sys

import pytest

from conftest import build, podman
from daemon import ENVD, TOP
from wait import wait_for

VERSION = "0.0.1"
IMAGE = f"localhost/envd:{VERSION}"
ARCHS = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture(scope="module", autouse=True)
def image(tmp_path_factory):
    """Loads it. The program of the other architecture must not be chosen."""
    directory = tmp_path_factory.mktemp("image")
    for machine, arch in ARCHS.items():
        path = directory / "stage" / arch / "usr" / "bin" / "envd"
        path.parent.mkdir(parents=True)
        if machine == os.uname().machine:
            shutil.copy(ENVD, path)
        else:
            path.write_text("for another machine")
    subprocess.run([sys.executable, f"{TOP}/scripts/dist/oci", VERSION, directory / "oci.tar",
                    directory / "stage", *ARCHS.values()], check=True, timeout=120,
                   env={**os.environ, "SOURCE_DATE_EPOCH": "1"})
    assert IMAGE in podman("load", "-i", str(directory / "oci.tar"))


@pytest.fixture
def served(box, tmp_path):
    """served(FLAG, ...): a container of the image, and the address at which its daemon listens on the host."""
    tmp_path.chmod(0o755)

    def start(*flags, command=(), name=IMAGE):
        container = box(*flags, "-isnotfc", "-listen", "unix:/sandbox/envd.sock", *command, image=name,
                        options=["-v", f"{tmp_path}:/sandbox"])
        to = f"unix:{tmp_path}/envd.sock"
        wait_for(lambda: subprocess.run([ENVD, "health", "--to", to], check=False,
                                        capture_output=True).returncode == 0,
                 lambda: podman("logs", container, status=None) + podman("ps", "-a"))
        return container, to

    return start


def on_host(command, to, *arguments):
    return subprocess.run([ENVD, command, "--to", to, *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def exit_status(container):
    return podman("inspect", "-f", "{{.State.ExitCode}}", container)


def test_the_daemon_is_the_entry_point(served, tmp_path):
    """Its only program can be run in it, and files go in and out."""
    container, to = served()
    done = on_host("exec", to, "--", "/usr/bin/envd", "-version")
    own = subprocess.run([ENVD, "-version"], capture_output=True, text=True, timeout=60, check=True)
    assert (done.returncode, done.stdout) == (0, own.stdout), done.stderr
    assert on_host("exec", to, "--", "/no/such/program").returncode != 0
    (tmp_path / "file").write_text("blue")
    done = on_host("cp", to, str(tmp_path / "file"), "guest:/etc/inside")
    assert done.returncode == 0, done.stderr
    assert on_host("cat", to, "/etc/inside").stdout == "blue"
    podman("stop", "-t", "60", container)
    assert exit_status(container) == "0"


def test_a_command_beside_the_daemon(served):
    """A stop of the container reaches the command, and its status is the container's."""
    container, to = served("-init", command=["--", "/usr/bin/envd", "ready", "--for", "1000"])
    done = on_host("exec", to, "--", "/usr/bin/envd", "ready", "--process", "envd", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    podman("stop", "-t", "60", container)
    assert exit_status(container) == "143"


def test_the_program_is_copied_out_of_it(served, tmp_path_factory):
    directory = tmp_path_factory.mktemp("copied")
    build("localhost/copied:latest", directory, f"COPY --from={IMAGE} /usr/bin/envd /usr/bin/envd",
          'ENTRYPOINT ["/usr/bin/envd"]')
    container, to = served(name="localhost/copied:latest")
    assert on_host("exec", to, "--", "/usr/bin/envd", "-version").returncode == 0
    podman("kill", "-s", "KILL", container)
    podman("wait", container)
    assert exit_status(container) == "137"
