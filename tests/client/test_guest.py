# SPDX-License-Identifier: Apache-2.0
"""envd health, top, ports, freeze, thaw and watch."""

import json
import signal
import socket
import subprocess

import pytest

from daemon import ENVD
from wait import SECONDS, wait_for


def test_health(host, tmp_path):
    assert host.ok("health") == ""
    assert host.run("health", "--to", f"unix:{tmp_path}/absent").returncode == 1


def test_top(host):
    first, second, third = host.ok("top").splitlines()
    assert first.startswith("cpu ") and second.startswith("memory ") and third.startswith("disk ")
    metrics = json.loads(host.ok("top", "--json"))
    assert f"of {metrics['mem_total'] / 2**20:.0f} MiB" in second
    assert f"of {metrics['disk_total'] / 2**30:.1f} GiB" in third


def test_info(host, request):
    lines = host.ok("info").splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines)
    assert [line.split()[0] for line in lines[-3:]] == ["cpu", "memory", "disk"]
    if "peer" in request.node.callspec.id:
        assert facts["build"] == "unknown: this envd has no GET /info, as E2B's has none"
        assert facts["extensions"] == "none"
        done = host.run("info", "--json")
        assert (done.returncode, done.stdout) == (1, b"")
        return
    build = subprocess.run([ENVD, "-build"], capture_output=True, text=True, check=True).stdout.strip()
    assert facts["build"] == build and facts["version"] in build and facts["commit"] in build
    told = json.loads(host.ok("info", "--json"))
    assert facts["extensions"].split() == told["extensions"]
    assert facts["defaultUser"] == told["defaultUser"] == "root"
    assert (facts["firecracker"], told["firecracker"]) == ("no", False)


def test_info_of_another_version(rogue):
    """Members that are not known are shown too, or skipped, and no text commands the terminal."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    body = b'{"build":"b\\u001b[2J","a\\u001b[2J":1e3,"o":{"x":[1]},"n":null,"extensions":["y\\n",{}],"t":true}'
    done = rogue(head + body, head + b"{}").run("info")
    shown = done.stdout.decode().splitlines()
    assert [line.split() for line in shown[:6]] == [
        ["build", "b\\x1b[2J"], ["a\\\\u001b[2J", "1e3"], ["o"], ["n"], ["extensions", "y\\n"], ["t", "yes"]]
    assert shown[6].startswith("cpu ") and (done.returncode, done.stderr) == (0, b"")


@pytest.mark.beyond
def test_ports(host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        wait_for(lambda: any(line.split()[:2] == [str(port), "127.0.0.1"]
                             for line in host.ok("ports").splitlines()), "the port")
        assert port in [p["port"] for p in json.loads(host.ok("ports", "--json"))["ports"]]


def test_ports_of_a_daemon_that_lists_none(rogue):
    done = rogue(b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n").run("ports")
    assert done.returncode == 1
    assert done.stderr == b"envd ports: HTTP status 404: 404 page not found\n"


def test_a_command_name_cannot_command_the_terminal(rogue):
    body = b'{"ports":[{"address":"::","port":1,"pid":2,"command":"a\\u001b[2J","user":"root"}],"new":[{}]}'
    done = rogue(b"HTTP/1.1 200 OK\r\n\r\n" + body).run("ports")
    assert done.stdout == b" PORT  ADDRESS  PID  USER  COMMAND\n    1  ::  2  root  a\\x1b[2J\n"


@pytest.mark.parametrize("command", ["info", "top", "ports"])
@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ports":{}}}', b'{"cpu_count":"x","ports":[1],}'])
def test_an_answer_that_is_none(rogue, command, body):
    done = rogue(b"HTTP/1.1 200 OK\r\n\r\n" + body).run(command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"envd {command}: a malformed answer: ".encode())


def test_freeze_and_thaw_send_what_they_should(rogue):
    """The daemon of this suite has no cgroups; tests/cgroup freezes real ones."""
    report = b'{"mode":"legacy","frozen":2,"notFrozen":0,"new":[1]}'
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    no_content = b"HTTP/1.1 204 No Content\r\n\r\n"
    host = rogue(no_content, head + report, head + report.replace(b'n":0', b'n":1'), no_content)
    assert host.ok("freeze") == ""
    assert host.ok("freeze", "--wait", "2.5") == "frozen: 2 cgroups, not yet: 0\n"
    done = host.run("freeze", "--wait", "1")
    assert (done.returncode, done.stdout) == (1, b"frozen: 2 cgroups, not yet: 1\n")
    assert host.ok("thaw") == ""
    lines = [request.split(b"\r\n")[0] for request in host.requests]
    assert lines == [b"POST /freeze HTTP/1.1", b"POST /freeze?maxWaitMs=2500 HTTP/1.1",
                     b"POST /freeze?maxWaitMs=1000 HTTP/1.1", b"POST /unfreeze HTTP/1.1"]


@pytest.mark.parametrize("recursive", [False, True])
def test_watch(host, tmp_path, recursive):
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    with host.start("watch", *(["-r"] if recursive else []), str(top), stdin=subprocess.DEVNULL) as process:
        assert process.stderr.readline() == b"envd watch: the watch is in place\n"
        (top / "sub" / "below").touch()
        (top / "a\x1b[2Jb").touch()
        seen = []
        while b"CREATE a\\x1b[2Jb\n" not in seen:
            seen.append(process.stdout.readline())
            assert seen[-1], "the end"
        assert (b"CREATE sub/below\n" in seen) == recursive
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == -signal.SIGINT


def test_watch_in_json(host, tmp_path):
    with host.start("watch", "--json", str(tmp_path), stdin=subprocess.DEVNULL) as process:
        process.stderr.readline()
        (tmp_path / "new").mkdir()
        assert json.loads(process.stdout.readline()) == {"name": "new", "type": "EVENT_TYPE_CREATE"}
        process.kill()


def test_watch_of_what_is_no_directory(host, tmp_path):
    done = host.run("watch", f"{tmp_path}/absent")
    assert done.returncode == 1 and done.stderr.startswith(b"envd watch: ")


@pytest.mark.parametrize("args", [
    ["health", "x"], ["info", "x"], ["top", "--watch"], ["ports", "1"], ["freeze", "--wait", "x"],
    ["freeze", "--wait", "31"], ["thaw", "--wait", "1"], ["watch"], ["watch", "a", "b"],
])
def test_wrong_arguments(host, args):
    done = host.run(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"envd {args[0]}: ") and line.endswith(f"(see envd {args[0]} --help)")


@pytest.mark.parametrize("command", ["health", "info", "top", "ports", "freeze", "thaw", "watch", "logs"])
def test_help(host, command):
    assert f"Usage: envd {command} " in host.ok(command, "--help")
