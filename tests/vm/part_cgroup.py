# SPDX-License-Identifier: Apache-2.0
"""A guest whose only hierarchy is cgroup2, with the memory controller. The checks: the properties of the
platform's cgroups, OOM kills and other kills, the accounting of processes, CPUs that are offline, and a
guest that attacks its daemon (hostile.py)."""

import contextlib
import json

import assets
import client
import crashes
import guest
import hostile

PORT = 49983
MEMORY_MIB = 256
ENVD = "console=ttyS0 quiet panic=-1 -- /envd -init -isnotfc"


def build(context):
    archive = assets.initramfs(context.kernel, (*assets.VIRTIO_MODULES, "fuse"))
    hostile.add_files(archive)
    archive.copy("envd", context.envd)
    for name in "hunger", "hostile":
        archive.copy(name, assets.guest_program(name))
    path = assets.build_path("cgroup.cpio")
    archive.write(path)
    return path


def read(envd, path):
    status, _, body = envd.request("GET", f"/files?path=/sys/fs/cgroup/{path}")
    if status != 200:
        raise RuntimeError(f"{path}: {status} {body[:200]}")
    return body.decode().strip()


def metrics(envd):
    body = envd.request("GET", "/metrics",
                        headers={"Accept": "application/openmetrics-text"})[2].decode()
    return {name: float(value) for name, _, value in
            (line.rpartition(" ") for line in body.splitlines() if not line.startswith("#"))}


def end_of(envd, *argv, **how):
    """Runs a command. Returns the end event."""
    for message in envd.stream("process.Process/Start",
                               {"process": {"cmd": argv[0], "args": list(argv[1:])}}, **how):
        if "end" in message["event"]:
            return message["event"]["end"]
    return None


USED = ("cpuTimeUs", "memoryPeakBytes")  # members of an end event with an explanation


def why(end):
    """Returns the end event without the usage of resources."""
    return {name: value for name, value in end.items() if name not in USED}


def check_properties(checks, envd):
    total = envd.request("GET", "/files?path=/proc/meminfo")[2].decode()
    total = int(total.split("MemTotal:")[1].split()[0]) * 1024
    bound = (total - min(total // 8, 128 << 20)) // 4096 * 4096
    expected = {
        "user": {"cpu.weight": "50", "memory.max": str(bound), "memory.high": str(bound)},
        "ptys": {"cpu.weight": "200", "memory.max": str(bound), "memory.high": str(bound)},
        "socats": {"cpu.weight": "150", "memory.min": str(5 << 20), "memory.low": str(8 << 20)},
    }
    for group, properties in expected.items():
        found = {name: read(envd, f"{group}/{name}") for name in properties}
        checks.equal(f"the properties of {group}", found, properties)
    checks.equal("the cgroups of processes have no controllers",
                 read(envd, "user/cgroup.subtree_control"), "")


def upgrade(envd):
    """Upgrades the daemon to the same program."""
    crashes.init(envd)
    with contextlib.suppress(*crashes.GONE):
        raise RuntimeError(envd.request("POST", "/upgrade", b""))
    crashes.init(envd)


def check_oom(checks, envd):
    killed = {"exitCode": -1, "status": "signal: killed", "error": "signal: killed"}
    ask = {"X-Envd-Explain-End": "1"}
    checks.equal("out of memory, told to whom asks", why(end_of(envd, "/hunger", headers=ask)),
                 {**killed, "oomKilled": True})
    checks.equal("and to nobody else", end_of(envd, "/hunger"), killed)
    checks.equal("counted", metrics(envd)["envd_oom_kills_total"], 2)
    checks.equal("another SIGKILL", why(end_of(envd, "/hunger", "kill", headers=ask)), killed)
    checks.equal("a child that is out of memory", why(end_of(envd, "/hunger", "child", headers=ask)),
                 {"exitCode": 137, "exited": True, "status": "exit status 137",
                  "error": "exit status 137"})
    checks.equal("none of these is counted", metrics(envd)["envd_oom_kills_total"], 2)
    upgrade(envd)
    checks.equal("an upgrade does not forget the count", metrics(envd)["envd_oom_kills_total"], 2)
    checks.equal("out of memory after an upgrade", why(end_of(envd, "/hunger", headers=ask)),
                 {**killed, "oomKilled": True})
    checks.equal("which is counted", metrics(envd)["envd_oom_kills_total"], 3)


def check_freeze(checks, envd):
    report = envd.request("POST", "/freeze?mode=hierarchy&maxWaitMs=10000")
    checks.ok("a freeze of the hierarchy", report[0] == 200 and b'"notFrozen":0' in report[2],
              report)
    status, headers, _ = envd.request("POST", "/init", b"{}")
    checks.ok("the thaw of an /init", status == 204 and "X-Envd-Freeze-Audit" in headers,
              (status, headers))
    checks.equal("after it", end_of(envd, "/envd", "-version")["status"], "exit status 0")


def check_accounting(checks, envd):
    pid = envd.start_detached("/hunger", "busy", "300", tag="busy")
    label = f'{{pid="{pid}",tag="busy"}}'
    guest.wait_for("its processor time", lambda: metrics(envd)
                   .get(f"process_cpu_seconds_total{label}", 0) >= 0.29)
    found = metrics(envd)
    checks.ok("memory of a process", 0 < found[f"process_memory_bytes{label}"] <=
              found[f"process_memory_peak_bytes{label}"] < 64 << 20, found)
    checks.ok("its cgroup has the controller", "memory" in read(envd, "user/cgroup.subtree_control"))
    ask = {"X-Envd-Explain-End": "1"}
    checks.equal("out of memory", end_of(envd, "/hunger", headers=ask).get("oomKilled"), True)
    checks.equal("another SIGKILL",
                 end_of(envd, "/hunger", "kill", headers=ask).get("oomKilled"), None)


def check_limits(checks, envd):
    """X-Envd-Limits sets limits of the controllers; X-Envd-Explain-End names the limit that was reached."""
    def end(limits, *argv):
        return end_of(envd, *argv, headers={"X-Envd-Explain-End": "1", "X-Envd-Limits": limits})

    found = end("memory=32M", "/hunger")
    checks.ok("a limit of memory", found["oomKilled"] and found["limitsReached"] == ["memory"] and
              16 << 20 < int(found["memoryPeakBytes"]) <= 32 << 20, found)
    found = end("memory=32M", "/hunger", "child")
    checks.equal("and of a child's", (found["status"], found["limitsReached"]),
                 ("exit status 137", ["memory"]))
    checks.equal("of processes", end("pids=1", "/hunger", "child").get("limitsReached"), ["pids"])
    checks.equal("none", end("memory=32M, pids=5", "/envd", "-version").get("limitsReached"), None)


def check_command(checks, envd):
    """The command that PID 1 starts runs in the cgroup `user`, even if `user` delegates controllers."""
    path = "/files?path=/sys/fs/cgroup/user/init-exec/cgroup.procs"
    pid = guest.wait_for("the command", lambda: envd.request("GET", path)[2].decode().strip()
                         if envd.request("GET", path)[0] == 200 else None)
    # The process exists before its exec.
    guest.wait_for("its exec", lambda: envd.request("GET", f"/files?path=/proc/{pid}/comm")[2]
                   == b"hunger\n")
    checks.ok("the command of -init-exec is below user", True)


def json_metrics(envd):
    return json.loads(envd.request("GET", "/metrics")[2])


def check_cpus(checks, envd):
    """`cpuCount` of POST /init brings CPUs online that the kernel has found but not started, and offline
    again."""
    def init(**members):
        status, headers, _ = envd.request("POST", "/init", json.dumps(members).encode())
        return status, json.loads(headers["X-Envd-Cpus"])

    def wait_online(text):
        guest.wait_for(f"CPUs {text} online", lambda: envd.request(
            "GET", "/files?path=/sys/devices/system/cpu/online")[2].decode().strip() == text)

    def figures():
        found = json_metrics(envd)
        return tuple(found[f"cpu_{name}"] for name in ("count", "possible", "target",
                                                       "write_pending_ms"))
    checks.equal("one of two CPUs is online", figures(), (1, 2, 0, 0))
    status, cpus = init(cpuCount=2)
    checks.equal("/init with cpuCount 2", (status, cpus["possible"], cpus["target"]), (204, 2, 2))
    wait_online("0-1")
    checks.ok("the second is online", guest.wait_for("the figures", lambda: figures() == (2, 2, 2, 0)))
    code, out, _ = envd.command("/hostile", "cpus")
    checks.equal("a command sees both", (code, out), (0, "2\n"))
    status, cpus = init(cpuCount=3)
    checks.ok("a third does not exist", status == 204 and cpus["rejected"] and cpus["target"] == 2, cpus)
    init(cpuCount=1)
    wait_online("0")
    checks.ok("and back to one", guest.wait_for("the figures", lambda: figures() == (1, 2, 1, 0)))


def check_oom_log(checks, envd):
    """The daemon reports OOM kills by the kernel's lines in /dev/kmsg, and ignores lines of programs."""
    def kills():
        return json_metrics(envd)["oom_kills"]
    guest.wait_for("the kernel's log", lambda: "oom_kills" in json_metrics(envd))
    checks.equal("no OOM kill", kills(), [])
    forged = "<6>Out of memory: Killed process 1 (forged) total-vm:1kB"
    checks.equal("a forged line", envd.command("/hostile", "kmsg", forged)[0], 0)
    end_of(envd, "/hunger")
    found = guest.wait_for("the kill", kills)
    checks.equal("one kill, and not the forged one", [kill["process"] for kill in found], ["hunger"])
    end_of(envd, "/hunger", "child")
    guest.wait_for("a second kill", lambda: len(kills()) == 2)
    found = kills()
    checks.ok("the second one is the newer", found[0]["seq"] < found[1]["seq"], found)
    checks.equal("reading them does not consume them", kills(), found)
    upgrade(envd)
    guest.wait_for("the kernel's log, again", lambda: "oom_kills" in json_metrics(envd))
    checks.equal("the next daemon finds the same kills", kills(), found)
    checks.equal("and does not count them again", metrics(envd)["sandbox_oom_kills_total"], 2)


def run(context):
    checks = context.checks
    checks.section("cgroup guest: the memory controller, OOM kills, accounting")
    initrd = build(context)
    for name, flags, looks in (
            ("cgroup", "", (check_properties, check_oom, check_freeze)),
            ("accounting", ' -process-accounting -init-exec="/hunger busy 1"',
             (check_command, check_accounting, check_limits))):
        with context.guest(name, initrd, ENVD + flags, memory_mib=MEMORY_MIB) as vm:
            stream = vm.first_connect(PORT, "listening on .*vsock")
            client.health(stream)
            envd = client.Client(lambda: vm.connect(PORT))
            for look in looks:
                checks.run(look.__name__, look, checks, envd)
    # The daemon handles CPUs and reads the kernel's log in Firecracker, or if no flag says otherwise.
    append = ENVD.replace("panic=-1", "panic=-1 maxcpus=1").replace(" -isnotfc", "")
    with context.guest("cpus", initrd, append, memory_mib=MEMORY_MIB, cpus=2) as vm:
        client.health(vm.first_connect(PORT, "listening on .*vsock"))
        envd = client.Client(lambda: vm.connect(PORT))
        for look in check_cpus, check_oom_log:
            checks.run(look.__name__, look, checks, envd)
    # The fork bombs use up all memory. The kernel then kills one process every two seconds, because it first
    # prints all of them, which is slow in an emulated machine: the bomb of root took two to nine minutes.
    append = ENVD.replace("panic=-1", "panic=-1 sysctl.vm.oom_dump_tasks=0")
    with context.guest("hostile", initrd, append, memory_mib=MEMORY_MIB) as vm:
        checks.section("hostile guest")
        client.health(vm.first_connect(PORT, "listening on .*vsock"))
        hostile.run(checks, vm)
