# SPDX-License-Identifier: Apache-2.0
"""What clients do to a daemon whose system calls fail. Each action is done and compared with the truth,
which the test sees itself: files on the disk, what a command writes. An answer may be an error. An
answer that says something else than the truth is a Wrong."""

import base64
import gzip
import http.client
import io
import json
import os
import tarfile

from connect import Client, Failed

# What a caller sees of a daemon that can't answer.
ERRORS = (Failed, http.client.HTTPException, ConnectionError)
# Codes that say something of the file or the process, which is there.
UNTRUE = ("not_found", "already_exists", "permission_denied", "unauthenticated", "invalid_argument")


class Wrong(AssertionError):
    """An answer that is neither right nor an error."""


def expect(truth, what):
    if not truth:
        raise Wrong(what)


class Broken(ConnectionError):
    """A stream that ended without its end."""


class Model:
    def __init__(self, daemon, random, directory):
        self.random = random
        self.directory = directory
        self.client = Client(daemon.address)
        self.files = {}  # name: what it contains
        self.watchers = []
        self.errors = 0
        self.done = 0

    # ---- helpers ----

    def call(self, service, method, **message):
        self.client.service = service
        try:
            return self.client.call(method, message)
        except Failed as failed:
            expect(failed.code not in UNTRUE, f"{method} {message}: {failed}")
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def on_disk(self, name):
        try:
            with open(self.path(name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def any_file(self):
        return self.random.choice(sorted(self.files)) if self.files else None

    # ---- files ----

    def upload(self):
        name = self.random.choice("abcdef")
        data = self.random.randbytes(self.random.choice((0, 5, 5000, 70000, 600000)))
        headers = {"Content-Type": "application/octet-stream"}
        atomic = self.random.random() < 0.4
        if atomic:
            headers["X-Envd-Atomic"] = "true"
        before = self.on_disk(name)
        try:
            answer = self.client.request("POST", f"/files?path={self.path(name)}", data, headers)
        except ERRORS:
            answer = None
        now = self.on_disk(name)
        # A broken-off request may still be at work: what it leaves is looked at no more.
        self.files.pop(name, None)
        if answer is None:
            raise Broken(name)
        if answer.status != 200:
            expect(answer.status >= 500, f"upload {name}: {answer.status} {answer.body}")
            expect(not atomic or now in (before, data), f"atomic upload {name}: a part of it is there")
            raise Broken(name)
        expect(now == data, f"upload {name}: 200, but the file is another")
        self.files[name] = data

    def download(self):
        name = self.any_file()
        if not name:
            return
        headers = self.random.choice(({}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=1-3"}))
        answer = self.client.request("GET", f"/files?path={self.path(name)}", headers=headers)
        data = self.files[name]
        expect(answer.status in (200, 206, 416) or answer.status >= 500,
               f"download {name}: {answer.status} {answer.body}")
        if answer.status >= 500:
            raise Broken(name)
        body = answer.body
        if answer.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        if answer.status == 416:
            expect(len(data) < 2, f"download {name}: 416")
        else:
            expect(body == (data[1:4] if answer.status == 206 else data), f"download {name}: other bytes")

    def archive(self):
        answer = self.client.request("GET", f"/files?path={self.directory}&format=tar")
        expect(answer.status == 200 or answer.status >= 500, f"tar: {answer.status} {answer.body}")
        if answer.status >= 500:
            raise Broken("tar")
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
            found = {os.path.basename(m.name): tar.extractfile(m).read() for m in tar if m.isreg()}
        for name, data in self.files.items():
            expect(found.get(name) == data, f"tar: {name} is {'another' if name in found else 'missing'}")

    def list(self):
        answer = self.call("filesystem.Filesystem", "ListDir", path=self.directory, depth=1)
        found = {e["name"]: e for e in answer.get("entries", [])}
        expect(set(self.files) <= set(found), f"list: {sorted(found)}, not {sorted(self.files)}")
        for name, data in self.files.items():
            expect(int(found[name].get("size", 0)) == len(data), f"list: size of {found[name]}")

    def stat(self):
        name = self.any_file()
        if name:
            entry = self.call("filesystem.Filesystem", "Stat", path=self.path(name))["entry"]
            expect(int(entry.get("size", 0)) == len(self.files[name]), f"stat: {entry}")

    def move(self):
        name = self.any_file()
        if not name:
            return
        to = "moved-" + self.random.choice([c for c in "abc" if not name.endswith(c)])
        data = self.files.pop(name)
        self.files.pop(to, None)
        try:
            self.call("filesystem.Filesystem", "Move", source=self.path(name), destination=self.path(to))
        except ERRORS:
            expect(data in (self.on_disk(name), self.on_disk(to)), f"move {name}: it is gone")
            raise
        expect(self.on_disk(name) is None and self.on_disk(to) == data, f"move {name}: it is not there")
        self.files[to] = data

    def remove(self):
        name = self.any_file()
        if name:
            del self.files[name]
            self.call("filesystem.Filesystem", "Remove", path=self.path(name))
            expect(self.on_disk(name) is None, f"remove {name}: it is there")

    # ---- processes ----

    def start(self, script, **more):
        """The response of Start, and the pid."""
        self.client.service = "process.Process"
        connection = self.client.open(
            "Start", {"process": {"cmd": "/bin/sh", "args": ["-c", script]}, **more})
        response = connection.getresponse()
        if response.status != 200:
            expect(response.status >= 429, f"start: {response.status} {response.read()}")
            raise Broken("start")
        first = self.message(response)
        return response, first["event"]["start"]["pid"]

    @staticmethod
    def message(response):
        header = response.read(5)
        if len(header) < 5:
            raise Broken("stream")
        data = response.read(int.from_bytes(header[1:], "big"))
        message = json.loads(data)
        if header[0] & 2:
            error = message.get("error", {"code": "none"})
            expect(error["code"] not in UNTRUE, f"stream: {error}")
            raise Failed(error)
        return message

    def result(self, response):
        """(stdout, end) of a process."""
        out = b""
        while True:
            event = self.message(response)["event"]
            out += base64.b64decode(event.get("data", {}).get("stdout", ""))
            out += base64.b64decode(event.get("data", {}).get("pty", ""))
            if "end" in event:
                return out, event["end"]

    def command(self):
        size = self.random.choice((0, 7, 5000, 300000))
        response, _ = self.start(f"head -c {size} /dev/zero; exit 3")
        out, end = self.result(response)
        expect(end.get("exitCode") == 3 and end.get("exited"), f"command: {end}")
        expect(out == bytes(size), f"command: {len(out)} bytes of {size}")

    def terminal(self):
        response, _ = self.start("stty -opost; head -c 3000 /dev/zero | tr '\\0' x; exit 4",
                                 pty={"size": {"cols": 80, "rows": 24}})
        out, end = self.result(response)
        expect(end.get("exitCode") == 4, f"terminal: {end}")
        expect(out == b"x" * 3000, f"terminal: {len(out)} bytes")

    def input(self):
        data = self.random.randbytes(self.random.choice((1, 3000, 100000)))
        response, pid = self.start("cat", stdin=True)
        selector = {"process": {"pid": pid}}
        try:
            self.call("process.Process", "SendInput", **selector,
                      input={"stdin": base64.b64encode(data).decode()})
            self.call("process.Process", "CloseStdin", **selector)
        except ERRORS:
            # Unknown how much arrived: it is ended, as clients do.
            self.call("process.Process", "SendSignal", **selector, signal="SIGNAL_SIGKILL")
            self.result(response)
            raise
        out, end = self.result(response)
        expect(end.get("exitCode", 0) == 0 and out == data, f"input: {end}, {len(out)} of {len(data)}")

    def kill(self):
        response, pid = self.start("sleep 1000")
        self.call("process.Process", "SendSignal", process={"pid": pid}, signal="SIGNAL_SIGKILL")
        _, end = self.result(response)
        expect("exitCode" not in end or end["exitCode"] != 0, f"kill: {end}")

    def list_processes(self):
        self.call("process.Process", "List")

    # ---- watches ----

    def watch(self):
        directory = self.path(f"watched-{len(self.watchers)}-{self.done}")
        os.mkdir(directory)
        answer = self.call("filesystem.Filesystem", "CreateWatcher", path=directory, recursive=True)
        self.watchers.append((answer["watcherId"], directory))

    def poll(self):
        if not self.watchers:
            return
        watcher, directory = self.random.choice(self.watchers)
        os.makedirs(os.path.join(directory, f"d{self.done}", "e"))
        try:
            self.call("filesystem.Filesystem", "GetWatcherEvents", watcherId=watcher)
        except Wrong as wrong:
            # A watcher may end with an error, and is gone then.
            self.watchers.remove((watcher, directory))
            raise Broken(str(wrong)) from wrong

    # ---- the run ----

    ACTIONS = (upload, upload, upload, download, download, archive, list, stat, move, remove, command,
               command, terminal, input, kill, list_processes, watch, poll, poll)

    def step(self):
        """One action. An error is counted; Wrong, and a time-out, end the test."""
        self.done += 1
        try:
            self.random.choice(self.ACTIONS)(self)
        except ERRORS:
            self.errors += 1
