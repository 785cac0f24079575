# SPDX-License-Identifier: Apache-2.0
"""Requests whose answers are known exactly. A connection has a directory of its own, which no request of
the grammar names, and a model of its files. It has its requests answered one after the other, so the model
says what each answer contains, to the byte."""

import base64
import gzip
import io
import json
import tarfile

import answers
from answers import expect

NAMES = ("a", "b.txt", "c d", "ä", "sub/e")
ROOT = "Basic cm9vdDo="  # /init may change the default user


class Exact:
    """The requests of one connection, made with its Grammar; `files`: {name: content}."""

    def __init__(self, number):
        self.directory = f"/own/{number}"
        self.files = {}
        self.lost = False  # the token was changed: later answers are 401

    # ---- a request and its answer ----

    def request(self, grammar):
        make = grammar.rng.choices(
            (self.put, self.get, self.head, self.list, self.stat, self.remove, self.move, self.compose,
             self.archive, self.cat),
            (30, 25, 4, 8, 6, 6, 6, 4, 4, 7),
        )[0]
        return make(grammar)

    def text(self, grammar, method, target, fields, body, status, check):
        request = grammar.text(method, target, fields, body, {status, 401}, clean=True)
        request.exact = self.checked(status, check)
        return request

    def checked(self, status, check):
        def exact(answer):
            self.lost = self.lost or answer.status == 401
            if not self.lost:
                expect(answer.status == status, "status", answer.status, "not", status, answer.body[:300])
                check(answer)

        return exact

    def path(self, name):
        return f"{self.directory}/{name}"

    def target(self, name, **more):
        query = {"path": self.path(name), "username": "root", **more}
        return "/files?" + "&".join(
            f"{key}=" + "".join(
                chr(b) if chr(b).isascii() and chr(b).isalnum() or chr(b) in "/." else f"%{b:02x}"
                for b in value.encode()
            )
            for key, value in query.items()
        )

    def call(self, grammar, method, message, check, status=200):
        return self.text(
            grammar, "POST", f"/filesystem.Filesystem/{method}",
            [("Content-Type", "application/json"), ("Authorization", ROOT)],
            json.dumps(message).encode(),
            status,
            lambda answer: check(json.loads(answer.body)),
        )

    def any_name(self, grammar, missing=0.1):
        there = sorted(self.files)
        return grammar.rng.choice(NAMES if not there or grammar.chance(missing) else there)

    # ---- files ----

    def content(self, rng):
        n = rng.choice((0, 1, 5, 100, 4096, 16_384, 65_536, 70_001, 300_000))
        return rng.randbytes(n) if rng.random() < 0.7 else bytes(n)

    def put(self, grammar):
        rng, name, fields = grammar.rng, self.any_name(grammar, 0.6), []
        data, kind, status = self.content(rng), "application/octet-stream", 200
        body = data
        if grammar.chance(0.2):
            boundary = rng.choice(("b", "-" * 69 + "x"))
            body = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()
                + data
                + f"\r\n--{boundary}--\r\n".encode()
            )
            kind = f"multipart/form-data; boundary={boundary}"
        elif grammar.chance(0.2):
            body = gzip.compress(data, 1, mtime=0)
            fields.append(("Content-Encoding", "gzip"))
        if grammar.chance(0.2):
            fields.append(("X-Envd-Atomic", "true"))
        if grammar.chance(0.15):
            field = rng.choice(("If-Match", "If-None-Match"))
            fields.append((field, "*"))
            if (name in self.files) != (field == "If-Match"):
                status = 412
        fields.append(("Content-Type", kind))
        if status == 200:
            self.files[name] = data

        def check(answer):
            if status == 200:
                written = json.loads(answer.body)
                expect([entry["path"] for entry in written] == [self.path(name)], "written", written)

        return self.text(grammar, "POST", self.target(name), fields, body, status, check)

    def get(self, grammar):
        rng, name, fields = grammar.rng, self.any_name(grammar), []
        data, status = self.files.get(name), 200
        if data is None:
            status = 404
        elif data and grammar.chance(0.3):
            first, last = sorted((rng.randrange(len(data)), rng.randrange(len(data) + 5)))
            text, part = rng.choice(
                ((f"{first}-{last}", data[first : last + 1]), (f"{first}-", data[first:]),
                 (f"-{last + 1}", data[-last - 1 :]), (f"{len(data)}-", None))
            )
            fields.append(("Range", f"bytes={text}"))
            status, data = (206, part) if part is not None else (416, None)
        elif grammar.chance(0.3):
            fields.append(("Accept-Encoding", "gzip"))

        def check(answer):
            if data is not None:
                expect(answers.plain(answer) == data, "content of", name, len(answer.body), len(data))

        return self.text(grammar, "GET", self.target(name), fields, None, status, check)

    def head(self, grammar):
        name = self.any_name(grammar)
        data = self.files.get(name)

        def check(answer):
            if data is not None:
                expect(answer.get(b"content-length") == b"%d" % len(data), "length", answer.fields)

        return self.text(grammar, "HEAD", self.target(name), [], None, 404 if data is None else 200, check)

    def archive(self, grammar):
        files = dict(self.files)

        def check(answer):
            found = {}
            if files:
                with tarfile.open(fileobj=io.BytesIO(answers.plain(answer))) as tar:
                    for member in tar:
                        if member.isfile():
                            found[member.name.removeprefix("./")] = tar.extractfile(member).read()
            expect(found == files, "archive", sorted(found), sorted(files))

        if not files:
            return self.get(grammar)
        return self.text(grammar, "GET", self.target(".", format="tar"), [], None, 200, check)

    def compose(self, grammar):
        sources = sorted(name for name in self.files if name != "whole" and grammar.chance(0.5))
        if not sources:
            return self.put(grammar)
        whole, path = b"".join(self.files.pop(name) for name in sources), self.path("whole")
        self.files["whole"] = whole
        body = {"source_paths": [self.path(name) for name in sources], "destination": path,
                "username": "root"}
        return self.text(
            grammar, "POST", "/files/compose", [("Content-Type", "application/json")],
            json.dumps(body).encode(), 200, lambda answer: None,
        )

    # ---- calls ----

    def list(self, grammar):
        sizes = {self.path(name): len(data) for name, data in self.files.items()}

        def check(message):
            found = {
                entry["path"]: int(entry.get("size", 0))
                for entry in message.get("entries", ())
                if entry["type"] == "FILE_TYPE_FILE"
            }
            expect(found == sizes, "listing", found, sizes)

        if not sizes:
            return self.put(grammar)
        return self.call(grammar, "ListDir", {"path": self.directory, "depth": 2}, check)

    def stat(self, grammar):
        name = self.any_name(grammar)
        data = self.files.get(name)

        def check(message):
            if data is None:
                expect(message["code"] == "not_found", message)
            else:
                expect(int(message["entry"].get("size", 0)) == len(data), "size", message, len(data))

        return self.call(
            grammar, "Stat", {"path": self.path(name)}, check, 404 if data is None else 200
        )

    def remove(self, grammar):
        name = self.any_name(grammar)
        self.files.pop(name, None)
        return self.call(grammar, "Remove", {"path": self.path(name)}, lambda message: None)

    def move(self, grammar):
        source, to = self.any_name(grammar), grammar.rng.choice(NAMES)
        if source == to or source not in self.files:
            return self.put(grammar)
        self.files[to] = self.files.pop(source)

        def check(message):
            expect(message["entry"]["path"] == self.path(to), message)

        return self.call(
            grammar, "Move", {"source": self.path(source), "destination": self.path(to)}, check
        )

    def cat(self, grammar):
        """A process: what it writes, and its exit status."""
        if not self.files:
            return self.put(grammar)
        name, status = grammar.rng.choice(sorted(self.files)), grammar.rng.choice((0, 3))
        data = self.files[name]
        args = ["-c", f'cat "$0"; exit {status}', self.path(name)]
        message = json.dumps({"process": {"cmd": "sh", "cwd": "/", "args": args}}).encode()

        def check(answer):
            out, end = b"", None
            for _, part in answers.envelopes(answer.body):
                message = json.loads(part)
                if "frozen" in message.get("error", {}).get("message", ""):
                    return  # by a /freeze of another connection
                event = message.get("event", {})
                out += base64.b64decode(event.get("data", {}).get("stdout", ""))
                end = event.get("end", end)
            expect(out == data, "output", len(out), "not", len(data), end, answer.body[:500])
            expect(end and end["status"] == f"exit status {status}", "end", end)

        request = self.text(
            grammar, "POST", "/process.Process/Start",
            [("Content-Type", "application/connect+json"), ("Authorization", ROOT)],
            b"\0" + len(message).to_bytes(4, "big") + message, 200, check,
        )
        request.process = True
        return request
