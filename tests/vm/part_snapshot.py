# SPDX-License-Identifier: Apache-2.0
"""A guest that is saved to a file, ended, and restored in another QEMU, as a sandbox that is
paused and resumed. vhost-user's vsock can't be migrated: it is unplugged before, which resets its
connections as Firecracker does, and plugged in after; virtio-net stays all the time."""

import base64
import contextlib
import datetime
import http.client
import json
import os
import socket
import tempfile
import time

import assets
import client
import guest
from bridge import Bridge, free_port

PORT, PAGES_PORT = 49983, 49984
AHEAD = datetime.timedelta(hours=1)  # of the guest's clock, which is its own
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"

# PID 1, for ours and a peer alike: a busybox that prepares the machine and starts the daemon.
START = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp /root
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo '+cpu +memory' >/sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
/envd -isnotfc &
echo 'start: up'
exec nc -ll -p {PAGES_PORT} -e /pages
"""

# Answers "clear" and "count": which pages of the daemon's were touched since (proc(5), clear_refs).
PAGES = """#!/bin/sh
read what
for pid in $(pidof envd); do
	case $what in
	clear) echo 1 >/proc/$pid/clear_refs ;;
	count) awk '/^Referenced:/ { print $2 / 4 }' /proc/$pid/smaps_rollup ;;
	esac
done
echo done
"""


# Both kinds of hooks. They say what they were told.
HOOK = """#!/bin/sh
echo "$1 $2 $3" >>/run/hooks
"""
ORIGIN, CLONES = "origin", ("clone-a", "clone-b")
# The kernel reseeds by itself now and then, sooner in a young guest, and the guest's clock goes on
# while the host is busy with others.
CONTROLS = 5


class Saved:
    """A guest with one daemon in it, that can be saved and restored; with a uds, the host's socket
    of its vsock, it has that device when it is booted."""

    def __init__(self, context, name, envd, uds=None):
        self._context, self._name, self._uds = context, name, uds
        self._port, self._pages_port = free_port(), free_port()
        archive = assets.initramfs(context.kernel)
        archive.copy("bin/busybox", "/bin/busybox")
        archive.copy("envd", envd)
        archive.file("start", START.encode())
        archive.file("pages", PAGES.encode())
        archive.copy("draw", assets.guest_program("draw"))
        for kind in ("pre-freeze", "post-thaw"):
            archive.file(f"etc/envd/hooks.d/{kind}/note", HOOK.encode())
        archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        archive.file("etc/group", b"root:x:0:\n", 0o644)
        self._initrd = assets.build_path(f"{name}.cpio")
        archive.write(self._initrd)
        self._state = assets.build_path(f"{name}.state")

    def _guest(self, name, *extra, vsock=False):
        forwards = ",".join(f"hostfwd=tcp:127.0.0.1:{host}-10.0.2.15:{inside}" for host, inside in (
            (self._port, PORT), (self._pages_port, PAGES_PORT)))
        return self._context.guest(
            name, self._initrd, "console=ttyS0 quiet panic=-1 -- /start", vsock=vsock, uds=self._uds,
            extra=("-netdev", f"user,id=net,restrict=on,{forwards}",
                   "-device", "virtio-net-pci,netdev=net,romfile=", *extra))

    @contextlib.contextmanager
    def booted(self):
        with self._guest(self._name, vsock=self._uds is not None) as vm:
            vm.wait_line("start: up")
            guest.wait_for("/health", self.healthy)
            yield vm

    @contextlib.contextmanager
    def restored(self):
        """The guest from the file, which does not run yet: `cont` lets it."""
        with self._guest(f"{self._name}-restored", "-incoming", f"exec:cat {self._state}") as vm:
            guest.wait_for("the saved state", lambda: vm.qmp.command(
                "query-status")["status"] == "paused")
            yield vm

    def save(self, vm):
        vm.qmp.command("stop")
        vm.qmp.command("migrate", uri=f"exec:cat >{self._state}")

        def over():
            status = vm.qmp.command("query-migrate").get("status")
            if status == "failed":
                raise guest.GuestError("the guest could not be saved")
            return status == "completed"
        guest.wait_for("the guest to be saved", over)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self._port), guest.TIMEOUT_S)

    def healthy(self):
        try:
            return client.health(self.connect()) == 204
        except (OSError, http.client.HTTPException):
            return False

    def pages(self, what):
        with socket.create_connection(("127.0.0.1", self._pages_port), guest.TIMEOUT_S) as stream:
            stream.sendall(what.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"done\n"):
                piece = stream.recv(4096)
                if not piece:
                    raise guest.GuestError("the guest counts no pages")
                answer += piece
        return sum(int(line) for line in answer.split()[:-1])


def established(envd):
    """The ends of the daemon's connections (proc(5), /proc/net/tcp)."""
    ends = set()
    for name in ("tcp", "tcp6"):
        for line in envd.request("GET", f"/files?path=/proc/net/{name}")[2].decode().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "01" and fields[1].endswith(f":{PORT:04X}"):
                ends.add(fields[2])
    return ends


def numbers(events):
    """What a counting process prints, number by number."""
    rest = b""
    for event in events:
        *lines, rest = (rest + base64.b64decode(event.get("data", {}).get("stdout", ""))).split(b"\n")
        yield from map(int, lines)


def counting(envd):
    """The events of the counting command, for one more reader."""
    return (message["event"] for message in envd.stream(
        "process.Process/Connect", {"process": {"tag": "count"}}))


def check_before(checks, saved, vm, bridge):
    """Leaves a counting command, its reader, another one behind the bridge and an idle connection.
    What there is to know of them after the restore."""
    envd = client.Client(saved.connect)
    reader = envd.start("/bin/sh", "-c", COUNT, tag="count")
    pid = next(reader)["start"]["pid"]
    counted = numbers(reader)
    guest.wait_for("a command that counts", lambda: next(counted) >= 3)
    idle = client.Connection(saved.connect())
    idle.request("GET", "/health")
    idle.getresponse().read()
    ends = established(envd)
    checks.ok("connections before", len(ends) >= 2, ends)
    bridged = counting(client.Client(bridge.connect))
    checks.equal("a reader through the bridge", next(bridged)["start"]["pid"], pid)
    checks.equal("freeze", envd.request("POST", "/freeze?maxWaitMs=60000")[0], 200)
    vm.unplug_vsock()
    checks.ok("without its vsock device the bridge's connection ends",
              cut(lambda: next(bridged, None)))
    saved.save(vm)
    return {"pid": pid, "counted": counted, "idle": idle, "ends": ends, "number": None}


def cut(read):
    """Whether reading comes to an end; it waits for that."""
    try:
        while read():
            pass
    except (OSError, RuntimeError, http.client.HTTPException):
        return True
    return True


def check_connections(checks, before):
    """What the host held is cut off with the old machine."""
    last = []
    checks.ok("the reader of before is cut off",
              cut(lambda: last.append(next(before["counted"], None)) or last[-1]))
    checks.ok("the idle connection of before, too", cut(lambda: before["idle"].sock.recv(1)))
    return max((n for n in last if n), default=3)


def check_after(checks, saved, vm, before, last):
    started = time.monotonic()
    vm.qmp.command("cont")
    checks.ok("a new connection is answered", saved.healthy())
    checks.figure("from the restore to the first answer",
                  f"{(time.monotonic() - started) * 1000:.0f} ms (emulated)")
    envd = client.Client(saved.connect)
    there = datetime.datetime.now(datetime.timezone.utc) + AHEAD
    body = b'{"timestamp":"%s"}' % there.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    checks.equal("/init with the time", envd.request("POST", "/init", body)[0], 204)
    code, out, _ = envd.command("/bin/date", "+%s")
    ahead = int(out) - there.timestamp()
    checks.ok("the guest's clock is set", code == 0 and -1 <= ahead < 60, ahead)
    events = counting(envd)
    checks.equal("the command of before is there", next(events)["start"]["pid"], before["pid"])
    number = next(numbers(events))
    checks.ok("it was thawed and counts on, and a new reader sees it", number > last, (number, last))
    guest.wait_for("the old connections' end in the guest",
                   lambda: not established(envd) & before["ends"], interval_s=0.5)
    checks.ok("the guest has let go of the old connections", True)


def check_bridge(checks, vm, bridge, before):
    """The bridge has run all the time; a client need not wait for the guest to be back."""
    connection = client.Connection(bridge.connect())
    connection.request("GET", "/health")
    vm.plug_vsock()
    checks.equal("a connection through the bridge waits for the restored guest",
                 connection.getresponse().status, 204)
    events = counting(client.Client(bridge.connect))
    checks.equal("through the bridge, the command of before", next(events)["start"]["pid"],
                 before["pid"])
    checks.ok("and its output", next(numbers(events)) > 0)


def init(envd, lifecycle, hours):
    """An /init of the platform. Returns the time that it named."""
    there = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    body = {"lifecycleID": lifecycle, "timestamp": there.strftime("%Y-%m-%dT%H:%M:%SZ")}
    status, _, answer = envd.request("POST", "/init", json.dumps(body).encode())
    if status != 204:
        raise guest.GuestError(f"/init: {status} {answer}")
    return there.timestamp()


def read_file(envd, path):
    status, _, content = envd.request("GET", f"/files?path={path}")
    return content.decode() if status == 200 else ""


def draw(envd):
    """The numbers that the program of before draws now."""
    envd.unary("process.Process/SendInput", {"process": {"tag": "draw"}, "input": {
        "stdin": base64.b64encode(b"x").decode()}})
    lines = b""
    for message in envd.stream("process.Process/Connect", {"process": {"tag": "draw"}},
                               headers={"X-Envd-From": "start"}):
        data = message["event"].get("data", {})
        lines += base64.b64decode(data.get("stdout", ""))
        if lines.count(b"\n") == 64:
            return set(lines.split())
    raise guest.GuestError("the program that draws has ended")


def prepare_clones(checks, saved, vm):
    """The guest that is cloned: in its first generation, with a program that will draw, and frozen."""
    envd = client.Client(saved.connect)
    init(envd, ORIGIN, 1)
    first = f"post-thaw 1 {ORIGIN}\n"
    guest.wait_for("the first hook", lambda: read_file(envd, "/run/hooks") == first)
    envd.start_detached("/draw", "/dev/urandom", tag="draw", headers={"X-Envd-Keep-Output": "65536"})
    checks.equal("freeze", envd.request("POST", "/freeze?maxWaitMs=60000")[0], 200)
    checks.equal("the hooks before the freeze", read_file(envd, "/run/hooks"),
                 f"{first}pre-freeze 1 {ORIGIN}\n")
    saved.save(vm)
    return True


def check_control(checks, saved):
    """Restored guests that are told no new id go on with one state of the generator."""
    numbers = []
    for _ in range(CONTROLS):
        with saved.restored() as vm:
            vm.qmp.command("cont")
            envd = client.Client(saved.connect)
            init(envd, ORIGIN, 2)
            numbers.append(draw(envd))
            checks.equal("control: no generation begins", read_file(envd, "/run/e2b/generation"),
                         f"1 {ORIGIN}\n")
            checks.ok("control: nothing is reseeded", not vm.console.find("generation 2"))
        if any(numbers[-1] & others for others in numbers[:-1]):
            break
    return checks.ok("control: with one id, two restored guests draw the same numbers",
                     any(numbers[-1] & others for others in numbers[:-1]), numbers)


def check_clone(checks, saved, lifecycle, hours):
    """A restored guest that is told an id of its own. Returns the numbers that it draws."""
    with saved.restored() as vm:
        vm.qmp.command("cont")
        envd = client.Client(saved.connect)
        there = init(envd, lifecycle, hours)
        numbers = draw(envd)
        code, out, _ = envd.command("/bin/date", "+%s")
        checks.ok(f"{lifecycle}: its clock", code == 0 and -1 <= int(out) - there < guest.TIMEOUT_S, out)
        checks.equal(f"{lifecycle}: its generation", read_file(envd, "/run/e2b/generation"),
                     f"2 {lifecycle}\n")
        vm.wait_line("generation 2: the random generator was reseeded")
        guest.wait_for("the hook after the thaw", lambda: read_file(envd, "/run/hooks") ==
                       f"post-thaw 1 {ORIGIN}\npre-freeze 1 {ORIGIN}\npost-thaw 2 {lifecycle}\n")
        checks.ok(f"{lifecycle}: the hooks of both kinds", True)
        return numbers
    raise guest.GuestError(f"{lifecycle} did not come back")


def check_clones(context):
    """Guests restored from one file are themselves: random numbers, clock, generation, hooks."""
    checks = context.checks
    saved = Saved(context, "snapshot-clones", context.envd)
    with saved.booted() as vm:
        if not checks.run("saved to be cloned", prepare_clones, checks, saved, vm):
            return
    check_control(checks, saved)
    first, second = (check_clone(checks, saved, lifecycle, 3 + i) for i, lifecycle in enumerate(CLONES))
    checks.ok("two clones draw different numbers", first and second and not first & second,
              first & second)


def count_pages(context, name, envd):
    """Pages of the daemon's that are touched from the restore until its first answer."""
    saved = Saved(context, name, envd)
    with saved.booted() as vm:
        warm = client.Client(saved.connect)
        for _ in range(3):
            warm.command("/bin/true")
            saved.healthy()
        saved.pages("clear")
        saved.save(vm)
    with saved.restored() as vm:
        vm.qmp.command("cont")
        if not saved.healthy():
            raise guest.GuestError("no answer after the restore")
        return saved.pages("count")
    raise guest.GuestError(f"{name} did not come back")


def check_pages(context):
    ours = count_pages(context, "snapshot-pages", context.envd)
    text = f"{ours} pages"
    if context.peer:
        peer = count_pages(context, "snapshot-peer", context.peer)
        text += f"; {context.peer}: {peer}; {ours / peer:.2f} of it (to reach: 0.25)"
    context.checks.figure("touched from the restore to the first answer", text)
    return context.checks.ok("the pages are counted", ours > 0, ours)


def run(context):
    checks = context.checks
    checks.section("snapshot: a guest saved to a file and restored")
    with tempfile.TemporaryDirectory(prefix="envd-vm-") as folder:
        uds = os.path.join(folder, "vsock")
        saved = Saved(context, "snapshot", context.envd, uds)
        with Bridge(context.envd, uds, "--wait", str(guest.TIMEOUT_S)) as bridge:
            with saved.booted() as vm:
                before = checks.run("saved", check_before, checks, saved, vm, bridge)
            if before:
                last = check_connections(checks, before)
                with saved.restored() as vm:
                    checks.run("restored", check_after, checks, saved, vm, before, last)
                    checks.run("bridged", check_bridge, checks, vm, bridge, before)
    checks.run("clones", check_clones, context)
    checks.run("pages", check_pages, context)
