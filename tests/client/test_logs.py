# SPDX-License-Identifier: Apache-2.0
"""envd logs: the output that the daemon keeps."""

import subprocess

import pytest

from wait import SECONDS, wait_for


def kept(host, *args, limit="65536"):
    return host.ok("exec", "-d", "--tag", "kept", "--keep", limit, "--keep-for", "10", *args)


@pytest.mark.beyond
def test_the_output_so_far(host, tmp_path):
    """The process goes on, and logs ends nevertheless."""
    ready = tmp_path / "ready"
    kept(host, "--", "sh", "-c", f"seq 3000; echo err >&2; touch {ready}; sleep 600")
    wait_for(ready.exists, "the output")
    lines = b"".join(b"%d\n" % i for i in range(1, 3001))

    def complete():
        done = host.run("logs", "kept")
        assert done.returncode == 0
        return (done.stdout, done.stderr) == (lines, b"err\n")

    wait_for(complete, "the daemon to have read it all")


@pytest.mark.beyond
def test_following_to_the_end(host, tmp_path):
    go = tmp_path / "go"
    pid = kept(host, "--", "sh", "-c",
               f"echo one; until [ -e {go} ]; do sleep 0.05; done; echo two; exit 3").strip()
    with host.start("logs", "-f", pid, stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"one\n"
        go.touch()
        assert process.stdout.read() == b"two\n"
        assert process.wait(SECONDS) == 0
    # The process has ended, and its output is still there.
    assert host.ok("logs", "kept") == "one\ntwo\n"


@pytest.mark.beyond
def test_a_terminals_output(host):
    kept(host, "-t", "--", "sh", "-c", "echo on a terminal")
    wait_for(lambda: not host.pids(), "the end")
    assert host.ok("logs", "kept") == "on a terminal\r\n"


@pytest.mark.beyond
def test_bytes_that_are_no_longer_kept(host):
    kept(host, "--", "sh", "-c", "head -c 10000 /dev/zero; echo end", limit="1000")
    wait_for(lambda: not host.pids(), "the end")
    done = host.run("logs", "kept")
    assert (done.returncode, len(done.stdout), done.stdout[-4:]) == (0, 1000, b"end\n")
    assert done.stderr == b"envd logs: a part of the output is no longer kept\n"


def test_logs_of_what_is_not_there(host):
    done = host.run("logs", "absent")
    assert done.returncode == 1
    assert done.stderr.startswith(b"envd logs: ")
    assert host.run("logs").returncode == 2
