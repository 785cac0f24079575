# SPDX-License-Identifier: Apache-2.0
"""Ours to ours: nothing that the wire can carry is lost."""

import http.client
import json
import os
import signal
import subprocess
import threading

import pytest
from client import Client, Failed
from conftest import ADDRESS, BLOB, ENVD, NEXT, NONE, Daemon, wait_for
from proxy import Proxy


@pytest.mark.parametrize("program", [b"", ENVD], ids=["itself", "body"])
def test_nothing_to_carry(daemon, program):
    assert daemon.replace(program) == NONE
    assert daemon.words().count("--resume-handover") == 1
    assert not os.path.exists(BLOB)
    # Its own program was executed as /proc/self/exe: ps(1) called it "exe".
    path = NEXT if program else ENVD
    assert daemon.words()[0] == path
    assert daemon.proc("comm").strip() == os.path.basename(path)


def test_audit_stream_goes_on(tmp_path):
    """The event of the upgrade is the last one of the old daemon. The new one appends, and reports the
    end of a process that it took over."""
    d = Daemon("-audit", str(tmp_path / "audit"))
    d.init()
    try:
        stream = d.client.start("sleep", "1000")
        d.replace()
        d.client.call("SendSignal", {"process": {"pid": stream.pid}, "signal": "SIGNAL_SIGKILL"})

        def events():
            return [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]

        wait_for(lambda: events()[-1]["event"] == "end", "the end")
        assert [e["event"] for e in events()] == ["init", "start", "upgrade", "init", "signal", "end"]
        assert {e["pid"] for e in events() if "pid" in e} == {stream.pid}
        stream.close()
    finally:
        d.stop()


def test_audit_file_that_no_longer_opens(tmp_path):
    """The directory of the audit file was removed since the start. The execve succeeded, the new daemon
    ended with 2 since it could not open the file, and all processes were lost. It runs without the file
    and tries again at each event."""
    (tmp_path / "logs").mkdir()
    audit = tmp_path / "logs" / "audit"
    d = Daemon("-audit", str(audit))
    d.init()
    try:
        stream = d.client.start("sleep", "1000")
        (tmp_path / "logs").rename(tmp_path / "gone")
        assert d.replace()["procs"] == 1
        assert [p["pid"] for p in d.client.call("List", {})["processes"]] == [stream.pid]
        wait_for(lambda: f"-audit {audit}: no such file or directory" in d.log(), d.log)
        (tmp_path / "logs").mkdir()
        d.client.call("SendSignal", {"process": {"pid": stream.pid}, "signal": "SIGNAL_SIGKILL"})
        wait_for(lambda: audit.exists() and '"end"' in audit.read_text(), d.log)
        events = [json.loads(line) for line in audit.read_text().splitlines()]
        # The worker may have tried to write the init only after the directory was there again.
        assert events[0]["event"] == "init" or (events[0]["event"], events[0]["lines"]) == ("dropped", 1)
        assert [e["event"] for e in events[1:]] == ["signal", "end"]
        stream.close()
    finally:
        d.stop()


def test_a_process_goes_on(daemon):
    stream = daemon.client.start("sh", "-c", "while read line; do echo got $line; done; exit 7",
                                 tag="reader")
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "b25lCg=="}})
    stream.until("stdout", b"got one\n")
    assert daemon.replace() == {**NONE, "procs": 1}
    (listed,) = daemon.client.call("List", {})["processes"]
    assert (listed["pid"], listed["tag"], listed["config"]["cmd"]) == (stream.pid, "reader", "sh")
    again = daemon.client.stream("Connect", {"process": {"tag": "reader"}})
    assert again.next()["start"]["pid"] == stream.pid
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "dHdvCg=="}})
    again.until("stdout", b"got two\n")
    daemon.client.call("CloseStdin", {"process": {"pid": stream.pid}})
    again.drain()
    assert again.end == {"exitCode": 7, "exited": True, "status": "exit status 7",
                         "error": "exit status 7"}
    assert daemon.children() == []


def test_output_in_the_pipe_is_not_lost(daemon):
    """Numbered lines, while the daemon is replaced ten times: each number is there once for the
    reader that is connected when it is written; none is written while nobody can read it later."""
    stream = daemon.client.start("sh", "-c", "read x; for i in $(seq 1000); do echo $i; done",
                                 tag="lines")
    for _ in range(10):
        assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "lines"}})
    again.next()
    daemon.client.call("SendInput", {"process": {"pid": stream.pid}, "input": {"stdin": "Cg=="}})
    again.drain()
    assert again.out["stdout"].split() == [b"%d" % i for i in range(1, 1001)]


def test_kept_output_is_complete(daemon):
    """A client that counts what it has misses no byte over an upgrade, whatever was under way."""
    daemon.keeps_output = True
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo line $i; done; exec sleep 1000"
    stream = daemon.client.start("sh", "-c", script, tag="counted",
                                 headers={"X-Envd-Keep-Output": "1000000"})
    expected = b"".join(b"line %d\n" % i for i in range(1, 3001))
    got = stream.out["stdout"]
    for _ in range(5):
        assert daemon.replace()["procs"] == 1
        again = daemon.client.stream("Connect", {"process": {"tag": "counted"}},
                                     headers={"X-Envd-From": f"stdout={len(got)}"})
        again.next()
        if len(got) < len(expected):
            again.next()
        got += again.out["stdout"]
        again.close()
    again = daemon.client.stream("Connect", {"process": {"tag": "counted"}},
                                 headers={"X-Envd-From": f"stdout={len(got)}"})
    again.next()
    while len(got) + len(again.out["stdout"]) < len(expected):
        again.next()
    assert got + again.out["stdout"] == expected


def test_kept_output_of_an_exit_and_start_keys(daemon):
    daemon.keeps_output = True
    headers = {"X-Envd-Keep-Output": "1000", "X-Envd-Keep-For": "600", "X-Envd-Start-Key": "once"}
    ended = daemon.client.start("sh", "-c", "echo out; echo err >&2; exit 4",
                                headers=headers).drain()
    lives = daemon.client.start("sleep", "1000", headers={**headers, "X-Envd-Start-Key": "twice"})
    assert daemon.replace() == {**NONE, "procs": 1, "retained": 1}
    again = daemon.client.start("sh", "-c", "echo out; echo err >&2; exit 4",
                                headers=headers).drain()
    assert (again.pid, again.out, again.end) == (ended.pid, ended.out, ended.end)
    again = daemon.client.start("sleep", "1000", headers={**headers, "X-Envd-Start-Key": "twice"})
    assert again.pid == lives.pid
    with pytest.raises(Failed, match="already_exists"):
        daemon.client.start("sleep", "999", headers={**headers, "X-Envd-Start-Key": "twice"})


def test_starts_that_are_not_frozen(daemon):
    """A freeze does not hold off the platform's own processes. One that was between its clone and its place in the
    table at the execve went on as a stranger: nobody listed it, read its output or could kill it."""
    name = "7654.321"
    ending = threading.Event()

    def start():
        client = Client(ADDRESS)
        while not ending.is_set():
            try:
                stream = client.start("sleep", name, tag="_system")
                stream.close()
                client.kill(stream.pid)
            except (OSError, http.client.HTTPException, AssertionError, Failed):
                ending.wait(0.01)  # cut by the upgrade, or refused by the gate

    def replace():
        """Where the machine is busy, the starts in progress can last longer than a freeze waits."""
        answer = daemon.upgrade()
        if answer is not None:
            assert b"freeze workload" in answer.body, answer.body
            return False
        wait_for(daemon.answers, daemon.log)
        assert daemon.init().status == 204
        return True

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            wait_for(replace, daemon.log)
    finally:
        ending.set()
        for thread in threads:
            thread.join()

    def strangers():
        found = subprocess.run(["pgrep", "-xf", f"sleep {name}"], stdout=subprocess.PIPE, text=True).stdout.split()
        return {int(pid) for pid in found} - {p["pid"] for p in daemon.client.list()}

    wait_for(lambda: not strangers(), lambda: f"an end of {strangers()}")


def test_a_terminal_goes_on(daemon):
    stream = daemon.client.start("sh", pty={"size": {"cols": 80, "rows": 24}}, tag="terminal")
    stream.until("pty", b"#")
    assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "terminal"}})
    again.next()
    daemon.client.call("Update", {"process": {"tag": "terminal"},
                                  "pty": {"size": {"cols": 132, "rows": 50}}})
    daemon.client.call("SendInput", {"process": {"tag": "terminal"},
                                     "input": {"pty": "c3R0eSBzaXplCmV4aXQgMwo="}})
    again.drain()
    assert b"50 132" in again.out["pty"]
    assert again.end["exitCode"] == 3


def test_an_exit_is_still_known(daemon):
    stream = daemon.client.start("sh", "-c", "exit 9").drain()
    killed = daemon.client.start("sleep", "1000")
    os.kill(killed.pid, signal.SIGSEGV)
    killed.drain()
    assert daemon.replace() == {**NONE, "retained": 2}
    for before in (stream, killed):
        again = daemon.client.stream("Connect", {"process": {"pid": before.pid}}).drain()
        assert again.end == before.end


def test_a_process_that_ended_meanwhile(daemon):
    """Its leader is a zombie when the next daemon finds it."""
    stream = daemon.client.start("sh", "-c", "sleep 1000 & echo ready; exec sleep 1001",
                                 tag="leader").until("stdout", b"ready")
    os.kill(stream.pid, signal.SIGKILL)
    wait_for(lambda: open(f"/proc/{stream.pid}/stat").read().split(")")[1].split()[0] == "Z")
    assert daemon.replace()["procs"] == 1
    again = daemon.client.stream("Connect", {"process": {"tag": "leader"}})
    again.next()
    daemon.client.call("SendSignal", {"process": {"tag": "leader"}, "signal": "SIGNAL_SIGKILL"})
    again.drain()
    assert again.end["status"] == "signal: killed"
    wait_for(lambda: not daemon.children())


def test_a_deadline_counts_from_the_thaw(daemon):
    stream = daemon.client.start("sleep", "1000", tag="short", headers={"Connect-Timeout-Ms": "2000"})
    assert daemon.upgrade() is None
    wait_for(daemon.answers)
    assert os.path.exists(f"/proc/{stream.pid}")
    daemon.init()
    wait_for(lambda: not os.path.exists(f"/proc/{stream.pid}"))


@pytest.mark.parametrize("scope", ["leader", "session", "tree"])
def test_a_kill_reaches_as_far_as_before(daemon, scope):
    """`tree` needs the process' own cgroup, which the next daemon must not take for a stale one."""
    stream = daemon.client.start(
        "sh", "-c", "setsid sleep 4242 & sleep 4242 & echo ready; wait", tag="family",
        headers={"X-Envd-Kill-Scope": scope})
    stream.until("stdout", b"ready")
    assert daemon.replace()["procs"] == 1

    def is_sleep(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                return line.read() == b"sleep\0004242\0"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def alive():
        return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_sleep(pid)}

    wait_for(lambda: len(alive()) == 2)
    daemon.client.call("SendSignal", {"process": {"tag": "family"}, "signal": "SIGNAL_SIGKILL"})
    wait_for(lambda: len(alive()) == {"leader": 2, "session": 1, "tree": 0}[scope])
    for pid in alive():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive())


def test_an_end_with_the_leader(daemon):
    """X-Envd-End: leader was forgotten: the end waited for a background child, which has the output."""
    stream = daemon.client.start("sh", "-c", "setsid sleep 1000 & echo $!; read x; exit 3", tag="leader",
                                 headers={"X-Envd-End": "leader"}).until("stdout", b"\n")
    child = int(stream.out["stdout"])
    assert daemon.replace()["procs"] == 1
    again = daemon.client.connect(tag="leader")
    daemon.client.send_input(stream.pid, b"\n")
    assert again.drain().end["exitCode"] == 3
    os.kill(child, signal.SIGKILL)


def test_a_child_that_outlives_its_leader(daemon, tmp_path):
    """The daemon reads and discards what such a child writes. After an upgrade nobody had the pipe any more, and
    the next write of the child raised SIGPIPE."""
    child = "until [ -e stop ]; do echo line || exit 1; echo $((i += 1)) >lines; sleep 0.01; done; touch unharmed"
    daemon.client.start("sh", "-c", f"({child}) & exit 3", cwd=str(tmp_path),
                        headers={"X-Envd-End": "leader"}).drain()

    def lines():
        return int("0" + (tmp_path / "lines").read_text()) if (tmp_path / "lines").exists() else 0

    for _ in range(2):
        daemon.replace()
        before = lines()
        wait_for(lambda: lines() > before + 3, lambda: f"lines after {before}")
    (tmp_path / "stop").touch()
    wait_for(lambda: (tmp_path / "unharmed").exists())


def test_a_poller_misses_nothing(daemon, tmp_path):
    watcher = daemon.watch("CreateWatcher", path=str(tmp_path), recursive=True,
                           includeEntry=True)["watcherId"]
    (tmp_path / "before").mkdir()
    assert daemon.replace() == {**NONE, "watchers": 1}
    (tmp_path / "before" / "after").write_text("x")
    events = []

    def have():
        events.extend(daemon.watch("GetWatcherEvents", watcherId=watcher).get("events", []))
        return any(e["name"] == "before/after" for e in events)

    wait_for(have)
    assert events[0]["name"] == "before" and events[0]["type"] == "EVENT_TYPE_CREATE"
    assert events[0]["entry"]["path"] == str(tmp_path / "before")
    daemon.watch("RemoveWatcher", watcherId=watcher)


def test_a_filter_of_a_poller_stays(daemon, tmp_path):
    """The options of X-Envd-Watch are no part of the reference's state."""
    headers = {"Content-Type": "application/json", "X-Envd-Watch": "ignore=*.log"}
    answer = daemon.request("POST", "/filesystem.Filesystem/CreateWatcher",
                            json.dumps({"path": str(tmp_path)}), headers=headers)
    watcher = answer.json()["watcherId"]
    for i in range(2):
        assert daemon.replace()["watchers"] == 1
        (tmp_path / f"{i}.log").mkdir()
        (tmp_path / f"{i}.txt").mkdir()
        names = []

        def have():
            names.extend(e["name"] for e in
                         daemon.watch("GetWatcherEvents", watcherId=watcher).get("events", []))
            return f"{i}.txt" in names

        wait_for(have)
        assert names == [f"{i}.txt"]
    daemon.watch("RemoveWatcher", watcherId=watcher)


def test_accounting_goes_on():
    """The process' own cgroup is adopted, with what it has counted."""
    daemon = Daemon("-process-accounting")
    daemon.init()
    stream = daemon.client.start("sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo done; cat",
                                 tag="used").until("stdout", b"done")
    name = f'process_cpu_seconds_total{{pid="{stream.pid}",tag="used"}}'
    before = daemon.metrics()[name]
    assert before > 0
    daemon.replace()
    assert daemon.metrics()[name] >= before
    daemon.client.close_stdin(stream.pid)
    wait_for(lambda: not daemon.client.list())
    daemon.stop()


def test_the_log_tells_what_was_taken_over(tmp_path):
    """A platform's store of lines shows what became of each process and watcher."""
    daemon = Daemon("-verbose")
    daemon.init()
    process = daemon.client.start("sleep", "1000", tag="sleeper")
    watcher = daemon.watch("CreateWatcher", path=str(tmp_path))["watcherId"]
    (tmp_path / "f").mkdir()
    daemon.replace()

    def line(event, **members):
        lines = [json.loads(text) for text in daemon.log().splitlines() if text.startswith("{")]
        return next((found for found in lines if found.get("event_type") == event
                     and all(found[name] == value for name, value in members.items())), None)

    assert wait_for(lambda: line("process_readopted", pid=process.pid))["logger"] == "process"
    found = wait_for(lambda: line("watcher_readopted", watcher_id=watcher))
    assert (found["logger"], found["level"]) == ("filesystem", "info")
    assert found["pending_events"] in (0, 1)
    assert wait_for(lambda: line("watchers_rearmed"))["rearmed"] == 1
    assert wait_for(lambda: line("handover_resumed"))["watchers"] == 1
    warning = "no default user was delivered"
    wait_for(lambda: warning in daemon.log())
    daemon.client.call("SendSignal", {"process": {"tag": "sleeper"}, "signal": "SIGNAL_SIGKILL"})
    assert wait_for(lambda: line("process_end_readopted", pid=process.pid))["process_result"]
    daemon.watch("RemoveWatcher", watcherId=watcher)
    daemon.stop()


def test_variables_and_defaults(daemon):
    daemon.init(envVars={"KEPT": "yes"}, defaultUser="nobody", defaultWorkdir="/usr")
    daemon.replace()
    assert daemon.client.start("sh", "-c", "echo $KEPT; pwd; id -un").drain().out["stdout"] == \
        b"yes\n/usr\nnobody\n"


def test_the_counters_go_on(daemon):
    """Every counter of /metrics began at 0 again, as after a crash, and a collector that adds up what each
    daemon counted missed what came since its last visit."""
    daemon.client.start("seq", "1000").drain()
    with pytest.raises(Failed):
        daemon.client.start("true", "x" * 1000000)  # longer than the kernel takes (E2BIG)
    before = {name: value for name, value in daemon.metrics().items() if name.endswith("_total")}
    assert all(before[f"envd_{name}_total"] > 0 for name in (
        "requests", "processes_started", "process_start_failures", "process_output_bytes", "thaws"))
    for i in range(1, 3):
        daemon.replace()
        after = daemon.metrics()
        for name in "processes_started", "process_start_failures", "process_output_bytes":
            assert after[f"envd_{name}_total"] == before[f"envd_{name}_total"]
        assert after["envd_freezes_total"] == before["envd_freezes_total"] + i
        assert after["envd_thaws_total"] == before["envd_thaws_total"] + i
        assert after["envd_requests_total"] >= before["envd_requests_total"] + 3 * i
    daemon.client.start("true").drain()
    assert daemon.metrics()["envd_processes_started_total"] == before["envd_processes_started_total"] + 1


def test_the_gate_is_closed_until_an_init(daemon):
    assert daemon.upgrade() is None
    wait_for(daemon.answers)
    for method, path in (("GET", "/envs"), ("POST", "/upgrade"), ("GET", "/metrics"),
                         ("POST", "/process.Process/List"), ("GET", "/files")):
        answer = daemon.request(method, path)
        assert answer.status == 401
        assert json.loads(answer.body) == {"code": 401, "message": "envd not initialized"}
    daemon.init()
    assert daemon.request("GET", "/envs").status == 200


def test_a_token_protects_the_upgrade(daemon):
    daemon.init(accessToken="secret")
    assert daemon.upgrade().status == 401
    assert daemon.upgrade(headers={"X-Access-Token": "secret"}) is None
    wait_for(daemon.answers)
    assert daemon.request("GET", "/envs").status == 401
    assert daemon.init(accessToken="secret").status == 204


def test_clients_wait_and_are_not_refused(daemon):
    """The listening sockets are handed over as well: no connection is refused in between."""
    for _ in range(20):
        assert daemon.upgrade() is None
        assert daemon.request("GET", "/health").status == 204
        daemon.init()


# ---- the command ----

def command(*args):
    return subprocess.run([ENVD, "upgrade", *args], capture_output=True, text=True, timeout=60)


def test_the_command_says_what_was_carried(daemon, tmp_path):
    assert daemon.init(accessToken='correct-horse').status == 204
    assert daemon.request('GET', '/envs').status == 401
    token = tmp_path / "token"
    token.write_text('correct-horse\n')
    done = command(ENVD)
    assert done.returncode == 1
    assert "the daemon goes on as before: " in done.stderr and "unauthorized" in done.stderr
    done = command(ENVD, "--to", "tcp:127.0.0.1:49983", "--token-file", str(token))
    assert (done.returncode, done.stderr) == (0, "")
    assert '"failed":false' in done.stdout and done.stdout.startswith("version 0.9.1+c1,")


def test_the_command_through_a_bridge(daemon, tmp_path):
    """The upload of the program passes the bridge on the host and the proxy of the guest's vsock."""
    proxy = Proxy(tmp_path / "proxy", ("127.0.0.1", 49983), ask=True)
    bridge = subprocess.Popen([ENVD, "bridge", "--listen", f"unix:{tmp_path}/bridge", "--to",
                               f"uds:{tmp_path}/proxy"], stderr=subprocess.PIPE, text=True)
    try:
        assert " leads to " in bridge.stderr.readline()
        assert daemon.init().status == 204
        done = command(ENVD, "--to", f"unix:{tmp_path}/bridge")
        assert (done.returncode, done.stderr) == (0, "")
        assert '"failed":false' in done.stdout
        assert set(proxy.asked) == {b"CONNECT 49983\n"}
        assert "--resume-handover" in daemon.words()
    finally:
        bridge.terminate()
        bridge.wait()
        bridge.stderr.close()
        proxy.close()


def test_the_command_over_every_address(daemon, tmp_path):
    """The command had connections of its own: TCP and unix sockets alone, and none of the variables that
    the other commands read."""
    proxy = Proxy(tmp_path / "proxy", ("127.0.0.1", 49983), ask=True)
    plain = Proxy(tmp_path / "plain", ("127.0.0.1", 49983))
    try:
        assert daemon.init(accessToken="correct-horse").status == 204
        for to in f"uds:{tmp_path}/proxy", f"unix:{tmp_path}/plain", "tcp:localhost":
            done = subprocess.run([ENVD, "upgrade", ENVD], capture_output=True, text=True, timeout=60, check=False,
                                  env=os.environ | {"ENVD_TO": to, "ENVD_TOKEN": "correct-horse"})
            assert (done.returncode, done.stderr) == (0, "")
            assert '"failed":false' in done.stdout
        assert set(proxy.asked) == {b"CONNECT 49983\n"}
    finally:
        proxy.close()
        plain.close()


def test_the_command_says_why_not(daemon):
    done = command("/usr/bin/true")
    assert done.returncode == 1
    assert done.stderr.startswith("envd upgrade: the daemon goes on as before: "
                                  "HTTP status 400: the new program refuses its flags")
    assert command("/nonexistent").returncode == 1
    assert command().returncode == 2
    assert command(ENVD, "--to", "nowhere").returncode == 2
