# SPDX-License-Identifier: Apache-2.0
"""The grammar of requests: one is made of a random number generator, and says which answers it allows."""

import base64
import gzip
import io
import json
import os
import tarfile

from schema import Maker, Schema, envelope
from vocabulary import ANY, BOMB, COMMANDS, DATES, EXTENSIONS, FILES, NAMES, PATHS, RPC, TAGS

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKEN = "the token of this suite"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


SCHEMA = Schema(*(read(f"{TOP}/rpc/proto/{name}.proto") for name in ("process", "filesystem")))

class Request:
    """`data`: its bytes. `statuses`: those that are right. `answered`: False if it may wait for ever, or if
    its framing is broken, so that nothing can be said of what follows it on the connection. `watcher`:
    its answer has the id of a watcher. `wild`: its head or framing is broken. `resumes`: an /init that
    closes connections without a request in work, to which one may be on its way. `process`: a process runs
    for it, and ends when the client closes its side."""

    def __init__(self, label, method, data, statuses, answered=True, watcher=False):
        self.label, self.method, self.data, self.statuses = label, method, data, statuses
        self.answered, self.watcher = answered, watcher
        self.wild = self.resumes = self.process = False
        self.exact = None  # raises answers.Wrong if the answer is not the one that is known


class Grammar:
    """Requests of one generator. `known` has ids of watchers and pids that the daemon has told. `exact`: makes
    the requests whose answers are known exactly (exact.py)."""

    def __init__(self, rng, known, exact=None):
        self.rng, self.known, self.exact = rng, known, exact
        self.mischief = rng.choice((0, 0, 0.03, 0.3))
        self.command = COMMANDS[0]

    def chance(self, probability):
        return self.rng.random() < probability

    def request(self):
        rng = self.rng
        if self.exact:
            return self.exact.request(self)
        make = rng.choices(
            (self.rpc, self.download, self.upload, self.compose, self.init, self.simple),
            (50, 14, 14, 4, 4, 10),
        )[0]
        request = make()
        if self.chance(0.06) and not request.watcher:
            request = self.wild(request)
        return request

    # ---- HTTP ----

    def text(self, method, target, fields, body, statuses, clean=False, **more):
        """A request whose framing is right. `clean`: nothing but the fields has an effect on its answer."""
        rng, fields = self.rng, list(fields)
        if clean or self.chance(0.95):
            fields.append(("X-Access-Token", TOKEN))
        if not clean and self.chance(0.1):
            name, values = rng.choice(EXTENSIONS)
            fields.append((name, rng.choice(values)))
        if not clean and self.chance(0.04):
            fields.append(
                (
                    "Authorization",
                    rng.choice(("Basic dXNlcjo=", "Basic bm9ib2R5Og==", "Basic !", "Bearer x", "")),
                )
            )
        version = "1.0" if not clean and self.chance(0.03) else "1.1"
        if version == "1.1" or self.chance(0.5):
            fields.append(("Host", rng.choice(("sandbox", "", "[::1]:1", "x:65535"))))
        if not clean and self.chance(0.04):
            fields.append(
                ("Connection", rng.choice(("close", "keep-alive", "upgrade, x", "Close, keep-alive")))
            )
        framed = body
        if body is not None and version == "1.1" and self.chance(0.3):
            fields.append(("Transfer-Encoding", rng.choice(("chunked", "Chunked"))))
            framed = self.chunked(body)
        elif body is not None:
            fields.append(("Content-Length", str(len(body))))
            if self.chance(0.03):
                fields.append(("Expect", "100-continue"))
        rng.shuffle(fields)
        head = (
            f"{method} {target} HTTP/{version}\r\n"
            + "".join(
                f"{self.case(name)}:{rng.choice(('', ' ', ' ', chr(9)))}{value}\r\n"
                for name, value in fields
            )
            + "\r\n"
        )
        # Without a Host, and with two fields of an extension.
        if not clean:
            statuses = statuses | {400, 401}
        if version == "1.0" and method == "POST" and body is None:
            statuses = statuses | {411}
        return Request(
            f"{method} {target}",
            method,
            head.encode("utf-8", "surrogateescape") + (framed or b""),
            statuses,
            **more,
        )

    def case(self, name):
        return self.rng.choice((name, name, name.lower(), name.upper()))

    def chunked(self, body):
        rng, out, at = self.rng, b"", 0
        small = rng.choice((1, 3, 100, 5000, 100_000))
        while at < len(body):
            n = min(rng.randrange(1, small + 1), len(body) - at)
            if len(body) > 20_000:
                n = min(max(n, len(body) // 500), len(body) - at)
            size = b"%x" % n
            size = rng.choice((size, size, size.upper(), size.zfill(rng.randrange(1, 17))))
            extension = rng.choice((b"",) * 9 + (b";a=b", b';a="q;"'))
            out += size + extension + b"\r\n" + body[at : at + n] + b"\r\n"
            at += n
        return (
            out
            + b"0" * rng.choice((1, 1, 3))
            + b"\r\n"
            + rng.choice((b"", b"", b"X-Trailer: y\r\n"))
            + b"\r\n"
        )

    def wild(self, request):
        """Breaks head or framing."""
        rng, data = self.rng, request.data
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        at = rng.randrange(len(head))

        def field(*texts):
            lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(texts))
            return b"\r\n".join(lines) + b"\r\n\r\n" + body

        data = rng.choice(
            (
                lambda: head[:at] + bytes([rng.randrange(256)]) + head[at + 1 :] + b"\r\n\r\n" + body,
                lambda: head[:at] + head[at + rng.randrange(1, 9) :] + b"\r\n\r\n" + body,
                lambda: head[:at]
                + head[at : at + 9] * rng.choice((2, 100))
                + head[at:]
                + b"\r\n\r\n"
                + body, lambda: data[: rng.randrange(len(data))],
                lambda: data[rng.randrange(len(data)) :], lambda: data.replace(b"\r\n", b"\n"),
                lambda: data.replace(b"\r\n", b"\r", rng.randrange(1, 4)),
                lambda: field(
                    b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: +5",
                    b"Content-Length: 0x5", b"Content-Length: 18446744073709551616",
                    b"Content-Length: 9223372036854775807", b"Content-Length: 5, 5",
                    b"Content-Length: ", b"Content-Length : 0",
                ),
                lambda: field(
                    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
                    b"Transfer-Encoding: x", b"Transfer-Encoding: chunked, chunked", b"TE: trailers",
                    b"Transfer-Encoding:\x0bchunked",
                ),
                lambda: field(
                    b" folded", b"\tfolded", b"no colon", b": no name", b"a b: c", b"a\x00: b",
                    b"a: \x00", b"a: b\rc", b"Host: x", b"Host: a b", b"Expect: x",
                    b"x: " + b"y" * 66_000, b"Upgrade: h2c",
                ),
                lambda: field(b"\r\n".join([b"x: y"] * 1001)),
                lambda: rng.choice(
                    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\r\n\r\n", b"\0" * 99)
                )
                + data,
                lambda: data.replace(
                    b"HTTP/1.", rng.choice((b"HTTP/2.", b"HTTP/0.", b"http/1.", b"HTTP/11.")), 1
                ),
                lambda: data.replace(
                    b" /",
                    b" "
                    + rng.choice(
                        (b"http://h/", b"*", b"//", b"/../", b"/%", b"/%zz", b"/\xff", b"?", b"/#")
                    ),
                    1,
                ),
                lambda: head
                + b"\r\n\r\n"
                + body.replace(b"\r\n", rng.choice((b"\n", b"\r", b"", b"\r\n\r\n", b";\r\n")), 1),
                lambda: head
                + b"\r\n\r\n"
                + rng.choice(
                    (
                        b"g\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"1;" + b"x" * 5000, b"\r\n",
                        b"0\r\n" + b"x: y\r\n" * 3000, b"5\r\nabcdefgh",
                    )
                )
                + body,
            )
        )()
        request.data, request.statuses, request.answered, request.wild = data, ANY, False, True
        request.label = "broken " + request.label
        return request

    # ---- RPC ----

    def value(self, message, field):
        rng, name = self.rng, field.name
        if self.chance(self.mischief):
            return None
        if message == "process.ProcessConfig" and name in ("cmd", "args"):
            if name == "cmd":
                self.command = rng.choice(COMMANDS)
            return self.command[0] if name == "cmd" else list(self.command[1])
        if name in ("path", "source", "destination", "cwd"):
            return rng.choice(PATHS)
        known = {
            "pid": [*self.known["pids"][-4:], 0, 1, 1 << 22], "tag": TAGS,
            "signal": (9, 15, 15, 9, 0, 2), "watcher_id": [*self.known["watchers"][-4:], "", "x"],
            "cols": (80, 0, 65535, 65536, 1 << 32), "rows": (24, 0, 65536),
            "depth": (0, 1, 2, 30, (1 << 32) - 1),
            "stdin": (b"text\n", b"", bytes(range(256)), b"z" * 70_000),
            "pty": (b"text\n", b"\x03", b"\x04", b"z" * 5000),
            "key": ("A", "PATH", "", "B=C", "LD_X", "a" * 300), "args": ([],),
        }.get(name)
        return rng.choice(known) if known else None

    def rpc(self):
        rng = self.rng
        path = rng.choice([*SCHEMA.methods] + ["process.Process/Start", "filesystem.Filesystem/Stat"])
        message, sends_stream, answers_stream = SCHEMA.methods[path]
        maker = Maker(SCHEMA, rng, self.value, self.mischief)
        stream = sends_stream or answers_stream
        codec = rng.choice(("json", "proto"))
        web = self.chance(0.25)
        kind = (
            f"application/grpc-web+{codec}"
            if web
            else f"application/connect+{codec}" if stream else f"application/{codec}"
        )
        fields = []
        if web and self.chance(0.3):
            kind = rng.choice(("application/grpc-web", "application/grpc-web-text"))
            codec = "proto"
        n = (
            rng.choice((1, 2, 3, 8))
            if sends_stream
            else 0 if self.chance(0.03) else 2 if self.chance(0.03) else 1
        )
        data = [getattr(maker, codec)(maker.make(message)) for _ in range(n)]
        packed = self.chance(0.12)
        if packed:
            fields.append(
                (
                    rng.choice(
                        ("Content-Encoding",) * (not stream and not web)
                        or (("Grpc-Encoding",) if web else ("Connect-Content-Encoding",))
                    ),
                    rng.choice(("gzip", "gzip", "gzip", "br", "identity")),
                )
            )
            data = [self.pack(one) for one in data]
        if stream or web:
            body = b"".join(self.frame(one, packed) for one in data)
            if kind.endswith("-text"):
                body = base64.b64encode(body)
        else:
            body = b"".join(data)
        if self.chance(0.06):
            kind = rng.choice(
                (
                    "application/json", "application/proto", "application/connect+json", "text/plain",
                    "application/grpc", "application/json; charset=utf-8",
                    "application/json;charset=latin1", "", "multipart/form-data",
                    "application/connect+proto", "application/grpc-web+x",
                )
            )
        fields.append(("Content-Type", kind))
        if self.chance(0.1):
            fields.append(("Connect-Protocol-Version", rng.choice(("1", "1", "2", ""))))
        if self.chance(0.15):
            fields.append(
                ("Grpc-Timeout", rng.choice(("1S", "10m", "0n", "99999999H", "x", "1", "100000000S")))
                if web
                else (
                    "Connect-Timeout-Ms",
                    rng.choice(("1", "30", "1000", "0", "-1", "x", "10000000000", "")),
                )
            )
        if self.chance(0.15):
            fields.append(
                (
                    rng.choice(("Accept-Encoding", "Connect-Accept-Encoding", "Grpc-Accept-Encoding")),
                    rng.choice(("gzip", "br, gzip", "identity", "")),
                )
            )
        method = path.rpartition("/")[2]
        if method == "Start" and self.chance(0.15):
            fields += [
                ("X-Envd-Keep-Output", rng.choice(("1", "1000", "65536"))),
                ("X-Envd-Keep-For", rng.choice(("0", "1"))),
            ]
        http_method, statuses, target = "POST", RPC, f"/{path}"
        if self.chance(0.03):
            http_method, statuses = rng.choice(("GET", "PUT", "HEAD", "OPTIONS", "DELETE")), RPC | {
                204,
                405,
            }
        elif self.chance(0.02):
            target = rng.choice(
                (target + "x", target + "/", "/" + target, target + "?x=%zz", target.lower())
            )
            statuses = RPC | {405}
        return self.text(
            http_method,
            target,
            fields,
            body,
            statuses,
            watcher=method == "CreateWatcher",
            answered=method
            not in ("Start", "Connect", "WatchDir", "SendInput", "StreamInput", "CloseStdin"),
        )

    def pack(self, data):
        packed = gzip.compress(data, 1, mtime=0)
        if self.chance(self.mischief):
            at = self.rng.randrange(len(packed))
            packed = self.rng.choice(
                (
                    packed[:at], packed + b"x",
                    packed[:at] + bytes([packed[at] ^ 255]) + packed[at + 1 :],
                    data,
                    packed + packed,
                    BOMB,
                )
            )
        return packed

    def frame(self, data, packed):
        flags = 1 if packed else 0
        if self.chance(self.mischief / 2):
            flags = self.rng.choice((1, 2, 3, 128, 255))
        framed = envelope(data, flags)
        if self.chance(self.mischief / 2):
            framed = self.rng.choice(
                (
                    framed[: self.rng.randrange(len(framed))], b"\0\xff\xff\xff\xff" + data,
                    b"\0\0\0\0\0" + framed, framed[:4] + bytes([framed[4] + 1 & 255]) + data,
                )
            )
        return framed

    # ---- files ----

    def files_target(self, path="/files"):
        rng = self.rng
        query = [("path", rng.choice(PATHS))] if self.chance(0.95) else []
        if self.chance(0.3):
            query.append(("username", rng.choice(("user", "root", "nobody", ""))))
        if self.chance(0.12):
            query.append(("format", rng.choice(("tar", "tar", "zip", ""))))
            query.append(("gzip", rng.choice(("1", "0", "x"))))
        if self.chance(0.05):
            query += [
                ("signature", rng.choice(("v1_x", "", "v1_" + "A" * 43))),
                ("signature_expiration", rng.choice(("1", "9999999999", "x"))),
            ]
        if self.chance(0.05):
            query.append(rng.choice((("path", "b"), ("x", "%"), ("", ""), ("path", "\xff"))))
        return path + "?" + "&".join(f"{name}={self.quote(value)}" for name, value in query)

    def quote(self, text):
        plain = set(
            "abcdefghijklmnopqrstuvwxyz/._-~%" if self.chance(0.1) else "abcdefghijklmnopqrstuvwxyz/._-~"
        )
        out = "".join(c if c in plain else "".join(f"%{b:02x}" for b in c.encode()) for c in text)
        return out if len(out) < 30_000 else out[:30_000]

    def conditions(self):
        rng, fields = self.rng, []
        for name, values in (
            (
                "Range",
                (
                    "bytes=0-0", "bytes=1-", "bytes=-5", "bytes=0-", "bytes=5-2", "bytes=0-1,3-4,-1",
                    "bytes=99999999999-", "x", "bytes=" + ",".join(f"{i}-{i}" for i in range(200)),
                    "bytes=18446744073709551615-", "lines=1-2",
                ),
            ),
            ("If-None-Match", ("*", '"x"', 'W/"x", "y"', "x", "")),
            ("If-Match", ("*", '"x"', ",", '"')), ("If-Modified-Since", DATES),
            ("If-Unmodified-Since", DATES), ("If-Range", (*DATES, '"x"')),
            (
                "Accept-Encoding",
                ("gzip", "gzip;q=0", "identity;q=0", "*;q=0", "gzip;q=1.0001", "br, gzip;q=0.1"),
            ),
        ):
            if self.chance(0.12):
                fields.append((name, rng.choice(values)))
        return fields

    def download(self):
        method = self.rng.choice(("GET",) * 5 + ("HEAD",))
        target = self.files_target()
        # Nobody writes to a FIFO that is read.
        return self.text(method, target, self.conditions(), None, FILES, answered="fifo" not in target)

    def content(self):
        rng = self.rng
        return rng.choice(
            (
                b"", b"x", b"text\n" * 100, bytes(rng.randrange(256) for _ in range(99)),
                b"z" * rng.choice((4095, 65_537, 300_000)),
            )
        )

    def upload(self):
        rng, fields, target = self.rng, [], self.files_target()
        kind = rng.choice(("octets", "octets", "form", "tar"))
        if kind == "octets":
            body, kind = self.content(), "application/octet-stream"
        elif kind == "form":
            body, kind = self.form()
        else:
            body, kind = self.archive(), "application/x-tar"
            target += "" if "format" in target else "&format=tar"
        if self.chance(0.15):
            fields.append(("Content-Encoding", rng.choice(("gzip", "gzip", "identity", "br"))))
            body = self.pack(body)
        if self.chance(0.05):
            kind = rng.choice(
                (
                    "text/plain", "", "multipart/form-data", "multipart/form-data; boundary=",
                    "application/x-tar",
                )
            )
        if self.chance(self.mischief) and body:
            body = body[: rng.randrange(len(body))]
        fields.append(("Content-Type", kind))
        for name, values in (
            ("X-Envd-Atomic", ("1", "0", "x")), ("X-Envd-Sync", ("1", "x")), ("If-Match", ("*", '"x"')),
            ("If-None-Match", ("*",)), ("X-Metadata-K", ("v", "", "x" * 5000, "\x7f")),
            ("X-Metadata-" + "k" * rng.choice((1, 246, 247)), ("v",)),
            (
                "Content-Range",
                (
                    f"bytes 0-{len(body) - 1}/*", f"bytes 0-{len(body) - 1}/{len(body)}",
                    "bytes 5-9/10", f"bytes 1-{len(body)}/{len(body) + 1}", "x", "bytes 0-0/0",
                    f"bytes */{len(body)}",
                ),
            ),
        ):
            if self.chance(0.12):
                fields.append((name, rng.choice(values)))
        return self.text(
            "POST",
            target,
            fields,
            body,
            FILES | {413},
            answered="fifo" not in target and b"fifo" not in body,
        )

    def form(self):
        rng, boundary = self.rng, self.rng.choice(("b", "b" * 70, "a'()+_,-./:=?", "b" * 2100))
        out = rng.choice((b"", b"preamble\r\n"))
        for _ in range(rng.choice((0, 1, 1, 2, 9))):
            head = f'Content-Disposition: form-data; name="{rng.choice(("file", "file", "other"))}"'
            head += rng.choice(
                (
                    "", f'; filename="{rng.choice(NAMES)}"',
                    f"; filename*=UTF-8''{rng.choice(('a%20b', '%zz'))}", '; filename="',
                )
            )
            head += rng.choice(
                (
                    "", "\r\nContent-Type: text/plain", "\r\nx",
                    "\r\nX: " + "y" * 66_000 if self.chance(0.1) else "",
                )
            )
            out += (
                b"--" + boundary.encode() + b"\r\n" + head.encode() + b"\r\n\r\n" + self.content() + b"\r\n"
            )
        out += b"--" + boundary.encode() + b"--" + rng.choice((b"\r\n", b"", b"\r\nepilogue"))
        return out, f"multipart/form-data; boundary={rng.choice((boundary, chr(34) + boundary + chr(34)))}"

    def archive(self):
        rng, out = self.rng, io.BytesIO()
        with tarfile.open(
            fileobj=out,
            mode="w",
            format=rng.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)),
        ) as tar:
            for _ in range(rng.choice((0, 1, 2, 5))):
                info = tarfile.TarInfo(
                    rng.choice(("a", "t/b", "../up", "/abs", "t", "link/x", "l" * 90, "d/" * 40 + "x"))
                )
                info.type = rng.choice(
                    (
                        tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE,
                        tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
                    )
                )
                info.linkname = (
                    rng.choice(("a", "../..", "/etc/passwd", "t/b", ""))
                    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE)
                    else ""
                )
                info.mode, info.mtime = rng.choice((0o644, 0o7777, 0)), rng.choice((0, 1e9, 8e9))
                data = self.content() if info.type == tarfile.REGTYPE else b""
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        data = bytearray(out.getvalue())
        if self.chance(self.mischief) and data:
            for _ in range(rng.choice((1, 3))):
                data[rng.randrange(min(len(data), 1500))] = rng.randrange(256)
        return bytes(data)

    def compose(self):
        rng = self.rng
        body = json.dumps(
            {
                "source_paths": [rng.choice(PATHS) for _ in range(rng.choice((0, 1, 2, 5, 40)))],
                "destination": rng.choice(PATHS),
                **({"username": "user"} if self.chance(0.3) else {}),
            }
        ).encode()
        body = self.spoil(body)
        return self.text(
            "POST", "/files/compose", [("Content-Type", "application/json")],
            body,
            FILES | {413},
            answered=b"fifo" not in body,
        )

    def spoil(self, body):
        """A body of JSON, which may be none any more."""
        rng = self.rng
        if self.chance(self.mischief + 0.05):
            at = rng.randrange(len(body))
            junk = Maker(SCHEMA, rng, self.value, 1)._json_junk()
            body = rng.choice(
                (
                    body[:at],
                    body[:at] + junk + body[at:],
                    junk,
                    b"[" + body + b"]", body.replace(b'"', b"'", 2),
                    body.replace(b"[", b"[" + junk + b",", 1),
                    body.replace(b"{", b'{"":' + junk + b",", 1),
                )
            )
        return body

    # ---- control ----

    def init(self):
        """No timestamp: it would set the machine's clock. The token stays."""
        rng = self.rng
        members = {
            name: rng.choice(values)
            for name, values in {
                "accessToken": (TOKEN,) * 8 + ("other", "", "x" * 3000),
                "envVars": ({}, {"A": "b"}, {"": "x", "C=D": "y"}, {"E": "f" * 5000}),
                "defaultUser": ("root", "user", "nobody", "", "user"),
                "defaultWorkdir": ("/home/user", "", "none", "/none"),
                "hyperloopIP": ("127.0.0.1", "", "x", "::1"),
                "caBundle": ("", "x", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
                "lifecycleID": ("l1", "l2", ""),
                "volumeMounts": ([], [{"nfs_target": "127.0.0.1:/x", "path": "/home/user/m"}]),
                "cpuCount": (1, 0, -1, 1 << 40), "thaw": ("skip", "x", ""), "unknown": ({}, [[1]]),
            }.items()
            if self.chance(0.3)
        }
        members.setdefault("accessToken", TOKEN)
        request = self.text(
            "POST", "/init", [("Content-Type", "application/json")],
            self.spoil(json.dumps(members).encode()), {204, 400, 401, 413, 500, 503},
        )
        request.resumes = "lifecycleID" in members
        return request

    def simple(self):
        """No collapse: the memory of a sanitizer takes it ten seconds."""
        rng = self.rng
        method, target, statuses, answered = rng.choice(
            (
                ("GET", "/health", {204}, True), ("HEAD", "/health", {204}, True),
                ("GET", "/metrics", {200}, True), ("GET", "/envs", {200}, True),
                ("GET", "/ports", {200}, True), ("GET", "/ports?follow=1", {200}, False),
                ("POST", "/freeze", {200, 204, 503}, True),
                ("POST", "/freeze?mode=hierarchy&maxWaitMs=1", {200, 204, 503}, True),
                ("POST", "/freeze?mode=x&maxCgroups=-1&maxWaitMs=x", {200, 204, 503}, True),
                ("POST", "/unfreeze", {204, 500}, True), ("POST", "/fsfreeze", {204, 500}, True),
                ("POST", "/fsthaw", {204, 500}, True), ("GET", "/collapse", {405}, True),
                ("POST", "/audit/reopen", {204}, True), ("POST", "/upgrade", {409, 501}, True),
                ("GET", "/none", {404}, True), ("DELETE", "/files?path=a", {405}, True),
                ("PUT", "/health", {405}, True), ("OPTIONS", "*", {204, 404, 405}, True),
                ("OPTIONS", "/files", {204, 405}, True), ("TRACE", "/health", {405}, True),
                ("GET", "/" + "x" * 9000, {404, 414}, True),
            )
        )
        fields = []
        if self.chance(0.2):
            fields.append(("Accept", rng.choice(("application/openmetrics-text", "*/*", ""))))
        if method == "OPTIONS":
            fields += [
                ("Origin", "http://x"),
                ("Access-Control-Request-Method", rng.choice(("POST", "X", ""))),
            ]
        body = None if method in ("GET", "HEAD", "OPTIONS", "TRACE") else rng.choice((b"", b"x" * 99))
        if self.chance(0.1):
            body = b"a body of no use"
        return self.text(method, target, fields, body, statuses, answered=answered)
