# SPDX-License-Identifier: Apache-2.0
"""Finding processes, ending them, reading them later and together."""

import os
import socket
import time

import pytest

from client import Failed
from conftest import WORLD, is_dead, wait_for


def fails(code, call, *args, **how):
    with pytest.raises(Failed) as failed:
        call(*args, **how)
    assert failed.value.code == code
    return failed.value.message


# ---- List and selectors ----

def test_list(envd):
    first = envd.start("sleep", "100", tag="a", envs={"E": "1"}, cwd="/tmp")
    second = envd.start("sleep", "101", tag="")
    third = envd.start("sleep", "102")
    assert envd.list() == [
        {"config": {"cmd": "sleep", "args": ["100"], "envs": {"E": "1"}, "cwd": "/tmp"},
         "pid": first.pid, "tag": "a"},
        {"config": {"cmd": "sleep", "args": ["101"]}, "pid": second.pid, "tag": ""},
        {"config": {"cmd": "sleep", "args": ["102"]}, "pid": third.pid},
    ]


def test_tag_beside_other_tags(envd):
    wanted = envd.start("sleep", "100", tag="wanted")
    envd.start("sleep", "100", tag="other")
    envd.start("sleep", "100")
    assert envd.connect(tag="wanted").pid == wanted.pid
    empty = envd.start("sleep", "100", tag="")
    assert envd.connect(tag="").pid == empty.pid


UNARY = ["Update", "SendInput", "SendSignal", "CloseStdin"]


def extra(method):
    """What a request needs besides the selector."""
    return {"SendSignal": {"signal": "SIGNAL_SIGTERM"},
            "SendInput": {"input": {"stdin": ""}}}.get(method, {})


@pytest.mark.parametrize("method", UNARY)
def test_selectors_that_find_nothing(envd, method):
    fails("not_found", envd.call, method, {"process": {"pid": 4000000}, **extra(method)})
    fails("not_found", envd.call, method, {"process": {"tag": "no such"}, **extra(method)})
    fails("unimplemented", envd.call, method, {"process": {}, **extra(method)})
    fails("unimplemented", envd.call, method, extra(method))


def test_connect_that_finds_nothing(envd):
    fails("not_found", envd.connect, pid=4000000)
    fails("not_found", envd.connect, tag="no such")
    fails("unimplemented", envd.stream("Connect", {"process": {}}).next)
    fails("unimplemented", envd.stream("Connect", {}).next)


def test_the_process_is_looked_up_first(envd):
    stream = envd.start("sleep", "100")
    fails("unimplemented", envd.call, "SendInput", {"process": {"pid": stream.pid}})
    fails("unimplemented", envd.call, "SendSignal", {"process": {"pid": stream.pid}})
    fails("unimplemented", envd.call, "SendSignal",
          {"process": {"pid": stream.pid}, "signal": 2})
    fails("not_found", envd.call, "SendInput", {"process": {"pid": 4000000}})
    fails("not_found", envd.call, "SendSignal", {"process": {"pid": 4000000}})


# ---- Connect ----

def test_connect_gives_what_comes_after(envd):
    stream = envd.sh("echo before; read x; echo after $x; exit 2")
    stream.until("stdout", b"before\n")
    later = envd.connect(pid=stream.pid)
    assert later.raw == [{"event": {"start": {"pid": stream.pid}}}]
    envd.send_input(stream.pid, b"input\n")
    for reader in (stream, later):
        reader.drain()
        assert reader.end["exitCode"] == 2
    assert later.out["stdout"] == b"after input\n"
    assert stream.out["stdout"] == b"before\nafter input\n"


def test_connect_after_the_exit(envd):
    stream = envd.run("sh", "-c", "exit 5", tag="gone")
    for late in (envd.connect(pid=stream.pid), envd.connect(tag="gone")):
        late.drain()
        assert late.raw == [stream.raw[0], stream.raw[-1]]
    assert envd.list() == []
    for method in UNARY:
        fails("not_found", envd.call, method, {"process": {"pid": stream.pid}, **extra(method)})


def test_a_later_tag_forgets_the_exit(envd):
    first = envd.run("sh", "-c", "exit 5", tag="again")
    second = envd.start("sleep", "100", tag="again")
    assert envd.connect(tag="again").pid == second.pid
    fails("not_found", envd.connect, pid=first.pid)
    envd.kill(second.pid)
    second.drain()
    assert envd.connect(tag="again").drain().end["status"] == "signal: killed"


# ---- the client goes ----

def test_client_goes_away(envd):
    path = os.path.join(WORLD, "went-on")
    stream = envd.sh(f"head -c 3000000 /dev/zero; sleep 0.1; head -c 3000000 /dev/zero; "
                     f"touch {path}; exit 9", tag="left")
    stream.close()
    wait_for(lambda: os.path.exists(path))
    wait_for(lambda: not envd.list())
    assert envd.connect(tag="left").drain().end["exitCode"] == 9


def test_half_close_is_going_away(envd, daemon):
    """A reader that shuts its sending side down is no reader; the process lives on."""
    stream = envd.sh("sleep 0.2; echo x; sleep 100")
    stream.connection.sock.shutdown(socket.SHUT_WR)
    fails("canceled", stream.drain)
    assert [p["pid"] for p in envd.list()] == [stream.pid]


# ---- the end ----

def test_background_child_delays_the_end(envd):
    stream = envd.sh("(sleep 0.3; echo late) & echo early; exit 4")
    stream.until("stdout", b"early\n")
    wait_for(lambda: is_dead(stream.pid))
    assert [p["pid"] for p in envd.list()] == [stream.pid]
    fails("internal", envd.send_input, stream.pid, b"x")
    assert envd.close_stdin(stream.pid) == {}
    stream.drain()
    assert stream.out["stdout"] == b"early\nlate\n"
    assert stream.end["exitCode"] == 4


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_signals_end_the_waiting(envd, signal):
    stream = envd.sh("sleep 100 & echo $!; exit 4")
    stream.until("stdout", b"\n")
    wait_for(lambda: is_dead(stream.pid))
    envd.signal(stream.pid, signal)
    assert stream.drain().end["exitCode"] == 4
    background = int(stream.out["stdout"])
    assert not is_dead(background)
    os.kill(background, 9)


def test_term_goes_to_the_leader(envd):
    stream = envd.sh("trap 'echo caught; exit 7' TERM; sleep 100 >&- 2>&- & echo $!; "
                     "while :; do sleep 0.01; done")
    stream.until("stdout", b"\n")
    envd.signal(stream.pid, "SIGTERM")
    stream.drain()
    assert stream.end["exitCode"] == 7
    assert stream.out["stdout"].endswith(b"caught\n")
    child = int(stream.out["stdout"].split()[0])
    assert not is_dead(child)
    os.kill(child, 9)


# A member of the leader's group, of another group, and one that left the session.
FAMILY = ("sleep 100 >&- 2>&- & a=$!; set -m; sleep 100 >&- 2>&- & b=$!; set +m; "
          "setsid sleep 100 >&- 2>&- & c=$!; sleep 0.1; echo $a $b $c; wait")


@pytest.mark.parametrize("scope, die", [(None, 2), ("session", 2), ("leader", 0)])
def test_kill_scope(envd, scope, die):
    headers = {"X-Envd-Kill-Scope": scope} if scope else None
    stream = envd.start("bash", "-c", FAMILY, headers=headers).until("stdout", b"\n")
    family = [int(pid) for pid in stream.out["stdout"].split()]
    envd.kill(stream.pid)
    assert stream.drain().end["status"] == "signal: killed"
    wait_for(lambda: [is_dead(pid) for pid in family] == [True] * die + [False] * (3 - die))
    for pid in family[die:]:
        os.kill(pid, 9)


# ---- deadlines ----

def test_deadline(envd):
    stream = envd.sh("echo $$; sleep 100 & wait", headers={"Connect-Timeout-Ms": "500"}, tag="d")
    other = envd.connect(pid=stream.pid)
    message = fails("deadline_exceeded", stream.drain)
    assert message == "context deadline exceeded"
    assert stream.end is None and stream.out["stdout"] != b""
    other.drain()
    assert other.end["status"] == "signal: killed"
    assert envd.connect(tag="d").drain().end["status"] == "signal: killed"


def test_deadline_after_the_client_went(envd):
    stream = envd.start("sleep", "100", headers={"Connect-Timeout-Ms": "300"})
    stream.close()
    wait_for(lambda: is_dead(stream.pid))
    wait_for(lambda: not envd.list())
    assert envd.connect(pid=stream.pid).drain().end["status"] == "signal: killed"


def test_deadline_does_not_wait_for_output(envd):
    stream = envd.start("setsid", "--fork", "sleep", "100", headers={"Connect-Timeout-Ms": "300"})
    fails("deadline_exceeded", stream.drain)
    wait_for(lambda: not envd.list())


def test_deadline_of_a_connect(envd):
    stream = envd.start("sleep", "100")
    fails("deadline_exceeded",
          envd.connect(pid=stream.pid, headers={"Connect-Timeout-Ms": "100"}).drain)
    assert [p["pid"] for p in envd.list()] == [stream.pid]


@pytest.mark.parametrize("value, code", [
    ("0", "deadline_exceeded"), ("-5", "deadline_exceeded"), ("abc", "invalid_argument"),
    ("12345678901", "invalid_argument"), ("1.5", "invalid_argument"),
])
def test_deadlines_that_start_nothing(envd, value, code):
    path = os.path.join(WORLD, "started")
    fails(code, envd.run, "touch", path, headers={"Connect-Timeout-Ms": value})
    assert not os.path.exists(path)


@pytest.mark.parametrize("value", ["+5000", "5000"])
def test_deadline_not_reached(envd, value):
    assert envd.run("true", headers={"Connect-Timeout-Ms": value}).end["exited"]


# ---- keepalive ----

def test_keepalive(envd):
    stream = envd.sh("sleep 2.5; echo x; sleep 1.5", headers={"Keepalive-Ping-Interval": "1"})
    later = envd.connect(pid=stream.pid, headers={"Keepalive-Ping-Interval": "+1"})
    for reader in (stream, later):
        reader.drain()
        kinds = [next(iter(m["event"])) for m in reader.raw]
        assert kinds == ["start", "keepalive", "keepalive", "data", "keepalive", "end"]


@pytest.mark.parametrize("value", ["0", "-1", "soon", "", "99999999999999999999"])
def test_keepalive_intervals_that_make_no_sense(envd, value):
    stream = envd.sh("sleep 0.2", headers={"Keepalive-Ping-Interval": value}).drain()
    assert stream.end["exited"]


# ---- several readers ----

def test_many_readers(envd):
    stream = envd.sh("read x; seq 1 20000", tag="many")
    readers = [envd.connect(tag="many") for _ in range(5)]
    envd.send_input(stream.pid, b"go\n")
    for reader in [stream, *readers]:
        reader.drain()
        assert reader.out["stdout"] == stream.out["stdout"]
    assert stream.out["stdout"].endswith(b"\n20000\n")


def progress(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def test_the_only_reader_holds_up_the_process(envd):
    path = os.path.join(WORLD, "written-1")
    stream = envd.sh(f"while head -c 10000 /dev/zero; do echo >> {path}; done",
                     receive_bytes=4096)
    size = wait_for(lambda: progress(path))
    while True:
        time.sleep(0.3)
        now = progress(path)
        if now == size:
            break
        size = now
    assert size < 200
    for _ in range(200):
        stream.next()
    wait_for(lambda: progress(path) > size)
    stream.close()


def test_a_stalled_reader_is_cut_off(envd):
    """With kept output it resumes where it was, as after any other cut."""
    stalled = envd.start("seq", "100000000", tag="stall", receive_bytes=4096,
                         headers={"X-Envd-Keep-Output": str(32 << 20), "X-Envd-Keep-For": "1"})
    other = envd.connect(tag="stall")
    # More than the buffers of the stalled one hold: it is cut off, or the process would wait for it.
    while len(other.out["stdout"]) < 5000000:
        other.next()
    message = fails("resource_exhausted", stalled.drain)
    assert "nothing was read" in message
    begin = len(stalled.out["stdout"])
    again = envd.connect(tag="stall", headers={"X-Envd-From": f"stdout={begin}"})
    assert again.response.headers["X-Envd-Offsets"] == f"stdout={begin}, stderr=0"
    while len(again.out["stdout"]) < 1000000:
        again.next()
    whole = stalled.out["stdout"] + again.out["stdout"]
    expected = b"".join(b"%d\n" % (i + 1) for i in range(len(whole) // 2))
    assert whole == expected[:len(whole)]
    again.close()
    envd.kill(other.pid)
    assert other.drain().end["status"] == "signal: killed"


# ---- tracers ----

# Forks a tracer of its parent's, as any user may, and lets the parent's end be held: PTRACE_SEIZE,
# then nothing more until it is told to go. Prints the tracer's pid.
TRACER = """
import ctypes, os, signal, sys
leader = os.getpid()
ready = os.pipe()
tracer = os.fork()
if tracer == 0:
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    if libc.ptrace(0x4206, leader, 0, 0) < 0:  # PTRACE_SEIZE
        os._exit(1)
    devnull = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(devnull, fd)
    os.write(ready[1], b"x")
    while True:
        signal.pause()
os.close(ready[1])
assert os.read(ready[0], 1) == b"x"
print(tracer, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end, status", [("os._exit(7)", "exit status 7"),
                                         ("KILL", "signal: killed")])
def test_a_tracer_that_holds_the_end(envd, end, status):
    """An unprivileged process forked a tracer, which seized it, and exited. The daemon's pidfd became
    readable, but only its tracer can wait for a traced zombie, so the daemon's blocking waitid(2) never
    returned: /health, List and signals hung for ever. A gdb at its prompt in another terminal has the
    same effect by accident. Now the loop does not wait: the end event has the status from /proc, the
    daemon continues, and the zombie is reaped when the tracer releases it."""
    code = TRACER + (end if end != "KILL" else "")
    stream = envd.start("python3", "-c", code, user="user", stdin=True).until("stdout", b"\n")
    tracer = int(stream.out["stdout"])
    try:
        if end == "KILL":
            envd.kill(stream.pid)
        else:
            envd.close_stdin(stream.pid)
        assert stream.drain().end["status"] == status
        assert is_dead(stream.pid) and os.path.exists(f"/proc/{stream.pid}")
        assert envd.list() == []
        assert envd.run("true").end["status"] == "exit status 0"
        assert envd.connect(pid=stream.pid).drain().end["status"] == status
    finally:
        os.kill(tracer, 9)
    wait_for(lambda: not os.path.exists(f"/proc/{stream.pid}"))


# ---- kills ----

def test_a_kill_is_answered_when_the_leader_has_gone(envd):
    """Users of the SDK look for the pid right after kill(). Under load it still existed in one of ten
    cases, because the answer came before the leader had died."""
    for scope in ("leader", "session"):
        for _ in range(25):
            stream = envd.start("sleep", "100", headers={"X-Envd-Kill-Scope": scope})
            envd.kill(stream.pid)
            assert not os.path.exists(f"/proc/{stream.pid}")


def test_descendants(envd):
    """`descendants` in SendSignal: KILL reaches the session even if the kill scope is the leader, and
    TERM reaches the process group."""
    stream = envd.start("bash", "-c", FAMILY, headers={"X-Envd-Kill-Scope": "leader"}
                        ).until("stdout", b"\n")
    grouped, other_group, other_session = map(int, stream.out["stdout"].split())
    selected = {"process": {"pid": stream.pid}, "descendants": True}
    envd.call("SendSignal", {**selected, "signal": "SIGNAL_SIGTERM"})
    wait_for(lambda: is_dead(grouped))
    assert not is_dead(other_group)
    os.kill(other_group, 9)
    os.kill(other_session, 9)
    stream = envd.start("bash", "-c", FAMILY, headers={"X-Envd-Kill-Scope": "leader"}
                        ).until("stdout", b"\n")
    grouped, other_group, other_session = map(int, stream.out["stdout"].split())
    selected = {"process": {"pid": stream.pid}, "descendants": True}
    envd.call("SendSignal", {**selected, "signal": "SIGNAL_SIGKILL"})
    wait_for(lambda: is_dead(grouped) and is_dead(other_group))
    assert not is_dead(other_session)
    os.kill(other_session, 9)


WIDE = """
import fcntl, os, signal, sys
fcntl.fcntl(1, 1031, 1 << 20)  # F_SETPIPE_SZ
total, fd = 0, os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.set_blocking(1, False)
while True:
    try:
        total += os.write(1, b"x" * 65536)
        os.pwrite(fd, str(total).encode(), 0)
    except BlockingIOError:
        os.rename(sys.argv[1], sys.argv[1] + ".full")
        signal.pause()
"""


def test_what_was_written_before_a_term_is_told(envd):
    """A process that had enlarged its pipe to 1 MiB and filled it, while its reader was slow, was ended
    by TERM. 786 KB of its output were lost, because at most 256 KiB were read from an output that was
    not at its end."""
    path = os.path.join(WORLD, "wide")
    stream = envd.start("python3", "-c", WIDE, path, receive_bytes=4096)
    wait_for(lambda: os.path.exists(path + ".full"))
    with open(path + ".full", encoding="ascii") as f:
        total = int(f.read())
    envd.signal(stream.pid, "SIGTERM")
    stream.drain()
    assert len(stream.out["stdout"]) == total


# ---- X-Envd-End ----

def test_the_end_with_the_leader(envd):
    """A command whose background child held stdout did not return. With X-Envd-End: leader it ends with
    its leader and delivers the output until then. The child continues and does not get SIGPIPE."""
    path = os.path.join(WORLD, "behind")
    script = (f"(echo early; while [ ! -e {path}.go ]; do sleep 0.02; done; "
              f"head -c 300000 /dev/zero && echo late && touch {path}) & sleep 0.05; exit 4")
    stream = envd.sh(script, headers={"X-Envd-End": "leader"}).drain()
    assert stream.out["stdout"] == b"early\n" and stream.end["exitCode"] == 4
    assert envd.list() == []
    with open(path + ".go", "w", encoding="ascii"):
        pass
    wait_for(lambda: os.path.exists(path))
    # Without a background child nothing waits for the grace, and all output comes.
    stream = envd.sh("head -c 3000000 /dev/zero", headers={"X-Envd-End": "leader"}).drain()
    assert len(stream.out["stdout"]) == 3000000
    with pytest.raises(Failed) as failed:
        envd.sh("true", headers={"X-Envd-End": "never"})
    assert failed.value.code == "invalid_argument"
