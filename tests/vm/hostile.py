# SPDX-License-Identifier: Apache-2.0
"""A guest whose programs attack the daemon. Each attack ("trick") is a function. During the attack, the
daemon answers /health, and a KILL ends the attack. Afterwards the daemon holds no resource of it.

The checks count the answers to /health, and do not judge their times, because an emulated guest on a busy
host guarantees no time. The times are printed as figures, with those of the idle guest."""

import base64
import contextlib
import http.client
import itertools
import json
import statistics
import threading
import time

import client
import guest

PORT = 49983
IDLE_S = 180  # until the daemon has released everything
BEATS = 15  # answers to /health during a trick
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
SECRET = b"root's alone"

# The exceptions with which a call may end during an attack.
REFUSED = (OSError, RuntimeError, http.client.HTTPException)


def add_files(archive):
    """Adds the files that the tricks need to the initramfs."""
    archive.file("etc/passwd", PASSWD.encode(), 0o644)
    archive.file("etc/group", b"root:x:0:\nuser:x:1000:\n", 0o644)
    archive.directory("root", 0o700)
    archive.file("root/key", SECRET, 0o600)


class Pulse:
    """Requests /health during the `with` block, each time over a new connection."""

    def __init__(self, vm):
        self._vm = vm
        self.times = []
        self.wrong = []  # statuses
        self.cut = []    # connections that ended without an answer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._over.set()
        self._thread.join()

    def _run(self):
        while not self._over.is_set():
            started = time.monotonic()
            try:
                stream = guest.wait_for("a connection", lambda: self._vm.connect(PORT))
                status = client.health(stream)
            except (OSError, http.client.HTTPException) as error:
                self.cut.append(repr(error))
                continue
            self.times.append(time.monotonic() - started)
            if status != 204:
                self.wrong.append(status)

    def beat(self, times=BEATS):
        """Waits for this number of further answers."""
        enough = len(self.times) + times
        guest.wait_for(f"{times} answers to /health", lambda: len(self.times) >= enough)


class Running:
    """The process of a trick, and its events."""

    def __init__(self, envd, argv, headers=None):
        self.events = envd.start("/hostile", *argv, headers=headers)
        self.pid = next(self.events)["start"]["pid"]
        self.out = b""

    def wait(self, text=b"up\n"):
        """Waits until the process prints the text. Fails if the process ends."""
        while text not in self.out:
            event = next(self.events)
            if "end" in event:
                raise guest.GuestError(f"{self.out}: {event['end']}")
            self.out += base64.b64decode(event.get("data", {}).get("stdout", ""))
        return self

    def end(self):
        """Waits for the end of the process. Returns how it ended."""
        for event in self.events:
            if "end" in event:
                return event["end"]
        raise guest.GuestError("its stream ended without an end")


class Guest:
    """The guest, with the helpers of the tricks."""

    def __init__(self, checks, vm):
        self.checks = checks
        self.vm = vm
        self.root = client.Client(lambda: guest.wait_for("vsock", lambda: vm.connect(PORT)))
        self.user = client.Client(self.root.connect, "user")
        self.pulse = None
        self.idle = None

    def play(self, *argv, user=True, headers=None):
        """Starts a trick, and waits until it is effective."""
        return Running(self.user if user else self.root, argv, headers).wait()

    def do(self, *argv):
        """Runs a short program as root."""
        code, out, _ = self.root.command("/hostile", *argv)
        if code:
            raise guest.GuestError(f"{argv}: {code} {out}")

    def kill(self, running):
        """Kills the process with SIGKILL through the API, and waits for its end."""
        self.root.unary("process.Process/SendSignal",
                        {"process": {"pid": running.pid}, "signal": "SIGNAL_SIGKILL"})
        return self.checks.equal("KILL ends it", running.end()["status"], "signal: killed")

    def read(self, path):
        return self.root.request("GET", f"/files?path={path}")[2].decode(errors="replace")

    def daemon(self):
        """Returns the pid of the daemon. Process 1 may also have children of a daemon that crashed."""
        children = self.read("/proc/1/task/1/children").split()
        found = [pid for pid in children if self.read(f"/proc/{pid}/comm").strip() == "envd"]
        return found[0] if len(found) == 1 else None

    def listed(self, path):
        answer = self.root.unary("filesystem.Filesystem/ListDir", {"path": path})
        return [entry["name"] for entry in answer.get("entries", [])]

    def holds(self):
        """Returns the resources that the daemon and the guest hold for processes and clients."""
        pid = self.daemon()
        if not pid:
            return {"daemon": "not found"}
        text = self.root.request("GET", "/metrics",
                                 headers={"Accept": "application/openmetrics-text"})[2].decode()
        held = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines()
                if line.startswith(("envd_budget_used", "envd_budget_class_used", "envd_processes ",
                                    "envd_process_readers", "envd_starts_waiting", "envd_cgroups_l"))}
        held["children of process 1"] = len(self.read("/proc/1/task/1/children").split())
        held["descriptors"] = len(self.listed(f"/proc/{pid}/fd"))
        for task in self.listed(f"/proc/{pid}/task"):
            if children := self.read(f"/proc/{pid}/task/{task}/children").strip():
                held[f"children of {task}"] = children
        for group in "user", "ptys":
            held[group] = "populated 1" in self.read(f"/sys/fs/cgroup/{group}/cgroup.events")
        return held

    def wait_idle(self):
        """Waits until the daemon and the guest hold the same resources as at the beginning."""
        held = {}

        def idle():
            held.clear()
            held.update(self.holds())
            # The spare descriptors of a worker are closed when its thread ends.
            return all(value == self.idle.get(name) or name == "descriptors" and
                       value <= self.idle[name] for name, value in held.items())
        with contextlib.suppress(guest.GuestError):
            guest.wait_for("the idle daemon", idle, IDLE_S, 0.2)
        return self.checks.equal("nothing of it is left", {
            name: (value, self.idle.get(name)) for name, value in held.items()
            if value != self.idle.get(name) and name != "descriptors" or
            name == "descriptors" and value > self.idle[name]}, {})


# ---- the tricks ----

def fork_bomb(g):
    """A fork bomb of a user. KILL needed a new thread. The kernel refused it, and the daemon aborted."""
    bomb = g.play("fork")
    g.pulse.beat()
    g.kill(bomb)


def fork_bomb_of_root(g):
    """A fork bomb of root, who has no limit: the kernel refuses a new process to everyone."""
    bomb = g.play("fork", user=False)
    g.pulse.beat()
    g.kill(bomb)


def no_pids(g):
    """The maximum number of processes exists, and each process that ends is replaced at once. A start waited
    for a thread for ever, and so did its client. It is refused after five seconds."""
    hog = g.play("pids", user=False)
    refused = 0
    for _ in range(2):
        try:
            g.root.command("/hostile", "hold")
        except RuntimeError as error:
            refused += "resource_exhausted" in str(error)
    g.checks.equal("starts are refused, as long as it is so", refused, 2)
    g.pulse.beat()
    g.kill(hog)


def frozen_bomb(g):
    """Root's fork bomb while an orchestrator pauses the guest. The freeze stops the bomb but frees none of its
    processes, so no thread can be created for any of these calls. /fsfreeze was refused then, and the freeze
    waited for the kernel for 500 ms only, so nobody could pause the guest."""
    bomb = g.play("fork", user=False)

    def freeze():
        report = json.loads(post("/freeze?maxWaitMs=60000", (200,)))
        return report["frozen"], report["notFrozen"], report["failed"]

    def post(path, statuses=(204,), body=b""):
        status, _, answer = g.root.request("POST", path, body)
        g.checks.ok(f"the answer of {path}", status in statuses, (status, answer))
        return answer

    # The kernel can't freeze the file system of this guest, which is in memory (EOPNOTSUPP).
    for thaw in ("/unfreeze", "/init"):
        g.checks.equal("the freeze stops the bomb", freeze(), (2, 0, 0))
        g.pulse.beat(5)
        g.checks.ok("/fsfreeze reaches the kernel", b"not supported" in post("/fsfreeze", (500,)))
        post("/fsthaw")
        post(thaw, body=b'{"lifecycleID": "bomb"}')
        g.pulse.beat(5)
    g.checks.equal("a third freeze", freeze(), (2, 0, 0))
    g.kill(bomb)
    post("/unfreeze")
    g.checks.ok("the cgroup is thawed", "frozen 0" in g.read("/sys/fs/cgroup/user/cgroup.events"))


def memory_hogs(g):
    """Three processes use all the memory that they get. The limit of their cgroup is less than the machine's
    memory."""
    hogs = [g.user.start("/hunger", "child") for _ in range(3)]
    pids = [next(events)["start"]["pid"] for events in hogs]
    g.pulse.beat()
    ends = [event["end"] for events in hogs for event in events if "end" in event]
    g.checks.equal("the kernel ends them", (len(pids), {end["status"] for end in ends}),
                   (3, {"exit status 137"}))


def tracer(g):
    """The tracer of a killed process does not wait for it, so the daemon can't reap the zombie. The loop
    waited for it for ever."""
    victim = g.play("hold")
    spy = g.play("trace", str(victim.pid))
    g.kill(victim)
    g.pulse.beat()
    g.kill(spy)


def stop_storm(g):
    """A process stops all other processes of its user, even a child of the daemon between clone and exec, for
    which the daemon's worker waited. A start is answered nevertheless."""
    storm = g.play("stop")
    started = []
    for _ in range(3):
        with contextlib.suppress(*REFUSED):
            started.append(Running(g.user, ("hold",)))
    g.pulse.beat()
    g.kill(storm)
    for victim in started:
        g.kill(victim)


def connections(g):
    """A user's processes open thousands of connections and send nothing. The kernel may lose the end of some
    connections; keepalive probes detect it a minute later."""
    floods = [g.play("connect", str(PORT)) for _ in range(2)]
    g.pulse.beat()
    for flood in floods:
        g.kill(flood)


def squatter(g):
    """The daemon is killed while a process tries to bind the daemon's port, which needs no privilege."""
    thief = g.play("squat", str(PORT))
    for _ in range(3):
        before = g.daemon()
        with contextlib.suppress(*REFUSED):
            g.root.command("/hostile", "kill", before)
        guest.wait_for("another daemon", lambda b=before: restarted(g, b))
        g.pulse.beat(3)
    # In this trick only: the daemon's end closes the connections that it has accepted.
    g.pulse.cut.clear()
    g.checks.ok("it never got the port", "squat" in g.read(f"/proc/{thief.pid}/cmdline"))
    g.root.unary("process.Process/SendSignal",
                 {"process": {"pid": thief.pid}, "signal": "SIGNAL_SIGKILL"})


def restarted(g, before):
    with contextlib.suppress(*REFUSED):
        return g.daemon() not in (None, before)
    return False


def full_disk(g):
    """A user fills the disk. An upload fails with 507 and leaves no file. With free space it succeeds."""
    g.do("mount", "/full", "size=4m,mode=1777")
    hog = g.play("fill", "/full/ballast")

    def upload():
        status, _, body = g.root.request("POST", "/files?path=/full/new", bytes(1 << 20),
                                         {"Content-Type": "application/octet-stream"})
        return status, g.listed("/full"), body
    status, names, body = upload()
    g.checks.equal("an upload fails, and leaves no part of it", (status, names), (507, ["ballast"]))
    g.pulse.beat()
    g.kill(hog)
    g.root.unary("filesystem.Filesystem/Remove", {"path": "/full/ballast"})
    g.checks.equal("with room it works", upload()[0], 200)
    g.do("umount", "/full")


def inotify(g):
    """A user takes all inotify instances and watches. The daemon's watches continue by polling."""
    g.root.unary("filesystem.Filesystem/MakeDir", {"path": "/home/user/watched"})
    hog = g.play("inotify", "/home/user", headers={"X-Envd-Limits": "nofile=4096"})
    names = []
    for message in g.user.stream("filesystem.Filesystem/WatchDir", {"path": "/home/user/watched"},
                                 timeout_ms=guest.TIMEOUT_S * 1000):
        if "start" in message:
            g.user.request("POST", "/files?path=/home/user/watched/new", b"x",
                           {"Content-Type": "application/octet-stream"})
        elif "filesystem" in message:
            names.append(message["filesystem"]["name"])
            break
    g.checks.equal("a watch sees a new file", names, ["new"])
    g.pulse.beat()
    g.kill(hog)


def dead_fuse(g):
    """A file system whose server never answers. Calls that access it hang; other calls do not."""
    g.root.unary("filesystem.Filesystem/MakeDir", {"path": "/fuse"})
    server = g.play("fuse", "/fuse", user=False)
    answers = []

    def hang():
        answers.append(g.root.request("GET", "/files?path=/fuse/file")[0])
    threads = [threading.Thread(target=hang, daemon=True) for _ in range(10)]
    for thread in threads:
        thread.start()
    g.pulse.beat()
    g.checks.equal("other files and processes work meanwhile",
                   (g.read("/etc/passwd"), g.root.command("/envd", "-version")[0]), (PASSWD, 0))
    g.checks.equal("those calls still wait", answers, [])
    g.kill(server)
    for thread in threads:
        thread.join(guest.TIMEOUT_S)
    g.checks.equal("they fail once the server is gone", (len(answers), 200 in answers), (10, False))
    g.do("umount", "/fuse")


def renames(g):
    """A process exchanges a directory in a client's path with a link to root's directory, again and again,
    during every operation. No operation changes root's directory or file."""
    a, b = "/home/user/a", "/home/user/b"
    swap = g.play("swap", a, b, "/root")
    calls = itertools.cycle((
        lambda: g.user.unary("filesystem.Filesystem/Remove", {"path": a}),
        lambda: g.user.unary("filesystem.Filesystem/MakeDir", {"path": a}),
        lambda: g.user.unary("filesystem.Filesystem/MakeDir", {"path": f"{a}/new"}),
        lambda: g.user.unary("filesystem.Filesystem/Move", {"source": f"{a}/new", "destination": f"{b}/old"}),
        lambda: g.user.unary("filesystem.Filesystem/Stat", {"path": f"{a}/new"}),
        lambda: g.user.unary("filesystem.Filesystem/ListDir", {"path": "/home/user", "depth": 3}),
        lambda: g.user.request("POST", f"/files?path={a}/file&username=user", b"text",
                               {"Content-Type": "application/octet-stream", "X-Envd-Atomic": "1"}),
        lambda: g.user.request("GET", f"/files?path=/home/user&format=tar"),
    ))
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            next(calls)()
    g.pulse.beat()
    g.kill(swap)
    found = g.root.unary("filesystem.Filesystem/Stat", {"path": "/root"})["entry"]
    g.checks.equal("root's directory is root's alone", (found["owner"], found["mode"]), ("root", 0o700))
    g.checks.equal("and so is its file", (g.read("/root/key").encode(), owner(g, "/root/key")),
                   (SECRET, "root"))
    for path in (a, b):
        with contextlib.suppress(RuntimeError):
            g.root.unary("filesystem.Filesystem/Remove", {"path": path})


def owner(g, path):
    return g.root.unary("filesystem.Filesystem/Stat", {"path": path})["entry"]["owner"]


TRICKS = (fork_bomb, fork_bomb_of_root, no_pids, frozen_bomb, memory_hogs, tracer, stop_storm, connections,
          full_disk, inotify, dead_fuse, renames, squatter)


def show(times):
    return f"median {statistics.median(times) * 1000:.0f} ms, at most {max(times) * 1000:.0f} ms"


def play(g, trick):
    with Pulse(g.vm) as g.pulse:
        trick(g)
    g.checks.equal("/health was answered at each moment", (g.pulse.wrong, g.pulse.cut), ([], []))
    g.checks.figure("/health", show(g.pulse.times))
    g.wait_idle()
    g.checks.equal("a command works as before", g.root.command("/envd", "-version")[0], 0)


def run(checks, vm):
    """Runs all tricks, one after the other, in a guest that has just booted."""
    g = Guest(checks, vm)
    g.root.command("/envd", "-version")
    # After the first watch, the daemon keeps two spare inotify instances.
    g.root.unary("filesystem.Filesystem/RemoveWatcher", g.root.unary(
        "filesystem.Filesystem/CreateWatcher", {"path": "/root"}))
    with Pulse(vm) as pulse:
        pulse.beat()
    checks.figure("/health of an idle guest", show(pulse.times))
    g.idle = g.holds()
    for trick in TRICKS:
        checks.run(trick.__name__, play, g, trick)
