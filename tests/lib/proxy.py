# SPDX-License-Identifier: Apache-2.0
"""What stands between the host and the guest, and breaks connections."""

import contextlib
import socket
import threading


class Proxy:
    """Stands on a unix socket between the command and the daemon, whose address is the path of a socket or
    (host, port). With `ask` it is like Firecracker's proxy for vsock, else it just passes bytes on. `limit`
    and `limit_up`: the connection that has passed this many bytes to the command, or from it, is cut.
    `instead`: of a request with this method, the bytes up to a mark are read, and answered with these bytes
    and the end of the connection; the daemon never sees it. `swallow`: the daemon gets the next request
    with this method, and its answer is not passed on. With `once`, one request of each is treated so."""

    def __init__(self, path, daemon, ask=False):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.daemon, self.ask = daemon, ask
        self.limit = self.limit_up = None
        self.instead = {}  # method: (mark, answer)
        self.once, self.swallow = False, None
        self.asked, self.cuts, self.refused = [], 0, 0
        self.refusing = False
        self.clients = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.refusing:
                    self.refused += 1
                    client.close()
                    continue
                self.clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        family = socket.AF_INET if isinstance(self.daemon, tuple) else socket.AF_UNIX
        with client, socket.socket(family) as guest, contextlib.suppress(OSError):
            if self.ask:
                line = b""
                while not line.endswith(b"\n"):
                    line += client.recv(1)
                self.asked.append(line)
                client.sendall(b"OK 1073741824\n")
            if self.instead and self._answer_instead(client):
                return
            guest.connect(self.daemon)
            if self.swallow and client.recv(65536, socket.MSG_PEEK).startswith(self.swallow):
                self.swallow = None
                threading.Thread(target=self._pass, args=(client, guest), daemon=True).start()
                guest.recv(4096)
                client.shutdown(socket.SHUT_RDWR)
                self.cuts += 1
                return
            threading.Thread(target=self._pass, args=(client, guest), daemon=True).start()
            self._answer(guest, client)

    def _answer_instead(self, client):
        first = client.recv(65536, socket.MSG_PEEK).split(b"\r\n")[0]
        for method, (mark, answer) in self.instead.items():
            if method in first:
                if self.once:
                    self.instead = {}
                request = b""
                while mark not in request and (data := client.recv(65536)):
                    request += data
                client.sendall(answer)
                client.shutdown(socket.SHUT_RDWR)
                self.cuts += 1
                return True
        return False

    def _pass(self, client, guest):
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                guest.sendall(data)
                passed += len(data)
                if self.limit_up and passed > self.limit_up:
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)
                    break
            guest.shutdown(socket.SHUT_WR)

    def _answer(self, guest, client):
        passed = 0
        while data := guest.recv(4096):
            client.sendall(data)
            passed += len(data)
            if self.limit and passed > self.limit:
                self.cuts += 1
                client.shutdown(socket.SHUT_RDWR)
                return
        client.shutdown(socket.SHUT_WR)

    def cut(self):
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
