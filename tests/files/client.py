# SPDX-License-Identifier: Apache-2.0
"""A client of /files and of filesystem.Filesystem that sends what it is told to."""

import base64
import json
import os
import urllib.parse

from wire import Wire, request

BOUNDARY = "a boundary of the tests'"


class Failed(Exception):
    """A call that ended with an error; `code` is Connect's."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def target(path=None, /, *, base="/files", **query):
    """The target of a request; a path is str, bytes or a Path, a list stands for several values."""
    pairs = [] if path is None else [("path", os.fspath(path))]
    pairs += query.items()
    text = urllib.parse.urlencode(pairs, doseq=True, quote_via=urllib.parse.quote,
                                  errors="surrogateescape")
    return f"{base}?{text}" if text else base


def part(data, filename="f", name="file", *fields, disposition=None):
    """One part of a form, as bytes."""
    lines = [f"--{BOUNDARY}"]
    if disposition is None:
        disposition = f'form-data; name="{name}"'
        if filename is not None:
            disposition += f'; filename="{filename}"'
    lines += [f"Content-Disposition: {disposition}", *fields, "", ""]
    data = data.encode() if isinstance(data, str) else data
    return "\r\n".join(lines).encode() + data + b"\r\n"


def form(*parts):
    """The body of a form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM = f'Content-Type: multipart/form-data; boundary="{BOUNDARY}"'
BYTES = "Content-Type: application/octet-stream"


class Files:
    """Each request has a connection of its own; `user` is the one that it asks for."""

    def __init__(self, address, user=None):
        self.address = address
        self.user = user

    def as_user(self, user):
        return Files(self.address, user)

    def connect(self):
        return Wire(self.address)

    def send(self, method, where, *fields, body=None):
        """One request; the answer to it."""
        with self.connect() as wire:
            wire.send(request(method, where, *fields, body=body))
            return wire.answer(method)

    def target(self, path=None, /, **query):
        if self.user:
            query.setdefault("username", self.user)
        return target(path, **query)

    def get(self, path=None, /, *fields, method="GET", **query):
        return self.send(method, self.target(path, **query), *fields)

    def head(self, path=None, /, *fields, **query):
        return self.get(path, *fields, method="HEAD", **query)

    def put(self, path=None, body=b"", /, *fields, **query):
        body = body.encode() if isinstance(body, str) else body
        return self.send("POST", self.target(path, **query), BYTES, *fields, body=body)

    def post_form(self, path, body, /, *fields, **query):
        return self.send("POST", self.target(path, **query), FORM, *fields, body=body)

    def compose(self, sources, destination, **more):
        message = {"source_paths": [os.fspath(path) for path in sources],
                   "destination": os.fspath(destination), **more}
        return self.send("POST", "/files/compose", "Content-Type: application/json",
                         body=json.dumps(message).encode())

    def call(self, method, /, *fields, **message):
        """A unary call; the answer's message."""
        fields = ["Content-Type: application/json", *fields]
        if self.user:
            basic = base64.b64encode(f"{self.user}:".encode()).decode()
            fields.append(f"Authorization: Basic {basic}")
        message = {key: os.fspath(value) if isinstance(value, os.PathLike) else value
                   for key, value in message.items()}
        answer = self.send("POST", f"/filesystem.Filesystem/{method}", *fields,
                           body=json.dumps(message).encode())
        if answer.status != 200:
            raise Failed(answer.json()["code"], answer.json().get("message"))
        return answer.json()

    def stat(self, path):
        return self.call("Stat", path=path)["entry"]

    def list(self, path, depth=1):
        return self.call("ListDir", path=path, depth=depth).get("entries", [])
