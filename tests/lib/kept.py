# SPDX-License-Identifier: Apache-2.0
"""Readers of kept output (X-Envd-Keep-Output, X-Envd-From) that lose their connections."""

import http.client
import random
import threading

from connect import Failed

OUTPUTS = ("stdout", "stderr")

# What a client raises if the daemon does not answer, answers with another status than 200, or ends a
# stream in the middle.
CUT = (OSError, http.client.HTTPException, AssertionError)


def offsets(stream, header="X-Envd-Offsets"):
    """X-Envd-Offsets or X-Envd-Written, as numbers by the name of the output."""
    return {name: int(value) for name, _, value in
            (part.strip().partition("=") for part in stream.response.headers[header].split(","))}


class Reader(threading.Thread):
    """Reads a process to its end. It loses its connection at random moments and resumes where it was,
    and compares each piece with what the process writes, at the offset of the piece.

    expected: what the process writes to each output
    events:   reads fewer events than this from each connection
    at:       the offsets to begin at; None: at random offsets in what is kept
    slow:     receives little at a time
    upgraded: the daemon is replaced meanwhile, and does not answer at times"""

    def __init__(self, client, pid, expected, seed, events, at=None, slow=False, upgraded=False):
        super().__init__()
        self.client, self.pid, self.expected, self.events = client, pid, expected, events
        self.random = random.Random(seed)
        self.at, self.slow, self.upgraded = at, slow, upgraded
        self.gaps = self.cuts = 0
        self.end = self.error = None

    def run(self):
        try:
            while self.end is None:
                self.read_for_a_while()
        except BaseException as error:  # shown by finish
            self.error = error

    def finish(self):
        """Waits for the end of the process. Returns the status of its exit."""
        self.join()
        assert self.error is None, self.error
        return self.end["status"]

    def connect(self):
        """A stream from where the reader was; None while the daemon does not answer."""
        where = "start" if self.at is None else ", ".join(f"{n}={at}" for n, at in self.at.items())
        try:
            return self.client.stream("Connect", {"process": {"pid": self.pid}},
                                      headers={"X-Envd-From": where},
                                      receive_bytes=4096 if self.slow else 0)
        except CUT:
            if not self.upgraded:
                raise
            return None

    def begin(self, stream):
        begin = offsets(stream)
        if self.at is None:
            written = offsets(stream, "X-Envd-Written")
            self.at = {n: self.random.randint(begin[n], written[n]) for n in OUTPUTS}
            return False
        assert all(begin[n] >= self.at[n] for n in OUTPUTS), (begin, self.at)
        self.gaps += begin != self.at
        self.at = begin
        return True

    def next(self, stream):
        """The next event; None if the connection has ended."""
        try:
            return stream.next()
        except Failed as failed:
            assert self.upgraded and failed.code in ("unavailable", "aborted"), failed
        except CUT:
            if not self.upgraded:
                raise
        return None

    def read_for_a_while(self):
        stream = self.connect()
        if stream is None:
            return
        for _ in range(self.random.randrange(self.events) if self.begin(stream) else 0):
            if self.next(stream) is None:
                break
            for name in OUTPUTS:
                data, at = stream.out[name], self.at[name]
                assert data == self.expected[name][at:at + len(data)], f"{name} at {at}"
                self.at[name] += len(data)
                stream.out[name] = b""
        self.cuts += stream.end is None
        self.end = stream.end
        stream.close()
