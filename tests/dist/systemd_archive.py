# SPDX-License-Identifier: Apache-2.0
"""install.sh under systemd, with the archive in /var/tmp of the root file system."""

from machine import Machine  # puts tests/vm on the path
from container import Container

UNITS = "envd.service envd.socket envd-vsock.socket"
ENABLED = f"test \"$(systemctl is-enabled {UNITS} | sort -u)\" = enabled"
IS_UP = "systemctl is-active envd.service envd.socket && envd health --to tcp:127.0.0.1:49983"


def check_image(system, expect):
    """Before the boot of a root file system, as in the build of an image: the boot starts envd."""
    system.sh("tar -xzf envd-*-linux-amd64.tar.gz; envd-*-linux-amd64/install.sh; rm -r envd-*-linux-amd64")
    try:
        with Container(system.root.path) as container:
            machine = Machine(container, expect)
            machine.wait("envd", IS_UP)
            machine.sh(ENABLED)
    finally:
        system.sh("/usr/share/envd/install.sh --uninstall")
    expect(system.sh("ls -R /etc/systemd/system | grep envd || true") == "", "links are left")


def check_running(root, expect):
    with Container(root) as container:
        machine = Machine(container, expect)
        machine.wait("the end of the boot", "systemctl is-active multi-user.target")
        before = machine.sh(FILES)
        machine.sh("cd /var/tmp; tar -xzf envd-*-linux-amd64.tar.gz; mv envd-*-linux-amd64 /tmp/envd")
        refuse(machine)
        machine.expect(machine.sh(FILES) == before, "a refusal has written files")
        said = machine.sh("umask 077; /tmp/envd/install.sh")
        machine.expect("systemctl start envd.socket envd" in said, said)
        machine.sh(f"{ENABLED}; setpriv --reuid=65534 --clear-groups test -r /usr/share/envd/openapi.yaml")
        machine.sh("systemctl start envd.socket envd")
        machine.wait("envd", IS_UP)
        sleeper = machine.sh("envd exec -d --to tcp:127.0.0.1:49983 -- sleep 100000")
        install_again(machine)
        machine.sh("rm -r /tmp/envd; /usr/share/envd/install.sh --uninstall")
        machine.sh(f"! systemctl is-active {UNITS} && kill -0 $1 && test ! -e /run/envd", sleeper)
        machine.sh("! systemctl cat envd.service")
        left = set(machine.sh(FILES).splitlines()) - set(before.splitlines())
        machine.expect(not left, sorted(left))


# All but directories, which other packages may use by now.
FILES = "find / -xdev ! -type d | grep -vE '^/(proc|sys|dev|run|tmp|var)/' | sort"


def refuse(machine):
    """What can't work is refused before a file is written."""
    for words, fault in (("--prefix /opt/envd --init systemd", "systemd finds no units below /opt/envd"),
                         ("--init runit", "no such init system: runit"),
                         ("--prefix envd", "does not begin with /"),
                         ("--uninstall", "was not installed")):
        said = machine.sh(f"if /tmp/envd/install.sh {words} 2>&1; then exit 1; fi")
        machine.expect(fault in said, said)
    machine.sh("mkdir -p /var/lib/dpkg/info; echo /usr/bin/envd >/var/lib/dpkg/info/envd-client.list")
    said = machine.sh("if /tmp/envd/install.sh 2>&1; then exit 1; fi; rm /var/lib/dpkg/info/envd-client.list")
    machine.expect("belongs to the package envd-client" in said, said)


def install_again(machine):
    """Below the running daemon, which goes on. A file that the older version had is removed. Another
    prefix, installed and removed, leaves the service alone."""
    before = machine.sh("systemctl show -P MainPID envd")
    machine.sh("touch /usr/share/envd/old; echo /usr/share/envd/old >>/usr/share/envd/installed")
    machine.sh("/tmp/envd/install.sh; test ! -e /usr/share/envd/old")
    machine.sh("/tmp/envd/install.sh --prefix /usr/local --init none; /usr/local/bin/envd -version")
    machine.sh("/usr/local/share/envd/install.sh --uninstall --prefix /usr/local; test ! -e /usr/local/bin/envd")
    machine.sh(f"{ENABLED}; {IS_UP}; test -d /run/envd")
    machine.expect(machine.sh("systemctl show -P MainPID envd") == before, "the daemon was replaced")
