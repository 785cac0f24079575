# SPDX-License-Identifier: Apache-2.0
"""launch.py BLOB PROGRAM [FLAG...]: plays the daemon that hands over.

Starts a process for each one that the stored state in the file BLOB describes, places its pipes or its
terminal at the descriptor numbers of the state, writes the state with the pids of these processes, and
replaces itself by the program. The state stays as it is otherwise, byte for byte. In BLOB.json is what
else is to be done: {"close": [numbers that are closed again], "instead": {number: another that the state
names}, "open": {number: path}, "extra": how many children more, "helpers": how many that the state names,
"forwards": [ports of 127.0.0.2 that a child holds], "strangers": [pids that the state names as such
children], "tail": what follows the state}."""

import contextlib
import json
import os
import pty
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))

import protobuf_wire as protobuf  # noqa: E402

STATE = "/run/e2b/envd-handover.pb"
PROCESSES, PID, CONFIG, STDOUT, STDERR, STDIN, TTY = 3, 1, 5, 6, 7, 8, 9
FORWARDS, HELPERS = 7, 10
COMMAND, ARGUMENTS = 1, 2


def number(process, field):
    return protobuf.signed(protobuf.get(process, field, 0))


def place(fd, at):
    os.dup2(fd, at, inheritable=True)
    os.close(fd)


def start(process):
    config = protobuf.decode(protobuf.get(process, CONFIG, b""))
    argv = [value for n, _, value in config if n in (COMMAND, ARGUMENTS)] or [b"cat"]
    if number(process, TTY) > 2:
        pid, fd = pty.fork()
        if pid == 0:
            os.closerange(3, 4096)
            os.execvp(argv[0], argv)
        place(fd, number(process, TTY))
        return pid
    ends = {field: os.pipe() for field in (STDIN, STDOUT, STDERR)}
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for own, (field, side) in enumerate(((STDIN, 0), (STDOUT, 1), (STDERR, 1))):
            os.dup2(ends[field][side], own)
        os.closerange(3, 4096)
        os.execvp(argv[0], argv)
    for field, (read, write) in ends.items():
        keep, other = (write, read) if field == STDIN else (read, write)
        os.close(other)
        place(keep, number(process, field))
    return pid


def sleeper():
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 4096)
        os.execvp("sleep", ["sleep", "4321"])
    return pid


def forwarder(port):
    """As the reference's socat: the leader of a group, whose child serves a connection."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        server = socket.create_server(("127.0.0.2", port))
        os.fork()
        for fd in range(3, 4096):
            if fd != server.fileno():
                with contextlib.suppress(OSError):
                    os.close(fd)  # the last one that holds `done` tells that the port is taken
        signal.pause()
    os.close(done)
    os.read(ready, 1)
    os.close(ready)
    return pid


def forward(port, pid):
    return [FORWARDS, protobuf.BYTES, protobuf.encode([
        [1, protobuf.BYTES, b"1-%d" % port], [2, protobuf.VARINT, port], [3, protobuf.VARINT, 1],
        [4, protobuf.VARINT, 4], [5, protobuf.VARINT, pid]])]


def main():
    blob, *command = sys.argv[1:]
    with open(blob, "rb") as file:
        state = protobuf.decode(file.read())
    with open(blob + ".json", encoding="ascii") as file:
        more = json.load(file)
    started = {}
    for field in state:
        if field[0] == PROCESSES:
            process = protobuf.decode(field[2])
            named = protobuf.get(process, PID)
            started[named] = started.get(named) or start(process)
            protobuf.put(process, PID, started[named])
            for fd in (STDOUT, STDERR, STDIN, TTY):
                placed = number(process, fd)
                protobuf.put(process, fd, more.get("instead", {}).get(str(placed), placed))
            field[2] = protobuf.encode(process)
    for _ in range(more.get("extra", 0)):
        sleeper()
    strangers = more.get("strangers", [])
    helpers = [sleeper() for _ in range(more.get("helpers", 0))] + strangers
    state += [[HELPERS, protobuf.VARINT, pid] for pid in helpers]
    state += [forward(port, forwarder(port)) for port in more.get("forwards", [])]
    state += [forward(9, pid) for pid in strangers]
    for fd in more.get("close", []):
        os.close(fd)
    for at, path in more.get("open", {}).items():
        place(os.open(path, os.O_RDONLY), int(at))
    os.makedirs(os.path.dirname(STATE), exist_ok=True)
    with open(STATE, "wb") as file:
        file.write(protobuf.encode(state) + more.get("tail", "").encode("latin-1"))
    os.chmod(STATE, 0o600)
    os.execv(command[0], [*command, "--resume-handover"])


main()
