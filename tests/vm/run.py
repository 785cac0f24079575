#!/usr/bin/env python3
"""Boots real guests and looks at envd in them. `make test-vm` runs all parts; PARTS="initramfs
snapshot" some. A guest's console is printed where one of its checks failed."""

import argparse
import contextlib
import importlib
import os
import sys
import traceback

import assets
import guest
from check import Checks

PARTS = ("initramfs",)
KVM_TRIAL_S = 10


def choose_accelerator(kernel):
    """KVM where a trial boot gets as far as a line of the guest's: a /dev/kvm that can be opened
    may still hang the guest, where one virtual machine is inside another."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    archive = assets.initramfs(kernel, ())
    archive.copy("hello", assets.guest_program("hello"))
    initrd = assets.build_path("hello.cpio")
    archive.write(initrd)
    trial = guest.Guest("kvm-trial", kernel, initrd, "console=ttyS0 panic=-1 -- /hello", vsock=False,
                        accel="kvm")
    with contextlib.suppress(guest.GuestError):
        with trial:
            trial.wait_line("hello: up", KVM_TRIAL_S)
            return "kvm"
    return "tcg"


class Context:
    """What every part is given."""

    def __init__(self, options):
        self.envd = os.path.abspath(options.envd)
        self.peer = options.peer and os.path.abspath(options.peer)
        self.checks = Checks()
        self.kernel = assets.Kernel()
        self.accel = options.accel or choose_accelerator(self.kernel)

    @contextlib.contextmanager
    def guest(self, name, *args, **kwargs):
        """A running guest; its console is printed where a check fails while it runs."""
        failed_before = self.checks.failed
        running = guest.Guest(name, self.kernel, *args, accel=self.accel, **kwargs)
        try:
            with running:
                yield running
        except Exception:
            self.checks.ok(f"guest {name}", False, "\n" + traceback.format_exc(limit=-6))
        finally:
            if self.checks.failed > failed_before and running.console:
                print(f"---- console of {name}\n{running.console.text()}\n----", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envd", default=os.path.join(assets.TOP, "build", "envd"))
    parser.add_argument("--peer", help="another envd, for the figures that compare")
    parser.add_argument("--accel", choices=("tcg", "kvm"), help="instead of trying KVM first")
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {' '.join(sorted(unknown))}")
    try:
        context = Context(options)
        print(f"kernel {context.kernel.version}, accelerator {context.accel}", flush=True)
        for part in options.parts or PARTS:
            importlib.import_module(f"part_{part}").run(context)
    except assets.Missing as missing:
        sys.exit(f"test-vm: {missing}")
    context.checks.finish()


if __name__ == "__main__":
    main()
