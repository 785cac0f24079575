# SPDX-License-Identifier: Apache-2.0
"""An arm64 guest: envd, cross-built, as PID 1 on that architecture's own kernel, and the unit tests
on it, with those that qemu's user mode can't run."""

import os
import re
import shutil
import subprocess
import sys

import assets
import client
import guest
import rootfs

PORT = 49983
TEST_S = 300  # for each program of the unit tests
PROGRAMS = os.path.join(assets.TOP, "build", "release-arm64", "unit")
SYSROOT = os.path.join(assets.TOP, "build", "sysroot-arm64")
COMPILER = ("aarch64-linux-gnu-gcc", f"--sysroot={SYSROOT}")
MACHINE = ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72")

# The kernel, what the unit tests are linked with, and what they start.
PACKAGES = ("linux-image-cloud-arm64", "libcmocka0", "libevent-core-2.1-7", "libprotobuf-c1",
            "zlib1g", "libmd0", "libseccomp2", "bash", "dash", "coreutils", "util-linux", "mount", "procps")
USERS = {"passwd": "root:x:0:0:root:/root:/bin/bash\n" + rootfs.PASSWD,
         "group": "root:x:0:\n" + rootfs.GROUP}


def build(checks):
    """The kernel, the disk with the programs, and the initramfs. The programs, by their paths;
    they are what `make ARCH=arm64 all unit-programs` has made."""
    programs = sorted(path.path for path in os.scandir(PROGRAMS)
                      if re.fullmatch(r"test_\w+", path.name))
    tree = rootfs.unpacked("arm64", "arm64", PACKAGES)
    kernel = assets.Kernel(tree)
    root = assets.build_path("rootfs", "arm64-disk")
    shutil.rmtree(root, ignore_errors=True)
    # Links will do: what is in the tree is not changed.
    assets.run(["cp", "-al", tree, root])
    for name, text in USERS.items():
        with open(f"{root}/etc/{name}", "w") as out:
            out.write(text)
    shutil.copy(os.path.join(assets.TOP, "build", "envd-arm64"), f"{root}/usr/bin/envd")
    os.mkdir(f"{root}/tests")
    for path in programs:
        shutil.copy(path, f"{root}/tests")
    checks.ok("the programs of the unit tests are there", programs)
    initrd = assets.build_path("arm64.cpio")
    assets.initramfs(kernel, (*assets.VIRTIO_MODULES, "fuse", "tcp_diag"), COMPILER).write(initrd)
    return kernel, rootfs.disk("arm64", root), initrd, programs


def run_units(vm, programs):
    """The unit tests, by what runs them on this machine. The numbers that passed and failed."""
    runner = f"{sys.executable} {assets.HERE}/in_guest.py {vm.uds} /tests"
    units = subprocess.run([os.path.join(assets.TOP, "scripts", "unit"), *programs],
                           env={**os.environ, "UNIT_RUNNER": runner, "UNIT_TIMEOUT": str(TEST_S)},
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                           preexec_fn=guest.die_with_parent)
    counted = re.search(r"^(\d+) passed, (\d+) failed$", units.stdout, re.M)
    passed, failed = (int(counted[1]), int(counted[2])) if counted else (0, 1)
    if failed or units.returncode:
        print(units.stdout, flush=True)
    return passed, failed or units.returncode


def run(context):
    checks = context.checks
    checks.section("arm64 guest: the cross-built envd as PID 1, and the unit tests")
    kernel, disk, initrd, programs = build(checks)
    append = "console=ttyAMA0 quiet panic=-1 -- root=/dev/vda /usr/bin/envd -init -isnotfc"
    with context.guest("arm64", initrd, append, kernel=kernel, machine=MACHINE, accel="tcg",
                       memory_mib=1024, extra=rootfs.disk_arguments(disk)) as vm:
        stream = vm.first_connect(PORT, "listening on .*vsock")
        checks.equal("GET /health over vsock", client.health(stream), 204)
        envd = client.Client(lambda: vm.connect(PORT))
        checks.equal("a command", envd.command("/bin/uname", "-m")[:2], (0, "aarch64\n"))
        checks.equal("a command on a terminal",
                     envd.command("/bin/sh", "-c", "test -t 1; echo $?", pty=(80, 24))[:2],
                     (0, "0\r\n"))
        passed, failed = run_units(vm, programs)
        checks.ok(f"the unit tests, {len(programs)} programs: {passed} passed, {failed} failed",
                  passed and not failed)
