# SPDX-License-Identifier: Apache-2.0
"""The daemon runs as a service of systemd. It is upgraded, restarted, and killed at random moments."""

import contextlib
import itertools
import json
import threading

import client
import guest
from survivors import GONE, TICKER, TICK_MS, Survivors, pids

TOKEN = "correct-horse"
KILLS = 6
MORE_STARTS = 40

# Kills each daemon once, at a random moment of its first second. It may still be adopting processes then.
KILLER = """
last=0
for i in $(seq $0); do
	pid=$last
	until [ "$pid" != 0 ] && [ "$pid" != $last ]; do pid=$(systemctl show -P MainPID envd); done
	sleep 0.$((RANDOM % 10))
	kill -9 $pid
	last=$pid
	echo $pid >>/tmp/killed
done
echo over >>/tmp/killed
"""

# A process of an ordinary user. It tries to bind the port, and to call a daemon that has lost its token.
SQUATTER = """
import http.client, socket, sys

def squat(family, address):
    with socket.socket(family) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind((address, 49983))
        thief.listen()

log = open("/tmp/squatter", "w", buffering=1)
for i in range(1 << 30):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"),
                            (socket.AF_INET6, "::")):
        try:
            squat(family, address)
            print("taken", address, file=log)
        except OSError:
            pass
    connection = http.client.HTTPConnection("127.0.0.1", 49983, timeout=60)
    try:
        connection.request("GET", "/envs")
        status = connection.getresponse().status
        print("refused" if status == 401 else f"open {status}", file=log)
    except (OSError, http.client.HTTPException):
        pass
    connection.close()
"""


def store_size(shell):
    """Returns the number of descriptors that systemd keeps for envd, including those of this command."""
    return int(shell.property("envd", "NFileDescriptorStore"))


def check_store(checks, shell, before):
    """Waits until systemd's store holds no descriptor of a process."""
    checks.ok("systemd keeps no descriptor of them any more", guest.wait_for(
        "a store as it was", lambda: store_size(shell) == before))


def init(envd, **members):
    """Repeats POST /init until it succeeds, because the daemon may still be starting. Returns its headers."""
    def answered():
        try:
            status, headers, _ = envd.request("POST", "/init", json.dumps(members).encode())
        except GONE:
            return None
        return headers if status == 204 else None
    return guest.wait_for("/init", answered)


def check_upgrade(checks, shell, program):
    """POST /upgrade: neither the unit nor the processes notice the upgrade."""
    init(shell.envd)
    stored = store_size(shell)
    survivors = Survivors(shell.envd)
    before = {name: shell.property("envd", name) for name in
              ("MainPID", "NRestarts", "ExecMainStartTimestampMonotonic")}
    with contextlib.suppress(*GONE):
        status, _, body = shell.envd.request("POST", "/upgrade", program)
        checks.ok("the upgrade is not refused", False, (status, body))
    handover = json.loads(init(shell.envd)["X-Envd-Handover"])
    checks.equal("all processes are carried over, none failed",
                 (handover["procs"], handover["procs_failed"], handover["failed"]),
                 (len(survivors.all()), 0, False))
    checks.equal("the main pid stays, and the unit was not started again",
                 {name: shell.property("envd", name) for name in before}, before)
    shell.check("the new program runs", f"readlink /proc/{before['MainPID']}/exe", "/usr/bin/envd.next")
    survivors.check(checks, "after an upgrade", "upgraded")
    for pid in survivors.kept:
        lines = survivors.kept_lines(pid, 50)
        checks.equal("no line of output is lost, and none comes twice", lines,
                     [b"%d" % (i + 1) for i in range(len(lines))])
    upgrade_from_inside(checks, shell, survivors)
    survivors.end(checks)
    check_store(checks, shell, stored)


def upgrade_from_inside(checks, shell, survivors):
    """`envd upgrade FILE` in the guest. The tag _system excludes the command itself from the freeze."""
    with contextlib.suppress(*GONE):
        shell.envd.start_detached("/bin/sh", "-c", "envd upgrade /usr/bin/envd >/tmp/upgraded 2>&1",
                                  tag="_system")
    said = guest.wait_for("the report of envd upgrade", lambda: lines(shell, "/tmp/upgraded"))
    checks.ok("envd upgrade says what was carried over", '"failed":false' in said[-1], said)
    survivors.check(checks, "after envd upgrade", "again")


def check_restart(checks, shell):
    """The upgraded program has served for a while, and systemd's watchdog has heard from it. Then
    `systemctl restart` starts the unit's own program, which also adopts the processes."""
    checks.equal("the watchdog is on", shell.property("envd", "WatchdogUSec"), "1min")
    replaced = int(shell.out(r"stat -c %Y000000 /usr/bin/envd.next")), int(shell.out("date +%s000000"))

    def heard():
        """Returns the microseconds since the last watchdog message."""
        up = float(shell.out("cut -d' ' -f1 /proc/uptime")) * 1e6
        return up - int(shell.property("envd", "WatchdogTimestampMonotonic"))
    age = replaced[1] - replaced[0]
    checks.ok("and hears of the upgraded program", guest.wait_for(
        "a message of the upgraded program", lambda: heard() < age))
    survivors = Survivors(shell.envd)
    before = shell.property("envd", "MainPID")
    shell.check("it is the upgraded program", f"readlink /proc/{before}/exe", "/usr/bin/envd.next")
    with contextlib.suppress(*GONE):
        shell.run("systemctl restart --no-block envd")
    restarted = guest.wait_for("the restart", lambda: running(shell, before))
    shell.check("systemctl restart starts the program of the unit", f"readlink /proc/{restarted}/exe",
                "/usr/bin/envd")
    survivors.check(checks, "after a restart", "restarted")
    survivors.end(checks)


def running(shell, before):
    """Returns the main pid of the unit if it is active and the pid has changed; otherwise None."""
    try:
        now, state = shell.out("systemctl show -P MainPID -P ActiveState envd").split()
    except GONE:
        return None
    return now if now not in ("0", before) and state == "active" else None


class Load:
    """Clients that continue through all crashes: they start processes, read, write, and send requests without
    the token. They remember the responses."""

    def __init__(self, shell, survivors):
        self.stranger = client.Client(shell.envd.connect)
        self.envd = shell.envd
        self.survivors = survivors
        self.started = set()
        self.opened = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._until_over, args=(work,), daemon=True)
                        for work in (self._start, self._read, self._ask)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _until_over(self, work):
        for number in itertools.count():
            if self.over.is_set():
                return
            with contextlib.suppress(*GONE):
                work(number)

    def _start(self, _number):
        """A process whose start was confirmed must exist."""
        if len(self.started) < MORE_STARTS:
            self.started.add(self.envd.start_detached(TICKER, TICK_MS))
        else:
            self.envd.command("/bin/true")

    def _read(self, number):
        tickers = self.survivors.tickers
        self.survivors.last_of(tickers[number % len(tickers)])

    def _ask(self, number):
        self.envd.request("POST", "/files?path=/tmp/load", b"x" * 65536,
                          {"Content-Type": "application/octet-stream"})
        status = self.stranger.request("GET", "/envs")[0]
        if status != 401:
            self.opened.append((number, status))


def check_crashes(checks, shell):
    """kill -9 at random moments under load: no process is lost, no other program gets the port, and the token
    is required at every moment."""
    init(shell.envd, accessToken=TOKEN)
    shell.envd.use_token(TOKEN)
    stored = store_size(shell)
    survivors = Survivors(shell.envd)
    restarts = int(shell.property("envd", "NRestarts"))
    squatter = client.Client(shell.envd.connect, "user")
    squatter.use_token(TOKEN)
    thief = squatter.start_detached("/usr/bin/python3", "-c", SQUATTER)
    with Load(shell, survivors) as load:
        killer = shell.envd.start_detached("/bin/bash", "-c", KILLER, str(KILLS))
        guest.wait_for("the last kill", lambda: lines(shell, "/tmp/killed")[-1:] == ["over"])
    guest.wait_for("the daemon's answer", lambda: lines(shell, "/tmp/killed"))
    checks.equal("it was killed, and started again each time",
                 int(shell.property("envd", "NRestarts")) - restarts, KILLS)
    checks.equal("a start that was answered is not lost", load.started - pids(shell.envd), set())
    checks.ok("there were such starts", load.started)
    survivors.check(checks, f"after {KILLS} crashes", "crashed")
    checks.equal("nothing was open without the token", load.opened, [])
    seen = lines(shell, "/tmp/squatter")
    checks.equal("a user's process neither got the port nor an answer", set(seen), {"refused"})
    checks.figure("it was refused", f"{len(seen)} times")
    checks.ok("it lives, too, and so did the killer to its end",
              thief in pids(shell.envd) and killer not in pids(shell.envd))
    survivors.end(checks)
    check_store(checks, shell, stored)


def lines(shell, path):
    """Returns the lines of a file in the guest; none while the daemon does not answer."""
    with contextlib.suppress(*GONE):
        status, _, body = shell.envd.request("GET", f"/files?path={path}")
        return body.decode().splitlines() if status == 200 else []
    return []
