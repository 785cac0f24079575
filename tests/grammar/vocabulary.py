# SPDX-License-Identifier: Apache-2.0
"""What the requests of grammar.py are made of: paths, commands, headers; and the statuses of their answers."""

import gzip

# All below the root of the daemon (world.py).
NAMES = (
    "a", "b", "c.txt", "d.json", "deep/er/x", "link", "loop", "fifo", "dir", "dir/e", "ä ö", "%41",
    "big", "x" * 255, "x" * 256,
)
PATHS = (
    *(f"/home/user/{name}" for name in NAMES), "a", "dir", "~/b", "~", "~other/x", "", ".", "..", "/",
    "//home//user/", "/home/user/../user/a", "/none/x", "/etc/passwd", "/proc/self/status", "/full/x",
    "/dev/null", "/home", "/" * 5000, "x/" * 2100, "a\x00b", "/home/user/a/", "/home/user/a/b",
    "/home/user/dir/../../user/dir",
)
TAGS = ("t1", "t2", "t3", "", "x" * 300)
COMMANDS = (
    ("true", []), ("echo", ["text"]), ("cat", []), ("cat", ["/home/user/a", "/none"]),
    ("sleep", ["0.02"]), ("sleep", ["60"]), ("sh", ["-c", "echo out; echo err >&2; exit 3"]),
    ("sh", ["-c", "kill -9 $$"]), ("sh", ["-c", "cat & wait"]),
    ("sh", ["-c", "head -c 300000 /dev/zero; sleep 0.01; echo end"]),
    ("sh", ["-c", "sleep 60 & echo $!"]),
    ("sh", ["-c", "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >>/home/user/log; done"]),
    ("sh", ["-c", "exec >&- 2>&-; sleep 0.02"]), ("sh", ["-c", "stty size; read x; echo $x"]),
    ("/none", []), ("", []), ("/home/user/dir", []), ("a\x00b", []), ("echo", ["x" * 140_000]),
    ("echo", ["y"] * 3000),
)
EXTENSIONS = (
    ("X-Envd-Explain-End", ("1", "0", "x")), ("X-Envd-End", ("leader", "x")),
    ("X-Envd-Kill-Scope", ("leader", "tree", "session", "x")),
    ("X-Envd-Keep-Output", ("0", "99999999999", "x")),
    ("X-Envd-From", ("start", "stdout=2", "stdout=1,stderr=0", "pty=x", "")),
    ("X-Envd-Start-Key", ("k1", "k2", "", "k" * 257)),
    ("X-Envd-Limits", ("nofile=64, nice=5", "memory=64M", "core=0", "x=1", "nofile=", "nice=-21")),
    ("X-Envd-Seccomp", ("default", "none", "../x", "x")),
    ("X-Envd-Watch", ("ignore=a", "only=**/x*, ignore=b?", "only=" + "*a" * 100, "x", ",,", "only=[")),
    ("Keepalive-Ping-Interval", ("1", "0", "-1", "x", "99999999999")),
    ("User-Agent", ("connect-python", "x")),
    ("traceparent", ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-x", "ff-" + "0" * 52)),
    ("tracestate", ("a=b", "=" * 600)), ("Origin", ("http://x", "")), ("X-Envd-Other", ("1",)),
    ("Accept-Encoding", ("gzip", "identity;q=0", "gzip;q=0.5, *;q=0", "x, ,")),
)
ANY = {
    200, 204, 206, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415, 416, 417, 429, 431,
    499, 500, 501, 503, 504, 505, 507,
}
# Of a request whose head and framing are right. The driver shows the texts of 500.
RPC = {200, 400, 401, 403, 404, 409, 415, 429, 500, 501, 503, 504}
FILES = {200, 206, 304, 400, 401, 404, 406, 409, 412, 416, 500, 507}
# Inflates to more than a message may have.
BOMB = gzip.compress(bytes(20_000_000), 9, mtime=0)
DATES = (
    "Sat, 28 Nov 2026 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "x",
    "Sunday, 06-Nov-94 08:49:37 GMT",
)
