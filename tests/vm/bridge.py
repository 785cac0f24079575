# SPDX-License-Identifier: Apache-2.0
"""`envd bridge` to a guest, for clients that use TCP."""

import socket
import subprocess

import guest


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Bridge:
    """Runs a bridge to the guest's port during the `with` block."""

    def __init__(self, envd, uds, *options):
        self.port = free_port()
        self._argv = [envd, "bridge", "--listen", f"tcp:127.0.0.1:{self.port}", "--to",
                      f"uds:{uds}", *options]

    def __enter__(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, text=True,
                                         preexec_fn=guest.die_with_parent)
        if " leads to " not in self._process.stderr.readline():
            raise guest.GuestError("the bridge does not listen")
        return self

    def __exit__(self, kind, value, trace):
        self._process.terminate()
        self._process.wait(10)
        self._process.stderr.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), guest.TIMEOUT_S)
