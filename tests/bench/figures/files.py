# SPDX-License-Identifier: Apache-2.0
"""Files: downloads, uploads, directories. The floor is nginx if nginx does the same work."""

import ctypes
import os
import socket
import subprocess
import threading
import time
import urllib.parse

import harness
import table
import wire

MIB = 1024 * 1024
NGINX_PORT = 20100
NGINX_CONF = """
worker_processes 1;
daemon off;
master_process off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    sendfile_max_chunk 1m;
    tcp_nopush on;
    keepalive_requests 100000000;
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    fastcgi_temp_path {work}/nginx-fastcgi;
    uwsgi_temp_path {work}/nginx-uwsgi;
    scgi_temp_path {work}/nginx-scgi;
    server {{ listen 127.0.0.1:{port}; root {work}; }}
}}
"""


class Nginx(harness.Daemon):
    """Runs nginx, which serves the work directory. It comes from build/bench/peers or from the PATH."""

    def __init__(self, bench):
        super().__init__("nginx", bench.peer_program("usr/sbin/nginx"), NGINX_PORT, bench.work_dir)
        self.conf = bench.file("nginx.conf", NGINX_CONF.format(
            work=bench.work_dir, port=NGINX_PORT).encode())

    def argv(self, *extra):
        return [self.path, "-c", self.conf, "-e", self.log_path, "-p", os.path.dirname(self.conf)]

    def healthy(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


def get(bench, daemon, name, headers=()):
    """Returns the request that downloads a file of the work directory from this daemon."""
    target = f"/{name}" if daemon.name == "nginx" else f"/files?path={bench.path(name)}"
    return bench.file(f"get-{daemon.name}", wire.http("GET", target, headers))


def post_path(path):
    return f"/files?path={urllib.parse.quote(path)}"


def big_file(bench, name, size):
    if not os.path.exists(bench.path(name)):
        with open(bench.path(name), "wb") as f:
            block = os.urandom(MIB)
            for _ in range(size // MIB):
                f.write(block)


def with_nginx(bench, measure):
    """Returns the function that measures the floor with nginx; None if there is no nginx."""
    if not bench.peer_program("usr/sbin/nginx"):
        return None, None
    nginx = Nginx(bench)
    nginx.start()
    return nginx, lambda: measure(nginx)


def download(bench):
    size = 1024 * MIB
    big_file(bench, "big", size)

    def measure(daemon, *how):
        cpu_us = daemon.cpu_us()
        result = bench.client("fetch", "-p", daemon.port, "-m", size, *how,
                              get(bench, daemon, "big"))
        return {"rate": size / MIB / result["seconds"], "cpu_ms": (daemon.cpu_us() - cpu_us) / 1e3}

    def read(daemon):
        return measure(daemon, "-k")

    nginx, floor = with_nginx(bench, read)
    m = bench.rounds(15, read, floor)
    bench.row("download of 1 GiB (floor: nginx)", "MiB/s", m["rate"],
              table.floor_at_least(0.95, "nginx") & table.peer_at_least(1))
    bench.row("  daemon CPU", "ms", m["cpu_ms"], table.peer_at_most(1))
    # A client that discards the bytes waits for each piece. Then client and daemon wake each other all the
    # time, and the rate depends on the CPUs that the scheduler chooses for them.
    m = bench.rounds(7, measure, (lambda: measure(nginx)) if nginx else None)
    bench.row("  thrown away by the client (floor: nginx)", "MiB/s", m["rate"])
    bench.row("  daemon CPU", "ms", m["cpu_ms"])

    bench.file("small", os.urandom(4096))

    def small(daemon):
        result = bench.client("load", "-p", daemon.port, "-c", 16, "-s", 0.7,
                              get(bench, daemon, "small"))
        return {"rate": result["count"] / result["seconds"], "p99_us": result["p99_us"]}

    m = bench.rounds(5, small, (lambda: small(nginx)) if nginx else None)
    bench.row("downloads of 4 KiB, 16 at once (floor: nginx)", "/s", m["rate"],
              table.floor_at_least(0.8, "nginx") & table.peer_at_least(2))
    if nginx:
        nginx.stop()


def upload_head(path, length, kind="application/octet-stream"):
    return (f"POST {post_path(path)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


# As long as the boundaries of httpx and requests: the length affects the search for the boundary.
BOUNDARY = "7c6f2d0e9ab14385b0d1e6f97a2c4853"


def upload(bench):
    size = 1024 * MIB
    block = bench.file("block", os.urandom(MIB))
    part = (f"--{BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="file"; filename="f"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n").encode()
    tail = bench.file("multipart-tail", f"\r\n--{BOUNDARY}--\r\n".encode())

    def measure(daemon):
        target = bench.path(f"uploaded-{daemon.name}")
        octet = bench.file("octet-head", upload_head(target, size))
        multipart = bench.file("multipart-head", upload_head(
            target, len(part) + size + os.path.getsize(tail),
            f"multipart/form-data; boundary={BOUNDARY}") + part)
        cpu_us = daemon.cpu_us()
        a = bench.client("push", "-p", daemon.port, "-b", block, "-r", size // MIB, octet)
        cpu_us = daemon.cpu_us() - cpu_us
        os.unlink(target)  # truncating a file of 1 GiB takes a tenth of the time
        b = bench.client("push", "-p", daemon.port, "-b", block, "-r", size // MIB, "-t", tail,
                         multipart)
        if os.path.getsize(target) != size:
            raise harness.Failed(f"{daemon.name}: {os.path.getsize(target)} bytes were stored")
        os.unlink(target)
        return {"octet": size / MIB / a["seconds"], "multipart": size / MIB / b["seconds"],
                "cpu_ms": cpu_us / 1e3}

    m = bench.rounds(5, measure)
    bench.row("upload of 1 GiB", "MiB/s", m["octet"], table.peer_at_least(1.5))
    bench.row("  daemon CPU", "ms", m["cpu_ms"])
    bench.row("upload of 1 GiB, multipart", "MiB/s", m["multipart"],
              table.at_least(0.9 * m["octet"]["ours"], "≥ 0.9 × octet-stream"))

    def small(daemon):
        os.makedirs(bench.path("small-uploads"), exist_ok=True)
        requests = [bench.file(f"upload-{i}", wire.http(
            "POST", post_path(bench.path(f"small-uploads/{daemon.name}-{i}")),
            [("Content-Type", "application/octet-stream")], b"x" * 4096)) for i in range(16)]
        result = bench.client("load", "-p", daemon.port, "-c", 16, "-s", 0.7, *requests)
        return {"rate": result["count"] / result["seconds"]}

    m = bench.rounds(5, small)
    bench.row("uploads of 4 KiB, 16 at once", "/s", m["rate"], table.peer_at_least(2))


def compressed(bench):
    size = 32 * MIB
    words = [bytes(f"word{i * 7919 % 5000} ", "ascii") for i in range(5000)]
    text = b"".join(words) * (size // sum(map(len, words)) + 1)
    bench.file("text.txt", text[:size])
    bench.file("random.txt", os.urandom(size))

    def measure(daemon, name):
        headers = [("Accept-Encoding", "gzip"), ("Connection", "close")]
        result = bench.client("fetch", "-p", daemon.port, get(bench, daemon, name, headers))
        return {"rate": size / MIB / result["seconds"]}

    m = bench.rounds(3, lambda daemon: measure(daemon, "text.txt"))
    bench.row("gzip download of text", "MiB/s", m["rate"], table.peer_at_least(1.5))
    m = bench.rounds(3, lambda daemon: measure(daemon, "random.txt"))
    bench.row("gzip download of random bytes", "MiB/s", m["rate"], table.peer_at_least(10))


def short_calls(bench):
    """Returns the duration of the slowest of 100 short calls on one connection."""
    path = bench.file("short", os.urandom(4096))
    calls = {
        "Stat": wire.unary("filesystem.Filesystem/Stat", {"path": path}),
        "download of 4 KiB": wire.http("GET", post_path(path)),
        "upload of 4 KiB": wire.http("POST", post_path(bench.path("short-upload")),
                                     [("Content-Type", "application/octet-stream")], b"x" * 4096),
    }
    for name, call in calls.items():
        request = bench.file("short-call", call)

        def measure(daemon, request=request):
            return {"p99_us": bench.client("load", "-p", daemon.port, "-s", 0.7, request)["p99_us"]}

        m = bench.rounds(5, measure)
        bench.row(f"{name}, p99", "µs", m["p99_us"], table.peer_at_most(2))


def list_dir(bench):
    for count, rounds in ((5000, 5), (100000, 3)):
        name = f"dir-{count}"
        os.makedirs(bench.path(name))
        bench.run_client("files", count, bench.path(name))
        call = bench.file("list-dir", wire.unary("filesystem.Filesystem/ListDir",
                                                 {"path": bench.path(name)}, close=True))

        def measure(daemon, call=call, count=count):
            with daemon.peak_memory() as memory:
                result = bench.client("fetch", "-p", daemon.port, "-m", count * 50, call)
            return {"ms": result["seconds"] * 1e3, **memory}

        m = bench.rounds(rounds, measure)
        bench.row(f"ListDir of {count:,} entries", "ms", m["ms"], table.peer_at_most(0.25))
    bench.row("  daemon's memory meanwhile", "KiB", m["peak_kib"])


def eight_transfers(bench):
    size = 1024 * MIB
    big_file(bench, "big", size)
    block = bench.file("block", os.urandom(MIB))

    def measure(daemon):
        targets = [bench.path(f"eight-{i}") for i in range(4)]
        heads = [bench.file(f"eight-head-{i}", upload_head(t, size))
                 for i, t in enumerate(targets)]
        fetch = get(bench, daemon, "big")
        with daemon.peak_memory() as memory:
            download = threading.Thread(target=bench.client, args=(
                "fetch", "-p", daemon.port, "-c", 4, "-m", size, fetch))
            download.start()
            bench.client("push", "-p", daemon.port, "-c", 4, "-b", block, "-r", size // MIB, *heads)
            download.join()
        for t in targets:
            os.unlink(t)
        return memory

    m = bench.rounds(1, measure)
    bench.row("memory during eight transfers of 1 GiB", "KiB", m["peak_kib"], table.at_most(6144))


class HungMount:
    """A FUSE file system that never answers: processes that access it block until its end."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        os.makedirs(path, exist_ok=True)
        self.path, self.libc = path.encode(), libc
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"hung", self.path, b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "FUSE mount")

    def close(self):
        os.close(self.fd)  # closing the last descriptor aborts the connection
        self.libc.umount2(self.path, 2)


def health_meanwhile(bench):
    cold = os.path.join(os.path.dirname(bench.client_path), "cold")
    with open(cold, "wb") as f:
        for _ in range(1024):
            f.write(os.urandom(MIB))
        os.fsync(f.fileno())
    count = 200000

    def measure(daemon):
        tree = bench.path(f"tree-{daemon.name}")
        os.makedirs(tree)
        bench.run_client("files", count, tree)
        fd = os.open(cold, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        hung = HungMount(bench.path(f"hung-{daemon.name}"))
        requests = {
            "cold": wire.http("GET", f"/files?path={urllib.parse.quote(cold)}"),
            "remove": wire.unary("filesystem.Filesystem/Remove", {"path": tree}),
            "stat": wire.unary("filesystem.Filesystem/Stat",
                               {"path": bench.path(f"hung-{daemon.name}") + "/x"}),
        }
        work = [subprocess.Popen([bench.client_path, "fetch", "-p", str(daemon.port),
                                  bench.file(f"meanwhile-{name}", data)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for name, data in requests.items()]
        try:
            health = bench.file("health", wire.http("GET", "/health"))
            result = bench.client("load", "-p", daemon.port, "-s", 1.5, "-i", 1, health)
        finally:
            hung.close()
            for process in work:
                process.wait()
        return {"p99_ms": result["p99_us"] / 1e3}

    try:
        m = bench.rounds(1, measure)
    finally:
        os.unlink(cold)
    bench.row("/health p99 beside a cold file, a Remove of 200,000, a hung mount", "ms",
              m["p99_ms"], table.at_most(5))


def remove(bench):
    count = 1000000

    def measure(daemon):
        tree = bench.path(f"million-{daemon.name}")
        os.makedirs(tree)
        bench.run_client("files", count, tree)
        request = bench.file("remove-million", wire.unary("filesystem.Filesystem/Remove",
                                                          {"path": tree}, close=True))
        done = {}
        removal = threading.Thread(target=lambda: done.update(
            bench.client("fetch", "-p", daemon.port, request)))
        removal.start()
        health = bench.file("health", wire.http("GET", "/health"))
        result = bench.client("load", "-p", daemon.port, "-s", 2, "-i", 1, health)
        removal.join()
        if os.path.exists(tree):
            raise harness.Failed(f"{daemon.name}: {tree} is still there")
        return {"s": done["seconds"], "p99_ms": result["p99_us"] / 1e3}

    m = bench.rounds(1, measure)
    bench.row("Remove of 1,000,000 files", "s", m["s"], table.peer_at_most(1))
    bench.row("  /health p99 meanwhile", "ms", m["p99_ms"], table.at_most(5))


GROUP = (download, upload, compressed, short_calls, list_dir, eight_transfers,
         health_meanwhile, remove)
