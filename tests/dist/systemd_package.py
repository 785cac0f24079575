# SPDX-License-Identifier: Apache-2.0
"""The package under systemd, which runs in namespaces of this machine (tests/vm/container.py): the
installation starts the daemon, an upgrade replaces it under a running process, and a removal stops it. What an
administrator has stopped, disabled or masked stays so.
"""

from machine import Machine  # puts tests/vm on the path
from container import Container

# A root file system without curl: bash speaks to the daemon.
INIT = r"""
exec 3<>/dev/tcp/127.0.0.1/49983
printf 'POST /init HTTP/1.1\r\nHost: envd\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#1} "$1" >&3
head -n 1 <&3
"""


class Guest(Machine):
    """A machine with systemd, and the package's files in its /var/tmp."""

    def install(self, package):
        return self.sh(f"dpkg -i /var/tmp/{package} 2>&1")

    def state(self, unit="envd.service"):
        """For example "enabled active"."""
        return self.sh("systemctl is-enabled $1 || true; systemctl is-active $1 || true", unit).replace("\n", " ")

    def main_pid(self):
        return self.sh("systemctl show -P MainPID envd")

    def init(self, body):
        said = self.sh(INIT, body)
        self.expect(" 204 " in said, said)


def check(root, packages, expect):
    """`packages`: the names of four packages in /var/tmp of the root, each newer than the one before it."""
    with Container(root) as container:
        machine = Guest(container, expect)
        machine.wait("the end of the boot", "systemctl is-active multi-user.target")
        machine.install(packages[0])
        machine.sh("systemctl is-active envd.service envd.socket && systemctl is-enabled envd.service")
        sleeper = machine.sh("envd exec -d -- sleep 100000")
        check_without_host(machine, packages[1], sleeper)
        machine.init("{}")
        check_from_inside(machine, packages[2], sleeper)
        machine.init('{"accessToken": "secret"}')
        check_token(machine, packages[3], sleeper)
        machine.sh("dpkg --purge envd")
        machine.sh("! systemctl is-active envd.service envd.socket && test ! -e /run/envd "
                   "&& test ! -e /usr/bin/envd.next && kill -0 $1", sleeper)


UNITS = "envd.socket envd-vsock.socket envd.service"


def is_state(machine, wanted):
    for unit in ("envd.service", "envd.socket"):
        machine.expect(machine.state(unit) == wanted, (unit, machine.state(unit), wanted))


def check_administrator(root, packages, expect):
    """An installation starts what it enables, also after a removal: then dpkg calls it an upgrade from the
    version before. An upgrade starts and enables nothing."""
    with Container(root) as container:
        machine = Guest(container, expect)
        machine.wait("the end of the boot", "systemctl is-active multi-user.target")
        machine.install(packages[0])
        is_state(machine, "enabled active")
        machine.sh("dpkg --remove envd; test ! -e /usr/bin/envd")
        machine.install(packages[0])
        is_state(machine, "enabled active")
        # dpkg: the removal is given up when another package's is refused.
        machine.sh("/var/lib/dpkg/info/envd.prerm remove")
        is_state(machine, "enabled inactive")
        machine.sh("/var/lib/dpkg/info/envd.postinst abort-remove in-favour envd-client 1.0")
        is_state(machine, "enabled active")
        machine.sh(f"systemctl stop {UNITS}")
        machine.install(packages[1])
        is_state(machine, "enabled inactive")
        machine.sh("systemctl mask envd.service envd.socket")
        machine.install(packages[2])
        is_state(machine, "masked inactive")
        machine.sh(f"systemctl unmask envd.service envd.socket; systemctl disable {UNITS}")
        machine.install(packages[3])
        is_state(machine, "disabled inactive")
        machine.sh("dpkg --remove envd")
        machine.install(packages[0])
        is_state(machine, "disabled inactive")
        machine.sh("dpkg --purge envd")
        machine.install(packages[0])
        is_state(machine, "enabled active")
        check_downgrade(machine, packages)


def check_downgrade(machine, packages):
    """Up and down again below a running process, unless policy-rc.d forbids restarts."""
    machine.wait("envd", "envd health")
    machine.init("{}")
    before = machine.main_pid()
    sleeper = machine.sh("envd exec -d -- sleep 100000")
    for package in packages[1], packages[0]:
        machine.install(package)
        seen = (machine.main_pid(), machine.sh(f"readlink /proc/{before}/exe"))
        machine.expect(seen == (before, "/usr/bin/envd.next"), (before, seen))
        is_listed(machine, sleeper)
    machine.sh("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    program = machine.sh("stat -L -c %i /proc/$1/exe", before)
    machine.install(packages[1])
    machine.expect(machine.sh("stat -L -c %i /proc/$1/exe", before) == program, "it was replaced")
    is_listed(machine, sleeper)


def is_listed(machine, pid):
    machine.expect(pid in machine.sh("envd ps").split(), f"envd ps does not list {pid}")


def check_without_host(machine, package, sleeper):
    """No host has sent /init, so the daemon refuses upgrades: systemd restarts it, and the next one
    adopts the process."""
    before = machine.main_pid()
    machine.install(package)
    machine.wait("the next daemon", "envd health")
    machine.expect(machine.main_pid() != before, "the daemon was not restarted")
    is_listed(machine, sleeper)


def check_from_inside(machine, package, sleeper):
    """The package manager is a process of a client, which the upgrade freezes: it must not wait for
    itself. The daemon keeps its pid."""
    before = machine.main_pid()
    machine.sh('envd exec -d -- sh -c "dpkg -i /var/tmp/$1 >/tmp/said 2>&1; echo \\$? >/tmp/code"', package)
    machine.wait("the upgrade", "test -s /tmp/code")
    machine.expect(machine.sh("cat /tmp/code") == "0", machine.sh("cat /tmp/said"))
    seen = (machine.main_pid(), machine.sh(f"readlink /proc/{before}/exe"))
    machine.expect(seen == (before, "/usr/bin/envd.next"), (before, seen, machine.sh("cat /tmp/said")))
    is_listed(machine, sleeper)


def check_token(machine, package, sleeper):
    """The package can't know the token: the old daemon goes on, and the command to type is printed."""
    before = machine.main_pid()
    said = machine.install(package)
    machine.expect("envd upgrade /usr/bin/envd --token-file FILE" in said, said)
    machine.expect(machine.main_pid() == before, "the daemon was replaced")
    listed = machine.sh("ENVD_TOKEN=secret envd ps")
    machine.expect(sleeper in listed.split(), listed)
