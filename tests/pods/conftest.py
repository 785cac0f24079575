# SPDX-License-Identifier: Apache-2.0
"""Containers and Pods by podman: two images FROM scratch, and no registry.

localhost/envd has envd alone, localhost/workload has busybox as any image's programs."""

import os
import re
import shutil
import subprocess

import pytest

from daemon import ENVD, TOP
from wait import wait_for

MANIFESTS = os.path.join(TOP, "docs", "kubernetes")
APPLETS = "sh", "sleep", "cat", "id", "touch"


def podman(*arguments, status=0, **options):
    """Runs podman and returns its output."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120,
                          check=False, **options)
    assert status in (None, done.returncode), f"podman {arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def build(name, directory, *lines):
    with open(f"{directory}/Dockerfile", "w", encoding="utf-8") as f:
        f.write("\n".join(["FROM scratch", *lines, ""]))
    # chroot: a build needs neither a network nor a runtime.
    podman("build", "-q", "--isolation=chroot", "--network=host", "-t", name, directory)


@pytest.fixture(scope="session", autouse=True)
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("images")
    shutil.copy(ENVD, directory / "envd")
    build("localhost/envd:latest", directory, "COPY envd /usr/bin/envd",
          'ENTRYPOINT ["/usr/bin/envd"]')
    os.makedirs(directory / "bin")
    shutil.copy(shutil.which("busybox"), directory / "bin/busybox")
    for applet in APPLETS:
        os.symlink("busybox", directory / "bin" / applet)
    build("localhost/workload:latest", directory, "COPY bin /bin")
    # The two lines of docs/guests.md.
    build("localhost/both:latest", directory, "COPY bin /bin", "COPY envd /usr/bin/envd",
          'ENTRYPOINT ["/usr/bin/envd", "-init", "-isnotfc", "--"]')


@pytest.fixture
def play(tmp_path):
    """play(FILE): plays a manifest of docs/kubernetes/. Its Pods end with the test."""
    played = []

    def start(name):
        # podman 4.3 notices the end of an init container after 20 s only. If it is to remove the
        # container ("once"), it finds that it still runs. One replica is enough.
        path = shutil.copy(os.path.join(MANIFESTS, name), tmp_path / "manifest.yaml")
        with open(path, "r+", encoding="utf-8") as f:
            text = f.read().replace("replicas: 3", "replicas: 1")
            text = re.sub(r"^( *)metadata:\n", r"\g<0>\1  annotations:\n\1    io.podman.annotations."
                          "init.container.type: always\n", text, flags=re.M)
            f.seek(0)
            f.truncate()
            f.write(text)
        played.append(path)
        podman("kube", "play", "--log-driver=k8s-file", "--network=none", path)

    yield start
    for path in played:
        podman("kube", "play", "--down", path, status=None)
    podman("volume", "rm", "-a", "-f", status=None)


@pytest.fixture
def box():
    """box(WORD, ..., options=[...]): starts a container of the image with both; returns its name."""
    made = []

    def start(*command, options=(), image="localhost/both:latest"):
        name = f"box{len(made)}"
        made.append(name)
        podman("run", "-d", "--log-driver=k8s-file", "--network=none", "--name", name, *options,
               image, *command)
        return name

    yield start
    for name in made:
        podman("rm", "-f", "-t", "0", name, status=None)


def inside(container, *command):
    return podman("exec", container, *command)


def healthy(container, program="/envd/envd"):
    """Waits for envd with the condition that the manifests give to Kubernetes."""
    wait_for(lambda: subprocess.run(
        ["podman", "exec", container, program, "ready", "--url", "http://127.0.0.1:49983/health",
         "--status", "204", "--timeout", "10"], check=False, capture_output=True).returncode == 0,
        lambda: podman("logs", container, status=None) + podman("ps", "-a"))
