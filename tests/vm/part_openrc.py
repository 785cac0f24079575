# SPDX-License-Identifier: Apache-2.0
"""A Debian image that OpenRC boots, with envd as systemd/bake installs it: a short check."""


import assets
import client
import guest
import rootfs
from part_systemd import Shell

PORT = 49983
BOOT_S = 300  # in an emulated guest, OpenRC reads its scripts slowly


def build(context):
    root = assets.build_path("rootfs", "openrc")
    assets.run(["rm", "-rf", root])
    assets.run(["cp", "-a", rootfs.tree("debian-openrc", rootfs.OPENRC), root])
    said = rootfs.bake(root, context.envd)
    context.checks.ok("bake finds OpenRC", said.endswith("started by openrc"), said)
    disk = rootfs.disk("openrc", root)
    initrd = assets.build_path("openrc.cpio")
    assets.initramfs(context.kernel, (*assets.VIRTIO_MODULES, "ext4")).write(initrd)
    return disk, initrd


def check_supervised(checks, shell):
    pids = "pidof -x /usr/bin/envd envd | tr ' ' '\\n' | sort -n"
    before = shell.out(pids)
    checks.ok("it runs", before.split(), before)
    shell.check("OpenRC has started it", "rc-service envd status", ".*started.*")
    shell.check("its priorities", "p=$(pidof envd | awk '{ print $1 }'); cat /proc/$p/oom_score_adj;"
                " cut -d' ' -f19 /proc/$p/stat; ionice -p $p", "-1000\n-20\nrealtime: prio 4")
    shell.check("its log", "cat /var/log/envd.log", ".*listening on .*")
    shell.envd.start_detached("/bin/sh", "-c", f"sleep 0.2; kill -9 {before.split()[0]}")

    def restarted():
        try:
            now = shell.out(pids)
        except (OSError, RuntimeError, client.http.client.HTTPException):
            return None
        return now.split() and now != before
    checks.ok("killed by SIGKILL it comes back", guest.wait_for("the restart", restarted))


def run(context):
    checks = context.checks
    checks.section("OpenRC guest: Debian, with envd as bake installs it")
    disk, initrd = build(context)
    with context.guest("openrc", initrd, "console=ttyS0 panic=-1 -- root=/dev/vda /sbin/init",
                       memory_mib=512, extra=rootfs.disk_arguments(disk)) as vm:
        stream = vm.first_connect(PORT, "Starting envd", timeout_s=BOOT_S)
        checks.equal("GET /health over vsock", client.health(stream), 204)
        shell = Shell(client.Client(lambda: guest.wait_for("vsock", lambda: vm.connect(PORT))),
                      checks)
        checks.run("check_supervised", check_supervised, checks, shell)
        shell.envd.start_detached("/sbin/poweroff")
        checks.equal("poweroff", vm.wait_end(), "guest-shutdown")
