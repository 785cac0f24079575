# SPDX-License-Identifier: Apache-2.0
"""A fresh system in a directory, as an installation leaves it: the smallest set of packages, an
ordinary user with sudo, the limits and the PATH of a login. Commands run in it as in a container,
in mount and process namespaces of their own. The network is the machine's.
"""

import glob
import os
import shlex
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
USER = "newcomer"

# What one has who has just cloned: git, make to say `make`, and sudo.
PACKAGES = "apt,sudo,git,make,ca-certificates,adduser,passwd,libpam-modules"

SYSTEMS = {
    "debian": ("bookworm", "main", [], None),
    "ubuntu": ("noble", "main,universe", [f"--keyring={HERE}/ubuntu-archive.asc"],
               os.environ.get("UBUNTU_MIRROR", "http://archive.ubuntu.com/ubuntu")),
}

# A login's soft limits. The hard ones stay the machine's (sudo sets that of core files to 0).
LIMITS = ("--nofile=1024:", "--core=0:")

# How this machine reaches package servers, for where that needs a proxy or certificates.
PASSED_ON = ("_proxy", "_PROXY", "PIP_", "NPM_CONFIG_", "npm_config_", "GOPROXY", "GOSUMDB", "CARGO_HTTP",
             "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")
APT_OPTIONS = ("Acquire::http", "Acquire::Check-")

# The first process of the namespaces; it reaps whatever is left to it. $1 is the root, $2... what
# runs. pivot_root and not chroot, because in a chroot the kernel refuses user namespaces.
INIT = """
set -eu
root=$1
shift
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys && mount --make-rslave sys
mount --rbind /dev dev && mount --make-rslave dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
cp --remove-destination -L /etc/resolv.conf etc/resolv.conf
mkdir -p mnt/machine
pivot_root . mnt/machine
cd /
umount -l /mnt/machine
status=0
"$@" || status=$?
exit "$status"
"""


class Unavailable(Exception):
    """A system that can't be made on this machine, with the reason."""


class Root:
    def __init__(self, system, folder):
        self.system = system
        self.path = os.path.join(folder, system)
        self.base = os.path.join(folder, f"{system}.tar")

    def make(self):
        """Unpacks the base system, which is made first where it is not there from another run."""
        if not os.path.exists(self.base):
            self._make_base()
        self.remove()
        os.makedirs(self.path)
        subprocess.run(["tar", "-C", self.path, "--numeric-owner", "-xpf", self.base], check=True)
        self._introduce()

    def _make_base(self):
        suite, components, options, mirror = SYSTEMS[self.system]
        os.makedirs(os.path.dirname(self.base), exist_ok=True)
        made = f"{self.base}.new.tar"
        argv = ["mmdebstrap", "--quiet", "--aptopt=Acquire::Retries \"5\"", "--variant=minbase",
                f"--include={PACKAGES}", f"--components={components}", *options, suite, made]
        if mirror:
            # With the updates that an installed system has.
            argv += [f"deb {mirror} {name} {components.replace(',', ' ')}"
                     for name in (suite, f"{suite}-updates", f"{suite}-security")]
        print(f"{self.system}: making the base system {suite}", flush=True)
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode:
            raise Unavailable(f"mmdebstrap {suite}: {' '.join(done.stdout.splitlines()[-3:])}")
        os.rename(made, self.base)

    def _introduce(self):
        """Users, names, and how package servers are reached."""
        certificates = glob.glob("/usr/local/share/ca-certificates/*.crt")
        for certificate in certificates:
            shutil.copy(certificate, f"{self.path}/usr/local/share/ca-certificates/")
        options = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True,
                                 check=False).stdout.splitlines()
        self._write("etc/apt/apt.conf.d/90machine",
                    [line for line in options if line.startswith(APT_OPTIONS)])
        environment = {name: value for name, value in os.environ.items()
                       if any(part in name for part in PASSED_ON) and
                       (not value.startswith("/") or value.startswith("/etc/ssl/"))}
        self._write("etc/environment", [f'{name}="{value}"' for name, value in environment.items()])
        if os.path.exists("/etc/pip.conf"):
            shutil.copy("/etc/pip.conf", f"{self.path}/etc/pip.conf")
        self._write("etc/hosts", ["127.0.0.1 localhost", f"127.0.1.1 {os.uname().nodename}",
                                  "::1 localhost ip6-localhost ip6-loopback"])
        # The group sudo is asked for a password, the user is not: `sudo -v` asks, `sudo -n` works.
        self._write("etc/sudoers.d/newcomer", [f"{USER} ALL=(ALL) NOPASSWD: ALL"], 0o440)
        commands = [f"useradd --create-home --shell /bin/bash --groups sudo {USER}"]
        if certificates:
            commands.append("update-ca-certificates >/dev/null 2>&1")
        self.run("root", " && ".join(commands), check=True)

    def _write(self, name, lines, mode=0o644):
        path = f"{self.path}/{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in lines)
        os.chmod(path, mode)

    def home(self, user):
        return "/root" if user == "root" else f"/home/{user}"

    def run(self, user, command, timeout=None, **options):
        """Runs a shell command as a login of that user does. Returns the CompletedProcess."""
        inside = ["prlimit", *LIMITS, "env", "-i", "TERM=dumb", "su", "-", user, "-c", command]
        argv = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                "--kill-child=KILL", "bash", "-c", INIT, "newcomer", self.path, *inside]
        if timeout:
            argv = ["timeout", "--kill-after=10", str(timeout), *argv]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, **{"check": False, **options})

    def give(self, user, source, target):
        """Copies a file or a directory of this machine to a path of the root, as that user's."""
        inside = self.path + target
        shutil.rmtree(inside, ignore_errors=True)
        if os.path.isdir(source):
            shutil.copytree(source, inside)
        else:
            shutil.copy(source, inside)
        self.run("root", f"chown -R {user}: {shlex.quote(target)}", check=True)

    def remove(self):
        if os.path.isdir(self.path):
            subprocess.run(["rm", "-rf", "--one-file-system", self.path], check=True)
