# SPDX-License-Identifier: Apache-2.0
"""Alpine: its busybox, its musl and its OpenRC, booted in namespaces of this machine. alpine.txt names the
package in which its root file system comes."""

import glob
import os
import shutil
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))

from container import Container  # noqa: E402
from machine import Machine  # noqa: E402

# The package's own agent, which no test starts; the terminals and the network of a virtual machine.
LEFT_OUT = ("etc/runlevels/boot/quicksand-guest-agent", "etc/runlevels/sysinit/setup-dns",
            "etc/runlevels/boot/networking", "lost+found")
# What changes while the system runs, and the log of the service, which an operator may still want.
CHANGING = r"^/(proc|sys|dev|run|tmp|var/log|var/lib/seedrng)(/|$)"

LIST = f"find / -xdev | grep -vE '{CHANGING}' | sort"
IS_UP = "rc-service envd status | grep -q started && envd health --to tcp:127.0.0.1:49983"


def run(*argv, **options):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, **options).stdout


def unpack(folder):
    """The path of Alpine's root file system below the folder, in which it is made once."""
    path = os.path.join(folder, "alpine")
    if os.path.isdir(path):
        return path
    print("alpine: unpacking its root file system", flush=True)
    work = f"{path}.new"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(f"{work}/root")
    run("/usr/bin/python3", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
        "--no-cache-dir", "--require-hashes", "-d", work, "-r", f"{HERE}/alpine.txt")
    with zipfile.ZipFile(glob.glob(f"{work}/*.whl")[0]) as package:
        (image,) = (name for name in package.namelist() if name.endswith("amd64.qcow2"))
        package.extract(image, work)
    run("qemu-img", "convert", "-O", "raw", f"{work}/{image}", f"{work}/disk")
    run("debugfs", "-R", f'rdump / "{work}/root"', f"{work}/disk")
    for name in LEFT_OUT:
        if os.path.isdir(f"{work}/root/{name}"):
            os.rmdir(f"{work}/root/{name}")
        else:
            os.unlink(f"{work}/root/{name}")
    with open(f"{work}/root/etc/inittab", "r+", encoding="utf-8") as inittab:
        lines = [line for line in inittab if "getty" not in line]
        inittab.seek(0)
        inittab.truncate()
        inittab.writelines(lines)
    os.rename(f"{work}/root", path)
    shutil.rmtree(work)
    return path


class Alpine:
    """A copy of Alpine's root file system, with the files of a release for amd64 in its /srv."""

    def __init__(self, base, path, expect):
        self._base = base
        self.expect = expect
        self.path = path

    def renew(self):
        shutil.rmtree(self.path, ignore_errors=True)
        run("cp", "-a", self._base, self.path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def boot(self):
        return Container(self.path, "init")

    def machine(self, container):
        machine = Machine(container, self.expect, "sh")
        machine.wait("the end of the boot", "rc-status -r | grep -q default")
        return machine


def check_service(machine):
    """OpenRC has started envd; it serves, has its priorities, and comes back when it is killed."""
    machine.wait("envd", IS_UP)
    said = machine.sh("envd exec --to tcp:127.0.0.1:49983 -- sh -c 'id -u; cat /etc/alpine-release'")
    machine.expect(said.startswith("0\n3."), said)
    daemon = machine.sh("pidof envd")
    said = machine.sh("cut -d' ' -f19 /proc/$1/stat", daemon)
    machine.expect(said == "-20", said)
    machine.expect("listening on" in machine.sh("cat /var/log/envd.log"), "its log")
    # Alpine's rc.conf has a delay of 2 s for all services.
    supervisor = machine.sh("ps -o args | grep '^supervise-daemon envd'")
    machine.expect("--respawn-delay" not in supervisor, supervisor)
    machine.sh("kill -9 $1", daemon)
    machine.wait("the next daemon", f'test "$(pidof envd)" != "$1" && {IS_UP}', daemon)


def alpine_archive(alpine, archive):
    """The archive for Alpine, unpacked over its root file system: the next boot starts envd."""
    alpine.renew()
    run("tar", "-C", alpine.path, "-xzf", archive)
    with alpine.boot() as container:
        check_service(alpine.machine(container))


def alpine_bake(alpine, envd):
    """systemd/bake finds OpenRC, and the next boot starts envd."""
    alpine.renew()
    said = run(f"{TOP}/systemd/bake", "--envd", envd, alpine.path)
    alpine.expect("started by openrc" in said, said)
    with alpine.boot() as container:
        alpine.machine(container).wait("envd", IS_UP)


def alpine_install_script(alpine, archive):
    """install.sh in the running system, by its busybox: installed, started as it says, installed again below
    a process that goes on, and removed without a trace."""
    alpine.renew()
    shutil.copy(archive, f"{alpine.path}/srv/envd.tar.gz")
    with alpine.boot() as container:
        machine = alpine.machine(container)
        before = machine.sh(LIST)
        machine.sh("cd /tmp && tar -xzf /srv/envd.tar.gz")
        said = machine.sh("umask 077; /tmp/envd-*/install.sh")
        machine.expect("rc-service envd start" in said, said)
        machine.expect("envd |" in machine.sh("rc-update show boot"), "not in the runlevel")
        machine.sh("su nobody -s /bin/sh -c 'envd -version && test -r /usr/share/envd/openapi.yaml'")
        machine.sh("rc-service envd start")
        check_service(machine)
        sleeper = machine.sh("envd exec -d --to tcp:127.0.0.1:49983 -- sleep 100000")
        machine.sh("/tmp/envd-*/install.sh && rc-service envd restart")
        machine.wait("the next daemon", IS_UP)
        machine.sh("rm -r /tmp/envd-*; /usr/share/envd/install.sh --uninstall")
        machine.wait("the end of the daemon", "! pidof envd")
        machine.sh("kill -0 $1", sleeper)
        left = set(machine.sh(LIST).splitlines()) - set(before.splitlines())
        left = {path for path in left if os.path.islink(alpine.path + path)
                or machine.sh('test -d "$1" || echo file', path)}
        machine.expect(not left, sorted(left))
