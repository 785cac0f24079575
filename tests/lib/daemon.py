# SPDX-License-Identifier: Apache-2.0
"""The daemon under test: starts it, sends requests to it, and checks that it leaves no resources behind.

A suite's conftest.py derives its own class if its daemons have other flags or addresses."""

import contextlib
import ctypes
import functools
import gc
import itertools
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess

from connect import Answer, Connection
from wait import wait_for

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVD = os.path.join(TOP, os.environ.get("ENVD") or "build/envd")
SANITIZED = "san" in os.path.basename(ENVD)
LOG_DIR = os.environ.get("ENVD_LOG_DIR", os.path.join(TOP, "build", "log"))
LIBC = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, CAP_SYS_TIME = 24, 25

# Below the ports that the kernel gives to clients.
ports = itertools.count(23000)


# Names of files that an unfinished write, or a move across file systems, has beside its target.
TEMPORARY = re.compile(r"\.envd-(move-)?[0-9a-f]{16}(\.tmp)?")
# A server of these may not answer.
REMOTE = re.compile(r"fuse|nfs|cifs|9p")


def remote_mounts():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        lines = [line.split() for line in mounts]
    return {line[4] for line in lines if REMOTE.match(line[line.index("-") + 1])}


def temporary_files():
    """Returns the paths below WORLD that have the name of a temporary file."""
    found, remote = set(), remote_mounts()
    for path, below, names in os.walk(os.environ.get("WORLD", "")):
        below[:] = [name for name in below if os.path.join(path, name) not in remote]
        found.update(os.path.join(path, name) for name in (*below, *names) if TEMPORARY.fullmatch(name))
    return found


@functools.cache
def public_program():
    """Returns a copy of the daemon that every user can execute. Another user, and root of another user
    namespace, may be unable to enter the build directory: on Ubuntu, other users can't enter a home."""
    return shutil.copy(ENVD, os.environ["WORLD"])


class Daemon:
    """A running envd. `address` is the address on which it listens: (host, port), or the path of a unix
    socket. None chooses a new port on all addresses. A -listen among the flags replaces it.

    uid: the user. nofile: the limits of descriptors, (soft, hard). prepare: a function that is called in
    the child before the exec. keep_fds: inherited descriptors. wrap: a command that runs the daemon."""

    flags = shlex.split(os.environ.get("ENVD_FLAGS", "-isnotfc"))
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "ENVD_TEST_SECRET": "of the daemon alone"}
    count = itertools.count(1)
    # The number of descriptors that it may have at the end in addition to those at its start.
    more_descriptors = 0

    def __init__(self, *flags, address=None, uid=None, nofile=None, prepare=None, keep_fds=(),
                 wrap=(), command=None, log=None):
        self.token = None
        if address is None:
            address = ("127.0.0.1", next(ports))
        self.address = address
        if "-listen" not in flags and "-port" not in flags:
            flags = (*(("-listen", f"unix:{address}") if isinstance(address, str) else
                       ("-port", str(address[1]))), *flags)
        program = public_program() if uid or wrap else ENVD

        def child():
            # /init can set the clock; a test must not set the clock of the machine.
            LIBC.prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0)
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, nofile)
            if prepare:
                prepare()
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)

        self.log_path = os.path.join(LOG_DIR, f"envd-{next(self.count)}.log") if log is None else log
        if isinstance(self.log_path, (str, os.PathLike)):
            log = open(self.log_path, "wb")
        with log:
            self.process = subprocess.Popen(
                [*wrap, *(command or [program]), *self.flags, *flags], env=self.environment, cwd="/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=child,
                pass_fds=keep_fds)
        self.pid = self.process.pid
        wait_for(self.answers, lambda: "the first answer: " + self.log())
        # The loop, the thread that the kill pool keeps, and with TSan a thread of the sanitizer.
        self.threads_at_rest = 3 if "tsan" in ENVD else 2
        self.held = self.descriptors()
        self.temporary = temporary_files()

    # ---- requests ----

    def answers(self):
        assert self.process.poll() is None, f"the daemon ended: {self.log()}"
        try:
            return self.request("GET", "/health").status == 204
        except OSError:
            return False

    def request(self, method, path, body=None, token=None, headers=None):
        fields = dict(headers or {}) | ({} if token is None else {"X-Access-Token": token})
        connection = Connection(self.address)
        try:
            connection.request(method, path, body=body, headers=fields)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def init(self, **fields):
        return self.request("POST", "/init", json.dumps(fields))

    def envs(self, token=None):
        return self.request("GET", "/envs", token=token).json()

    def metrics(self, token=None):
        """Returns the OpenMetrics samples, by name and labels."""
        answer = self.request("GET", "/metrics", token=token,
                              headers={"Accept": "application/openmetrics-text"})
        lines = answer.body.decode().splitlines()
        assert lines[-1] == "# EOF"
        return {name: float(value) for name, _, value in
                (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    # ---- what it holds ----

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}", encoding="utf-8", errors="replace") as f:
            return f.read()

    def descriptors(self):
        """Returns the targets of its descriptors, sorted, without sockets."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except OSError:
                pass
        return sorted(re.sub(r":\[\d+\]", "", name) for name in found
                      if not name.startswith("socket:"))

    def inheritable(self):
        """Returns the targets of its descriptors without O_CLOEXEC, apart from stdin, stdout and stderr."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):  # a descriptor that is closed meanwhile
                flags = re.search(r"^flags:\s+(\d+)$", self.proc(f"fdinfo/{fd}"), re.M)
                if int(fd) > 2 and not int(flags[1], 8) & os.O_CLOEXEC:
                    found.append(f"{fd}: {os.readlink(f'/proc/{self.pid}/fd/{fd}')}")
        return found

    def children(self):
        """Returns the pids of its children, including zombies."""
        found = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):  # a thread that ends meanwhile
                found += map(int, self.proc(f"task/{task}/children").split())
        return found

    def threads(self):
        """Returns the number of threads beyond those of an idle daemon."""
        return len(os.listdir(f"/proc/{self.pid}/task")) - self.threads_at_rest

    def private_kib(self, *kinds):
        """Returns its private memory. `kinds` are "Clean" and "Dirty"; the default is "Dirty"."""
        fields = dict(line.split(":", 1) for line in self.proc("smaps_rollup").splitlines()[1:])
        return sum(int(fields[f"Private_{kind}"].split()[0]) for kind in kinds or ("Dirty",))

    def memory_has(self, data):
        """How often the bytes are in its writable memory."""
        count = 0
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            for line in self.proc("maps").splitlines():
                where, mode = line.split()[:2]
                begin, end = (int(address, 16) for address in where.split("-"))
                # Address space that is only reserved reads as zeros; it is skipped where it is large.
                if not mode.startswith("rw") or end - begin > 1 << 26:
                    continue
                with contextlib.suppress(OSError):
                    count += os.pread(memory.fileno(), end - begin, begin).count(data)
        return count

    def report(self):
        """Returns the state that it writes to the log at SIGUSR1."""
        before = len(self.log())
        os.kill(self.pid, signal.SIGUSR1)
        wait_for(lambda: "\nwatches:" in self.log()[before:], "the report")
        return self.log()[before:]

    def budgets(self):
        """Returns its budgets that are not zero."""
        used = re.findall(r"budget of ([^:]+): (\d+) used", self.report())
        assert used, "the report names no budget"
        return {name: int(n) for name, n in used if n != "0"}

    # ---- its end ----

    def leftovers(self, idle_workers=True):
        """Returns the resources that an unused daemon would not hold, as text; "" if there are none.
        `idle_workers`: also the threads of workers, which end after three idle seconds."""
        found = [f"budget of {name}: {n}" for name, n in self.budgets().items()]
        more = list(self.descriptors())
        for name in self.held:
            if name in more:
                more.remove(name)
        if len(more) > self.more_descriptors:
            found.append(f"descriptors: {more}")
        if idle_workers and self.threads() > 0:
            found.append(f"threads: {self.threads()}")
        if pids := self.children():
            found.append(f"children: {pids}")
        if fds := self.inheritable():
            found.append(f"descriptors without O_CLOEXEC: {fds}")
        if not found and (files := temporary_files() - self.temporary):
            found.append(f"temporary files: {sorted(files)}")
        return "; ".join(found)

    def kill_started(self):
        """Kills the processes that tests have left running. Each has its own session and group."""
        for pid in self.children():
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def settle(self, idle_workers=True):
        """Waits until all resources of its clients are released."""
        self.kill_started()
        # A connection that a test did not close goes with its object; one that an exception's
        # traceback refers to goes with the next collection.
        gc.collect()
        text = [""]

        def settled():
            text[0] = self.leftovers(idle_workers)
            return not text[0]

        wait_for(settled, lambda: f"the release of {text[0]}", pause_seconds=0.05)

    def terminate(self):
        """Ends it with SIGTERM and returns a list of complaints."""
        complaints = []
        if self.process.poll() is not None:
            complaints.append(f"the daemon had ended with {self.process.returncode}: {self.log()}")
        self.process.terminate()
        try:
            code = self.process.wait(60)
            if code not in (0, -15):
                complaints.append(f"the daemon ended with {code}: {self.log()}")
        except subprocess.TimeoutExpired:
            complaints.append("the daemon goes on after SIGTERM")
            self.process.kill()
            self.process.wait()
        if isinstance(self.log_path, (str, os.PathLike)):
            log = self.log()
            if "Sanitizer" in log or "runtime error" in log:
                complaints.append(log)
        return complaints

    def stop(self, idle_workers=True):
        """Ends it in order. Fails if it still holds resources of its clients. Where each test has a
        daemon of its own, `idle_workers` is False: three seconds for each would be most of the suite's
        time, and the other suites look at the threads."""
        complaints = []
        if self.process.poll() is None and isinstance(self.log_path, (str, os.PathLike)):
            try:
                self.settle(idle_workers)
            except AssertionError as error:
                complaints.append(str(error))
        complaints += self.terminate()
        assert not complaints, "\n".join(complaints)
        return complaints

    end = stop


class Daemons:
    """Starts daemons for one test. stop() ends the ones that still run."""

    def __init__(self, kind=Daemon):
        self.kind = kind
        self.started = []

    def __call__(self, *flags, **how):
        self.started.append(self.kind(*flags, **how))
        return self.started[-1]

    def stop(self):
        complaints = []
        for daemon in self.started:
            if daemon.process.poll() is None:
                try:
                    daemon.stop()
                except AssertionError as error:
                    complaints.append(str(error))
        assert not complaints, "\n".join(complaints)
