# SPDX-License-Identifier: Apache-2.0
"""A root file system that its own init boots, in namespaces of this machine: without the emulator, in which a
guest spends most of its time. Not every machine allows such namespaces."""

import contextlib
import os
import subprocess
import time

import guest

# The kernel's settings and devices belong to this machine. Therefore /proc/sys and /sys are read-only, as in
# every container. Changes of the root file system are discarded at the end.
SETUP = """
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir="$1",upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm old
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
ip link set lo up
pivot_root . old
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
"""


def _cgroup2():
    for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        if os.path.exists(f"{path}/cgroup.procs") and os.path.exists(f"{path}/cgroup.controllers"):
            return path
    raise guest.GuestError("there is no cgroup2")


class Container:
    """A container that runs during the `with` block. `init`: the name of its first process."""

    def __init__(self, root, init="systemd"):
        self._root = root
        self._name = init
        self._cgroup = os.path.join(_cgroup2(), f"envd-test-vm-{os.getpid()}")

    def __enter__(self):
        os.mkdir(self._cgroup)
        try:
            self._unshare = subprocess.Popen(
                ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "-", self._cgroup,
                 "unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork",
                 "--kill-child", "sh", "-ec", SETUP, "-", self._root],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                preexec_fn=guest.die_with_parent)
            self._init = guest.wait_for(f"{self._name} in a container", self._find_init, 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _find_init(self):
        if self._unshare.poll() is not None:
            raise guest.GuestError("namespaces or mounts are not allowed here")
        pid = self._unshare.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            for child in children.read().split():
                with open(f"/proc/{child}/comm") as name:
                    if name.read() == f"{self._name}\n":
                        return child
        return None

    def __exit__(self, kind, value, trace):
        with contextlib.suppress(OSError):
            with open(f"{self._cgroup}/cgroup.kill", "w") as kill:
                kill.write("1")
        self._unshare.kill()
        self._unshare.wait()
        deadline = time.monotonic() + 10
        while os.path.isdir(self._cgroup) and time.monotonic() < deadline:
            for path, _, _ in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
            time.sleep(0.05)

    def run(self, *argv):
        """Runs a program in the container. Returns (exit code, output)."""
        done = subprocess.run(
            ["nsenter", "--target", self._init, "--mount", "--pid", "--uts", "--ipc", "--net",
             "--cgroup", "--root", "--wdns=/", *argv], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip()
