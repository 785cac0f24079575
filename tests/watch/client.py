# SPDX-License-Identifier: Apache-2.0
"""A client of the watch methods. It returns every message unchanged."""

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
    """One event. `kind` is one of KINDS; `entry` is the EntryInfo as a dict, or None."""

    def __init__(self, message):
        self.kind = message["type"].removeprefix("EVENT_TYPE_")
        assert self.kind in KINDS, message
        self.name = message["name"]
        self.entry = message.get("entry")
        assert set(message) <= {"type", "name", "entry"}, message

    def __repr__(self):
        return f"{self.kind} {self.name}"


class Chunks:
    """Reads the body of a chunked response. http.client is not used for it, because it reads ahead, so
    select(2) on its socket does not show all available data."""

    def __init__(self, connection):
        self.socket = connection.sock
        self.raw = bytearray()
        self.left = 0  # bytes of the current chunk that have not come, including the CRLF
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
        """Returns data of the body; b"" at its end. If `wait` is false, returns b"" when no data is
        available."""
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
        """Sends any request. Returns the status, the headers and the body of the response."""
        answer = self.request(method, path, body, self.headers(kind, user, headers))
        return answer.status, answer.headers, answer.body

    def open(self, path, recursive=False, entry=False, network=False, **how):
        """Calls WatchDir, and reads the head of the response."""
        connection = super().open("WatchDir", request(path, recursive, entry, network), **how)
        return Stream(connection, Chunks(connection), path)

    def watch(self, path, *options, **more):
        """Calls WatchDir, and reads the response up to START."""
        stream = self.open(path, *options, **more)
        try:
            assert stream.next_message() == {"start": {}}
        except Failed:
            stream.close()
            raise
        return stream

    def poll(self, path, recursive=False, entry=False, network=False, **how):
        """Calls CreateWatcher."""
        answer = self.call("CreateWatcher", request(path, recursive, entry, network), **how)
        assert set(answer) == {"watcherId"} and answer["watcherId"].startswith("w")
        return Poller(self, answer["watcherId"], path)


def request(path, recursive, entry, network):
    """Returns the request message. Like the SDKs, it omits fields that are false."""
    message = {"path": path, "recursive": recursive, "includeEntry": entry,
               "allowNetworkMounts": network}
    return {key: value for key, value in message.items() if value or key == "path"}


class Watch:
    """The base of Stream and Poller: waits for events."""

    syncs = 0

    def __init__(self, path):
        self.path = path
        self.lag = []  # events that were read, but not returned yet

    def more(self, seconds):
        """Waits up to `seconds` for an event, and adds the events that came to `lag`."""
        raise NotImplementedError

    def take(self):
        events, self.lag = self.lag, []
        return events

    def until(self, *wanted):
        """Reads until all these events ("CREATE a") have come. Returns all events read."""
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
        """Returns all events of changes made before the call. It creates a file in the watched directory,
        and reads until the event of this file, because events come in order. The file stays; its event is
        not returned."""
        Watch.syncs += 1
        name = f"sync-{Watch.syncs}"
        with open(os.path.join(directory or self.path, name), "xb"):
            pass
        return [e for e in self.until(f"CREATE {name}") if "sync-" not in e.name]

    def texts(self, **how):
        """Returns the events of sync() as texts. Equal events in a row count as one, because the kernel and
        the daemon may merge them."""
        texts = []
        for event in self.sync(**how):
            if not texts or texts[-1] != str(event):
                texts.append(str(event))
        return texts


class Stream(Watch):
    """A WatchDir stream."""

    def __init__(self, connection, chunks, path):
        super().__init__(path)
        self.connection = connection
        self.chunks = chunks
        self.status, self.headers = chunks.status, chunks.headers
        self.buffer = bytearray()
        self.keepalives = 0

    def _message(self):
        """Removes the next message from the buffer and returns it; None if it is not complete."""
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
        """Waits for the next message and returns it. At the end of the stream, raises Failed with the
        stream's error, or with the code "ok"."""
        while (message := self._message()) is None:
            data = self.chunks.read()
            assert data, "the stream ended without its envelope"
            self.buffer += data
        return message

    def more(self, seconds):
        # Events may have come together with START, and are in the buffer already.
        message = self._message()
        if message is None and select.select([self.connection.sock], [], [], max(0, seconds))[0]:
            self.buffer += self.chunks.read(wait=False)
            message = self._message()
        while message is not None:
            if "keepalive" in message:
                self.keepalives += 1
            else:
                assert set(message) == {"filesystem"}, message
                self.lag.append(Event(message["filesystem"]))
            message = self._message()

    def close(self):
        self.connection.close()


class Poller(Watch):
    """A polled watcher (CreateWatcher)."""

    PAUSE_SECONDS = 0.01

    def __init__(self, client, watcher_id, path):
        super().__init__(path)
        self.client = client
        self.id = watcher_id
        self.closed = False

    def get(self):
        """Calls GetWatcherEvents."""
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
