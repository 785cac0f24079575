# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a container, `envd -init -- COMMAND`: exit status, signals, orphans, the daemon beside.

The cases are those of the tests of tini (krallin/tini) and dumb-init (Yelp/dumb-init)."""

import os
import signal
import subprocess
import sys

import pytest

from daemon import ENVD, SANITIZED
from wait import is_dead, wait_for

# Process 1 itself needs SIGCHLD. 32 and 33 are the C library's.
SIGNALS = sorted(set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33})

# Prints the number of each signal that it receives.
PRINTER = f"""
import signal
numbers = {[int(n) for n in SIGNALS]}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
while True:
    print(int(signal.sigwait(numbers)), flush=True)
"""


@pytest.mark.parametrize("status", [0, 1, 2, 32, 64, 127, 254, 255])
def test_exit_status(container, status):
    assert container("sh", "-c", f"exit {status}").wait() == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_a_command_that_a_signal_ended(container, number):
    assert container("sh", "-c", f"kill -{int(number)} $$").wait() == 128 + number


@pytest.mark.parametrize("program,status,reason", [
    ("/no/such/program", 127, "no such file or directory"),
    ("no-such-program", 127, "no such file or directory"),
    ("/etc/passwd", 126, "permission denied"),
    ("/", 126, "permission denied"),
])
def test_a_command_that_can_not_run(container, program, status, reason):
    box = container(program)
    assert box.wait() == status
    assert f"envd: {program}: {reason}\n" in box.output()


def test_all_signals_reach_the_command(container):
    box = container(sys.executable, "-c", PRINTER)
    assert box.process.stdout.readline() == b"ready\n"
    for number in SIGNALS:
        box.send(number)
        assert box.process.stdout.readline() == b"%d\n" % number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_with_its_default_action(container, number):
    """The kernel drops such a signal for process 1. The command is not process 1."""
    box = container("sleep", "1000").started()
    box.send(number)
    assert box.wait() == 128 + number


# Notes SIGUSR1, and waits for a child, which SIGUSR1 ends. By os.write, because print() fails in a
# handler that interrupts print().
LEADER = """
import os, signal, subprocess
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"leader\\n"))
child = subprocess.Popen(["sleep", "1000"])
os.write(1, b"%d\\n" % child.pid)
child.wait()
"""


def test_signals_for_the_process_group(container):
    box = container(sys.executable, "-c", LEADER, flags=["-init-group"])
    assert box.process.stdout.readline()
    box.send(signal.SIGUSR1)
    assert box.process.stdout.readline() == b"leader\n"
    assert box.wait() == 0


def test_signals_for_the_command_alone(container):
    box = container(sys.executable, "-c", LEADER)
    assert box.process.stdout.readline()
    box.send(signal.SIGUSR1)
    assert box.process.stdout.readline() == b"leader\n"
    # Both signals go to the same process in the same order as they were sent.
    box.send(signal.SIGUSR1)
    assert box.process.stdout.readline() == b"leader\n"
    assert box.process.poll() is None


# Processes whose parents have ended: one that has ended too, and one that will.
ORPHANS = """
import os, time
names = []
for n in range(20):
    r, w = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(w, b"%d" % os.getpid())
            os.close(w)
            os._exit(n)
        os._exit(0)
    os.close(w)
    os.wait()
    names.append(os.read(r, 20).decode())
    os.close(r)
end = time.monotonic() + 60
while any(os.path.exists("/proc/" + name) for name in names):
    assert time.monotonic() < end, "zombies"
    time.sleep(0.005)
"""


def test_orphans_are_reaped(container):
    box = container(sys.executable, "-c", ORPHANS)
    assert box.wait() == 0, box.output()


def test_the_dispositions_and_the_mask_of_signals_are_passed_on(container):
    blocked = {signal.SIGTTIN, signal.SIGILL, signal.SIGTERM}
    # A sanitizer handles SIGSEGV itself.
    ignored = {signal.SIGTTOU, signal.SIGINT} | (set() if SANITIZED else {signal.SIGSEGV})

    def prepare():
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    box = container("cat", "/proc/self/status", preexec_fn=prepare, restore_signals=False)
    text, _ = box.process.communicate(timeout=60)
    fields = dict(line.split(":\t", 1) for line in text.decode().splitlines())

    def numbers(field):
        bits = int(fields[field], 16)
        return {n for n in range(1, 32) if bits >> (n - 1) & 1}

    assert blocked <= numbers("SigBlk")
    assert signal.SIGCHLD not in numbers("SigBlk")
    assert ignored <= numbers("SigIgn")


def test_standard_streams_directory_and_environment_are_the_commands(container, tmp_path):
    """The command must not get the daemon's sockets, either."""
    box = container("sh", "-c", "cat; pwd; echo $WORD; ls /proc/self/fd", stdin=subprocess.PIPE,
                    cwd=tmp_path, env={**os.environ, "WORD": "blue"})
    text, _ = box.process.communicate(b"typed\n", timeout=60)
    # The last number is ls's own, of the directory.
    assert text.decode().split() == ["typed", str(tmp_path), "blue", "0", "1", "2", "3"]


def test_the_daemon_serves_beside_the_command(container):
    box = container("sleep", "1000").started().serves()
    box.send(signal.SIGTERM)
    assert box.wait() == 143


def test_the_daemon_ends_and_the_command_goes_on(container):
    """Process 1 starts another daemon, and says so."""
    box = container("sleep", "1000").started().serves()
    main, daemon = box.main, box.daemon
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: is_dead(daemon))
    box.serves()
    assert box.main == main
    assert "init: the daemon ended with signal 9, starting it again in 100 ms" in box.output()
    os.kill(main, signal.SIGHUP)
    assert box.wait() == 129


def test_a_daemon_that_can_not_start(container):
    box = container("sh", "-c", "read line", stdin=subprocess.PIPE,
                    flags=["-seccomp", "/no/such/profile"])
    wait_for(lambda: box.output().count("the daemon ended with exit status 2") >= 2)
    box.process.communicate(b"\n", timeout=60)
    assert box.wait() == 0
    assert "/no/such/profile" in box.output()


def test_upgrade_in_a_container(container):
    """The new program does not start the command again."""
    box = container("sleep", "1000").started().serves()
    main = box.main
    assert box.post("/init", b"{}") == 204
    done = subprocess.run([ENVD, "upgrade", ENVD, "--to", f"unix:{box.socket}"], check=False,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + box.output()
    assert box.answers()
    assert box.main == main
    assert "sleep" not in words_of_daemon(box)
    box.send(signal.SIGTERM)
    assert box.wait() == 143
    os.unlink("/usr/bin/envd.next")  # where the daemon has put the new program


def words_of_daemon(box):
    """The command line of the daemon after an upgrade, when its program is another file."""
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                found = f.read().split("\0")
        except OSError:
            continue
        if "--resume-handover" in found and f"unix:{box.socket}" in found:
            return found
    raise AssertionError("no daemon with --resume-handover")


@pytest.mark.parametrize("arguments,fault", [
    (["--", "true"], "-- is for the command of -init"),
    (["-init", "--"], "no command after --"),
    (["-init", "-init-exec", "true", "--", "true"], "not both"),
    (["-init"], "with -- COMMAND it may be any process"),
])
def test_wrong_arguments(arguments, fault):
    done = subprocess.run([ENVD, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("envd: ") and fault in line
