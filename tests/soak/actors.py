# SPDX-License-Identifier: Apache-2.0
"""The clients of the soak. Each actor is a process of its own that repeats one of its actions, chosen
at random, until it is told to stop. It compares what the daemon answers with what it knows to be true.

A refusal with the code `unavailable` is right while the workload is frozen (docs/control.md); it is
counted. Any other error ends the actor, and fails the soak."""

import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sys
import threading
import time
import traceback

import daemon as base
from connect import Client as Http
from connect import Failed
from wait import wait_for
from wire import Wire, request, rpc, stream_rpc

TESTS = os.path.join(base.TOP, "tests")
FORWARD_IP = "169.254.0.21"
WATCHERS_KEPT = 5
# No freeze and no stop is longer: Start gives up on a child that is stopped for five seconds.
STOPPED_SECONDS_MAX = 1.0


def load(name, path):
    """A module of another suite, under a name of its own: several are called `client`."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(TESTS, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


processes = load("soak_processes", "process/client.py")
watches = load("soak_watches", "watch/client.py")
faults = load("soak_model", "faults/model.py")


class Actor:
    """`address`: the daemon's. `directory`: for files of its own."""

    def __init__(self, address, rng, directory):
        self.address = address
        self.random = rng
        self.directory = directory
        self.done = 0
        self.refused = 0

    def actions(self):
        raise NotImplementedError

    def finish(self):
        """Gives back what it holds."""

    def run(self, stopped):
        while not stopped():
            action = self.random.choice(self.actions())
            try:
                action()
            except Failed as failed:
                if failed.code != "unavailable":
                    raise
                self.refused += 1
            self.done += 1
        self.finish()


class Model(faults.Model):
    """The model of tests/faults, whose watchers and directories are given back."""

    def watch(self):
        super().watch()
        if len(self.watchers) > WATCHERS_KEPT:
            self.unwatch()

    def unwatch(self):
        watcher, directory = self.watchers.pop(0)
        self.call("filesystem.Filesystem", "RemoveWatcher", watcherId=watcher)
        shutil.rmtree(directory)


class Truth(Actor):
    """Files up and down, archives, listings, commands, terminals, input, kills, polled watchers."""

    def __init__(self, *how):
        super().__init__(*how)
        self.model = Model(self, self.random, self.directory)

    def actions(self):
        return [lambda action=action: self.act(action) for action in Model.ACTIONS]

    def act(self, action):
        self.model.done += 1
        # The class names its own functions, and this one redefines one of them.
        getattr(self.model, action.__name__)()

    def finish(self):
        while self.model.watchers:
            self.model.unwatch()


class Processes(Actor):
    """Commands and terminals with several readers, input in pieces, output that is kept."""

    def __init__(self, *how):
        super().__init__(*how)
        self.client = processes.Client(self.address)

    def actions(self):
        return self.output, self.stderr, self.terminal, self.readers, self.pieces, self.kept, self.signal

    def output(self):
        size = self.random.choice((1, 5000, 400000))
        stream = self.client.sh(f"head -c {size} /dev/zero; exit 5").drain()
        assert stream.out["stdout"] == bytes(size) and stream.end["exitCode"] == 5, stream.end

    def stderr(self):
        stream = self.client.sh("echo out; echo error >&2").drain()
        assert (stream.out["stdout"], stream.out["stderr"]) == (b"out\n", b"error\n"), stream.out

    def terminal(self):
        columns = self.random.randint(20, 200)
        stream = self.client.pty("read x; stty size")
        self.client.call("Update", {"process": {"pid": stream.pid},
                                    "pty": {"size": {"cols": columns, "rows": 30}}})
        self.client.send_input(stream.pid, b"go\n", "pty")
        stream.drain()
        assert b"30 %d\r\n" % columns in stream.out["pty"], stream.out

    def readers(self):
        stream = self.client.sh("read x; echo $x", stdin=True, tag=f"soak-{self.done}")
        others = [self.client.connect(pid=stream.pid), self.client.connect(tag=f"soak-{self.done}")]
        self.client.send_input(stream.pid, b"word\n")
        for reader in stream, *others:
            assert reader.drain().out["stdout"] == b"word\n", reader.out

    def pieces(self):
        stream = self.client.start("cat", stdin=True)
        pieces = [self.random.randbytes(self.random.choice((1, 900, 50000))) for _ in range(5)]
        given = self.client.stream_input().start(stream.pid)
        for piece in pieces:
            given.data(piece)
        given.finish()
        self.client.close_stdin(stream.pid)
        assert stream.drain().out["stdout"] == b"".join(pieces), "other bytes than were sent"

    def kept(self):
        stream = self.client.sh("echo one; read x; echo two", stdin=True,
                                headers={"X-Envd-Keep-Output": "1000", "X-Envd-Keep-For": "1"})
        stream.until("stdout", b"one\n")
        stream.close()
        late = self.client.connect(pid=stream.pid, headers={"X-Envd-From": "start"})
        self.client.send_input(stream.pid, b"\n")
        assert late.drain().out["stdout"] == b"one\ntwo\n", late.out

    def signal(self):
        stream = self.client.sh("trap 'echo term; exit 7' TERM; echo ready; while :; do read x; done",
                                stdin=True).until("stdout", b"ready\n")
        name = self.random.choice(("SIGTERM", "SIGKILL"))
        self.client.signal(stream.pid, name)
        stream.drain()
        assert (stream.end.get("exitCode") == 7) == (name == "SIGTERM"), stream.end


class Watches(Actor):
    """Streams of trees that change."""

    def __init__(self, *how):
        super().__init__(*how)
        self.client = watches.Client(self.address)

    def actions(self):
        return self.tree, self.several

    def new_directory(self):
        path = os.path.join(self.directory, f"tree-{self.done}")
        os.mkdir(path)
        return path

    def tree(self):
        path = self.new_directory()
        stream = self.client.watch(path, True, self.random.random() < 0.5)
        for i in range(self.random.randint(1, 20)):
            os.makedirs(f"{path}/{i}/below")
            with open(f"{path}/{i}/f", "w", encoding="ascii") as f:
                f.write("text")
            os.rename(f"{path}/{i}/f", f"{path}/moved-{i}")
        stream.sync()
        shutil.rmtree(path)
        stream.close()

    def several(self):
        path = self.new_directory()
        streams = [self.client.watch(path) for _ in range(self.random.randint(1, 10))]
        with open(f"{path}/new", "xb"):
            pass
        for stream in streams:
            stream.until("CREATE new")
        for stream in streams:
            stream.close()
        shutil.rmtree(path)


class Quitters(Actor):
    """Clients that break off: in a head, in a body, while an answer comes, with requests behind it."""

    def __init__(self, *how):
        super().__init__(*how)
        self.big = os.path.join(self.directory, "big")
        with open(self.big, "wb") as f:
            f.write(bytes(8 << 20))

    def actions(self):
        return self.in_the_request, self.in_the_request, self.in_the_answer, self.pipelined, \
            self.slow_reader

    def requests(self):
        command = {"process": {"cmd": "/bin/sh", "args": ["-c", "head -c 2000000 /dev/zero"]}}
        kind = "Content-Type: application/octet-stream"
        atomic = "X-Envd-Atomic: true"
        target = f"/files?path={self.directory}/quit-{self.random.randint(0, 3)}"
        return [
            request("GET", f"/files?path={self.big}"),
            request("GET", f"/files?path={self.big}", "Accept-Encoding: gzip"),
            request("GET", f"/files?path={self.directory}&format=tar"),
            request("POST", target, kind, body=bytes(300000)),
            request("POST", target, kind, atomic, body=bytes(300000)),
            rpc("filesystem.Filesystem/ListDir", {"path": "/usr", "depth": 3}),
            rpc("filesystem.Filesystem/Stat", {"path": self.big}),
            stream_rpc("process.Process/Start", command, chunked=self.random.random() < 0.5),
            stream_rpc("filesystem.Filesystem/WatchDir", {"path": "/usr/share", "recursive": True}),
            request("POST", "/init", "Content-Type: application/json", body=b'{"envVars": {"A": "B"}}'),
        ]

    def leave(self, wire):
        """In order, or with a reset."""
        self.random.choice((wire.close, wire.reset))()

    def in_the_request(self):
        data = self.random.choice(self.requests())
        with Wire(self.address) as wire:
            wire.send(data[:self.random.randrange(len(data))])
            self.leave(wire)

    def in_the_answer(self):
        with Wire(self.address) as wire:
            wire.send(self.random.choice(self.requests()))
            wire.socket.recv(self.random.choice((1, 1000, 100000)))
            self.leave(wire)

    def pipelined(self):
        with Wire(self.address) as wire:
            health = request("GET", "/health")
            wire.send(health * self.random.randint(1, 30) + self.random.choice(self.requests()))
            assert wire.answer().status == 204
            self.leave(wire)

    def slow_reader(self):
        """Nothing of the answer is read until other clients have had theirs."""
        with Wire(self.address) as wire:
            wire.send(self.random.choice(self.requests()[:3]))
            for _ in range(self.random.randint(1, 50)):
                Http(self.address).request("GET", "/health")
            wire.socket.recv(1 << 16)
            self.leave(wire)


def sockets_of(port):
    """The lines of /proc/net/tcp that name the port."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return [line.strip() for line in f if f":{port:04X} " in line]


class Ports(Actor):
    """Servers on loopback that come and go: what is sent to the forwarded port comes back.

    Each server has a port that no other has had for minutes. When the kernel chose the ports, a server
    could get the port of one that had just gone. The relay then brought it the last clients of that one:
    they were counted as its own, and its own last client was never accepted (a stall of 60 s). Or the
    scan had missed the port just before, and closing the forwarded listener reset its first client."""

    def __init__(self, *how):
        super().__init__(*how)
        # Below the ports that the kernel gives to clients. The daemon's is 23000.
        self.ports = itertools.cycle(range(23001, 32768))

    def server(self):
        return socket.create_server(("127.0.0.1", next(self.ports)))

    def actions(self):
        return self.churn, self.churn, self.silent

    def forwarded(self, port):
        try:
            return socket.create_connection((FORWARD_IP, port), timeout=60)
        except (ConnectionRefusedError, ConnectionResetError):
            return None

    def echo(self, listener, count):
        def serve():
            for _ in range(count):
                peer, _ = listener.accept()
                with peer:
                    while data := peer.recv(65536):
                        peer.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        return thread

    def churn(self):
        count = self.random.randint(1, 4)
        sent = self.random.randbytes(self.random.choice((1, 4000, 60000)))
        listeners = [self.server() for _ in range(self.random.randint(1, 5))]
        threads = [self.echo(listener, count) for listener in listeners]
        for listener in listeners:
            for _ in range(count):
                port = listener.getsockname()[1]
                with wait_for(lambda: self.forwarded(port), "the port") as client:
                    self.exchange(client, sent, port)
        for thread in threads:
            thread.join()
        for listener in listeners:
            listener.close()

    def exchange(self, client, sent, port):
        name, got = client.getsockname(), b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                got += data
        except OSError as error:
            raise AssertionError(f"port {port} from {name}: {error} after {len(got)} of {len(sent)} bytes; "
                                 f"{sockets_of(port)}") from error
        assert got == sent, f"port {port}: {len(got)} bytes of {len(sent)} came back"

    def silent(self):
        """A server that accepts nobody, and clients that leave it."""
        with self.server() as listener:
            port = listener.getsockname()[1]
            wait_for(lambda: self.forwarded(port), "the port").close()
            for _ in range(self.random.randint(1, 10)):
                if client := self.forwarded(port):
                    client.close()


class Freezer(Actor):
    """Freezes and thaws the workload."""

    def actions(self):
        return (self.freeze,)

    def freeze(self):
        http = Http(self.address)
        time.sleep(self.random.uniform(0, 2 * STOPPED_SECONDS_MAX))
        mode = self.random.choice(("", "&mode=hierarchy"))
        assert http.request("POST", f"/freeze?maxWaitMs=100{mode}").status == 200
        time.sleep(self.random.uniform(0, STOPPED_SECONDS_MAX))
        self.finish()

    def finish(self):
        assert Http(self.address).request("POST", "/unfreeze").status == 204


ACTORS = {"truth": Truth, "truth-2": Truth, "processes": Processes, "processes-2": Processes,
          "watches": Watches, "quitters": Quitters, "quitters-2": Quitters, "ports": Ports,
          "freezer": Freezer}


class Running:
    """An actor's process."""

    def __init__(self, name, address, seed, directory, stop):
        self.name = name
        self.result = f"{directory}.json"
        os.makedirs(directory, exist_ok=True)
        self.pid = os.fork()
        if self.pid:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        actor, error = None, None
        try:
            actor = ACTORS[name](address, random.Random(f"{seed} {name}"), directory)
            actor.run(lambda: stop[0])
        except BaseException:  # whatever it is, the soak shows it
            error = traceback.format_exc()
        with open(self.result, "w", encoding="utf-8") as f:
            json.dump({"done": getattr(actor, "done", 0), "refused": getattr(actor, "refused", 0),
                       "error": error}, f)
        os._exit(0)

    def wait(self):
        """How it ended: {"done", "refused", "error"}."""
        os.waitpid(self.pid, 0)
        try:
            with open(self.result, encoding="utf-8") as f:
                result = json.load(f)
            os.unlink(self.result)
        except FileNotFoundError:
            result = {"done": 0, "refused": 0, "error": "the actor's process died"}
        return result
