# SPDX-License-Identifier: Apache-2.0
"""A FUSE file system with one file, `f`, that answers until it is told not to.

Requests are answered by a thread. `errors`: what a "write" or a "flush" fails with. `hang()`: from
now on nothing is answered. `abort()`: whatever waits fails.
The messages are those of linux/fuse.h, version 7.31.
"""

import os
import stat
import struct
import subprocess
import threading

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 1, 2, 3, 4, 14, 15, 16, 17, 18
FLUSH, INIT, OPENDIR, BATCH_FORGET = 25, 26, 27, 42
ENOENT, ENOSYS = 2, 38
ROOT, FILE = 1, 2
PIECE = 65536


class Fuse:
    def __init__(self, where, content):
        self.where = where
        self.content = content
        self.errors = {}
        self.hanging = threading.Event()
        self.waiting = 0  # requests that are not answered
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40755,user_id=0,group_id=0,allow_other"
        subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, "envd-test", where],
                       check=True, pass_fds=[self.fd])
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def hang(self):
        self.hanging.set()

    def abort(self):
        """Ends the mount: waiting calls fail with ENOTCONN."""
        subprocess.run(["umount", "-f", self.where], check=False)
        subprocess.run(["umount", "-l", self.where], check=False)
        self.thread.join(20)
        os.close(self.fd)

    def _attributes(self, node):
        if node == ROOT:
            return struct.pack("<QQQQQQIIIIIIIIII", ROOT, 0, 0, 0, 0, 0, 0, 0, 0,
                               stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)
        return struct.pack("<QQQQQQIIIIIIIIII", FILE, len(self.content), 8, 0, 0, 0, 0, 0, 0,
                           stat.S_IFREG | 0o644, 1, 0, 0, 0, 4096, 0)

    def _answer(self, opcode, node, body):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI", 7, 31, PIECE, 0, 16, 12, PIECE, 1, 0, 0, 0) + bytes(28)
        if opcode == LOOKUP:
            if body != b"f\0":
                return ENOENT
            return struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + self._attributes(FILE)
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, 1, 0)  # FOPEN_DIRECT_IO: each read comes here
        if opcode == READ:
            offset, size = struct.unpack_from("<QI", body, 8)
            return self.content[offset:offset + size]
        if opcode == WRITE:
            return self.errors.get("write") or struct.pack("<II", len(body) - 40, 0)
        if opcode == FLUSH:
            return self.errors.get("flush") or b""
        if opcode == STATFS:
            return bytes(80)
        if opcode == RELEASE:
            return b""
        return ENOSYS

    def _serve(self):
        while True:
            try:
                request = os.read(self.fd, PIECE + 4096)
            except OSError:
                return
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET):
                continue
            if self.hanging.is_set():
                self.waiting += 1
                continue
            found = self._answer(opcode, node, request[40:])
            error, body = (-found, b"") if isinstance(found, int) else (0, found)
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
            except OSError:
                pass  # whoever asked was interrupted
