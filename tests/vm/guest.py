# SPDX-License-Identifier: Apache-2.0
"""One guest: QEMU, the process of its vsock device, and its console."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import assets
import client

TIMEOUT_S = 300  # for any condition of a guest; emulated guests are slow
CONNECT_S = 10
CID = 3

PC = ("qemu-system-x86_64", "-machine", "pc", "-cpu", "max")


class GuestError(Exception):
    """A condition of a guest did not become true in time."""


def die_with_parent():
    """Runs between fork and exec: the kernel kills the new process if the runner dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_for(what, condition, timeout_s=TIMEOUT_S, interval_s=0.02):
    """Polls until the condition returns a true value, and returns this value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise GuestError(f"timed out after {timeout_s} s waiting for {what}")
        time.sleep(interval_s)


@contextlib.contextmanager
def killed_after(process, timeout_s):
    """Kills the process if it still runs after this time, or if the block raises an exception."""
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if process.poll() is None and sys.exc_info()[0]:
            process.kill()


class Console:
    """The guest's serial console. Stores every line with the time at which the host read it."""

    def __init__(self, stream):
        self.lines = []
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        for raw in stream:
            text = raw.decode(errors="replace").rstrip("\r\n")
            self.lines.append((time.monotonic(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc", "", text)))

    def find(self, pattern):
        """Returns (time, match) of the first line that matches the pattern, or None."""
        for when, line in list(self.lines):
            match = re.search(pattern, line)
            if match:
                return when, match
        return None

    def text(self):
        return "\n".join(line for _, line in list(self.lines))


class Qmp:
    """A client of QEMU's control socket (QMP), with the commands that the tests need."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        # The path exists before QEMU listens.
        wait_for("QEMU's control socket", lambda: self._socket.connect_ex(path) == 0, 20)
        self._file = self._socket.makefile("rw")
        self.events = []
        self._receive()
        self.command("qmp_capabilities")

    def _receive(self):
        try:
            line = self._file.readline()
        except OSError as error:
            raise GuestError(f"QEMU's control socket: {error}") from error
        if not line:
            raise GuestError("QEMU closed its control socket")
        return json.loads(line)

    def command(self, name, **arguments):
        self._file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise GuestError(f"QMP {name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name):
        """Returns the next event of this name. Events that came during a command count as well."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            answer = self._receive()
            if "event" in answer:
                self.events.append(answer)

    def close(self):
        self._file.close()
        self._socket.close()


class Guest:
    """A guest that runs while the `with` block does.

    machine  the emulator, and its arguments for the machine and the processor
    append   words for the kernel's command line; after "--", the program that the loader executes
    extra    more arguments for QEMU
    vsock    true if the guest has the device from the start
    cpus     processors; with maxcpus=1 in `append`, all but the first are offline
    uds      the device's socket on the host, as in Firecracker; None: a new one
    """

    def __init__(self, name, initrd, append, kernel, memory_mib=256, extra=(), vsock=True,
                 uds=None, accel="tcg", machine=PC, cpus=1):
        self.name = name
        # The path of a socket must be short, but the project may lie deep.
        self._dir = tempfile.mkdtemp(prefix="envd-vm-")
        self.uds = uds or f"{self._dir}/vsock"
        self._vhost_socket = f"{self._dir}/vhost"
        self._qmp_path = f"{self._dir}/qmp"
        self._vsock = vsock
        self._device = self._qemu = self.qmp = self.console = None
        if machine == PC:
            # Linux counts timer interrupts for a few milliseconds of the guest's clock, and panics if it
            # saw none. Without KVM, on a busy host, QEMU has not run meanwhile
            # (Documentation/admin-guide/kernel-parameters.txt).
            append = f"no_timer_check {append}"
        self._argv = [
            *machine, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-machine", "memory-backend=memory", "-accel", accel, "-smp", str(cpus), "-m", str(memory_mib),
            "-object", f"memory-backend-memfd,id=memory,size={memory_mib}M,share=on",
            "-serial", "stdio", "-qmp", f"unix:{self._qmp_path},server=on,wait=off",
            "-kernel", kernel.image, "-initrd", initrd, "-append", append, *extra]
        self.started_at = None

    def __enter__(self):
        try:
            if self._vsock:
                self.start_vsock_device()
                self._argv += ["-chardev", f"socket,id=vhost,path={self._vhost_socket}",
                               "-device", "vhost-user-vsock-pci,chardev=vhost,id=vsock0"]
            self.started_at = time.monotonic()
            self._qemu = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
            self.console = Console(self._qemu.stdout)
            wait_for("QEMU's control socket", self._control_socket, 20)
            self.qmp = Qmp(self._qmp_path)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def _control_socket(self):
        if self._qemu.poll() is not None:
            time.sleep(0.1)
            raise GuestError(f"QEMU ended at once:\n{self.console.text()}")
        return os.path.exists(self._qmp_path)

    def start_vsock_device(self):
        """Starts the process that is the host's side of the vsock device. It serves one connection of QEMU,
        so a restored guest needs a new process."""
        for path in (self._vhost_socket, self.uds):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        log = open(assets.build_path("log", f"{self.name}-vsock.log"), "ab")
        self._device = subprocess.Popen(
            [assets.vsock_device(), "--guest-cid", str(CID), "--socket", self._vhost_socket,
             "--uds-path", self.uds],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        log.close()
        wait_for("the vsock device", lambda: os.path.exists(self._vhost_socket), 10)

    def plug_vsock(self):
        """Adds the device to the running guest."""
        self.start_vsock_device()
        address = {"type": "unix", "data": {"path": self._vhost_socket}}
        self.qmp.command("chardev-add", id="vhost", backend={
            "type": "socket", "data": {"addr": address, "server": False}})
        self.qmp.command("device_add", driver="vhost-user-vsock-pci", chardev="vhost", id="vsock0")

    def unplug_vsock(self):
        """Removes the device with all its connections, when the guest has released it."""
        self.qmp.command("device_del", id="vsock0")
        while self.qmp.wait_event("DEVICE_DELETED")["data"].get("device") != "vsock0":
            pass
        self.qmp.command("chardev-remove", id="vhost")
        self._device.kill()
        self._device.wait()

    def stop(self):
        """Ends QEMU and the device's process, and waits for them."""
        for process in (self._qemu, self._device):
            if process is not None and process.poll() is None:
                process.kill()
            if process is not None:
                process.wait()
        if self.qmp is not None:
            self.qmp.close()
            self.qmp = None
        shutil.rmtree(self._dir, ignore_errors=True)

    def running(self):
        return self._qemu.poll() is None

    def wait_line(self, pattern, timeout_s=TIMEOUT_S):
        """Waits for a console line that matches the pattern. Returns (time, match) of the first one."""
        def found():
            hit = self.console.find(pattern)
            if not hit and not self.running():
                raise GuestError(f"the guest ended before it printed {pattern!r}")
            return hit
        return wait_for(f"{pattern!r} on the console of {self.name}", found, timeout_s, 0.001)

    def wait_end(self, timeout_s=TIMEOUT_S):
        """Waits until the guest ends by itself. Returns the reason ("guest-shutdown", …)."""
        reason = self.qmp.wait_event("SHUTDOWN")["data"]["reason"]
        wait_for("QEMU's end", lambda: not self.running(), timeout_s)
        return reason

    def first_connect(self, port, pattern, interval_s=0.05, timeout_s=TIMEOUT_S):
        """Opens the first stream to a port, when a console line matches the pattern. Earlier attempts are
        avoided: the device hung when a guest was called repeatedly while its driver started."""
        self.wait_line(pattern, timeout_s)
        return wait_for(f"port {port} of {self.name}", lambda: self.connect(port),
                        interval_s=interval_s)

    def connect(self, port):
        """Opens a stream to a vsock port of the guest. Returns None if nothing listens."""
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(CONNECT_S)
        try:
            stream.connect(self.uds)
            client.ask_for_port(stream, port)
            stream.settimeout(TIMEOUT_S)
            return stream
        except OSError:
            stream.close()
            return None
