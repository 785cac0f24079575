# SPDX-License-Identifier: Apache-2.0
"""The package for arm64 in a root file system of Debian for arm64, whose programs qemu runs. binfmt_misc(5)
is that of a user namespace (Linux 6.7), so that the machine's own is left alone."""

import os
import shutil
import subprocess

# The header of an ELF file for arm64, and which of its bits count.
HEADER = "7f454c460201010000000000000000000200b700"
MASK = "ffffffffffffff00fffffffffffffffffeffffff"
SUITE = "bookworm"

# The parent maps the users between the two lines.
ENTER = 'echo entered; read -r line; exec unshare --pid --fork --kill-child sh -euc "$@"'
SETUP = r"""
mount -t proc proc /proc
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf %s "$1" >/proc/sys/fs/binfmt_misc/register
shift
"""
INSIDE = r"""
cd "$1"
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
for device in null zero urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
shift
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -euc "$@"
"""


def _bytes(digits):
    return "".join(f"\\x{digits[i:i + 2]}" for i in range(0, len(digits), 2))


def run(script, *arguments, seconds=900):
    """The exit status and the output of a shell script on a machine that runs programs for arm64."""
    # F: the kernel opens the interpreter now, so that a chroot needs none.
    registration = f":arm64:M::{_bytes(HEADER)}:{_bytes(MASK)}:{shutil.which('qemu-aarch64-static')}:F"
    with subprocess.Popen(["unshare", "--user", "--mount", "sh", "-euc", ENTER, "-", SETUP + script, "-",
                           registration, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        try:
            process.stdout.readline()
            for name in "uid_map", "gid_map":
                with open(f"/proc/{process.pid}/{name}", "w", encoding="ascii") as file:
                    file.write("0 0 65536")
            said, _ = process.communicate("\n", timeout=seconds)
        finally:
            process.kill()
    return process.returncode, said


def make_base(folder):
    """The path of the archive of the root file system, which is made once."""
    base = os.path.join(folder, "debian-arm64.tar")
    if os.path.exists(base):
        return base
    print(f"arm64: making the base system {SUITE}, emulated (one to three minutes)", flush=True)
    os.makedirs(folder, exist_ok=True)
    code, said = run('exec mmdebstrap --mode=root --quiet --aptopt=\'Acquire::Retries "5"\' '
                     '--architectures=arm64 --variant=essential "$@"', SUITE, f"{base}.new.tar")
    if code:
        raise OSError(f"mmdebstrap: {code}\n{said}")
    os.rename(f"{base}.new.tar", base)
    return base


def check(base, path, package, expect):
    """dpkg installs the package and runs its scripts; the program serves; a purge leaves nothing."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    subprocess.run(["tar", "-C", path, "--numeric-owner", "-xpf", base], check=True)
    shutil.copy(package, f"{path}/var/tmp/envd.deb")
    code, said = run(INSIDE, path, r"""
files() { find / -xdev | grep -vE '^/(proc|dev|run|tmp|var/tmp|var/lib/dpkg|var/log|var/cache)(/|$)' | sort; }
dpkg --print-architecture
files >/tmp/before
dpkg -i /var/tmp/envd.deb
test -z "$(dpkg -V envd)"
test -L /etc/systemd/system/multi-user.target.wants/envd.service
envd -version
envd -isnotfc -listen unix:/tmp/envd.sock >/tmp/log 2>&1 &
for i in $(seq 600); do envd health --to unix:/tmp/envd.sock && break; sleep 0.1; done
envd health --to unix:/tmp/envd.sock || { cat /tmp/log; exit 1; }
dpkg -i /var/tmp/envd.deb
dpkg --purge envd
files | diff /tmp/before - && echo nothing is left
""")
    shutil.rmtree(path, ignore_errors=True)
    expect(code == 0 and said.startswith("arm64\n") and said.endswith("nothing is left\n"), f"{code}\n{said}")
