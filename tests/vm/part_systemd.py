# SPDX-License-Identifier: Apache-2.0
"""A Debian image that systemd boots, with envd as systemd/bake installs it."""

import json
import os
import re
import shutil
import statistics

import e2b

import assets
import client
import crashes
import guest
import rootfs
from container import Container

PORT = 49983
MODULES = (*assets.VIRTIO_MODULES, "ext4", "nfsd", "nfsv3", "quota_v2")
CONSOLE = "console=ttyS0 quiet panic=-1 systemd.show_status=true"

RESTARTS = 15  # the median is printed

# A trivial service, for the least time that systemd needs to start one; not enabled.
TRIVIAL = "[Service]\nType=notify\nExecStart=/usr/local/bin/notify\n"

# The front of the guest's NFS server. Calls of MOUNT and of NFS come to one port, as on the volume server of
# a sandbox, but Debian has a program for each protocol. The first call of a connection shows which it is.
NFS_CONF = "[nfsd]\nhost=127.0.0.1\n[mountd]\nport=20048\n"
EXPORTS = "/export 127.0.0.0/8(rw,sync,insecure,no_root_squash,no_subtree_check,fsid=0)\n"
NFS_FRONT = """\
import socket, threading
MOUNT = 100005

def pump(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    sink.close()

def serve(client):
    head = client.recv(20, socket.MSG_PEEK | socket.MSG_WAITALL)
    program = int.from_bytes(head[16:20], "big")
    server = socket.create_connection(("127.0.0.1", 20048 if program == MOUNT else 2049))
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)

listener = socket.create_server(("127.0.0.2", 2049))
print("front: up", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def build(context):
    """Makes the disks and the initramfs. Runs systemd/bake twice; the second run must change nothing."""
    checks = context.checks
    root = assets.build_path("rootfs", "systemd")
    assets.run(["rm", "-rf", root])
    assets.run(["cp", "-a", rootfs.tree("debian", rootfs.SYSTEMD), root])
    before = rootfs.bytes_in(root)
    said = rootfs.bake(root, context.envd)
    checks.ok("bake finds systemd", said.endswith("started by systemd"), said)
    added = rootfs.bytes_in(root) - before
    checks.ok(f"the image grew by {added / 1e6:.2f} MB, at most 1.9", added <= 1900000)
    checks.equal("bake again", (rootfs.bake(root, context.envd), rootfs.bytes_in(root)),
                 (said, before + added))
    for path, text in (("etc/nfs.conf", NFS_CONF), ("etc/exports", EXPORTS),
                       ("usr/local/lib/nfs-front.py", NFS_FRONT),
                       ("etc/systemd/system/trivial.service", TRIVIAL)):
        with open(os.path.join(root, path), "w") as out:
            out.write(text)
    for name in ("notify", "quota", "ticker"):
        shutil.copy(assets.guest_program(name), os.path.join(root, "usr/local/bin", name))
    os.mkdir(os.path.join(root, "export"))
    # Without udev, systemd would wait for the terminal of the console.
    os.symlink("/dev/null", os.path.join(root, "etc/systemd/system/serial-getty@ttyS0.service"))
    initrd = assets.build_path("systemd.cpio")
    assets.initramfs(context.kernel, MODULES).write(initrd)
    disks = (rootfs.disk("systemd", root),
             rootfs.disk("quota", None, "32M", "-O", "quota", "-E", "quotatype=usrquota"))
    return disks, initrd, root


def time_unit(show, unit):
    """Returns the milliseconds from the start of a unit until it reported that it is ready."""
    started, active = (int(show(unit, name)) for name in (
        "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"))
    return (active - started) / 1000


def measure_unit(checks, root):
    """Measures the same units on this machine's processor and kernel."""
    def show(unit, name):
        return container.run("systemctl", "show", "-P", name, unit)[1]

    times = {"envd": [], "trivial": []}
    try:
        with Container(root) as container:
            guest.wait_for("envd in a container",
                           lambda: container.run("systemctl", "is-active", "envd")[0] == 0, 60, 0.2)
            for _ in range(RESTARTS):
                for unit, found in times.items():
                    container.run("systemctl", "restart", unit)
                    found.append(time_unit(show, unit))
        text = (f"{statistics.median(times['envd']):.1f} ms; a trivial service "
                f"{statistics.median(times['trivial']):.1f} ms (to reach: 5 ms)")
    except (OSError, ValueError, guest.GuestError) as error:
        text = f"could not be measured: {error}"
    checks.figure("not emulated, in a container here: from its start until it listened", text)


class Shell:
    """Runs commands in the guest, and checks their results."""

    def __init__(self, envd, checks):
        self.envd = envd
        self._checks = checks

    def run(self, line):
        """Runs a line in the guest's shell. Returns (exit code, output without the last newline)."""
        code, out, err = self.envd.command("/bin/sh", "-c", line)
        return code, (out + err).rstrip("\n")

    def out(self, line):
        return self.run(line)[1]

    def property(self, unit, name):
        return self.out(f"systemctl show -P {name} {unit}")

    def wait(self, what, line):
        """Repeats the line until it succeeds."""
        return guest.wait_for(what, lambda: self.run(line)[0] == 0, interval_s=0.2)

    def check(self, name, line, expected):
        """Checks that the line succeeds, and that its output matches."""
        code, out = self.run(line)
        self._checks.ok(name, code == 0 and re.fullmatch(expected, out, re.S), (code, out))


def check_boot(checks, shell):
    shell.wait("the end of the boot", "systemctl is-active multi-user.target")
    active, whole = (int(shell.property(unit, "ActiveEnterTimestampMonotonic"))
                     for unit in ("envd", "multi-user.target"))
    checks.ok("envd was up before multi-user", 0 < active < whole, (active, whole))
    ours = time_unit(shell.property, "envd")
    shell.run("systemctl start trivial")
    trivial = time_unit(shell.property, "trivial")
    checks.figure("emulated: from its start until it listened",
                  f"{ours:.0f} ms of {whole / 1000:.0f} ms; a trivial service {trivial:.0f} ms")
    shell.check("the preset enables it", "systemctl is-enabled envd", "enabled")
    shell.check("systemd has nothing to say against the unit",
                "systemd-analyze verify /usr/lib/systemd/system/envd.service", "")
    shell.check("journald has its lines", "journalctl -b -u envd -o cat", ".*listening on .*")
    shell.check("its priorities", "p=$(systemctl show -P MainPID envd); cat /proc/$p/oom_score_adj;"
                " cut -d' ' -f19 /proc/$p/stat; ionice -p $p", "-1000\n-20\nrealtime: prio 4")


def check_cgroups(checks, shell):
    shell.check("controllers below the root", "cat /sys/fs/cgroup/cgroup.subtree_control",
                r"(?=.*\bcpu\b)(?=.*\bio\b)(?=.*\bmemory\b).*")
    for group, weight, io in (("ptys", 200, 50), ("user", 50, 10), ("socats", 150, 50)):
        shell.check(f"weights of {group}",
                    f"cd /sys/fs/cgroup/{group} && cat cpu.weight io.weight", f"{weight}\ndefault {io}")
    shell.check("memory bounds of user", "cd /sys/fs/cgroup/user && cat memory.high memory.max",
                r"(\d+)\n\1")
    shell.check("memory is protected for envd", "cd /sys/fs/cgroup$(systemctl show -P ControlGroup "
                "envd) && cat memory.min memory.low cpu.weight", "4194304\n8388608\n1000")
    shell.check("a command's cgroup", "cat /proc/self/cgroup", "0::/user(/.*)?")


def check_kill(checks, shell):
    before = shell.property("envd", "MainPID")
    survivor = shell.envd.start_detached("/bin/sleep", "1000")
    shell.envd.start_detached("/bin/sh", "-c", f"sleep 0.2; kill -9 {before}")

    def restarted():
        try:
            now = shell.property("envd", "MainPID")
        except (OSError, RuntimeError, client.http.client.HTTPException):
            return None
        return now not in ("", "0", before) and now
    checks.ok("killed by SIGKILL it comes back", guest.wait_for("the restart", restarted))
    shell.check("what a user ran lives on", f"cat /proc/{survivor}/comm; kill {survivor}", "sleep")


def check_memory(checks, shell):
    """Four commands use all the memory that they get."""
    before = shell.property("envd", "MainPID")
    hungry = "python3 -c 'print(len(b\"x\" * (700 << 20)))'"
    code, out = shell.run(f"for i in 1 2 3 4; do {hungry} & done; wait; echo over")
    checks.ok("commands that take all memory are killed", out.endswith("over"), (code, out))
    shell.check("and the kernel did it in the cgroup of the user's commands",
                "cat /sys/fs/cgroup/user/memory.events", r".*\noom_kill [1-9].*")
    checks.equal("envd is the same process", shell.property("envd", "MainPID"), before)
    checks.equal("envd was not restarted for it", shell.property("envd", "NRestarts"), "1")


def check_freeze(checks, shell):
    count = "/tmp/count"
    pid = shell.envd.start_detached(
        "/bin/sh", "-c", f"while :; do echo x >>{count}; sleep 0.05; done")

    def size():
        return len(shell.envd.request("GET", f"/files?path={count}")[2])
    guest.wait_for("a command that counts", size)
    checks.equal("freeze", shell.envd.request("POST", "/freeze")[0], 204)
    frozen = "/files?path=/sys/fs/cgroup/user/cgroup.events"
    guest.wait_for("the freeze", lambda: b"frozen 1" in shell.envd.request("GET", frozen)[2])
    before = size()
    for _ in range(20):
        shell.envd.request("GET", "/health")
    checks.equal("a frozen command does not go on", size(), before)
    checks.equal("/init thaws", shell.envd.request("POST", "/init", b"{}")[0], 204)
    checks.ok("a thawed command goes on", guest.wait_for("the thaw", lambda: size() > before))
    shell.run(f"kill {pid}")


def check_nfs(checks, shell):
    """A volume that POST /init mounts. The guest itself serves it, because there is no network."""
    front = shell.envd.start("/usr/bin/python3", "/usr/local/lib/nfs-front.py")
    for event in front:
        if "data" in event:
            break
    shell.wait("the NFS server", "systemctl is-active nfs-server nfs-mountd && rpcinfo -t 127.0.0.1 nfs 3")
    # mount starts this service on its first call. An emulated guest may need more time for it than POST /init
    # waits.
    shell.wait("a first mount", "mkdir -p /mnt/first && mount -t nfs -o port=2049,mountport=2049,"
               "proto=tcp,mountproto=tcp,nfsvers=3 127.0.0.2:/export /mnt/first && umount /mnt/first")
    body = json.dumps({"lifecycleID": "one", "volumeMounts": [
        {"nfs_target": "127.0.0.2:/export", "path": "/mnt/volume"}]}).encode()
    answers = []

    def mounted():
        """Repeats the request if ten seconds were not enough for the mount, as a platform does."""
        answers.append(shell.envd.request("POST", "/init", body))
        return answers[-1][0] == 204
    checks.ok("/init with a volume", guest.wait_for("a mounting /init", mounted), answers)
    shell.check("the volume is mounted as asked", "grep ' /mnt/volume ' /proc/mounts",
                "127.0.0.2:/export /mnt/volume nfs .*vers=3.*proto=tcp.*")
    shell.envd.request("POST", "/files?path=/mnt/volume/file", b"through NFS",
                       {"Content-Type": "application/octet-stream"})
    shell.check("a file uploaded there is on the server", "cat /export/file", "through NFS")
    checks.equal("and comes back", shell.envd.request("GET", "/files?path=/mnt/volume/file")[2],
                 b"through NFS")
    again = shell.out("grep -c ' /mnt/volume ' /proc/mounts")
    shell.envd.request("POST", "/init", body)
    checks.equal("the same /init again changes nothing",
                 (again, shell.out("grep -c ' /mnt/volume ' /proc/mounts")), ("1", "1"))
    shell.run("umount /mnt/volume")
    front.close()


def check_quota(checks, shell):
    """The quota of a user is smaller than the free space of the disk."""
    shell.check("a disk with a quota", "mkdir -p /mnt/quota && mount -o usrquota /dev/vdb /mnt/quota && "
                "chmod 1777 /mnt/quota && quota /dev/vdb 1000 1024", "")

    def upload(name, mebibytes, user="user", **headers):
        status, _, body = shell.envd.request(
            "POST", f"/files?path=/mnt/quota/{name}&username={user}", bytes(int(mebibytes * (1 << 20))),
            {"Content-Type": "application/octet-stream", **headers})
        return status, body.decode()
    checks.equal("within the quota", upload("small", 0.5)[0], 200)
    status, body = upload("large", 4)
    checks.ok("above it", status == 507 and "quota" in body, (status, body))
    shell.run("rm /mnt/quota/large")
    checks.equal("another user has more", upload("other", 4, "root")[0], 200)
    checks.equal("an atomic upload above it", upload("small", 4, **{"X-Envd-Atomic": "1"})[0], 507)
    shell.check("leaves the file as it was", "stat -c %s /mnt/quota/small; ls -A /mnt/quota",
                "524288\nlost.found\nother\nsmall")
    checks.equal("and there is room again", upload("more", 0.25)[0], 200)
    shell.run("umount /mnt/quota")


def check_ready(checks, shell):
    """A start command, and the requests of a template's build."""
    started = shell.envd.start_detached("/usr/bin/python3", "-m", "http.server", "8000")
    lines = {
        "port": (e2b.wait_for_port(8000), "--port 8000"),
        "URL": (e2b.wait_for_url("http://localhost:8000/", 200),
                "--url http://localhost:8000/ --status 200"),
        "process": (e2b.wait_for_process("python3"), "--process python3"),
        "file": (e2b.wait_for_file("/etc/passwd"), "--file /etc/passwd"),
    }
    for what, (sdk, ours) in lines.items():
        shell.check(f"envd ready for a {what}", f"envd ready {ours} --timeout {guest.TIMEOUT_S}", "")
        guest.wait_for(f"the SDK's command for a {what}",
                       lambda line=sdk.get_cmd(): shell.run(line)[0] == 0)
        checks.ok(f"the SDK's command for a {what}", True)
    shell.check("the SDK's command for a time", e2b.wait_for_timeout(1000).get_cmd(), "")
    shell.check("not ready is 1", "envd ready --port 8001 --timeout 0.2; echo $?", ".*1")
    shell.run(f"kill {started}")


def run(context):
    checks = context.checks
    checks.section("systemd guest: Debian, with envd as bake installs it")
    disks, initrd, root = build(context)
    measure_unit(checks, root)
    append = f"{CONSOLE} -- root=/dev/vda /sbin/init"
    with context.guest("systemd", initrd, append, memory_mib=1024,
                       extra=rootfs.disk_arguments(*disks)) as vm:
        stream = vm.first_connect(PORT, r"Started .*envd")
        checks.equal("GET /health over vsock", client.health(stream), 204)
        shell = Shell(client.Client(lambda: guest.wait_for("vsock", lambda: vm.connect(PORT))),
                      checks)
        with open(context.envd, "rb") as file:
            program = file.read()
        for check, *more in ((check_boot,), (check_cgroups,), (check_kill,),
                             (crashes.check_upgrade, program), (check_memory,), (check_freeze,),
                             (check_nfs,), (check_quota,), (check_ready,), (crashes.check_restart,),
                             (crashes.check_crashes,)):
            checks.run(check.__name__, check, checks, shell, *more)
        shell.envd.start_detached("/bin/systemctl", "poweroff")
        checks.equal("poweroff", vm.wait_end(), "guest-shutdown")
