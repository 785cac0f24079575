# SPDX-License-Identifier: Apache-2.0
"""An arm64 guest: envd, cross-built, as PID 1 on that architecture's own kernel, the built-in seccomp
profile, and the unit tests on it, with those that qemu's user mode can't run."""

import errno
import os
import re
import shutil
import struct
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


# A 32-bit program (ELF, Arm), which exits with 7. If that call is refused, it runs into an instruction
# that does not exist.
DOOR_AT = 0x10000
DOOR_CODE = struct.pack("<4I", 0xe3a07001, 0xe3a00007, 0xef000000, 0xe7f000f0)  # r7 = 1, r0 = 7, svc, udf
DOOR = struct.pack("<7s9x2H5I6H", b"\x7fELF\x01\x01\x01", 2, 40, 1, DOOR_AT + 84, 52, 0, 0x05000200,
                   52, 32, 1, 0, 0, 0)
DOOR += struct.pack("<8I", 1, 0, DOOR_AT, DOOR_AT, 84 + len(DOOR_CODE), 84 + len(DOOR_CODE), 5, 0x1000)
DOOR += DOOR_CODE

# What the profile refuses with another error than EPERM.
OTHER_ERRORS = {"io_uring_setup": errno.ENOSYS, "io_uring_enter": errno.ENOSYS,
                "io_uring_register": errno.ENOSYS, "fsopen": errno.ENOSYS, "fsconfig": errno.ENOSYS,
                "fsmount": errno.ENOSYS, "fspick": errno.ENOSYS, "socket": errno.EAFNOSUPPORT, "getppid": 0}


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
    shutil.copy(assets.guest_program("refused", COMPILER), f"{root}/usr/bin/refused")
    with open(f"{root}/usr/bin/door", "wb") as out:
        out.write(DOOR)
    os.chmod(f"{root}/usr/bin/door", 0o755)
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


def check_profile(checks, envd):
    """The built-in profile by this architecture's numbers; and that the kernel, without the profile,
    answers each call otherwise."""
    profile = {"X-Envd-Seccomp": "default"}
    code, status, _ = envd.command("/bin/cat", "/proc/self/status", headers=profile)
    checks.ok("a command under the profile", code == 0 and "Seccomp:\t2" in status, status)
    for name, headers in (("refused", profile), ("not refused without it", None)):
        code, out, _ = envd.command("/usr/bin/refused", headers=headers)
        errors = {call: int(number) for call, number in map(str.split, out.splitlines())}
        wrong = {call: number for call, number in errors.items() if call != "getppid" and
                 (number == OTHER_ERRORS.get(call, errno.EPERM)) != (headers is profile)}
        checks.ok(f"{len(errors) - 1} calls are {name}",
                  code == 0 and len(errors) > 20 and errors["getppid"] == 0 and not wrong, wrong)
    checks.equal("a 32-bit program runs without it", envd.command("/usr/bin/door")[0], 7)
    code = envd.command("/usr/bin/door", headers=profile)[0]
    checks.ok("and makes no call under it", code not in (0, 7), code)


def run(context):
    checks = context.checks
    checks.section("arm64 guest: the cross-built envd as PID 1, its profile, and the unit tests")
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
        checks.run("the built-in profile", check_profile, checks, envd)
        passed, failed = run_units(vm, programs)
        checks.ok(f"the unit tests, {len(programs)} programs: {passed} passed, {failed} failed",
                  passed and not failed)
