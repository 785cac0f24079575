# SPDX-License-Identifier: Apache-2.0
"""A FUSE file system with one file, `f`, that answers until it is told not to.

Directories, links and nodes can be made in it: `made` tells who made them, as (opcode, uid, gid).
Requests are answered by a thread. `errors`: what a "write" or a "flush" fails with. `hang()`: from
now on nothing is answered. `abort()`: whatever waits fails.
The messages are those of linux/fuse.h, version 7.31.
"""

import os
import stat
import struct
import subprocess
import threading

SYMLINK, MKNOD, MKDIR = 6, 8, 9
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
        self.made = []
        self.nodes = {b"f": FILE}
        self.kinds = {}  # of nodes that were made: file type, uid, gid
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
        if node in self.kinds:
            kind, uid, gid = self.kinds[node]
            return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0,
                               kind | 0o755, 1, uid, gid, 0, 4096, 0)
        return struct.pack("<QQQQQQIIIIIIIIII", FILE, len(self.content), 8, 0, 0, 0, 0, 0, 0,
                           stat.S_IFREG | 0o644, 1, 0, 0, 0, 4096, 0)

    def _entry(self, node):
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _make(self, opcode, uid, gid, body):
        """A directory, a link or a FIFO, which is the one's who makes it."""
        self.made.append((opcode, uid, gid))
        head, kind = {SYMLINK: (0, stat.S_IFLNK), MKNOD: (16, stat.S_IFIFO),
                      MKDIR: (8, stat.S_IFDIR)}[opcode]
        node = len(self.nodes) + FILE
        self.nodes[body[head:body.index(b"\0", head)]] = node
        self.kinds[node] = kind, uid, gid
        return self._entry(node)

    def _answer(self, opcode, node, body, uid, gid):
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI", 7, 31, PIECE, 0, 16, 12, PIECE, 1, 0, 0, 0) + bytes(28)
        if opcode == LOOKUP:
            name = body[:-1]
            return self._entry(self.nodes[name]) if name in self.nodes else ENOENT
        if opcode in (SYMLINK, MKNOD, MKDIR):
            return self._make(opcode, uid, gid, body)
        if opcode == SETATTR:
            self.made.append((opcode, uid, gid))
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
            uid, gid = struct.unpack_from("<II", request, 24)
            found = self._answer(opcode, node, request[40:], uid, gid)
            error, body = (-found, b"") if isinstance(found, int) else (0, found)
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
            except OSError:
                pass  # whoever asked was interrupted
