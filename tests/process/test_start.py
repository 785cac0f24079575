# SPDX-License-Identifier: Apache-2.0
"""What a process runs with, and how its stream looks."""

import hashlib
import os
import resource
import signal
import stat
import subprocess
import threading

import pytest

from client import Connection, Failed, envelope
from conftest import NOFILE, WORLD, Daemon
from wait import wait_for


def test_messages(envd):
    stream = envd.run("sh", "-c", "echo out; sleep 0.05; echo err >&2; sleep 0.05; exit 3")
    assert stream.raw == [
        {"event": {"start": {"pid": stream.pid}}},
        {"event": {"data": {"stdout": "b3V0Cg=="}}},
        {"event": {"data": {"stderr": "ZXJyCg=="}}},
        {"event": {"end": {"exitCode": 3, "exited": True, "status": "exit status 3",
                           "error": "exit status 3"}}},
    ]
    assert envd.run("true").raw[1:] == [
        {"event": {"end": {"exited": True, "status": "exit status 0"}}}]


@pytest.mark.parametrize("signal, text", [
    ("HUP", "hangup"), ("INT", "interrupt"), ("QUIT", "quit"), ("KILL", "killed"),
    ("SEGV", "segmentation fault"), ("PIPE", "broken pipe"), ("TERM", "terminated"),
    ("USR1", "user defined signal 1"), ("34", "signal 34"), ("64", "signal 64"),
])
def test_signals(envd, signal, text):
    end = envd.run("sh", "-c", f"ulimit -c 0; kill -{signal} $$").end
    assert end["exitCode"] == -1 and "exited" not in end
    assert end["status"] == end["error"]
    assert end["status"] == f"signal: {text}"


def test_core_dump(envd):
    """The end says "core dumped" if the kernel reports a core dump. Whether the kernel dumps depends on
    the machine: with a core_pattern that begins with `|`, as on Ubuntu, a program outside the test's
    namespaces decides; and if sudo has set the hard limit to 0, a container may be unable to raise it.
    Therefore the same crash also happens outside of envd, and both reports must be equal."""
    death = "ulimit -c unlimited; kill -ABRT $$"
    pid = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", f"cd {WORLD}; {death}")
    dumped = os.WCOREDUMP(os.waitpid(pid, 0)[1])
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as f:
        assert dumped or f.read().startswith("|") or resource.getrlimit(resource.RLIMIT_CORE)[1] == 0
    end = envd.run("sh", "-c", death, cwd=WORLD).end
    assert end["status"] == "signal: aborted" + (" (core dumped)" if dumped else "")


# ---- environment ----

def environment(envd, **how):
    lines = envd.run("env", **how).out["stdout"].decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_trace_context(envd):
    """The process gets the context of its request, and none without one (W3C Trace Context)."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    names = ("TRACEPARENT", "TRACESTATE")
    got = environment(envd, headers={"traceparent": parent, "tracestate": "a=1 , b=2"})
    assert [got.get(name) for name in names] == [parent, "a=1,b=2"]
    for headers in ({}, {"traceparent": parent[:-1], "tracestate": "a=1"}, {"tracestate": "a=1"}):
        got = environment(envd, headers=headers)
        assert not set(names) & set(got), headers
    got = environment(envd, headers={"traceparent": parent, "tracestate": "a=1,a=2"})
    assert [got.get(name) for name in names] == [parent, None]
    own = parent.replace("b7ad", "beef")
    got = environment(envd, envs={"TRACEPARENT": own},
                      headers={"traceparent": parent, "tracestate": "a=1"})
    assert [got.get(name) for name in names] == [own, None]


def test_environment(envd):
    assert environment(envd, user="user", cwd="/tmp", envs={"A": "1", "a.b": "2", "E": ""}) == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{WORLD}/user", "USER": "user", "LOGNAME": "user",
        "E2B_SANDBOX": "false", "A": "1", "a.b": "2", "E": "", "PWD": "/tmp",
    }


def test_environment_precedence(envd):
    env = environment(envd, envs={"HOME": "/x", "PWD": "/y", "E2B_SANDBOX": "z",
                                  "PATH": "/bin:/usr/bin"}, cwd="/")
    assert (env["HOME"], env["PWD"], env["E2B_SANDBOX"]) == ("/x", "/", "z")
    assert env["PATH"] == "/bin:/usr/bin"
    # What stands before the first `=` is the name.
    assert environment(envd, envs={"A=B": "C"})["A"] == "B=C"


# ---- credentials and the state of the process ----

def test_credentials(envd):
    assert envd.output("id -u; id -g; id -G", user="user") == ["1000", "1000", "1000 2000"]
    assert envd.output("id -u; id -g; id -G") == ["0", "0", "0"]


@pytest.mark.parametrize("user", ["nobody-here", "", "1000", "Root", "root "])
def test_unknown_user(envd, user):
    with pytest.raises(Failed) as failed:
        envd.run("true", user=user)
    assert failed.value.code == "unauthenticated"


def test_state(envd):
    lines = envd.output(
        "cat /proc/$$/oom_score_adj; nice; ionice -p $$; umask; ulimit -n; "
        "grep -E '^(SigBlk|SigIgn|SigCgt):' /proc/self/status; ls /proc/$$/fd; "
        "cut -d' ' -f1,5,6 /proc/$$/stat; echo $$", user="user")
    pid = lines[-1]
    assert lines[:5] == ["100", "0", "best-effort: prio 4", "0022", str(NOFILE)]
    assert [line.split()[1].strip("0") for line in lines[5:7]] == ["", ""]
    assert lines[8:-2] == ["0", "1", "2"]
    assert lines[-2] == f"{pid} {pid} {pid}"


# ---- the command ----

@pytest.fixture(scope="module")
def programs():
    directory = os.path.join(WORLD, "programs")
    os.makedirs(os.path.join(directory, "later"), 0o755)

    def write(name, text, mode=0o755):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)

    write("script", "echo script $1\n")
    write("hashbang", "#!/bin/sh\necho hashbang $1\n")
    write("plain", "echo plain\n", 0o644)
    write("later/plain", "#!/bin/sh\necho later\n")
    write("orphan", "#!/no/such/interpreter\n")
    return directory


@pytest.mark.parametrize("cmd, path, status, out, err", [
    ("script", ".", 0, "script x\n", ""),
    ("hashbang", "", 127, "", "hashbang: No such file or directory\n"),
    ("hashbang", "/bin:", 0, "hashbang x\n", ""),
    ("./hashbang", "", 0, "hashbang x\n", ""),
    ("later/../hashbang", None, 0, "hashbang x\n", ""),
    ("plain", ".", 126, "", "plain: Permission denied\n"),
    ("plain", ".:later", 0, "later\n", ""),
    ("later", ".", 126, "", "later: Permission denied\n"),
    ("orphan", ".", 127, "", "orphan: No such file or directory\n"),
    ("no-such-command", None, 127, "", "no-such-command: No such file or directory\n"),
    ("", None, 127, "", ": No such file or directory\n"),
    ("~/x", None, 127, "", "~/x: No such file or directory\n"),
])
def test_command(envd, programs, cmd, path, status, out, err):
    stream = envd.run(cmd, "x", cwd=programs, envs={} if path is None else {"PATH": path})
    assert (stream.out["stdout"].decode(), stream.out["stderr"].decode()) == (out, err)
    assert stream.end.get("exitCode", 0) == status
    assert stream.end["exited"]
    assert len([c for c in stream.chunks if c[0] == "stderr"]) == (1 if err else 0)


def test_no_process(envd):
    stream = envd.stream("Start", {}).drain()
    assert stream.end["exitCode"] == 127
    assert stream.out["stderr"] == b": No such file or directory\n"


def test_path_of_the_daemon_is_not_searched(envd, programs):
    assert envd.run("ls", envs={"PATH": programs}).end["exitCode"] == 127


@pytest.mark.parametrize("process", [
    {"cmd": "true", "args": ["a\0b"]},
    {"cmd": "tr\0ue"},
    {"cmd": "true", "envs": {"A": "x\0y"}},
    {"cmd": "true", "envs": {"A\0": "x"}},
    {"cmd": "true", "cwd": "/\0"},
    {"cmd": "true", "args": ["x" * 200000]},
    {"cmd": "true", "args": ["x" * 1000] * 7000},
    {"cmd": "true", "envs": {"A": "x" * 200000}},
])
def test_arguments_that_cannot_be(envd, process):
    with pytest.raises(Failed) as failed:
        envd.stream("Start", {"process": process}).next()
    assert failed.value.code == "invalid_argument"


# ---- the working directory ----

@pytest.mark.parametrize("user, cwd, expected", [
    (None, None, f"{WORLD}/root"),
    ("user", None, f"{WORLD}/user"),
    ("user", "", f"{WORLD}/user"),
    ("user", "~", f"{WORLD}/user"),
    ("user", ".", f"{WORLD}/user"),
    ("user", "..", WORLD),
    ("user", "/tmp/..", "/"),
    ("nohome", "/", "/"),
])
def test_cwd(envd, user, cwd, expected):
    assert envd.output("pwd -P", user=user, cwd=cwd) == [expected]


def test_a_missing_home(envd, daemon):
    """A user whose home did not exist could not run any command. Now, if the request names no
    directory, / replaces the missing home with a warning, as in login(1). A missing directory that the
    request names is still an error."""
    assert envd.output("pwd -P; echo $PWD", user="nohome") == ["/", "/"]
    assert f"the home directory '{WORLD}/nohome' cannot be entered" in daemon.log()


@pytest.mark.parametrize("user, cwd", [
    (None, "/no/such"), (None, "/etc/passwd"), ("user", f"{WORLD}/root"), (None, "~other"),
    ("user", "nothing"), ("nohome", "~"), (None, "/" + "x" * 5000),
])
def test_cwd_that_cannot_be(envd, user, cwd):
    with pytest.raises(Failed) as failed:
        envd.run("true", user=user, cwd=cwd)
    assert failed.value.code == "invalid_argument"


# ---- output ----

def test_much_output(envd):
    stream = envd.run("sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' 'x'; echo end >&2")
    assert len(stream.out["stdout"]) == 20000000
    assert max(size for _, size in stream.chunks) <= 32768
    assert stream.out["stderr"] == b"end\n"


def test_binary_output(envd, tmp_path):
    data = os.urandom(3000001)
    (tmp_path / "data").write_bytes(data)
    out = envd.run("cat", str(tmp_path / "data")).out["stdout"]
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_stdin_disabled(envd):
    stream = envd.start("sh", "-c", "stat -L -c %F /dev/stdin; cat; sleep 100", stdin=False)
    stream.until("stdout", b"\n")
    assert stream.out["stdout"] == b"character special file\n"
    with pytest.raises(Failed) as failed:
        envd.send_input(stream.pid, b"x")
    assert failed.value.code == "internal"
    assert envd.close_stdin(stream.pid) == {}


def test_no_helpers_are_needed(envd, daemon):
    """Neither a shell nor any other program stands between the daemon and the command."""
    stream = envd.start("sleep", "100")
    with open(f"/proc/{stream.pid}/stat", encoding="ascii") as f:
        assert f.read().rpartition(")")[2].split()[1] == str(daemon.pid)
    assert stat.S_ISFIFO(os.stat(f"/proc/{stream.pid}/fd/0").st_mode)


# ---- the request's head ----

def test_kill_scope_header(envd):
    with pytest.raises(Failed) as failed:
        envd.run("true", headers={"X-Envd-Kill-Scope": "galaxy"})
    assert failed.value.code == "invalid_argument"


# ---- what a hostile or narrow guest does to a start ----

def test_output_files_belong_to_the_user(envd):
    """/dev/stderr is a link to the pipe, which root had created. Other users got EACCES when they
    opened it, so `echo x >/dev/stderr` failed in every script."""
    stream = envd.sh("echo out >/dev/stdout; echo err >/dev/stderr; head -c 2 /dev/stdin",
                     user="user", stdin=True).until("stdout", b"out\n")
    envd.send_input(stream.pid, b"in")
    stream.drain()
    assert stream.out == {"stdout": b"out\nin", "stderr": b"err\n", "pty": b""}


def test_a_limit_is_resource_exhausted():
    """An exec that failed with EAGAIN (RLIMIT_NPROC) was reported as exit status 126, as if the file
    were not executable. The client must learn that another try later may succeed."""
    daemon = Daemon(processes=2)
    holders = []
    try:
        # The kernel refuses an exec if the user had more than two before it. Processes of that uid
        # elsewhere on the machine count too.
        with pytest.raises(Failed) as failed:
            while len(holders) < 10:
                holders.append(daemon.client.start("sleep", "1000", user="user"))
        assert failed.value.code == "resource_exhausted"
    finally:
        for holder in holders:
            daemon.client.kill(holder.pid)
            holder.close()
        daemon.stop()


def limit_processes(pid, soft):
    """Sets RLIMIT_NPROC of a process of the user's, as the user: root may lack CAP_SYS_RESOURCE."""
    soft = "unlimited" if soft == resource.RLIM_INFINITY else soft
    subprocess.run(["prlimit", "--pid", str(pid), f"--nproc={soft}:"], user=1000, group=1000,
                   extra_groups=[], check=True)


def test_no_thread_for_a_start():
    """When a fork bomb had used up all pids, no thread could be created for a start: it waited in the queue,
    and its client for as long as the bomb lived. A start whose clone was refused got an error at once."""
    daemon = Daemon(uid=1000)
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]  # the daemon has inherited it
    try:
        limit_processes(daemon.pid, 1)
        with pytest.raises(Failed) as failed:
            daemon.client.run("true")
        assert failed.value.code == "resource_exhausted" and "too many processes" in failed.value.message
        limit_processes(daemon.pid, hard)
        assert daemon.client.run("true").end["status"] == "exit status 0"
    finally:
        daemon.stop()


def test_a_child_that_is_stopped_before_its_exec(envd, daemon):
    """A process of the same user can send SIGSTOP to the child between its clone and its exec. The
    cloning worker was then suspended for ever; after sixty-four times, no process could be started any
    more. Now the child is killed after five seconds, and the client gets an error. (The long PATH makes
    the time before the exec long enough for the signal.)"""
    stopped = []
    begun = threading.Event()

    def stop_child():
        begun.set()
        while not stopped:
            for tid in os.listdir(f"/proc/{daemon.pid}/task"):
                try:
                    with open(f"/proc/{daemon.pid}/task/{tid}/children", encoding="ascii") as f:
                        children = f.read().split()
                    for child in children:
                        os.kill(int(child), signal.SIGSTOP)
                        stopped.append(int(child))
                except OSError:
                    pass

    thread = threading.Thread(target=stop_child)
    thread.start()
    begun.wait()
    with pytest.raises(Failed) as failed:
        envd.run("no-such-command", envs={"PATH": "/x:" * 40000})
    thread.join()
    assert failed.value.code == "aborted" and "stopped by a signal" in failed.value.message
    wait_for(lambda: not os.path.exists(f"/proc/{stopped[0]}"), 10)
    assert envd.run("true").end["status"] == "exit status 0"


# ---- X-Envd-Explain-End ----

BUSY = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"


def test_an_end_that_is_explained(envd):
    """Who asks learns what the process used; a stock client's end event is as it was."""
    plain = {"exited": True, "status": "exit status 0"}
    assert envd.run("sh", "-c", BUSY).end == plain
    end = envd.run("sh", "-c", BUSY, headers={"X-Envd-Explain-End": "1"}).end
    assert int(end.pop("cpuTimeUs")) > 1000
    assert int(end.pop("memoryPeakBytes")) > 100000
    assert end == plain


def test_an_explained_end_is_retained(envd):
    """The Start asked; a Connect after the end gets it too, if it asks as well."""
    stream = envd.run("sh", "-c", BUSY, headers={"X-Envd-Explain-End": "1"})
    again = envd.connect(stream.pid, headers={"X-Envd-Explain-End": "1"}).drain()
    assert again.end == stream.end
    assert "cpuTimeUs" not in envd.connect(stream.pid).drain().end


# ---- X-Envd-Limits ----

def test_limits(envd):
    """Limits of one process: they hold for it, and the next one has none of them."""
    limits = "nofile=123, core=0,fsize=2K , nice=7"
    script = "ulimit -n; ulimit -c; ulimit -f; nice; ulimit -H -n"
    assert envd.output(script, headers={"X-Envd-Limits": limits}, user="user") == \
        ["123", "0", "4", "7", "123"]
    assert envd.output("ulimit -n; nice") == [str(NOFILE), "0"]


def test_headers_that_come_twice(envd):
    """Of two X-Envd-Limits the second one was dropped in silence, so a process ran without a limit that
    its client had asked for. An extension's header that comes twice is refused."""
    connection = Connection(envd.address)
    message = envelope({"process": {"cmd": "true"}})
    connection.putrequest("POST", "/process.Process/Start")
    for name, value in (("Content-Type", "application/connect+json"), ("Content-Length", len(message)),
                        ("X-Envd-Limits", "nofile=64"), ("x-envd-limits", "nice=5")):
        connection.putheader(name, value)
    connection.endheaders(message)
    answer = connection.getresponse().read().decode()
    connection.close()
    assert '"invalid_argument"' in answer and "x-envd-limits is there twice" in answer


def test_more_headers_of_extensions_than_there_are(envd):
    """Each X-Envd header was compared with all the others of its request, which may have 1000, and
    nothing else ran meanwhile. More than 32 are refused."""
    for count, refused in ((32, False), (33, True), (900, True)):
        answer = envd.request("GET", "/metrics", headers={f"X-Envd-{i}": "1" for i in range(count)})
        assert (answer.status == 400) == refused, (count, answer.status)
        assert (b"more than 32 X-Envd headers" in answer.body) == refused


def test_few_descriptors(envd):
    """A limit of descriptors below the number that the daemon had open failed the Start with `internal:
    bad file descriptor`: it was applied while the child still had the daemon's descriptors."""
    for limits in ("nofile=3", "nofile=4"):
        stream = envd.sh("exit 7", stdin=False, headers={"X-Envd-Limits": limits}).drain()
        # With 3 of them, the loader cannot open a library.
        assert stream.end["exitCode"] == (127 if limits == "nofile=3" else 7), stream.out
    stream = envd.sh("exit 7", headers={"X-Envd-Limits": "nofile=0"}).drain()
    assert stream.end["exitCode"] == 127


@pytest.mark.parametrize("limits, code, name", [
    ("memory=1G", "failed_precondition", "memory"),  # this daemon has no cgroups
    ("pids=10, nofile=5", "failed_precondition", "pids"),
    ("nofile=1000000000000", "failed_precondition", "nofile"),
    ("memory=1X", "invalid_argument", "memory"), ("cpu=0", "invalid_argument", "cpu"),
    ("cpu=1.", "invalid_argument", "cpu"), ("nice=20", "invalid_argument", "nice"),
    ("cpu-weight=0", "invalid_argument", "cpu-weight"), ("pids=0", "invalid_argument", "pids"),
    ("nofile", "invalid_argument", "nofile"),
    ("core=0,core=1", "invalid_argument", "core"), ("speed=9", "invalid_argument", "speed"),
    ("", "invalid_argument", "''"), ("memory=512 M", "invalid_argument", "'512 M'"),
    ("nofile=64 nice=5", "invalid_argument", "'64 nice=5'"),
    ("nofile =64", "invalid_argument", "'nofile '"),
])
def test_limits_that_cannot_be(envd, limits, code, name):
    """What cannot be applied is an error that names it, and never left out in silence. A value used to
    end at its first blank: "memory=512 M" limited a process to 512 bytes, and "nofile=64 nice=5" left
    out the priority."""
    with pytest.raises(Failed) as failed:
        envd.run("true", headers={"X-Envd-Limits": limits})
    assert failed.value.code == code and name in failed.value.message
