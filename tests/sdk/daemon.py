# SPDX-License-Identifier: Apache-2.0
"""The daemon under test: start it, wait until it answers, stop it.

From Python, `Daemon`. For other languages, as a program: `daemon.py COMMAND...` runs the command
while a daemon serves, and fails if either of the two does.

The daemon is $ENVD with the flags $ENVD_FLAGS; it listens on its standard port. Where $ENVD_GUEST
is the address of a guest's vsock (uds:PATH), the daemon is the one in there, and what is started
here is $ENVD's bridge to it.
"""

import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request

from cloud import Cloud

PORT = 49983
START_SECONDS = 20
STOP_SECONDS = 20
GUEST = os.environ.get("ENVD_GUEST")


class Daemon:
    """A running daemon; more flags than $ENVD_FLAGS may be given, and another port."""

    def __init__(self, *flags, port=PORT, log="build/log/sdk-envd.log"):
        self.url = f"http://localhost:{port}"
        self.log_path = log
        os.makedirs(os.path.dirname(log), exist_ok=True)
        command = [os.path.abspath(os.environ.get("ENVD", "build/envd"))]
        if GUEST:
            command += ["bridge", "--to", GUEST, "--listen", f"tcp:127.0.0.1:{port}",
                        "--listen", f"tcp:[::1]:{port}"]
        else:
            command += shlex.split(os.environ.get("ENVD_FLAGS", "-isnotfc")) + list(flags)
        # A variable that no process may see: the daemon's environment is its own.
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENVD_TEST_SECRET": "of the daemon alone",
        }
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd="/", stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )
        self.pid = self.process.pid
        self._wait_until_healthy()

    def _wait_until_healthy(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended: {self.log()}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                    if answer.status == 204:
                        return
            except (urllib.error.URLError, OSError):
                pass
            if time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(f"the daemon does not answer: {self.log()}")
            time.sleep(0.01)

    def log(self):
        """What the daemon printed so far."""
        with open(self.log_path, errors="replace") as output:
            return output.read()

    def children(self):
        """Process ids whose parent is the daemon, zombies included."""
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat") as stat:
                    parent = stat.read().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == self.pid:
                found.append(int(name))
        return found

    def descriptors(self):
        """What the daemon holds open, but for sockets: clients may keep theirs alive."""
        targets = []
        if GUEST:
            return targets
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except OSError:
                continue
            if not target.startswith("socket:"):
                targets.append(target)
        return sorted(targets)

    def stop(self):
        """SIGTERM, and what there is to complain about, as a list of texts."""
        complaints = []
        if self.process.poll() is not None:
            complaints.append(f"the daemon had ended with {self.process.returncode}")
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS)
            if code not in (0, -15):
                complaints.append(f"the daemon ended with {code} after SIGTERM")
        except subprocess.TimeoutExpired:
            complaints.append(f"the daemon ran on for {STOP_SECONDS} s after SIGTERM")
            self.process.kill()
            self.process.wait()
        log = self.log()
        if "Sanitizer" in log or "runtime error:" in log:
            complaints.append(log)
        return complaints


def main():
    daemon = Daemon()
    cloud = Cloud(PORT) if "E2B_API_URL" in os.environ else None
    code = subprocess.call(sys.argv[1:])
    if cloud:
        cloud.close()
    for complaint in daemon.stop():
        print(complaint, file=sys.stderr)
        code = code or 1
    sys.exit(code)


if __name__ == "__main__":
    main()
