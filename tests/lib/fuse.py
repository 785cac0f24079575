# SPDX-License-Identifier: Apache-2.0
"""A FUSE file system that can behave like a broken network file system: it hangs, fails, or its server
is gone.

Programs can create directories, links and FIFOs in it. If `content` is given, the top directory has a
file `f` with this content. `made` records who created and changed nodes, as (opcode, uid, gid). If
`served`, a thread answers the requests. `errors` sets the error of a "write" or a "flush". After
`hang()` requests are not answered. `abort()` fails the waiting requests. The messages follow
linux/fuse.h, version 7.31.
"""

import ctypes
import errno
import os
import stat
import struct
import subprocess
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
LOOKUP, FORGET, GETATTR, SETATTR, SYMLINK, MKNOD, MKDIR, OPEN, READ, WRITE, STATFS, RELEASE = \
    1, 2, 3, 4, 6, 8, 9, 14, 15, 16, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, BATCH_FORGET = 25, 26, 27, 28, 29, 42
ROOT, FILE = 1, 2
PIECE = 65536


class Fuse:
    def __init__(self, where, content=None, served=True):
        self.where = where
        self.content = content
        self.nodes = {ROOT: {}}  # names and nodes, by the directory's node
        if content is not None:
            self.nodes[ROOT][b"f"] = FILE
        self.kinds = {}  # file type, uid, gid of created nodes
        self.made = []
        self.errors = {}
        self.hanging = threading.Event()
        self.waiting = 0  # requests that are not answered
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40755,user_id=0,group_id=0,allow_other".encode()
        # mount(8) would access the mount point and wait for the server.
        if LIBC.mount(b"envd-test", os.fsencode(where), b"fuse", 0, options):
            error = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(error, os.strerror(error))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        if served:
            self.thread.start()

    def hang(self):
        self.hanging.set()

    def abort(self):
        """Ends the mount: waiting calls fail with ENOTCONN."""
        subprocess.run(["umount", "-f", self.where], check=False)
        subprocess.run(["umount", "-l", self.where], check=False)
        if self.thread.is_alive():
            self.thread.join(20)
        os.close(self.fd)

    def close(self):
        """Unmounts; waiting calls get an error."""
        LIBC.umount2(os.fsencode(self.where), 2)  # MNT_DETACH
        os.close(self.fd)

    def _attributes(self, node):
        kind, uid, gid = self.kinds.get(node, (stat.S_IFDIR, 0, 0))
        if node == FILE and self.content is not None:
            size, mode = len(self.content), stat.S_IFREG | 0o644
        else:
            size, mode = 0, kind | 0o755
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, 8, 1, 1, 1, 0, 0, 0, mode, 1, uid, gid, 0,
                           4096, 0)

    def _entry(self, node):
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _make(self, opcode, uid, gid, node, body):
        """Creates a directory, a link or a FIFO. The user of the request owns it."""
        head, kind = {SYMLINK: (0, stat.S_IFLNK), MKNOD: (16, stat.S_IFIFO),
                      MKDIR: (8, stat.S_IFDIR)}[opcode]
        child = self.nodes[node][body[head:body.index(b"\0", head)]] = len(self.nodes) + FILE
        self.nodes[child] = {}
        self.kinds[child] = kind, uid, gid
        return self._entry(child)

    def _answer(self, opcode, node, body, uid, gid):
        if opcode in (SYMLINK, MKNOD, MKDIR, SETATTR):
            self.made.append((opcode, uid, gid))
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI", 7, 31, PIECE, 0, 16, 12, PIECE, 1, 0, 0, 0) + bytes(28)
        if opcode == LOOKUP:
            child = self.nodes[node].get(body[:-1])
            return self._entry(child) if child else errno.ENOENT
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if opcode in (SYMLINK, MKNOD, MKDIR):
            return self._make(opcode, uid, gid, node, body)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, opcode == OPEN, 0)  # FOPEN_DIRECT_IO: each read comes here
        if opcode == READ:
            offset, size = struct.unpack_from("<QI", body, 8)
            return self.content[offset:offset + size]
        if opcode == READDIR:
            return self._list(node, *struct.unpack_from("<QI", body, 8))
        if opcode == WRITE:
            return self.errors.get("write") or struct.pack("<II", len(body) - 40, 0)
        if opcode == FLUSH:
            return self.errors.get("flush") or b""
        if opcode == STATFS:
            return bytes(80)
        if opcode in (RELEASE, RELEASEDIR):
            return b""
        return errno.ENOSYS

    def _list(self, node, offset, size):
        out = b""
        for i, (name, child) in enumerate(self.nodes[node].items()):
            kind = stat.S_IFMT(struct.unpack_from("<I", self._attributes(child), 60)[0]) >> 12
            record = struct.pack("<QQII", child, i + 1, len(name), kind) + name
            record += bytes(-len(record) % 8)
            if i >= offset and len(out) + len(record) <= size:
                out += record
        return out

    def _serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 17)
            except OSError:
                return
            _, opcode, unique, node, uid, gid = struct.unpack_from("<IIQQII", request)
            if opcode in (FORGET, BATCH_FORGET):
                continue
            if self.hanging.is_set():
                self.waiting += 1
                continue
            found = self._answer(opcode, node, request[40:], uid, gid)
            error, body = (-found, b"") if isinstance(found, int) else (0, found)
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
            except OSError:
                pass  # the program that waited was interrupted
