# SPDX-License-Identifier: Apache-2.0
"""Control: POST /init, killing process trees, freezing, and an idle daemon in a busy guest."""

import contextlib
import json
import os
import shutil
import socket
import time
import urllib.request

import harness
import table
import wire


def init(bench):
    body = json.dumps({"accessToken": "secret", "envVars": {
        f"VARIABLE_{i}": "value " * 4 for i in range(20)}}).encode()
    request = bench.file("init", wire.http("POST", "/init",
                                           [("Content-Type", "application/json")], body))

    def measure(daemon):
        daemon.stop()
        daemon.start()
        first = bench.client("load", "-p", daemon.port, "-n", 1, request)
        again = bench.client("load", "-p", daemon.port, "-n", 200, request)
        return {"first": first["p50_us"], "again": again["p50_us"]}

    m = bench.rounds(5, measure)
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start()
    bench.row("/init, the first", "µs", m["first"], table.at_most(300))
    bench.row("/init, repeated", "µs", m["again"], table.at_most(300))


def cgroup2_root():
    """Returns the mount point of a cgroup2 hierarchy, or None."""
    with open("/proc/mounts", encoding="ascii", errors="replace") as f:
        for line in f:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    return None


@contextlib.contextmanager
def with_cgroups(bench):
    """Restarts each daemon in its own cgroup, which represents the guest's root cgroup."""
    root = cgroup2_root()
    if not root:
        raise harness.Failed("no cgroup2 hierarchy is mounted")
    roots = {}
    for daemon in bench.daemons.values():
        roots[daemon.name] = os.path.join(root, f"envd-bench-{daemon.name}")
        os.makedirs(roots[daemon.name], exist_ok=True)
        daemon.stop()
        daemon.start_with_cgroups(roots[daemon.name])
    try:
        yield roots
    finally:
        for daemon in bench.daemons.values():
            daemon.stop()
            remove_cgroup(roots[daemon.name])
            daemon.start()


def remove_cgroup(path):
    """Kills the processes in a cgroup, and removes it with all cgroups below."""
    with contextlib.suppress(OSError):
        with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as f:
            f.write("1")
    wait_until_empty(path)
    for directory, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)


def populated(path):
    try:
        with open(os.path.join(path, "cgroup.events"), encoding="ascii") as f:
            return "populated 1" in f.read()
    except OSError:
        return False


def wait_until_empty(path, seconds=10):
    deadline = time.monotonic() + seconds
    while populated(path):
        if time.monotonic() > deadline:
            raise harness.Failed(f"{path} is not empty")
        time.sleep(0.0002)


def cgroup_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        return next(line.rstrip("\n").split("::")[1] for line in f if line.startswith("0::"))


def call(daemon, method, message):
    urllib.request.urlopen(urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/{method}", wire.encode(message),
        {"Content-Type": "application/json"})).close()


def commands(bench):
    """Short commands, each in its own cgroup. The peer puts all commands into one cgroup."""
    request = bench.file("start-true", wire.stream("process.Process/Start",
                                                   wire.start("/bin/true")))

    def measure(daemon):
        cpu_us = daemon.cpu_us()
        result = bench.client("load", "-p", daemon.port, "-n", 200, "-e", "exit status 0", request)
        result["cpu_us"] = (daemon.cpu_us() - cpu_us) / result["count"]
        at_once = bench.client("load", "-p", daemon.port, "-c", 32, "-s", 1, "-e",
                               "exit status 0", request)
        return result | {"rate": at_once["count"] / at_once["seconds"]}

    with with_cgroups(bench):
        m = bench.rounds(5, measure, lambda: bench.client("spawn", "-n", 200, "/bin/true"))
    bench.row("command latency p50, in cgroups", "µs", m["p50_us"], table.floor_at_most(1.5))
    bench.row("  daemon CPU per command", "µs", m["cpu_us"])
    bench.row("commands at 32 at once, in cgroups", "/s", m["rate"], table.peer_at_least(2))


def kill_tree(bench):
    count = 200 if bench.quick else 1000
    with with_cgroups(bench) as roots:
        ours = bench.daemons["ours"]
        start = bench.file("start-tree", wire.stream(
            "process.Process/Start", wire.start(bench.client_path, "tree", count, tag="tree"),
            headers=[("X-Envd-Kill-Scope", "tree")]))

        def measure(daemon):
            with bench.client_held("hold", "-p", daemon.port, "-e", "cmVhZHkK", start):
                began = time.monotonic()
                call(daemon, "process.Process/SendSignal",
                     {"process": {"tag": "tree"}, "signal": "SIGNAL_SIGKILL"})
                wait_until_empty(os.path.join(roots["ours"], "user"))
                return {"ms": (time.monotonic() - began) * 1e3}

        def floor():
            path = os.path.join(cgroup2_root(), "envd-bench-floor")
            os.makedirs(path, exist_ok=True)
            with bench.spawned_in(path, bench.client_path, "tree", count):
                began = time.monotonic()
                with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as f:
                    f.write("1")
                wait_until_empty(path)
                took = time.monotonic() - began
            os.rmdir(path)
            return {"ms": took * 1e3}

        m = harness.Medians({"floor": [], "ours": [], "peer": []})
        for _ in range(1 if bench.quick else 5):
            m.results["floor"].append(floor())
            m.results["ours"].append(measure(ours))
    bench.row(f"kill scope tree, {count:,} processes (floor: cgroup.kill)", "ms", m["ms"],
              table.floor_at_most(1.3))


def freeze(bench):
    count = 100 if bench.quick else 500
    with with_cgroups(bench):
        start = bench.file("sleepers", wire.stream(
            "process.Process/Start", wire.start(bench.client_path, "tree", count)))

        def measure(daemon):
            request = bench.file("freeze", wire.http("POST", "/freeze?maxWaitMs=5000"))
            thaw = bench.file("thaw", wire.http("POST", "/unfreeze"))
            took = bench.client("load", "-p", daemon.port, "-n", 1, request)
            bench.client("load", "-p", daemon.port, "-n", 1, thaw)
            return {"ms": took["p50_us"] / 1e3}

        with contextlib.ExitStack() as held:
            for daemon in bench.daemons.values():
                held.enter_context(bench.client_held("hold", "-p", daemon.port, "-e", "cmVhZHkK",
                                                     start))
            m = bench.rounds(15, measure)
    bench.row(f"freeze of {count} processes", "ms", m["ms"], table.peer_at_most(1))


def busy_guest(bench):
    """Starts 300 processes that the daemon does not know, and 50 listening ports that it may forward."""
    seconds = 2 if bench.quick else 10
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start(*(["-forward-ip", "127.0.0.99"] if daemon.name == "ours" else []))
    with bench.client_held("listen", 50, 21000), \
            bench.spawned(bench.client_path, "tree", 300):
        time.sleep(3)
        before = {n: d.cpu_us() for n, d in bench.daemons.items()}
        time.sleep(seconds)
        busy = {n: (d.cpu_us() - before[n]) / seconds / 1e4 for n, d in bench.daemons.items()}
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start()
    bench.row("idle CPU beside 300 processes and 50 ports", "% core", busy, table.at_most(0.05))


class Socat(harness.Daemon):
    """Forwards one connection and ends with it, so that its CPU time can be read."""

    ADDRESS = "127.0.0.98"

    def __init__(self, bench, port):
        super().__init__("socat", shutil.which("socat"), port, bench.work_dir)

    def argv(self, *extra):
        return [self.path, f"TCP4-LISTEN:{self.port},bind={self.ADDRESS},reuseaddr",
                f"TCP4:127.0.0.1:{self.port}"]

    def healthy(self):
        """Searches the list of sockets, because a connection would be the one that it forwards."""
        local = f"{int.from_bytes(socket.inet_aton(self.ADDRESS), 'little'):08X}:{self.port:04X}"
        with open("/proc/net/tcp", encoding="ascii") as f:
            return any(line.split()[1] == local and line.split()[3] == "0A" for line in f)

    def wait_cpu_us(self):
        _, _, usage = os.wait4(self.process.pid, 0)
        self.process = None
        return (usage.ru_utime + usage.ru_stime) * 1e6


def relay(bench):
    """Measures one connection through the forwarder to a server on loopback."""
    size = 1024 * 1024 * 1024
    port, address = 21500, "127.0.0.99"
    daemon = bench.daemons["ours"]
    request = bench.file("relay", wire.http("GET", "/"))
    daemon.stop()
    daemon.start("-no-cgroups", "-forward-ip", address)

    def fetch(address):
        result = bench.client("fetch", "-a", address, "-p", port, "-m", size, request)
        return {"rate": size / 1024 / 1024 / result["seconds"]}

    def ours():
        cpu_us = daemon.cpu_us()
        return fetch(address) | {"cpu_ms": (daemon.cpu_us() - cpu_us) / 1e3}

    def socat():
        forwarder = Socat(bench, port)
        forwarder.start()
        return fetch(forwarder.ADDRESS) | {"cpu_ms": forwarder.wait_cpu_us() / 1e3}

    m = harness.Medians({"floor": [], "ours": [], "peer": []})
    with bench.client_held("serve", port, size):
        time.sleep(3)  # the daemon looks for listening sockets once a second
        for _ in range(1 if bench.quick else 5):
            m.results["ours"].append(ours())
            if shutil.which("socat"):
                m.results["floor"].append(socat())
    daemon.stop()
    daemon.start()
    bench.row("relay of one connection (floor: socat)", "MiB/s", m["rate"],
              table.floor_at_least(1, "socat"))
    bench.row("  daemon CPU per GiB", "ms", m["cpu_ms"], table.floor_at_most(1, "socat"))


GROUP = (init, commands, kill_tree, freeze, busy_guest, relay)
