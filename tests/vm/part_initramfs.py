# SPDX-License-Identifier: Apache-2.0
"""A guest with a kernel, its virtio modules, and envd as the only program: the smallest sandbox."""

import hashlib
import os
import statistics
import tempfile
import time

import assets
import client
import guest
from bridge import Bridge
from commands import check_client, in_the_guest, on_the_host

PORT = 49983
BOOTS = 5
FILE_BYTES = 64 << 20
LISTENING = "listening on .*vsock"
ENVD = "console=ttyS0 quiet panic=-1 -- /envd -init -isnotfc"


def build(context, name, *modules):
    archive = assets.initramfs(context.kernel, (*assets.VIRTIO_MODULES, *modules))
    archive.copy("envd", context.envd)
    archive.copy("hello", assets.guest_program("hello"))
    path = assets.build_path(f"{name}.cpio")
    archive.write(path)
    return path


def time_to_hello(context, initrd):
    """Returns the seconds from the kernel's start to the end of the loader, and to a trivial init's line."""
    with context.guest("hello", initrd, "console=ttyS0 quiet panic=-1 -- /hello") as vm:
        return tuple(float(vm.wait_line(line + r": up ([0-9.]+)")[1][1])
                     for line in ("loader", "hello"))


def time_to_health(context, initrd):
    """Returns the seconds from the kernel's start to the end of the loader, and to envd's first response."""
    with context.guest("health", initrd, ENVD) as vm:
        printed_at, line = vm.wait_line(r"loader: up ([0-9.]+)")
        stream = vm.first_connect(PORT, LISTENING, interval_s=0.001)
        if client.health(stream) != 204:
            raise guest.GuestError("/health is not 204")
        return float(line[1]), float(line[1]) + time.monotonic() - printed_at


def count_boot(context):
    """Measures both in a guest whose clock counts instructions, as a nanosecond each. So the emulator, which
    translates each instruction the first time, and other programs of the host do not count. The end is
    the line of a trivial init, or of the command that envd starts when it listens."""
    initrd = build(context, "boot")
    times = []
    for init in ("/hello", "/envd -init -isnotfc -init-exec=/hello"):
        with context.guest("count", initrd, f"console=ttyS0 quiet panic=-1 -- {init}", vsock=False,
                           accel="tcg", extra=("-icount", "shift=0,sleep=off")) as vm:
            times.append(float(vm.wait_line(r"hello: up ([0-9.]+)")[1][1]))
    hello, listening = times
    more = (listening / hello - 1) * 100
    context.checks.ok(
        f"by instructions, envd listens {more:+.1f} % after a trivial init's line, at most +5 %",
        more <= 5, times)


def measure_boot(context):
    """Boots a trivial init and envd in turn, so that other load of the machine affects both. The kernel's
    part, until the end of the loader, is the same for both, and varies more than the duration of either
    init. Therefore its median is taken over all boots."""
    initrd = build(context, "boot")
    kernel, hello, health = [], [], []
    for _ in range(BOOTS):
        for times, measure in ((hello, time_to_hello), (health, time_to_health)):
            until_loader, until_init = measure(context, initrd)
            kernel.append(until_loader)
            times.append(until_init - until_loader)
    kernel = statistics.median(kernel)
    hello, health = kernel + statistics.median(hello), kernel + statistics.median(health)
    context.checks.figure(
        "kernel start to first /health over vsock",
        f"{health * 1000:.0f} ms; to a trivial init's line {hello * 1000:.0f} ms; "
        f"{(health / hello - 1) * 100:+.1f} % (to reach: +5 %)")


def check_commands(checks, envd):
    checks.equal("a command's output", envd.command("/envd", "-version"), (0, "0.9.1+c1\n", ""))
    code, _, err = envd.command("/envd", "ready", "--file", "/absent", "--timeout", "0.01")
    checks.equal("a command's exit code and stderr", (code, err),
                 (1, "envd ready: timed out waiting for --file /absent\n"))
    code, _, err = envd.command("absent")
    checks.ok("a command that is not there: 127", code == 127 and "absent" in err, (code, err))
    checks.equal("a command on a terminal", envd.command("/envd", "-version", pty=(80, 24))[:2],
                 (0, "0.9.1+c1\r\n"))
    code, out, err = envd.command("/envd", "ready", "--process", "envd", "--timeout", "1")
    checks.equal("/proc is there, and the daemon in it", code, 0)


def check_vsock(checks, envd):
    """`envd bridge --to vsock:CID`. This machine's own address (vsock(7)) takes the place of a guest's."""
    envd.start_detached("/envd", "-isnotfc", "-no-cgroups", "-listen", "vsock:5001", "-vsock-any")
    envd.start_detached("/envd", "bridge", "--to", "vsock:1", "--port", "5001",
                        "--listen", "tcp:127.0.0.1:5001")
    code, _, err = envd.command("/envd", "ready", "--url", "http://127.0.0.1:5001/health",
                                "--status", "204", "--timeout", str(guest.TIMEOUT_S))
    checks.equal("a bridge by CID", (code, err), (0, ""))
    # This daemon accepts connections of the host only: it closes the connection without a response.
    envd.start_detached("/envd", "bridge", "--to", "vsock:1", "--listen", "tcp:127.0.0.1:5002",
                        "--wait", "0")
    envd.command("/envd", "ready", "--port", "5002", "--timeout", str(guest.TIMEOUT_S))
    code, _, _ = envd.command("/envd", "ready", "--url", "http://127.0.0.1:5002/health",
                              "--status", "204", "--timeout", "1")
    checks.equal("a vsock peer other than the host is refused", code, 1)


def check_commands_over_vsock(checks, envd, program, uds):
    """From the host through the proxy of the guest's vsock, and by CID against the daemon of check_vsock."""
    with tempfile.TemporaryDirectory() as here:
        os.mkdir(f"{here}/tree")
        for name, text in ("file", "contents\n"), ("tree/below", "below\n"):
            with open(f"{here}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        run = on_the_host(program, f"uds:{uds}")
        checks.equal("files for the commands in the guest", run("cp", here, "guest:/tmp/here"), (0, "", ""))
        check_client(checks, run, "over the guest's vsock", here)
        check_client(checks, in_the_guest(envd, "vsock:1:5001"), "by CID", "/tmp/here")


def check_files(checks, envd):
    data = os.urandom(1 << 20) * (FILE_BYTES >> 20)
    expected = hashlib.sha256(data).hexdigest()
    started = time.monotonic()
    status, _, body = envd.request("POST", "/files?path=/tmp/big", data,
                                   {"Content-Type": "application/octet-stream"})
    up = time.monotonic() - started
    checks.ok("64 MiB up", status == 200, (status, body))
    started = time.monotonic()
    status, _, body = envd.request("GET", "/files?path=/tmp/big")
    down = time.monotonic() - started
    checks.equal("64 MiB down, the same bytes", (status, hashlib.sha256(body).hexdigest()),
                 (200, expected))
    checks.figure("files through the bridge over vsock",
                  f"{64 / up:.0f} MiB/s up, {64 / down:.0f} MiB/s down")
    envd.unary("filesystem.Filesystem/Remove", {"path": "/tmp/big"})


def check_watch(checks, envd):
    envd.unary("filesystem.Filesystem/MakeDir", {"path": "/tmp/watched"})
    events = []
    for message in envd.stream("filesystem.Filesystem/WatchDir", {"path": "/tmp/watched"},
                               timeout_ms=guest.TIMEOUT_S * 1000):
        if "start" in message:
            envd.request("POST", "/files?path=/tmp/watched/new", b"text",
                         {"Content-Type": "application/octet-stream"})
        elif "filesystem" in message:
            events.append((message["filesystem"]["name"], message["filesystem"]["type"]))
            if events[-1][1] == "EVENT_TYPE_WRITE":
                break
    checks.equal("a watch sees an upload", events,
                 [("new", "EVENT_TYPE_CREATE"), ("new", "EVENT_TYPE_CHMOD"),
                  ("new", "EVENT_TYPE_WRITE")])


def check_machine(checks, envd):
    """Checks what PID 1 mode has prepared, as far as this is visible without a shell."""
    mounts = envd.request("GET", "/files?path=/proc/1/mounts")[2].decode()
    mounted = {line.split()[1] for line in mounts.splitlines()}
    expected = {"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/sys/fs/cgroup"}
    checks.ok("the usual file systems are mounted", expected <= mounted, expected - mounted)
    checks.equal("the host's name", envd.request("GET", "/files?path=/proc/sys/kernel/hostname")[2],
                 b"localhost\n")
    code, _, _ = envd.command("/envd", "ready", "--url", f"http://127.0.0.1:{PORT}/health",
                              "--status", "204", "--timeout", "2")
    checks.equal("loopback is up", code, 0)
    metrics = envd.request("GET", "/metrics")
    checks.ok("/metrics", metrics[0] == 200, metrics)


def run(context):
    checks = context.checks
    checks.section("initramfs guest: a kernel, its virtio modules, and envd as PID 1")
    initrd = build(context, "initramfs", "vsock_loopback", "tcp_diag")
    with context.guest("initramfs", initrd, ENVD, memory_mib=512) as vm:
        stream = vm.first_connect(PORT, LISTENING)
        checks.equal("GET /health over vsock", client.health(stream), 204)
        with Bridge(context.envd, vm.uds) as bridge:
            envd = client.Client(bridge.connect)
            checks.equal("GET /health through the bridge", envd.request("GET", "/health")[0], 204)
            for check in (check_commands, check_machine, check_vsock, check_files, check_watch):
                checks.run(check.__name__, check, checks, envd)
            checks.run("check_commands_over_vsock", check_commands_over_vsock, checks, envd,
                       context.envd, vm.uds)
    checks.run("boot by instructions", count_boot, context)
    checks.run("boot times", measure_boot, context)
