# SPDX-License-Identifier: Apache-2.0
"""The manifests of docs/kubernetes/, played by podman."""

import json
import subprocess

import pytest

from conftest import MANIFESTS, healthy, inside, podman

TO = ["--to", "tcp:127.0.0.1:49983"]


def run_by_envd(container, *command, program="/envd/envd"):
    return inside(container, program, "exec", *TO, "--", *command)


@pytest.mark.parametrize("name,container", [
    ("pod.yaml", "sandbox-workload"),
    ("deployment.yaml", "sandboxes-pod-0-workload"),
])
def test_envd_beside_the_entry(play, name, container):
    play(name)
    healthy(container)
    assert run_by_envd(container, "/bin/id", "-u") == "0"
    # envd's command and the Pod's own entry are in one container.
    assert "/bin/sleep" in run_by_envd(container, "/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | "
                                       "busybox tr '\\0' ' '")
    # SIGTERM reaches the command, which would ignore it as process 1 until the SIGKILL.
    podman("stop", "-t", "60", container)
    assert podman("inspect", "-f", "{{.State.ExitCode}}", container) == "143"


def test_restricted(play):
    play("restricted.yaml")
    healthy("restricted-workload")
    assert run_by_envd("restricted-workload", "/bin/id", "-u") == "123456"
    assert "CapBnd:\t0000000000000000" in run_by_envd("restricted-workload", "/bin/cat",
                                                      "/proc/self/status")
    run_by_envd("restricted-workload", "/bin/touch", "/tmp/file")
    done = subprocess.run(["podman", "logs", "restricted-workload"], capture_output=True, text=True,
                          timeout=60, check=False)
    log = done.stdout + done.stderr
    assert "not root: serving user '123456' alone" in log
    assert "off, for lack of capabilities: setting the clock (CAP_SYS_TIME)" in log
    assert "off, for / is read-only: " in log


def test_a_sidecar_sees_the_workload(play):
    play("sidecar.yaml")
    healthy("sidecar-envd", "/usr/bin/envd")
    inside("sidecar-workload", "/bin/touch", "/sandbox/file")
    assert inside("sidecar-envd", "/usr/bin/envd", "ls", *TO, "/sandbox").split()[-1] == "file"
    assert inside("sidecar-envd", "/usr/bin/envd", "ready", "--process", "sleep", "--timeout",
                  "10") == ""


# Prints the Pod of the SandboxTemplate. Debian's Python has a YAML parser.
TEMPLATE = """
import json, sys, yaml
for document in yaml.safe_load_all(open(sys.argv[1])):
    if document["kind"] == "SandboxTemplate":
        template = document["spec"]["podTemplate"]
        json.dump({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                   "metadata": {"name": "template"}}, sys.stdout)
"""


def test_the_pod_of_a_sandbox_template(play, tmp_path):
    """The controller of agent-sandbox makes Pods of it. It is not run here."""
    done = subprocess.run(["/usr/bin/python3", "-c", TEMPLATE, f"{MANIFESTS}/agent-sandbox.yaml"],
                          capture_output=True, text=True, timeout=60, check=True)
    pod = json.loads(done.stdout)
    # play() sets it in YAML that is laid out by hand.
    pod["metadata"]["annotations"] = {"io.podman.annotations.init.container.type": "always"}
    path = tmp_path / "pod.json.yaml"
    path.write_text(json.dumps(pod))
    play(str(path))
    healthy("template-workload")
    assert run_by_envd("template-workload", "/bin/id", "-u") == "0"
