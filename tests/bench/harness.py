# SPDX-License-Identifier: Apache-2.0
"""Shared by all groups of figures: the daemons, the client, and the rounds of a measurement.

A figure is a function `name(bench)` in figures/GROUP.py. The GROUP tuple at the end of the file
lists it, and `run` imports the file by name. A figure

- makes its requests with wire.py, and stores them with bench.file();
- measures with bench.rounds(count, measure, floor). rounds() calls `measure(daemon)` for ours and
  for the peer in turn, and `floor()`, which does the same work without a daemon, if there is such
  work. Each call returns a dict of numbers; rounds() returns their medians;
- adds rows with bench.row(name, unit, {"floor": …, "ours": …, "peer": …}, reach). `reach` is a
  limit of table.py (at_most, floor_at_most, peer_at_least, …; & joins two limits). A subject that
  was not measured is left out.

A client in C makes the load (client/; `build/bench/client` prints its subcommands). bench.client()
runs a subcommand to its end and returns the printed numbers. bench.client_held() runs a subcommand
that keeps connections open during a `with` block. Both daemons run all the time, without cgroups,
on different ports in a private network namespace. A figure that needs other flags stops the
daemons, starts them with its flags, and restores them at its end. Files lie below bench.work_dir, a
tmpfs. A figure that can't be measured raises Failed, and the other figures continue."""

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

import table

PR_CAPBSET_DROP = 24
CAP_SYS_TIME = 25
LIBC = ctypes.CDLL(None)
SUBJECTS = ("floor", "ours", "peer")


def keep_off_the_clock():
    """Drops CAP_SYS_TIME; runs in the child before its exec. POST /init can set the clock, which belongs to
    no namespace, so a measured daemon must not be able to (capabilities(7), prctl(2))."""
    if LIBC.prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0):
        os._exit(126)


class Failed(Exception):
    """A figure could not be measured."""


class Daemon:
    """An envd that is measured. It listens on loopback, on its own port."""

    def __init__(self, name, path, port, log_dir):
        self.name, self.path, self.port = name, path, port
        # A vsock socket would not belong to the network namespace.
        self.address = ["-listen", f"tcp:127.0.0.1:{port}"] if name == "ours" else \
            ["-port", str(port)]
        self.log_path = os.path.join(log_dir, f"{name}.log")
        self.process = None

    def argv(self, *extra):
        return [self.path, "-isnotfc", *self.address, *(extra or ("-no-cgroups",))]

    def start_with_cgroups(self, root):
        self.start("-cgroup-root", root)

    def start(self, *extra):
        """Starts the daemon with these flags instead of -no-cgroups."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv(*extra), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            preexec_fn=keep_off_the_clock)
        deadline = time.monotonic() + 10
        while not self.healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log_path, encoding="utf-8", errors="replace") as log:
                    raise Failed(f"{self.path} did not come up:\n{log.read()[-2000:]}")
            time.sleep(0.01)

    def healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as r:
                return r.status == 204
        except OSError:
            return False

    def stop(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def cpu_us(self):
        """Returns the CPU time of all its threads, including ended ones (clock_getcpuclockid(3))."""
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1e3

    def memory_kib(self):
        """Returns its private memory: (dirty, dirty and clean)."""
        dirty = clean = 0
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Private_Dirty:"):
                    dirty = int(line.split()[1])
                elif line.startswith("Private_Clean:"):
                    clean = int(line.split()[1])
        return dirty, dirty + clean

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def wakeups(self):
        """Returns how often its threads blocked: the voluntary context switches. This is the number of
        wake-ups."""
        count = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/status", encoding="utf-8") as f:
                for line in f:
                    if line.startswith("voluntary_ctxt_switches:"):
                        count += int(line.split()[1])
        return count

    @contextlib.contextmanager
    def peak_memory(self):
        """Samples the dirty private memory during the `with` block. Yields a dict that gets `peak_kib`."""
        result = {"peak_kib": 0}
        over = threading.Event()

        def sample():
            while not over.wait(0.02):
                result["peak_kib"] = max(result["peak_kib"], self.memory_kib()[0])

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield result
        finally:
            over.set()
            sampler.join()


class Bench:
    def __init__(self, client, work_dir, daemons, quick):
        self.client_path, self.work_dir = client, work_dir
        self.daemons = daemons  # by name: "ours", and "peer" if there is one
        self.quick = quick
        self.table = table.Table()
        self.failures = []

    def path(self, name):
        return os.path.join(self.work_dir, name)

    def peer_program(self, path):
        """Returns the path of a program that tests/bench/peers has unpacked or that is installed, or None."""
        unpacked = os.path.join(os.path.dirname(self.client_path), "peers", path)
        return unpacked if os.access(unpacked, os.X_OK) else shutil.which(os.path.basename(path))

    def file(self, name, data):
        """Writes a file for the client (a request, or a body) and returns its path."""
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def client(self, *args):
        """Runs a load to its end. Returns the printed numbers as a dict."""
        return parse(self.run_client(*args))

    def run_client(self, *args):
        done = subprocess.run([self.client_path, *(str(a) for a in args)], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        if done.returncode:
            raise Failed(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode()

    @contextlib.contextmanager
    def client_held(self, *args):
        """Runs a load that keeps connections open. Yields the printed numbers, and ends the load after the
        block."""
        process = subprocess.Popen([self.client_path, *(str(a) for a in args)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            line = process.stdout.readline().decode()
            if not line:
                raise Failed(f"{args[0]}: no result")
            yield parse(line)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    @contextlib.contextmanager
    def spawned(self, *argv, before_exec=None):
        """Starts a process and waits until it prints a line, when it is ready. Kills it after the block."""
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, preexec_fn=before_exec)
        try:
            process.stdout.readline()
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def spawned_in(self, cgroup, *argv):
        """As spawned, but in this cgroup."""
        def enter():
            with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")
        return self.spawned(*argv, before_exec=enter)

    def rounds(self, count, measure, floor=None):
        """Measures floor, ours and peer in turn, `count` times, so that a disturbance of the machine affects
        all three. `measure(daemon)` and `floor()` return dicts of numbers. Returns the medians:
        {figure: {subject: median}}."""
        results = {name: [] for name in SUBJECTS}
        turns = [("floor", floor)] if floor else []
        turns += [(name, functools.partial(measure, daemon))
                  for name, daemon in self.daemons.items()]
        for _ in range(1 if self.quick else count):
            for name, turn in turns:
                results[name].append(turn())
            turns.reverse()  # the order changes, because the caches are cold for the first one
        return Medians(results)

    parse = staticmethod(lambda text: parse(text))

    def row(self, name, unit, values, reach=None):
        self.table.add(name, unit, {k: values.get(k) for k in SUBJECTS}, reach)

    def run(self, title, groups):
        """Measures the figures of a group. If one fails, the others continue."""
        self.table.section(title)
        for function in groups:
            began = time.monotonic()
            try:
                function(self)
            except (Failed, OSError, subprocess.SubprocessError) as e:
                self.failures.append(f"{title}: {function.__name__}: {e}")
            print(f"{title}: {function.__name__} ({time.monotonic() - began:.1f} s)",
                  file=sys.stderr)


class Medians:
    def __init__(self, results):
        self.results = results

    def __getitem__(self, figure):
        """Returns {subject: median} of a figure, without the subjects that were not measured."""
        out = {}
        for name, rounds in self.results.items():
            values = [r[figure] for r in rounds if figure in r]
            if values:
                out[name] = statistics.median(values)
        return out


def parse(text):
    return {key: float(value) for key, value in (pair.split("=") for pair in text.split())}
