# SPDX-License-Identifier: Apache-2.0
"""fuse_server.py DIRECTORY: a FUSE file system (linux/fuse.h, 7.31) with one file, `zeros`, of a gigabyte. The
lookup of any other name is never answered. Prints "ready", and "asked" when such a lookup has come."""

import ctypes
import errno
import os
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, INTERRUPT = 1, 2, 3, 14, 15, 18, 25, 26, 36
SIZE = 1 << 30
FILE, ROOT = 2, 1


def attributes(node):
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, SIZE)
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    """(error, data); None: no answer."""
    if opcode == INIT:
        return 0, struct.pack("<4I2H2I", 7, 31, 1 << 17, 0, 0, 0, 4096, 1).ljust(64, b"\0")
    if opcode == LOOKUP and body != b"zeros\0":
        print("asked", flush=True)
        return None
    if opcode == LOOKUP:
        return 0, struct.pack("<4Q2I", FILE, 0, 60, 60, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return 0, struct.pack("<QII", 60, 0, 0) + attributes(node)
    if opcode == OPEN:
        return 0, struct.pack("<QII", 0, 0, 0)
    if opcode == READ:
        return 0, bytes(struct.unpack("<QQI", body[:20])[2])
    if opcode in (FLUSH, RELEASE):
        return 0, b""
    return None if opcode in (FORGET, INTERRUPT) else (-errno.ENOSYS, b"")


def main():
    device = sys.argv[1] + ".device"
    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(10, 229))
    fd = os.open(device, os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"test", sys.argv[1].encode(), b"fuse", 0, options) < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    while True:
        try:
            request = os.read(fd, 1 << 18)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):
                continue
            raise
        _, opcode, unique, node = struct.unpack("<IIQQ", request[:24])
        found = answer(opcode, node, request[40:])
        if found:
            os.write(fd, struct.pack("<IiQ", 16 + len(found[1]), found[0], unique) + found[1])
        if opcode == INIT:
            print("ready", flush=True)


main()
