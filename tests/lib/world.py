# SPDX-License-Identifier: Apache-2.0
"""The environment of a suite's tests: namespaces, users, file systems, addresses.

A suite runs as the first process of its own network, mount, process and IPC namespaces. So two runs of
one suite, from two clones, do not meet: each has all ports, and what it mounts or starts ends with it.
Each suite has a function below; it is called as root, in the namespaces, with the path of an empty
directory (WORLD) that is removed when the suite has ended.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time

NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def loopback_up():
    """SIOCSIFFLAGS with IFF_UP (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def mount_disk(image, where, mebibytes, kind="ext4", options="", mke2fs=()):
    """Makes a file with an ext file system, and mounts it at an existing directory. `options` begin with a
    comma; `mke2fs` are further arguments of mke2fs(8)."""
    with open(image, "wb") as f:
        f.truncate(mebibytes << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", kind, *mke2fs, image], check=True)
    mount("-o", f"loop{options}", image, where)


def bind(source, target):
    os.makedirs(target, exist_ok=True) if os.path.isdir(source) else None
    mount("--bind", source, target)


def users(world, home_mode=0o755, keep=False, more=()):
    """/etc/passwd and /etc/group of the suite: root, the default user, and `user`, uid 1000, who is in
    the group crew (gid 2000) too. Both have an empty home directory below WORLD. `keep`: the machine's
    other users stay. `more`: further lines of passwd."""
    for name, uid in ("root", 0), ("user", 1000):
        os.mkdir(f"{world}/{name}")
        os.chmod(f"{world}/{name}", home_mode)
        os.chown(f"{world}/{name}", uid, uid)
    made = {
        "passwd": [f"root:x:0:0:root:{world}/root:/bin/bash",
                   f"user:x:1000:1000:A user:{world}/user:/bin/bash", *more],
        "group": ["root:x:0:", "user:x:1000:", "crew:x:2000:user"],
    }
    for name, lines in made.items():
        with open(f"/etc/{name}", encoding="utf-8") as f:
            others = f.read().splitlines()
        names = {line.split(":")[0] for line in lines}
        ids = {line.split(":")[2] for line in lines}
        lines += [line for line in others if line.count(":") >= 3 and (keep or line.startswith("tty:"))
                  and line.split(":")[0] not in names and line.split(":")[2] not in ids]
        with open(f"{world}/{name}", "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        bind(f"{world}/{name}", f"/etc/{name}")


# ---- the suites ----

def cgroup(world, stack):
    """A directory of the kernel's cgroup2, which is removed at the end: CGROUP_ROOT."""
    with open("/proc/mounts", encoding="utf-8") as f:
        mounts = [line.split() for line in f]
    hierarchy = next((m[1] for m in mounts if m[2] == "cgroup2"), None)
    if hierarchy is None:
        hierarchy = f"{world}/cgroup2"
        os.mkdir(hierarchy)
        mount("-t", "cgroup2", "none", hierarchy)
        stack.callback(subprocess.run, ["umount", hierarchy], check=False)
    top = os.environ["CGROUP_ROOT"] = f"{hierarchy}/envd-test-{os.path.basename(world)}"
    os.mkdir(top)
    stack.callback(remove_cgroups, top)


def remove_cgroups(top):
    """A cgroup lets go of its processes a moment after they have ended."""
    with open(f"{top}/cgroup.kill", "w", encoding="ascii") as f:
        f.write("1")
    for _ in range(200):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if not os.path.exists(top):
            return
        time.sleep(0.1)
    print(f"{top}: not removed")


def client(world, _stack):
    users(world)


def cmd(_world, _stack):
    pass


def container(_world, _stack):
    pass


def control(world, _stack):
    """The addresses of the platform: 169.254.169.254 for the metadata service, 169.254.0.21 for
    forwarded ports. The files that /init changes are copies, and so is /dev/urandom. The clock is the machine's: no test may
    move it."""
    for address in "169.254.169.254", "169.254.0.21":
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    mount("-t", "tmpfs", "-o", "mode=755", "none", "/run")
    shutil.copy("/etc/hosts", f"{world}/hosts")
    bind(f"{world}/hosts", "/etc/hosts")
    # What a resume mixes into the random generator goes to a file: no test reseeds the machine's.
    with open(f"{world}/urandom", "wb"):
        pass
    bind(f"{world}/urandom", "/dev/urandom")
    # The daemon looks for mount and iptables in /usr/local/sbin first: the stand-ins go there.
    for name, target in (("certs", "/etc/ssl/certs"), ("sbin", "/usr/local/sbin"),
                         ("local", "/usr/local/share/ca-certificates")):
        os.mkdir(f"{world}/{name}")
        bind(f"{world}/{name}", target)


def faults(world, _stack):
    users(world)


def files(world, _stack):
    users(world)


def grammar(world, stack):
    """A root directory for the daemon: DAEMON_ROOT. What a request destroys is in a tmpfs. The programs
    and libraries there are copies, which nobody can write to. What the machine shares with it, in /proc,
    is read only."""
    root = os.environ["DAEMON_ROOT"] = f"{world}/root"
    os.mkdir(root)
    mount("-t", "tmpfs", "-o", "mode=755", "none", root)
    stack.callback(subprocess.run, ["umount", "-R", "-l", root], check=False)
    programs = {"envd": os.environ["ENVD"]} | {
        name: shutil.which(name) for name in ("sh", "cat", "echo", "head", "kill", "sleep", "stty", "true")}
    for name, path in programs.items():
        copy_program(path, root, f"{root}/usr/bin/{name}")
    for name in sorted(os.listdir(root)):
        mount("--bind", f"{root}/{name}", f"{root}/{name}")
        mount("-o", "remount,bind,ro", f"{root}/{name}")
    for name in "dev", "proc", "full":
        os.mkdir(f"{root}/{name}")
    mount("-t", "proc", "none", f"{root}/proc")
    for name in filter(lambda name: os.path.exists(f"{root}/proc/{name}"), ("sys", "sysrq-trigger")):
        mount("--bind", f"{root}/proc/{name}", f"{root}/proc/{name}")
        mount("-o", "remount,bind,ro", f"{root}/proc/{name}")
    mount("-t", "tmpfs", "-o", "size=64k,mode=777", "none", f"{root}/full")
    mount("-t", "tmpfs", "none", f"{root}/dev")
    for name in "null", "zero", "full", "urandom", "tty":
        with open(f"{root}/dev/{name}", "wb"):
            mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    os.mkdir(f"{root}/dev/pts")
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "none", f"{root}/dev/pts")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")


def copy_program(path, root, target):
    """Copies a program, and the libraries that ldd names."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(path, target)
    found = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=False).stdout
    for word in found.split():
        if word.startswith("/") and not os.path.exists(root + word):
            os.makedirs(os.path.dirname(root + word), exist_ok=True)
            shutil.copy(word, root + word)


def http(_world, _stack):
    pass


def loop(world, stack):
    """Cgroups, users, and a /usr/bin that takes the program of an upgrade."""
    cgroup(world, stack)
    users(world, keep=True)
    mount("-t", "tmpfs", "-o", "mode=755", "none", "/run")
    os.mkdir(f"{world}/bin")
    mount("-t", "tmpfs", "-o", "mode=755", "none", f"{world}/bin")
    stack.callback(subprocess.run, ["umount", "-l", "/usr/bin", f"{world}/bin"], check=False)
    for name in "upper", "work":
        os.mkdir(f"{world}/bin/{name}")
    mount("-t", "overlay", "overlay", "-o", f"lowerdir=/usr/bin,upperdir={world}/bin/upper,"
          f"workdir={world}/bin/work", "/usr/bin")


def pods(world, stack):
    """podman with a storage of its own. crun refuses cgroup2 beside the old hierarchies."""
    if os.path.isdir("/sys/fs/cgroup/unified"):
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False)
    texts = {
        "containers.conf": '[containers]\nnetns = "none"\npids_limit = 0\n'
                           '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
                           f'runtime = "crun"\ntmp_dir = "{world}/engine"\n',
        "storage.conf": f'[storage]\ndriver = "vfs"\ngraphroot = "{world}/storage"\n'
                        f'runroot = "{world}/run"\n',
    }
    for name, text in texts.items():
        with open(f"{world}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    os.environ["CONTAINERS_CONF"] = f"{world}/containers.conf"
    os.environ["CONTAINERS_STORAGE_CONF"] = f"{world}/storage.conf"
    stack.callback(subprocess.run, ["umount", "-R", "-l", f"{world}/storage"], check=False,
                   stderr=subprocess.DEVNULL)


def process(world, _stack):
    """One user more: nohome, uid 1001, whose home directory does not exist."""
    users(world, home_mode=0o700, more=[f"nohome:x:1001:1000::{world}/nohome:/bin/sh"])


def sdk(world, _stack):
    """The SDKs' debug mode talks to localhost:49983. They read variables, too: only the suite's count."""
    users(world, home_mode=0o700, keep=True)
    for name in [name for name in os.environ if name.startswith("E2B_")]:
        del os.environ[name]


def soak(world, stack):
    """Cgroups, users, and the address of forwarded ports."""
    cgroup(world, stack)
    users(world)
    subprocess.run(["ip", "address", "add", "169.254.0.21/32", "dev", "lo"], check=True)


def watch(world, stack):
    """A file system of the suite's own, so that nobody else's changes are seen."""
    mount("-t", "tmpfs", "-o", "mode=755,size=2g", "envd-watch", world)
    stack.callback(subprocess.run, ["umount", "-l", world], check=False)
    users(world, home_mode=0o700)
    os.environ["HOME"] = f"{world}/root"
