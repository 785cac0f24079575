# SPDX-License-Identifier: Apache-2.0
"""A client of the watch methods that shows every message as it came."""

import http.client
import io
import json
import os
import select
import struct
import time

import connect
from connect import Failed, envelope
from wait import SECONDS

KINDS = ("CREATE", "WRITE", "REMOVE", "RENAME", "CHMOD")


class Event:
    """A change: `kind` is one of KINDS, `entry` the EntryInfo as a dict or None."""

    def __init__(self, message):
        self.kind = message["type"].removeprefix("EVENT_TYPE_")
        assert self.kind in KINDS, message
        self.name = message["name"]
        self.entry = message.get("entry")
        assert set(message) <= {"type", "name", "entry"}, message

    def __repr__(self):
        return f"{self.kind} {self.name}"


class Chunks:
    """The body of a chunked answer. http.client reads ahead, so that select(2) on its socket does
    not tell whether there is more."""

    def __init__(self, connection):
        self.socket = connection.sock
        self.raw = bytearray()
        self.left = 0  # bytes of the current chunk, with the CRLF behind it
        while b"\r\n\r\n" not in self.raw:
            self._receive()
        head, _, self.raw = self.raw.partition(b"\r\n\r\n")
        status, _, lines = head.decode("latin-1").partition("\r\n")
        self.status = int(status.split()[1])
        self.headers = http.client.parse_headers(io.BytesIO(f"{lines}\r\n\r\n".encode("latin-1")))
        if self.status == 200:
            assert self.headers["Transfer-Encoding"] == "chunked"

    def _receive(self):
        data = self.socket.recv(1 << 18)
        assert data, "the connection ended before the answer"
        self.raw += data

    def read(self, wait=True):
        """Data of the body, b"" at the end of it and, without `wait`, if there is none yet."""
        out = bytearray()
        while not self._decode(out) and not out:
            if not wait and not select.select([self.socket], [], [], 0)[0]:
                break
            self._receive()
        return bytes(out)

    def _decode(self, out):
        at = 0
        while at < len(self.raw):
            if not self.left:
                line_end = self.raw.find(b"\r\n", at)
                if line_end < 0:
                    break
                size = int(self.raw[at:line_end], 16)
                if not size:
                    return True
                self.left = size + 2
                at = line_end + 2
            take = min(self.left, len(self.raw) - at)
            data = min(take, max(0, self.left - 2))
            out += self.raw[at:at + data]
            self.left -= take
            at += take
        del self.raw[:at]
        return False


class Client(connect.Client):
    service = "filesystem.Filesystem"

    def send(self, method, path, body=None, kind="application/json", user=None, headers=None):
        """Any request: the status, the headers and the body of the answer."""
        answer = self.request(method, path, body, self.headers(kind, user, headers))
        return answer.status, answer.headers, answer.body

    def open(self, path, recursive=False, entry=False, network=False, **how):
        """WatchDir; of its answer the head is read."""
        connection = super().open("WatchDir", request(path, recursive, entry, network), **how)
        return Stream(connection, Chunks(connection), path)

    def watch(self, path, *options, **more):
        """WatchDir with its START read."""
        stream = self.open(path, *options, **more)
        try:
            assert stream.next_message() == {"start": {}}
        except Failed:
            stream.close()
            raise
        return stream

    def poll(self, path, recursive=False, entry=False, network=False, **how):
        """CreateWatcher."""
        answer = self.call("CreateWatcher", request(path, recursive, entry, network), **how)
        assert set(answer) == {"watcherId"} and answer["watcherId"].startswith("w")
        return Poller(self, answer["watcherId"], path)


def request(path, recursive, entry, network):
    """As a client writes it: what is false is left out."""
    message = {"path": path, "recursive": recursive, "includeEntry": entry,
               "allowNetworkMounts": network}
    return {key: value for key, value in message.items() if value or key == "path"}


class Watch:
    """What Stream and Poller have in common: events, and how to wait for them."""

    syncs = 0

    def __init__(self, path):
        self.path = path
        self.lag = []  # events that were read and not yet given away

    def more(self, seconds):
        """Reads at least one event into `lag`, if one comes in time."""
        raise NotImplementedError

    def take(self):
        events, self.lag = self.lag, []
        return events

    def until(self, *wanted):
        """Reads until these events ("CREATE a") have come; gives all events so far."""
        missing = set(wanted)
        events = []
        end = time.monotonic() + SECONDS
        while True:
            while self.lag:
                events.append(self.lag.pop(0))
                missing.discard(str(events[-1]))
                if not missing:
                    return events
            assert time.monotonic() < end, f"{missing} did not come after {events[-50:]}"
            self.more(end - time.monotonic())

    def sync(self, directory=None):
        """The events up to now: makes a file in the watched directory and waits for its event,
        as events come in order. The file is left, its own event is left out."""
        Watch.syncs += 1
        name = f"sync-{Watch.syncs}"
        with open(os.path.join(directory or self.path, name), "xb"):
            pass
        return [e for e in self.until(f"CREATE {name}") if "sync-" not in e.name]

    def texts(self, **how):
        """As sync; an event that only repeats the one before is left out, for the kernel and the
        daemon may tell two alike in a row as one."""
        texts = []
        for event in self.sync(**how):
            if not texts or texts[-1] != str(event):
                texts.append(str(event))
        return texts


class Stream(Watch):
    """The answer of WatchDir."""

    def __init__(self, connection, chunks, path):
        super().__init__(path)
        self.connection = connection
        self.chunks = chunks
        self.status, self.headers = chunks.status, chunks.headers
        self.buffer = bytearray()
        self.keepalives = 0

    def _message(self):
        """The next message in the buffer, or None."""
        if len(self.buffer) < 5:
            return None
        flags, size = struct.unpack_from(">BI", self.buffer)
        if len(self.buffer) < 5 + size:
            return None
        message = json.loads(bytes(self.buffer[5:5 + size]))
        del self.buffer[:5 + size]
        if flags & 2:
            assert not self.buffer
            self.close()
            raise Failed(message.get("error", {"code": "ok"}))
        return message

    def next_message(self):
        """The next message. Raises what the stream ends with."""
        while (message := self._message()) is None:
            data = self.chunks.read()
            assert data, "the stream ended without its envelope"
            self.buffer += data
        return message

    def more(self, seconds):
        if not select.select([self.connection.sock], [], [], max(0, seconds))[0]:
            return
        self.buffer += self.chunks.read(wait=False)
        while (message := self._message()) is not None:
            if "keepalive" in message:
                self.keepalives += 1
            else:
                assert set(message) == {"filesystem"}, message
                self.lag.append(Event(message["filesystem"]))

    def close(self):
        self.connection.close()


class Poller(Watch):
    """A watcher that is asked."""

    PAUSE_SECONDS = 0.01

    def __init__(self, client, watcher_id, path):
        super().__init__(path)
        self.client = client
        self.id = watcher_id
        self.closed = False

    def get(self):
        """GetWatcherEvents."""
        answer = self.client.call("GetWatcherEvents", {"watcherId": self.id})
        return [Event(e) for e in answer.get("events", [])]

    def more(self, seconds):
        end = time.monotonic() + seconds
        while not self.lag:
            self.lag += self.get()
            if self.lag or time.monotonic() >= end:
                return
            time.sleep(self.PAUSE_SECONDS)

    def remove(self):
        self.closed = True
        return self.client.call("RemoveWatcher", {"watcherId": self.id})

    def close(self):
        if not self.closed:
            self.remove()
