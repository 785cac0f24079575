# SPDX-License-Identifier: Apache-2.0
"""The parts of a guest: the kernel and its modules from Debian's package, the host's side of the vsock
device from crates.io, and the static programs of the tests. Each part is made once, in build/vm."""

import glob
import lzma
import os
import re
import shlex
import shutil
import subprocess

from cpio import Cpio

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build", "vm")

# Debian's newest kernel, or Ubuntu's first, whose modules are in another package. Since summer 2025 kernels
# put a large vsock packet into several descriptors, but vhost-device-vsock 0.3 reads one: with Ubuntu's
# newest kernel, every response above some kilobytes stalls.
KERNEL_PACKAGES = ("linux-image-cloud-amd64", "linux-image-6.8.0-31-generic")
APT_PATIENCE = ("-o", "Acquire::Retries=5")
VSOCK_DEVICE = ("vhost-device-vsock", "0.3.0")

# If a client on the host closes its connection before the guest has accepted it, the device panics, and all
# later connections hang. With this patch it resets the connection.
VSOCK_DEVICE_MENDED = (
    "src/vsock_conn.rs",
    "self.stream.write_all(response.as_bytes()).unwrap();",
    "if self.stream.write_all(response.as_bytes()).is_err() {"
    " self.rx_queue.enqueue(RxOps::Reset); return Ok(()); }")

# The drivers that every guest needs. The modules name the other modules that they depend on.
VIRTIO_MODULES = ("virtio_pci", "vmw_vsock_virtio_transport", "virtio_net", "virtio_blk")


class Missing(Exception):
    """A part of a guest is missing. The text names it and says how to get it."""


def progress(text):
    print(f"  · {text}", flush=True)


def run(argv, **kwargs):
    """Runs a command that must succeed. Shows its output if it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=1200, **kwargs)
    if done.returncode:
        raise Missing(f"{' '.join(argv)} failed ({done.returncode}):\n{done.stdout[-4000:]}")
    return done.stdout


def build_path(*names):
    path = os.path.join(BUILD, *names)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def dependency(package, pattern):
    """Returns the first dependency of `package` whose name matches the pattern, or None."""
    known = subprocess.run(["apt-cache", "depends", package], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False).stdout
    found = re.search(rf"Depends: ({pattern}\S*)", known)
    return found and found[1]


def kernel_packages():
    """Returns the package of the kernel for guests, and the package of its modules if it is another one."""
    for package in KERNEL_PACKAGES:
        if image := dependency(package, "linux-image-[0-9]"):
            return [image]
        if modules := dependency(package, "linux-modules-[0-9]"):
            return [package, modules]
    raise Missing(f"apt knows none of {', '.join(KERNEL_PACKAGES)}")


def unpacked_kernel():
    """Returns the folder into which the kernel of this machine's architecture is unpacked."""
    root = build_path("kernel")
    if glob.glob(f"{root}/boot/vmlinuz-*"):
        return root
    # The kernel in apt's lists may no longer exist on the server.
    run(["apt-get", "-q", *APT_PATIENCE, "update"])
    names = kernel_packages()
    progress(f"kernel: {names[0]}")
    fetched = build_path("packages", "")
    run(["apt-get", "-q", *APT_PATIENCE, "download", *names], cwd=fetched)
    partial = f"{root}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name in names:
        package = max(glob.glob(f"{fetched}/{name}_*.deb"), key=os.path.getmtime)
        run(["dpkg", "-x", package, partial])
    os.rename(partial, root)
    return root


class Kernel:
    """Returns the kernel image and the folder of its modules, from the folder of an unpacked package."""

    def __init__(self, root):
        self.image = glob.glob(f"{root}/boot/vmlinuz-*")[0]
        self.version = os.path.basename(self.image)[len("vmlinuz-"):]
        modules = os.path.realpath(f"{root}/lib/modules")
        if not os.path.isdir(modules):
            modules = f"{root}/usr/lib/modules"
        self._paths = {}
        for path in glob.glob(f"{modules}/{self.version}/kernel/**/*.ko*", recursive=True):
            name = os.path.basename(path).split(".ko")[0].replace("-", "_")
            self._paths[name] = path

    def module(self, name):
        """Returns the bytes of a module, which may be compressed; None if it is built into the kernel."""
        path = self._paths.get(name.replace("-", "_"))
        if path is None:
            return None
        with open(path, "rb") as source:
            data = source.read()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if path.endswith(".zst"):
            return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
        return data

    def modules(self, names):
        """Returns pairs (name, bytes) of the modules and their dependencies, in the order of insertion."""
        ordered = {}

        def visit(name):
            if name in ordered:
                return
            data = self.module(name)
            if data is None:
                return
            found = re.search(rb"\0depends=([^\0]*)\0", data)
            for needed in filter(None, found[1].decode().split(",") if found else []):
                visit(needed)
            ordered[name] = data

        for name in names:
            visit(name)
        return list(ordered.items())


def _vsock_device_source(name, version):
    """Returns the folder of the device's source. cargo downloads it like a library."""
    fetcher = build_path("cargo-source", "")
    os.makedirs(f"{fetcher}src", exist_ok=True)
    open(f"{fetcher}src/lib.rs", "w").close()
    with open(f"{fetcher}Cargo.toml", "w") as manifest:
        manifest.write('[package]\nname = "fetcher"\nversion = "0.0.0"\nedition = "2021"\n'
                       f'[workspace]\nexclude = ["vendor"]\n[dependencies]\n{name} = "={version}"\n')
    run(["cargo", "vendor", "--quiet", "vendor"], cwd=fetcher)
    return f"{fetcher}vendor/{name}"


def newest_cargo_first():
    """Puts the newest cargo first in PATH. Ubuntu's default is too old; newer ones lie in other folders."""
    folders = glob.glob("/usr/lib/rust-*/bin")
    folders.sort(key=lambda path: [int(n) for n in re.findall(r"[0-9]+", path)])
    if folders:
        os.environ["PATH"] = f"{folders[-1]}:{os.environ['PATH']}"


def vsock_device():
    """Returns the path of vhost-device-vsock. Builds it from crates.io first if it does not exist."""
    name, version = VSOCK_DEVICE
    root = build_path("cargo")
    binary = f"{root}/bin/{name}"
    if os.path.exists(binary):
        return binary
    newest_cargo_first()
    if shutil.which("cargo") is None:
        raise Missing("no cargo: `scripts/packages cargo` installs it")
    progress(f"vsock device: cargo install {name} {version} (a minute or two)")
    source = _vsock_device_source(name, version)
    path, old, new = VSOCK_DEVICE_MENDED
    with open(f"{source}/{path}") as file:
        text = file.read()
    if text.count(old) != 1:
        raise Missing(f"{name} {version} is not what was mended: {path} has changed")
    with open(f"{source}/{path}", "w") as file:
        file.write(text.replace(old, new))
    run(["cargo", "install", "--quiet", "--locked", "--path", source, "--root", root,
         "--target-dir", build_path("cargo-target"), "-j2"])
    return binary


def guest_program(name, compiler=None):
    """Builds the static program guest/NAME.c and returns its path. `compiler` is the command of a cross
    compiler with its arguments."""
    source = f"{HERE}/guest/{name}.c"
    binary = build_path(f"guest-{compiler[0]}" if compiler else "guest", name)
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        # CC may be several words, as in "ccache gcc".
        run([*(compiler or shlex.split(os.environ.get("CC", "gcc"))), "-std=gnu11", "-D_GNU_SOURCE",
             "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", binary, source])
    return binary


def initramfs(kernel, modules=VIRTIO_MODULES, compiler=None):
    """Returns an archive with the loader as /init and its modules. The caller adds the rest."""
    archive = Cpio()
    archive.directory("dev")
    archive.device("dev/console", 0o020600, 5, 1)
    archive.copy("init", guest_program("loader", compiler))
    chosen = kernel.modules(modules)
    for name, data in chosen:
        archive.file(f"modules/{name}.ko", data, 0o644)
    archive.file("modules/list", "".join(f"{name}.ko\n" for name, _ in chosen).encode(), 0o644)
    return archive
