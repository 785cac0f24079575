# SPDX-License-Identifier: Apache-2.0
"""Processes that must survive the daemon that started them: `kill -9`, an upgrade, a restart of the
service."""

import base64
import contextlib
import http.client

import guest

TICKER = "/usr/local/bin/ticker"
TICK_MS = "100"

# The program writes each line of its input to a file, so a check needs no stream of the daemon.
ECHO = 'while read line; do echo "$line" >/tmp/echo.$$; done'

# The exceptions of a client while the daemon is being replaced.
GONE = (OSError, RuntimeError, http.client.HTTPException, ValueError)


def pids(envd):
    """Returns the pids of the processes that the daemon knows."""
    return {p["pid"] for p in envd.unary("process.Process/List", {}).get("processes", [])}


class Survivors:
    """Processes that print, that read, that have terminals, and whose output is kept."""

    def __init__(self, envd, tickers=12, readers=4, terminals=4, kept=4):
        self.envd = envd
        self.kept = [envd.start_detached(TICKER, TICK_MS, headers={"X-Envd-Keep-Output": "65536"})
                     for _ in range(kept)]
        self.tickers = [self.tick() for _ in range(tickers)]
        self.readers = [envd.start_detached("/bin/sh", "-c", ECHO) for _ in range(readers)]
        self.terminals = [envd.start_detached("/bin/sh", pty=(80, 24)) for _ in range(terminals)]

    def tick(self):
        """Starts one more ticker. Returns its pid."""
        return self.envd.start_detached(TICKER, TICK_MS)

    def all(self):
        return {*self.kept, *self.tickers, *self.readers, *self.terminals}

    def _file(self, pid):
        return self.envd.request("GET", f"/files?path=/tmp/echo.{pid}")[2].decode().strip()

    def _send(self, pid, kind, text):
        self.envd.unary("process.Process/SendInput", {
            "process": {"pid": pid}, "input": {kind: base64.b64encode(text.encode()).decode()}})

    def alive(self):
        """Returns the names of the processes, read from /proc."""
        return {pid: self.envd.request("GET", f"/files?path=/proc/{pid}/comm")[2].decode().strip()
                for pid in self.all()}

    def check(self, checks, when, word):
        """Checks that the daemon knows all processes, and that they react. `word` is new each time."""
        checks.equal(f"{when}: no process is lost", self.all() - pids(self.envd), set())
        checks.ok(f"{when}: each of them runs", set(self.alive().values()) == {"ticker", "sh"},
                  self.alive())
        for pid in self.readers:
            self._send(pid, "stdin", f"{word}\n")
        for pid in self.terminals:
            self._send(pid, "pty", f"stty size >/tmp/echo.$$; echo {word} >>/tmp/echo.$$\n")
        guest.wait_for(f"an answer to {word}", lambda: all(self._file(pid) == word
                                                          for pid in self.readers))
        guest.wait_for(f"terminals that answer {word}", lambda: all(
            self._file(pid) == f"24 80\n{word}" for pid in self.terminals))
        checks.ok(f"{when}: input and terminals work", True)
        for pid in self.tickers:
            self.last_of(pid)
        checks.ok(f"{when}: output comes", True)

    def last_of(self, pid):
        """Returns a number that the ticker prints after the call."""
        with contextlib.closing(self.envd.stream("process.Process/Connect",
                                                 {"process": {"pid": pid}})) as stream:
            for message in stream:
                data = message["event"].get("data", {}).get("stdout")
                if data:
                    return int(base64.b64decode(data).split()[-1])
        raise guest.GuestError(f"ticker {pid} ended")

    def kept_lines(self, pid, at_least):
        """Returns the lines of kept output, from the first line."""
        out = b""
        with contextlib.closing(self.envd.stream(
                "process.Process/Connect", {"process": {"pid": pid}},
                headers={"X-Envd-From": "start"})) as stream:
            for message in stream:
                out += base64.b64decode(message["event"].get("data", {}).get("stdout", ""))
                if out.count(b"\n") >= at_least:
                    break
        return out.split(b"\n")[:-1]

    def end(self, checks):
        """Ends all processes that the daemon knows, and waits until it knows none."""
        for pid in pids(self.envd):
            with contextlib.suppress(*GONE):
                self.envd.unary("process.Process/SendSignal",
                                {"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"})
        guest.wait_for("the end of all processes", lambda: not pids(self.envd))
        checks.ok("all of them can be ended", True)
