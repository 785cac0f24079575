# SPDX-License-Identifier: Apache-2.0
"""The restrictions that a Pod's security context sets. The daemon serves, and says what is off.

Each case: the command that restricts, the lines that the log must have, the user that commands get.
The test's namespaces have no cgroups."""

import os
import subprocess

import pytest

from daemon import ENVD, Daemon, public_program

NO_CAPABILITIES = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
OTHERS = ("processes of other users (CAP_SETUID, CAP_SETGID), files of other users (CAP_CHOWN), "
          "signals to other users' processes (CAP_KILL), ")
NO_CLOCK = "off, for lack of capabilities: setting the clock (CAP_SYS_TIME)\n"
# chroot(1) comes last: it needs a capability itself, which setpriv then takes away.
READ_ONLY = ["unshare", "--mount", "sh", "-ec", """
mount --bind / /mnt
mount -o remount,bind,ro /mnt
mount --rbind "$1" "/mnt$1"
mount --rbind /dev /mnt/dev
mount --rbind /proc /mnt/proc
shift
exec chroot /mnt "$@"
""", "-", os.environ["WORLD"]]
AS_USER = ["setpriv", "--reuid=123456", "--regid=0", "--clear-groups"]

# podman writes them so for an image that has none.
UNREADABLE = ["unshare", "--mount", "sh", "-ec", """
for file in passwd group; do
	cp "/etc/$file" "$1/$file"
	chmod 600 "$1/$file"
	mount --bind "$1/$file" "/etc/$file"
done
shift
exec "$@"
""", "-", os.environ["WORLD"]]

CASES = {
    "as root": ([], [NO_CLOCK], "0"),
    "as root without capabilities": (
        ["setpriv", *NO_CAPABILITIES],
        [f"off, for lack of capabilities: {OTHERS}setting the clock (CAP_SYS_TIME)\n"], "0"),
    "as a uid without a name": (
        AS_USER, ["not root: serving user '123456' alone\n", NO_CLOCK], "123456"),
    "as that, without capabilities": (
        [*AS_USER, *NO_CAPABILITIES], ["not root: serving user '123456' alone\n"], "123456"),
    "as that, with files of users that only root can read": (
        [*UNREADABLE, *AS_USER], ["not root: serving user '123456' alone\n"], "123456"),
    "as that, with a read-only root": (
        [*READ_ONLY, *AS_USER, *NO_CAPABILITIES],
        ["not root: serving user '123456' alone\n", "off, for / is read-only: "], "123456"),
    "as root with a read-only root": (READ_ONLY, ["off, for / is read-only: ", NO_CLOCK], "0"),
}


@pytest.mark.parametrize("wrap,lines,uid", CASES.values(), ids=list(CASES))
def test_a_restricted_daemon(wrap, lines, uid):
    daemon = Daemon(wrap=wrap)
    try:
        for line in lines:
            assert line in daemon.log()
        to = f"tcp:127.0.0.1:{daemon.address[1]}"
        done = subprocess.run([ENVD, "exec", "--to", to, "--", "id", "-u"], capture_output=True,
                              text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, uid + "\n"), done.stderr + daemon.log()
        ready = [ENVD, "ready", "--url", f"http://127.0.0.1:{daemon.address[1]}/health", "--status",
                 "204"]
        assert subprocess.run(ready, timeout=60, check=False).returncode == 0
    finally:
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0, daemon.log()


def test_install(tmp_path):
    """The copy runs, and takes the place of one that runs."""
    with open(ENVD, "rb") as f:
        program = f.read()
    for _ in range(2):
        assert subprocess.run([ENVD, "install", tmp_path], timeout=60, check=False).returncode == 0
        assert (tmp_path / "envd").read_bytes() == program
        assert (tmp_path / "envd").stat().st_mode & 0o7777 == 0o755
    with subprocess.Popen([tmp_path / "envd", "ready", "--for", "1000"]) as copy:
        try:
            again = subprocess.run([tmp_path / "envd", "install", tmp_path], timeout=60, check=False)
            assert again.returncode == 0
        finally:
            copy.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["envd"]


@pytest.mark.parametrize("arguments,status,fault", [
    ([], 2, "DIRECTORY is missing (see envd install --help)"),
    (["/a", "/b"], 2, "one directory (see envd install --help)"),
    (["/no/such/directory"], 1, "/no/such/directory: no such file or directory"),
    (["/proc"], 1, "/proc: "),
])
def test_install_fails(arguments, status, fault):
    done = subprocess.run([ENVD, "install", *arguments], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == status
    assert done.stderr.startswith(f"envd install: {fault}")


def test_install_as_another_user(tmp_path):
    done = subprocess.run([*AS_USER, public_program(), "install", "/usr/bin"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "envd install: /usr/bin: permission denied\n")
