# SPDX-License-Identifier: Apache-2.0
"""Root file systems of Debian's packages, made with mmdebstrap, and disks with them."""

import os
import shutil
import subprocess

import assets

# What a template's image has that commands of the SDKs and of template builds are written for.
DEBIAN = ("bash", "coreutils", "procps", "iproute2", "curl", "python3-minimal", "util-linux")
SYSTEMD = (*DEBIAN, "systemd-sysv", "dbus", "nfs-kernel-server")
OPENRC = (*DEBIAN, "openrc", "sysvinit-core", "initscripts")

EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

PASSWD = "user:x:1000:1000:A user:/home/user:/bin/bash\n"
GROUP = "user:x:1000:\ncrew:x:2000:user\n"


MMDEBSTRAP = ("mmdebstrap", "--quiet", "--aptopt=Acquire::Retries \"5\"")


def _suite():
    """The distribution this machine has: its packages can be had."""
    with open("/etc/os-release") as release:
        for line in release:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=", 1)[1].strip().strip('"')
    raise assets.Missing("no VERSION_CODENAME in /etc/os-release")


def tree(name, packages):
    """A folder with the root file system, made once. The caller changes a copy, or an image."""
    path = assets.build_path("rootfs", name)
    wanted = " ".join(packages)
    stamp = f"{path}.packages"
    if os.path.isdir(path) and os.path.exists(stamp) and open(stamp).read() == wanted:
        return path
    assets.progress(f"root file system {name}: mmdebstrap with {wanted} (a minute)")
    shutil.rmtree(path, ignore_errors=True)
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    assets.run([*MMDEBSTRAP, "--variant=minbase", f"--include={','.join(packages)}",
                *excluded, _suite(), path])
    # Two users and a group besides root's, as the SDKs' suites expect them.
    for file, lines in (("passwd", PASSWD), ("group", GROUP)):
        with open(f"{path}/etc/{file}", "a") as out:
            out.write(lines)
    os.makedirs(f"{path}/home/user", 0o700)
    os.chown(f"{path}/home/user", 1000, 1000)
    with open(f"{path}/etc/hostname", "w") as out:
        out.write(f"{name}\n")
    # The image's first boot is still to come.
    with open(f"{path}/etc/machine-id", "w") as out:
        out.write("")
    with open(stamp, "w") as out:
        out.write(wanted)
    return path


def unpacked(name, arch, packages):
    """A folder with another architecture's packages, made once: unpacked and not configured, for
    none of their programs runs on this machine."""
    path = assets.build_path("rootfs", name)
    if os.path.isdir(path):
        return path
    assets.progress(f"packages for {arch}: mmdebstrap with {' '.join(packages)} (a minute)")
    partial = f"{path}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    assets.run([*MMDEBSTRAP, "--variant=extract", f"--architectures={arch}",
                f"--include={','.join(packages)}", _suite(), partial])
    os.rename(partial, path)
    return path


def disk(name, folder, size="900M", *options):
    """An ext4 image with the folder's contents; None: empty."""
    path = assets.build_path("disk", f"{name}.ext4")
    if os.path.exists(path):
        os.unlink(path)
    contents = ["-d", folder] if folder else []
    assets.run(["mke2fs", "-q", "-t", "ext4", *options, *contents, path, size])
    return path


def bake(root, envd, *options):
    """systemd/bake, which prints one line."""
    done = subprocess.run([os.path.join(assets.TOP, "systemd", "bake"), "--envd", envd, *options,
                           root], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise assets.Missing(f"bake failed: {done.stderr}")
    return done.stdout.strip()


def bytes_in(folder):
    """What the files below a folder hold."""
    return sum(os.lstat(os.path.join(path, name)).st_size
               for path, _, names in os.walk(folder) for name in names)


def disk_arguments(*paths):
    """QEMU's arguments for disks (vda, vdb, …) whose changes are forgotten at the end."""
    arguments = []
    for i, path in enumerate(paths):
        arguments += ["-drive", f"if=none,id=disk{i},format=raw,snapshot=on,file={path}",
                      "-device", f"virtio-blk-pci,drive=disk{i}"]
    return tuple(arguments)
