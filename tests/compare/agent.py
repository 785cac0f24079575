# SPDX-License-Identifier: Apache-2.0
"""Runs the cases against one daemon, in namespaces of their own, and writes down what it saw.

A case becomes a transcript: lines of text in which everything that may differ from run to run
(pids, times, watcher ids) has a name instead."""

import base64
import contextlib
import ctypes
import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time
import urllib.parse

import http1
import messages

PORT = 20000
PASSWD = """root:x:0:0:root:/mnt/root:/bin/bash
user:x:1000:1000:A User:/mnt/user:/bin/bash
nohome:x:1001:1001::/mnt/absent:/bin/sh
"""
GROUP = """root:x:0:
user:x:1000:
nohome:x:1001:
extra:x:2000:user
"""


PR_CAPBSET_DROP = 24
CAP_SYS_TIME = 25
LIBC = ctypes.CDLL(None)


def keep_off_the_clock():
    """Run in the child before its exec: /init sets the clock, and no namespace has one of its
    own, so the daemon gets no right to (capabilities(7), prctl(2))."""
    if LIBC.prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0):
        os._exit(126)


class Daemon:
    """The envd under test; a case may have it started anew."""

    def __init__(self, path, log):
        self.path, self.log, self.process = path, log, None

    def start(self, flags=()):
        self.stop()
        self.process = subprocess.Popen(
            [self.path, "-isnotfc", "-no-cgroups", "-port", str(PORT), *flags],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd="/",
            preexec_fn=keep_off_the_clock,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        for _ in range(1000):
            try:
                http1.Connection(PORT).socket.close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        raise SystemExit(f"{self.path} does not come up")

    def check_rights(self):
        """Stops everything if the daemon could set the clock of the machine after all."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii", errors="replace") as f:
            sets = dict(line.split(":\t") for line in f if line.startswith("Cap"))
        if any(int(sets[name], 16) >> CAP_SYS_TIME & 1 for name in ("CapPrm", "CapEff", "CapBnd")):
            raise SystemExit("the daemon under test may set the clock: refusing to go on")

    def end_processes(self):
        """Kills what a case has left running: all of this pid namespace but us and the daemon."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) not in (os.getpid(), self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


def prepare(binary):
    """Private directories, users and a copy of the daemon; returns the copy's path."""
    def mount(*args):
        subprocess.run(["mount", *args], check=True)

    mount("-t", "tmpfs", "-o", "mode=755", "envd-compare", "/mnt")
    subprocess.run(["cp", binary, "/mnt/.envd"], check=True)
    subprocess.run(["cp", "-a", "/etc", "/mnt/.etc"], check=True)
    for name, text in (("passwd", PASSWD), ("group", GROUP)):
        with open(f"/mnt/.etc/{name}", "w", encoding="ascii") as f:
            f.write(text)
    mount("--bind", "/mnt/.etc", "/etc")
    mount("-t", "tmpfs", "envd-compare", "/run")
    mount("-t", "tmpfs", "envd-compare", "/usr/local/share")
    return "/mnt/.envd"


def clean():
    """Empty home directories and an empty /mnt/tmp."""
    for name, owner in (("root", 0), ("user", 1000), ("tmp", 0)):
        shutil.rmtree(f"/mnt/{name}", ignore_errors=True)
        os.mkdir(f"/mnt/{name}", 0o755)
        os.chown(f"/mnt/{name}", owner, owner)


class Stream:
    """A streaming RPC that stays open between the steps of a case."""

    def __init__(self, connection, answer, decode):
        self.connection, self.answer, self.decode = connection, answer, decode
        self.pieces = connection.pieces(answer)
        self.data = b""

    def envelope(self):
        """(flags, bytes) of the next envelope; None at the end of the body."""
        while len(self.data) < 5 or len(self.data) < 5 + struct.unpack(">I", self.data[1:5])[0]:
            try:
                self.data += next(self.pieces)
            except StopIteration:
                return None
        flags, size = struct.unpack(">BI", self.data[:5])
        body, self.data = self.data[5:5 + size], self.data[5 + size:]
        return flags, body


class Case:
    """One case under way: its names for what varies, its open streams, its transcript."""

    def __init__(self, daemon, case, codec):
        self.daemon, self.case = daemon, case
        self.codec, self.protocol, self.gzip = codec
        self.lines, self.pids, self.streams = [], {}, {}
        self.names = {"blob": base64.b64encode(bytes(600000)).decode(), "megabytes": "x" * 3000000}

    def say(self, text):
        self.lines += str(text).split("\n")

    # -- what varies gets a name

    def fill(self, value):
        """Puts the names of earlier steps (${pid1}) into a step's strings."""
        if isinstance(value, str):
            return re.sub(r"\$\{(\w+)\}", lambda m: str(self.names[m.group(1)]), value)
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        return value

    def name_pid(self, pid):
        if pid not in self.pids:
            self.pids[pid] = f"pid{len(self.pids) + 1}"
            self.names[self.pids[pid]] = pid
        return f"<{self.pids[pid]}>"

    def plain(self, value, key=""):
        """A decoded message without what varies."""
        if isinstance(value, dict):
            if value.get("type") == "EVENT_TYPE_CREATE" and "entry" in value:
                value["entry"].pop("size", None)  # that of the moment at which it was looked at
            return {k: self.plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.plain(v, key) for v in value]
        if key == "pid" and value:
            return self.name_pid(value)
        if key == "watcherId":
            self.names["watcher"] = value
            return f"<{value[:1]}…>"
        if key == "modifiedTime":
            return "<time>"
        if key in ("stdout", "stderr", "pty") and isinstance(value, str):
            data = base64.b64decode(value)
            if len(data) > 400:
                return f"<{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:12]}>"
            return self.text(data)
        if key == "message" and value:
            return "…"
        return value

    def text(self, data):
        """Bytes as text; the pids that are known, and the daemon's, by their names."""
        text = data.decode(errors="backslashreplace")
        for pid, name in self.pids.items():
            text = re.sub(rf"\b{pid}\b", f"<{name}>", text)
        return text

    # -- answers

    def show_head(self, answer, extra=()):
        for status in answer.interim:
            self.say(f"< {status}")
        self.say(f"< {answer.version} {answer.status or answer.reason}")
        # The reference has no ETag.
        hidden = {"date", "etag", "content-length", "transfer-encoding", *extra}
        if self.case.get("framing"):
            hidden -= {"content-length", "transfer-encoding"}
        if (answer.header("content-type") or "").startswith("multipart/byteranges"):
            hidden |= {"content-length"}  # boundaries are of different lengths
        if answer.status == 304:
            hidden |= {"last-modified"}  # which an ETag stands for (RFC 9110 section 15.4.5)
        lines = (f"{k.lower()}: {'…' if k.lower() == 'grpc-message' else v}"
                 for k, v in answer.headers if k.lower() not in hidden)
        for line in sorted(lines):
            self.say(re.sub(r"(?<=last-modified: ).* GMT", "<time>", line)
                     if not self.case.get("times") else line)

    def show_body(self, answer):
        body = answer.body
        if answer.header("content-encoding") == "gzip" and body:
            body = gzip.decompress(body)
        kind = answer.header("content-type") or ""
        if "json" in kind and body:
            ending = "\n" if body.endswith(b"\n") else ""
            try:
                # Key order and final newline are facts, the spaces between and the wording not.
                self.say(json.dumps(self.plain(json.loads(body)), ensure_ascii=False) +
                         ("\\n" if ending else ""))
                return
            except ValueError:
                pass
        boundary = re.search(r"boundary=(\w+)", kind)
        if boundary:
            body = body.replace(boundary.group(1).encode(), b"<boundary>")
        if len(body) > 2000:
            self.say(f"<{len(body)} bytes, {hashlib.sha256(body).hexdigest()[:12]}>")
        elif body:
            # A message that is refused before it is understood: the reason is each one's own.
            self.say(re.sub(r"^'(\d{3} [A-Z][\w ]+)[:\\'].*", r"'\1…'", repr(self.text(body))))

    def show(self, answer, body=True):
        if answer is None:
            self.say("< nothing")
            return
        boundary = re.search(r"boundary=(\w+)", answer.header("content-type") or "")
        mark = len(self.lines)
        self.show_head(answer)
        if boundary:
            self.lines[mark:] = [line.replace(boundary.group(1), "<boundary>")
                                 for line in self.lines[mark:]]
        if body:
            self.show_body(answer)
        for k, v in answer.trailers:
            self.say(f"trailer {k.lower()}: {v}")
        if answer.cut:
            self.say("< cut short")

    # -- steps

    def body_of(self, step):
        if "body64" in step:
            body = base64.b64decode(step["body64"])
        else:
            body = step.get("body", "").encode("utf-8", "surrogateescape")
        body *= step.get("times", 1)
        return gzip.compress(body) if step.get("gzip") else body

    def step_http(self, step):
        """A request as a client makes it."""
        method, _, path = step["http"].partition(" ")
        body = self.body_of(step)
        lines = [f"{method} {urllib.parse.quote(path, safe='/?&=%~+:;,.*@!$()[]#<>|')} HTTP/1.1",
                 "Host: localhost", *step.get("headers", ())]
        if step.get("chunked"):
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%b\r\n" % (len(p), p)
                            for p in (body[i:i + 7] for i in range(0, len(body), 7)))
            body += b"0\r\n\r\n"
        elif body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        with http1.Connection(PORT) as c:
            c.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            answer = c.answer(method)
            self.show(answer)
            if step.get("closes") is not None:
                self.say(f"closed: {c.ended()}")

    def step_raw(self, step):
        """Bytes as they are, and every answer to them."""
        data = step["raw"].encode("latin-1") * step.get("times", 1)
        with http1.Connection(PORT, timeout=step.get("timeout", 1)) as c:
            c.send(data)
            if step.get("half_close"):
                c.half_close()
            method = "HEAD" if data.startswith(b"HEAD") else "GET"
            c.socket.settimeout(0.5)
            shown = 0
            while (answer := c.answer(method)) is not None:
                self.show(answer)
                shown += 1
                if answer.cut or shown == 10:
                    break
            if not shown:
                self.say("< nothing")
            self.say(f"closed: {c.ended()}")

    def message_types(self, method):
        name = method.split("/")[-1]
        response = name + "Response"
        return name + "Request", response if response in messages.SCHEMA else "Empty"

    def encode(self, method, text):
        if self.codec == "json":
            return text.encode("utf-8", "surrogateescape")
        return messages.encode(self.message_types(method)[0], json.loads(text))

    def decode(self, method, kind, data):
        """A message in the codec that the answer's content type names."""
        if "json" in kind:
            return json.loads(data)
        return messages.decode(self.message_types(method)[1], data)

    def rpc_request(self, step):
        """Head and body of a call in the codec and protocol of this run."""
        method, texts = step["rpc"], step.get("json", "{}")
        texts = [texts] if isinstance(texts, str) else texts
        streaming = method.split("/")[-1] in messages.STREAMS
        headers = list(step.get("headers", ()))
        bodies = [self.encode(method, t) for t in texts]
        enveloped = streaming or self.protocol == "grpcweb"
        if self.gzip:
            bodies = [gzip.compress(b) for b in bodies]
            name = {"grpcweb": "Grpc-Encoding"}.get(
                self.protocol, "Connect-Content-Encoding" if streaming else "Content-Encoding")
            headers.append(f"{name}: gzip")
        flags = 1 if self.gzip else 0
        if "envelopes" in step:
            body = b"".join(struct.pack(">BI", e.get("flags", 0), e.get("size", len(d))) + d
                            for e in step["envelopes"]
                            for d in [base64.b64decode(e["base64"]) if "base64" in e
                                      else e.get("text", "").encode()])
        elif "body" in step or "body64" in step:
            body = self.body_of(step)
        elif enveloped:
            body = b"".join(struct.pack(">BI", flags, len(b)) + b for b in bodies)
        else:
            body = bodies[0]
        kind = step.get("type") or (
            f"application/grpc-web+{self.codec}" if self.protocol == "grpcweb" else
            f"application/connect+{self.codec}" if streaming else f"application/{self.codec}")
        lines = [f"{step.get('method', 'POST')} {step.get('path', '/' + method)} HTTP/1.1",
                 "Host: localhost", *headers]
        if kind != "none":
            lines.append(f"Content-Type: {kind}")
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def step_rpc(self, step):
        method = step["rpc"]
        c = http1.Connection(PORT, timeout=step.get("timeout", 5))
        c.send(self.rpc_request(step))
        try:
            answer = c.head()
        except (http1.Ended, TimeoutError):
            self.say("< nothing")
            return
        kind = answer.header("content-type") or ""
        if not kind.startswith(("application/connect+", "application/grpc-web")):
            try:
                for piece in c.pieces(answer):
                    answer.body += piece
            except (http1.Ended, TimeoutError):
                answer.cut = True
            if kind == "application/proto" and answer.status == 200:
                self.show(answer, body=False)
                self.say(json.dumps(self.plain(self.decode(method, kind, self.gunzip(answer))),
                                    ensure_ascii=False))
            else:
                self.show(answer)
            c.socket.close()
            return
        self.show(answer, body=False)
        stream = Stream(c, answer, lambda data: self.decode(method, kind, data))
        if "keep" in step:
            self.streams[step["keep"]] = stream
            self.read_stream(stream, step.get("until", 1))
        else:
            self.read_stream(stream, None)
            c.socket.close()

    @staticmethod
    def gunzip(answer):
        if answer.header("content-encoding") == "gzip":
            return gzip.decompress(answer.body)
        return answer.body

    def read_stream(self, stream, until):
        """Shows messages: `until` so many, or one whose text holds it, or (None) the end.

        Pieces of output that follow each other are put together, as their sizes are chance."""
        pending = {}

        def flush():
            for kind, data in pending.items():
                self.say(json.dumps(self.plain({"event": {"data": {
                    kind: base64.b64encode(data).decode()}}}), ensure_ascii=False))
            pending.clear()

        count = 0
        try:
            while until is None or isinstance(until, str) or count < until:
                envelope = stream.envelope()
                if envelope is None:
                    flush()
                    for k, v in stream.answer.trailers:
                        self.say(f"trailer {k.lower()}: {v}")
                    self.say("< end of body")
                    return
                flags, body = envelope
                count += 1
                if flags & 1 and body:
                    body = gzip.decompress(body)
                if flags & 0x82:
                    flush()
                    self.show_last(flags, body)
                    continue
                message = stream.decode(body)
                data = message.get("event", {}).get("data") if isinstance(message, dict) else None
                if data:
                    self.check_chunk(data)
                    for kind, text in data.items():
                        if kind not in pending:
                            flush()
                        pending[kind] = pending.get(kind, b"") + base64.b64decode(text)
                    if isinstance(until, str) and until in b"".join(pending.values()).decode(
                            errors="replace"):
                        break
                    continue
                flush()
                line = json.dumps(self.plain(message), ensure_ascii=False, sort_keys=True)
                self.say(line + (" (gzip)" if flags & 1 else ""))
                if isinstance(until, str) and until in line:
                    return
        except http1.Ended:
            flush()
            self.say("< cut short")
            return
        except TimeoutError:
            flush()
            self.say("< nothing more for a while")
            return
        flush()

    def check_chunk(self, data):
        """Clients rely on the sizes: 32 KiB of a pipe, 16 KiB of a terminal, at most."""
        for kind, text in data.items():
            size = len(base64.b64decode(text))
            if size > (16384 if kind == "pty" else 32768):
                self.say(f"! a chunk of {size} bytes")

    def show_last(self, flags, body):
        """The end-of-stream message."""
        if flags & 0x80:
            for line in sorted(body.decode().strip().split("\r\n")):
                name, _, value = line.partition(":")
                if name.lower() == "grpc-message":
                    value = " …"
                self.say(f"{flags:#x} {name.lower()}:{value}")
        else:
            self.say(f"{flags:#x} " + json.dumps(self.plain(json.loads(body)), sort_keys=True))

    def step_more(self, step):
        """Reads on in a stream that was kept."""
        self.read_stream(self.streams[step["more"]], step.get("until", 1))

    def step_finish(self, step):
        stream = self.streams.pop(step["finish"])
        self.read_stream(stream, None)
        stream.connection.socket.close()

    def step_quiet(self, step):
        """Shows what comes in a stream until it is silent for a moment."""
        stream = self.streams[step["quiet"]]
        stream.connection.socket.settimeout(step.get("seconds", 0.4))
        self.read_stream(stream, None)
        stream.connection.socket.settimeout(5)

    def step_drop(self, step):
        self.streams.pop(step["drop"]).connection.socket.close()

    def step_sh(self, step):
        """A command in the test's own hands; with `show` its output belongs to the transcript."""
        done = subprocess.run(["/bin/sh", "-c", step["sh"]], check=False, cwd="/mnt/user",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20)
        if step.get("show"):
            self.say(self.text(done.stdout).rstrip("\n"))

    def step_wait(self, step):
        time.sleep(step["wait"])

    def run(self):
        steps = self.case.get("steps") or [self.case]
        try:
            for step in steps:
                step = self.fill(step)
                kind = next(k for k in ("http", "raw", "rpc", "sh", "more", "finish", "quiet",
                                        "drop", "wait") if k in step)
                if kind in ("http", "raw", "rpc"):
                    self.say(f"> {step[kind]}"[:120].replace("\r\n", "\\r\\n"))
                getattr(self, f"step_{kind}")(step)
        except (OSError, KeyError, ValueError, StopIteration, subprocess.SubprocessError) as e:
            self.say(f"! {type(e).__name__}: {e}")
        for stream in self.streams.values():
            stream.connection.socket.close()
        self.daemon.end_processes()
        if self.daemon.process.poll() is not None:
            self.say(f"! the daemon ended with {self.daemon.process.returncode}")
        return self.lines


MATRIX = {"json": ("json", "connect", False), "proto": ("proto", "connect", False),
          "gzip": ("json", "connect", True), "proto-gzip": ("proto", "connect", True),
          "grpcweb": ("proto", "grpcweb", False), "grpcweb-json": ("json", "grpcweb", False),
          "grpcweb-gzip": ("proto", "grpcweb", True)}


def variants(case):
    """The runs of a case: (name, codec), by its `matrix`."""
    kinds = case.get("matrix", ["json"])
    if kinds == "all":
        kinds = list(MATRIX)
    for kind in kinds:
        yield case["name"] + (f" [{kind}]" if kind != "json" else ""), MATRIX[kind]


def run(binary, cases):
    """{name: transcript} of all cases."""
    results = {}
    path = prepare(binary)
    with open("/mnt/.log", "wb") as log:
        daemon = Daemon(path, log)
        touched = True
        for case in cases:
            for name, codec in variants(case):
                if touched or case.get("fresh") or "flags" in case or daemon.process.poll() is not None:
                    daemon.start(case.get("flags", ()))
                touched = bool(case.get("fresh") or "flags" in case)
                daemon.check_rights()
                clean()
                if "setup" in case:
                    subprocess.run(["/bin/sh", "-ec", case["setup"]], check=True,
                                   cwd="/mnt/user", stdin=subprocess.DEVNULL)
                results[name] = Case(daemon, case, codec).run()
        daemon.stop()
    return results
