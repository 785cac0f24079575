"""A kernel, its virtio modules, and envd as the only program: the smallest sandbox there is."""

import assets
import client
import guest

PORT = 49983


def build(context):
    archive = assets.initramfs(context.kernel)
    archive.copy("envd", context.envd)
    path = assets.build_path("initramfs.cpio")
    archive.write(path)
    return path


def run(context):
    checks = context.checks
    checks.section("initramfs guest: kernel, modules, envd as PID 1")
    initrd = build(context)
    with context.guest("initramfs", initrd, "console=ttyS0 panic=-1 -- /envd -init -isnotfc") as vm:
        stream = guest.wait_for("envd on vsock", lambda: vm.connect(PORT), interval_s=0.005)
        checks.equal("GET /health over vsock", client.health(stream), 204)
