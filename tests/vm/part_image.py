# SPDX-License-Identifier: Apache-2.0
"""A Debian image in which envd is PID 1. E2B's SDKs run on the host and use envd through the bridge."""

import os
import re
import subprocess

import assets
import client
import guest
import rootfs
from commands import on_the_host

PORT = 49983
SUITES_S = 1200

# Tests that are left out: they need programs that a small image lacks, or files in the host's folders, or
# they start so many commands that clients time out with one emulated processor.
LEFT_OUT = "git or relative_path_is or by_the_name or test_many_commands or ManyAtOnce"


def run_suite(context, vm, *arguments):
    """Runs an SDK's suite as tests/sdk/run does, but with the daemon in the guest. Returns the numbers of
    passed and failed tests."""
    environment = {**os.environ, "ENVD": context.envd, "ENVD_GUEST": f"uds:{vm.uds}"}
    passed = failed = 0
    suites = subprocess.Popen([os.path.join(assets.TOP, "tests", "sdk", "run"), *arguments],
                              env=environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              preexec_fn=guest.die_with_parent)
    with guest.killed_after(suites, SUITES_S):
        for line in suites.stdout:
            print("    " + line, end="", flush=True)
            counted = re.match(r"(\d+) passed, (\d+) failed$", line)
            if counted:
                passed, failed = int(counted[1]), int(counted[2])
    if suites.wait() and not failed:
        failed = 1
    return passed, failed


def check_upgrade(checks, vm, program):
    """`envd upgrade` over the guest's vsock; the suites afterwards use the new daemon."""
    run = on_the_host(program, f"uds:{vm.uds}")
    status, _, _ = client.Client(lambda: vm.connect(PORT)).request("POST", "/init", b"{}")
    checks.equal("POST /init", status, 204)
    code, pid, _ = run("exec", "-d", "--tag", "stays", "--", "sleep", "1000")
    checks.equal("a process before the upgrade", code, 0)
    code, _, err = run("upgrade", program)
    checks.equal("envd upgrade over vsock", (code, err), (0, ""))
    checks.ok("the process goes on", f"{pid.strip()}  stays" in run("ps")[1])
    checks.equal("it ends", run("kill", "stays"), (0, "", ""))


def run(context):
    checks = context.checks
    checks.section("image guest: Debian, with envd as PID 1, and the SDKs on the host")
    disk = rootfs.disk("image", rootfs.tree("debian", rootfs.SYSTEMD))
    checks.ok("bake", "boot it with init=/usr/bin/envd" in
              rootfs.bake(disk, context.envd, "--init", "none"))
    initrd = assets.build_path("image.cpio")
    assets.initramfs(context.kernel, (*assets.VIRTIO_MODULES, "ext4")).write(initrd)
    append = "console=ttyS0 quiet panic=-1 -- root=/dev/vda /usr/bin/envd -init -isnotfc"
    with context.guest("image", initrd, append, memory_mib=1024,
                       extra=rootfs.disk_arguments(disk)) as vm:
        stream = vm.first_connect(PORT, "listening on .*vsock")
        checks.equal("GET /health over vsock", client.health(stream), 204)
        check_upgrade(checks, vm, context.envd)
        for language, arguments in (("python", ("-k", f"not ({LEFT_OUT})")),
                                    ("js", ("--test-skip-pattern", "many at once"))):
            passed, failed = run_suite(context, vm, language, *arguments)
            checks.ok(f"the {language} SDK's suite: {passed} passed, {failed} failed",
                      passed and not failed)
        envd = client.Client(lambda: vm.connect(PORT))
        envd.start_detached("/bin/sh", "-c", "kill -TERM 1")
        checks.equal("SIGTERM to PID 1 powers off", vm.wait_end(), "guest-shutdown")
