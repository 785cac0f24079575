# SPDX-License-Identifier: Apache-2.0
"""A replacement for the cloud around a sandbox, for the SDKs' secure mode.

Two servers on loopback: the control plane, with the calls by which the SDKs create, find, connect to
and kill a sandbox; and the edge, which relays requests for a sandbox to the daemon, and answers 502 for
a sandbox that is gone. The daemon gets its access token by /init, as from an orchestrator; a client
without the token can't reach the sandbox."""

import http.server
import json
import os
import re
import secrets
import socket
import threading
import urllib.request
from datetime import datetime, timedelta, timezone

API_PORT = 49700
EDGE_PORT = 49701
API_KEY = "e2b_" + "0" * 40
TOKEN = secrets.token_hex(32)

ENVIRONMENT = {
    "E2B_API_KEY": API_KEY,
    "E2B_API_URL": f"http://localhost:{API_PORT}",
    "E2B_SANDBOX_URL": f"http://localhost:{EDGE_PORT}",
}


class Cloud:
    def __init__(self, daemon_port):
        self.daemon_port = daemon_port
        self.sandboxes = {}
        self.relayed = set()  # the clients' connections
        self.lock = threading.Lock()
        self.init(accessToken=TOKEN)
        self.api = http.server.ThreadingHTTPServer(("127.0.0.1", API_PORT), ApiHandler)
        self.api.daemon_threads = True
        self.api.cloud = self
        threading.Thread(target=self.api.serve_forever, args=(0.01,), daemon=True).start()
        self.edge = socket.create_server(("127.0.0.1", EDGE_PORT), backlog=512)
        threading.Thread(target=self.accept, daemon=True).start()

    def init(self, **fields):
        request = urllib.request.Request(f"http://127.0.0.1:{self.daemon_port}/init",
                                         json.dumps(fields).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            # SDKs look at the version that the control plane names. A test may name another.
            self.version = os.environ.get("SDK_ENVD_VERSION") or answer.headers["X-Envd-Version"]

    def close(self):
        self.api.shutdown()
        self.api.server_close()
        self.edge.shutdown(socket.SHUT_RDWR)
        self.edge.close()

    # ---- the control plane ----

    def create(self, wanted):
        now = datetime.now(timezone.utc)
        sandbox = {
            "sandboxID": secrets.token_hex(10),
            "templateID": wanted.get("templateID", "base"),
            "clientID": "client",
            "alias": "base",
            "envdVersion": self.version,
            "envdAccessToken": TOKEN,
            "domain": None,
            "startedAt": now.isoformat(),
            "endAt": (now + timedelta(seconds=wanted.get("timeout", 300))).isoformat(),
            "state": "running",
            "cpuCount": 2,
            "memoryMB": 512,
            "diskSizeMB": 1024,
            "metadata": wanted.get("metadata") or {},
        }
        self.init(accessToken=TOKEN, envVars=wanted.get("envVars") or {})
        with self.lock:
            self.sandboxes[sandbox["sandboxID"]] = sandbox
        return sandbox

    def kill(self, sandbox):
        """A sandbox that ends takes its connections along.

        The SDKs share their connections among sandboxes, and the edge looks at the first request
        of a connection alone: so all connections go.
        """
        with self.lock:
            del self.sandboxes[sandbox]
            connections = list(self.relayed)
        for client in connections:
            hang_up(client)

    # ---- the edge ----

    def accept(self):
        while True:
            try:
                client, _ = self.edge.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                client.close()
                return
            head += piece
        name = re.search(rb"\r\ne2b-sandbox-id: *([^\r]*)", head, re.IGNORECASE)
        with self.lock:
            gone = name and name.group(1).decode() not in self.sandboxes
            if not gone:
                self.relayed.add(client)
        if gone:
            body = b'{"message":"The sandbox was not found","code":502}'
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n"
                           b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            client.close()
            return
        upstream = socket.create_connection(("127.0.0.1", self.daemon_port))
        for s in (client, upstream):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream.sendall(head)
        back = threading.Thread(target=pump, args=(upstream, client), daemon=True)
        back.start()
        pump(client, upstream)
        back.join()
        with self.lock:
            self.relayed.discard(client)
        client.close()
        upstream.close()


def pump(source, destination):
    """One direction of a relay, to its end."""
    try:
        while piece := source.recv(262144):
            destination.sendall(piece)
        destination.shutdown(socket.SHUT_WR)
    except OSError:
        hang_up(source)
        hang_up(destination)


def hang_up(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class ApiHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self):
        cloud = self.server.cloud
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wanted = json.loads(body) if body else {}
        if self.headers.get("X-API-Key") != API_KEY:
            return self.answer(401, {"code": 401, "message": "no such key"})
        path = self.path.split("?")[0].strip("/").split("/")
        if re.fullmatch(r"v\d", path[0]):
            path.pop(0)
        if (self.command, path) == ("POST", ["sandboxes"]):
            return self.answer(201, cloud.create(wanted))
        if (self.command, path) == ("GET", ["sandboxes"]):
            return self.answer(200, list(cloud.sandboxes.values()))
        sandbox = cloud.sandboxes.get(path[1]) if path[0] == "sandboxes" and path[1:] else None
        if not sandbox:
            return self.answer(404, {"code": 404, "message": "no such sandbox"})
        if (self.command, path[2:]) == ("GET", []):
            return self.answer(200, sandbox)
        if (self.command, path[2:]) == ("DELETE", []):
            cloud.kill(sandbox["sandboxID"])
            return self.answer(204)
        if (self.command, path[2:]) == ("POST", ["connect"]):
            return self.answer(200, sandbox)
        if (self.command, path[2:]) == ("POST", ["timeout"]):
            return self.answer(204)
        if (self.command, path[2:]) == ("GET", ["metrics"]):
            return self.answer(200, [self.metrics()])
        return self.answer(404, {"code": 404, "message": "not in this cloud"})

    def metrics(self):
        """The daemon's figures, as the platform's collector reads and stores them."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.cloud.daemon_port}/metrics",
            headers={"X-Access-Token": TOKEN})
        with urllib.request.urlopen(request, timeout=20) as answer:
            m = json.load(answer)
        return {
            "timestamp": datetime.fromtimestamp(m["ts"], timezone.utc).isoformat(),
            "timestampUnix": m["ts"], "cpuCount": m["cpu_count"],
            "cpuUsedPct": m["cpu_used_pct"], "memUsed": m["mem_used"],
            "memTotal": m["mem_total"], "memCache": m["mem_cache"],
            "diskUsed": m["disk_used"], "diskTotal": m["disk_total"],
        }

    do_GET = do_POST = do_DELETE = handle_request
