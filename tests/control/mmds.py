# SPDX-License-Identifier: Apache-2.0
"""A metadata service that behaves like Firecracker's version 2, and a log collector."""

import hashlib
import http.server
import json
import secrets
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", content_type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class MmdsHandler(Handler):
    def do_PUT(self):
        mmds = self.server.mmds
        mmds.requests.append(("PUT", self.path))
        mmds.gate.wait(20)
        ttl = self.headers.get("X-metadata-token-ttl-seconds")
        if self.path != "/latest/api/token" or not ttl or not 1 <= int(ttl) <= 21600:
            return self.answer(400)
        token = secrets.token_urlsafe(40)
        mmds.tokens[token] = time.monotonic() + int(ttl)
        return self.answer(200, token.encode())

    def do_GET(self):
        mmds = self.server.mmds
        mmds.requests.append(("GET", self.path))
        token = self.headers.get("X-metadata-token")
        if not token or mmds.tokens.get(token, 0) < time.monotonic():
            return self.answer(401, b"No MMDS token provided.")
        if self.headers.get("Accept") != "application/json":
            return self.answer(200, b"accessTokenHash\naddress\nenvID\ninstanceID")
        return self.answer(200, json.dumps(mmds.data).encode(), "application/json")


class CollectorHandler(Handler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.lines.append(json.loads(body))
        self.answer(204)


def serve(address, handler):
    server = http.server.ThreadingHTTPServer(address, handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Mmds:
    def __init__(self):
        self.collector = serve(("127.0.0.1", 0), CollectorHandler)
        self.collector.lines = []
        self.tokens, self.requests = {}, []
        self.gate = threading.Event()
        self.gate.set()
        port = self.collector.server_address[1]
        self.data = {"instanceID": "i-1", "envID": "tpl-1",
                     "address": f"http://127.0.0.1:{port}/logs", "accessTokenHash": ""}
        self.server = serve(("169.254.169.254", 80), MmdsHandler)
        self.server.mmds = self

    @property
    def lines(self):
        return self.collector.lines

    def hash_of(self, token):
        self.data["accessTokenHash"] = hashlib.sha512(token.encode()).hexdigest()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def end(self):
        self.gate.set()
        if self.server:
            self.stop()
        self.collector.shutdown()
        self.collector.server_close()
