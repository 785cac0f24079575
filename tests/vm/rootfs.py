# SPDX-License-Identifier: Apache-2.0
"""Makes root file systems from Debian's packages with mmdebstrap, and disk images of them."""

import os
import shutil
import subprocess

import assets

# The packages of a template's image that commands of the SDKs and of template builds need.
DEBIAN = ("bash", "coreutils", "procps", "iproute2", "curl", "python3-minimal", "util-linux")
SYSTEMD = (*DEBIAN, "systemd-sysv", "dbus", "nfs-kernel-server")
OPENRC = (*DEBIAN, "openrc", "sysvinit-core", "initscripts")

EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

PASSWD = "user:x:1000:1000:A user:/home/user:/bin/bash\n"
GROUP = "user:x:1000:\ncrew:x:2000:user\n"


MMDEBSTRAP = ("mmdebstrap", "--quiet", "--aptopt=Acquire::Retries \"5\"")


def _suite():
    """Returns the distribution of this machine, because its packages are available here."""
    with open("/etc/os-release") as release:
        for line in release:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=", 1)[1].strip().strip('"')
    raise assets.Missing("no VERSION_CODENAME in /etc/os-release")


def tree(name, packages):
    """Returns the folder with the root file system, which is made once. Change a copy or an image of it."""
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
    # Two users and a group, which the suites of the SDKs expect.
    for file, lines in (("passwd", PASSWD), ("group", GROUP)):
        with open(f"{path}/etc/{file}", "a") as out:
            out.write(lines)
    os.makedirs(f"{path}/home/user", 0o700)
    os.chown(f"{path}/home/user", 1000, 1000)
    with open(f"{path}/etc/hostname", "w") as out:
        out.write(f"{name}\n")
    # The image has not booted yet.
    with open(f"{path}/etc/machine-id", "w") as out:
        out.write("")
    with open(stamp, "w") as out:
        out.write(wanted)
    return path


def unpacked(name, arch, packages):
    """Returns a folder with packages of another architecture, which is made once. They are unpacked but not
    configured, because their programs do not run on this machine."""
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
    """Makes an ext4 image with the contents of the folder; None: an empty image."""
    path = assets.build_path("disk", f"{name}.ext4")
    if os.path.exists(path):
        os.unlink(path)
    contents = ["-d", folder] if folder else []
    assets.run(["mke2fs", "-q", "-t", "ext4", *options, *contents, path, size])
    return path


def bake(root, envd, *options):
    """Runs systemd/bake. Returns the line that it prints."""
    done = subprocess.run([os.path.join(assets.TOP, "systemd", "bake"), "--envd", envd, *options,
                           root], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise assets.Missing(f"bake failed: {done.stderr}")
    return done.stdout.strip()


def bytes_in(folder):
    """Returns the total size of the files below a folder, in bytes."""
    return sum(os.lstat(os.path.join(path, name)).st_size
               for path, _, names in os.walk(folder) for name in names)


def disk_arguments(*paths):
    """Returns QEMU's arguments for disks (vda, vdb, …) whose changes are discarded at the end."""
    arguments = []
    for i, path in enumerate(paths):
        arguments += ["-drive", f"if=none,id=disk{i},format=raw,snapshot=on,file={path}",
                      "-device", f"virtio-blk-pci,drive=disk{i}"]
    return tuple(arguments)
