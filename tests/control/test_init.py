# SPDX-License-Identifier: Apache-2.0
"""POST /init: docs/compatibility/http.md and compatibility/details 16 to 23."""

import ctypes
import datetime
import http.client
import json
import os
import secrets
import socket
import subprocess
import threading
import time

import pytest

from conftest import PORT, wait_until
from wire import Wire, request

HOSTS = "/etc/hosts"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
KEPT = "/usr/local/share/ca-certificates/e2b-ca.crt"


def now(offset_seconds=0.0):
    """The machine's own time, approximately: a test must not set the clock."""
    assert -0.04 <= offset_seconds <= 0.04
    t = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_seconds)
    return t.isoformat()


def test_empty_body(daemon):
    answer = daemon.request("POST", "/init")
    assert answer.status == 204
    assert answer.headers["X-Envd-Version"] == "0.9.1+c1"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"accessToken":""}', b'{"accessToken":"a\\u0062"}',
                                  b'{"timestamp":"soon"}', b'{"envVars":{"A":1}}', b"{} {}"])
def test_malformed(daemon, body):
    daemon.init(accessToken="held")
    answer = daemon.request("POST", "/init", body)
    assert (answer.status, answer.body) == (400, b"")
    assert answer.headers["X-Envd-Version"] == "0.9.1+c1"
    assert daemon.request("GET", "/envs", token="held").status == 200


def test_token_is_set_changed_and_cleared(daemon):
    assert daemon.init(accessToken="one").status == 204
    assert daemon.request("GET", "/envs").status == 401
    assert daemon.request("GET", "/envs", token="one").status == 200
    refused = daemon.init(accessToken="two")
    assert (refused.status, refused.body) == (401, b"access token validation failed")
    refused = daemon.init()
    assert (refused.status, refused.body) == (401, b"access token reset not authorized")
    assert daemon.init(accessToken="one").status == 204


def test_header_plays_no_part(daemon):
    daemon.init(accessToken="one")
    assert daemon.request("POST", "/init", b"{}", token="one").status == 401


def test_variables_are_replaced(daemon):
    daemon.init(envVars={"A": "1", "B": "2", "E2B_SANDBOX": "forged"})
    assert daemon.envs() == {"A": "1", "B": "2", "E2B_SANDBOX": "false"}
    daemon.init(envVars={"C": None})
    assert daemon.envs() == {"C": "", "E2B_SANDBOX": "false"}
    daemon.init()
    assert daemon.envs() == {"C": "", "E2B_SANDBOX": "false"}
    assert daemon.run('echo "[${C-unset}] ${A-unset} $E2B_SANDBOX"') == "[] unset false\n"


def test_older_timestamp_changes_nothing(daemon):
    newest, older = now(), now(-0.03)
    assert daemon.init(timestamp=newest, envVars={"A": "new"}).status == 204
    assert daemon.init(timestamp=older, envVars={"A": "old"}).status == 204
    assert daemon.envs()["A"] == "new"
    assert daemon.init(timestamp=newest, envVars={"A": "again"}).status == 204
    assert daemon.envs()["A"] == "again"


def test_default_user_and_workdir(daemon):
    daemon.init(defaultUser="nobody", defaultWorkdir="/usr")
    assert daemon.run("id -un; pwd") == "nobody\n/usr\n"
    daemon.init(defaultUser="", defaultWorkdir="")
    assert daemon.run("id -un; pwd") == "nobody\n/usr\n"


def test_unknown_default_user_is_noticed_later(daemon):
    assert daemon.init(defaultUser="nobody-has-this-name").status == 204
    answer = daemon.request("POST", "/filesystem.Filesystem/Stat", b'{"path":"/"}',
                            headers={"Content-Type": "application/json"})
    assert answer.status == 401
    assert answer.json()["code"] == "unauthenticated"


def test_hyperloop(daemon):
    with open(HOSTS) as f:
        before = f.read()
    assert daemon.init(hyperloopIP="10.11.12.13").status == 204
    wait_until(lambda: daemon.envs().get("E2B_EVENTS_ADDRESS") == "http://10.11.12.13", "address")
    with open(HOSTS) as f:
        after = f.read()
    assert after == before + "10.11.12.13 events.e2b.local\n"
    assert daemon.init(hyperloopIP="10.11.12.14").status == 204
    wait_until(lambda: daemon.envs().get("E2B_EVENTS_ADDRESS") == "http://10.11.12.14", "address")
    with open(HOSTS) as f:
        assert f.read() == before + "10.11.12.14 events.e2b.local\n"


def test_bad_hyperloop_is_only_logged(daemon):
    assert daemon.init(hyperloopIP="not an address").status == 204
    assert "E2B_EVENTS_ADDRESS" not in daemon.envs()


def test_ca_bundle(daemon):
    with open(BUNDLE, "w") as f:
        f.write("SYSTEM\n")
    os.chmod(BUNDLE, 0o644)
    assert daemon.init(caBundle="FIRST\n\n").status == 204
    with open(BUNDLE) as f:
        assert f.read() == "SYSTEM\nFIRST\n"
    inode = os.stat(BUNDLE).st_ino
    assert daemon.init(caBundle="FIRST").status == 204
    assert os.stat(BUNDLE).st_ino == inode, "the same bundle again changed something"
    assert daemon.init(caBundle="SECOND").status == 204
    with open(BUNDLE) as f:
        assert f.read() == "SYSTEM\nSECOND\n"
    assert os.stat(BUNDLE).st_mode & 0o777 == 0o644
    wait_until(lambda: os.path.exists(KEPT) and open(KEPT).read() == "SECOND\n", "the kept copy")
    assert [n for n in os.listdir(os.path.dirname(BUNDLE))] == ["ca-certificates.crt"]


def test_readers_never_see_half_a_bundle(daemon):
    system = "SYSTEM\n" * 20_000
    with open(BUNDLE, "w") as f:
        f.write(system)
    bundles = [c * 100_000 + "\n" for c in "AB"]
    seen, over = set(), threading.Event()

    def read():
        while not over.is_set():
            with open(BUNDLE) as f:
                seen.add(f.read())

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(20):
        assert daemon.init(caBundle=bundles[i % 2]).status == 204
    over.set()
    reader.join()
    assert seen <= {system, *(system + bundle for bundle in bundles)}


def test_missing_ca_bundle(daemon):
    if os.path.exists(BUNDLE):
        os.unlink(BUNDLE)
    answer = daemon.init(caBundle="X", envVars={"KEPT": "yes"})
    assert answer.status == 400
    assert b"no such file or directory" in answer.body
    assert daemon.envs()["KEPT"] == "yes"


def test_nfs_mount_command(daemon, stand_in, tmp_path):
    calls = tmp_path / "calls"
    stand_in("mount", f'echo "$@" >>{calls}\n')
    volume = {"nfs_target": "10.0.0.9:/vol", "path": str(tmp_path / "a/b")}
    assert daemon.init(lifecycleID="one", volumeMounts=[volume]).status == 204
    options = ("fg,hard,sync,rsize=1048576,wsize=1048576,mountproto=tcp,mountport=2049,proto=tcp,"
               "port=2049,nfsvers=3,noacl,noac,lookupcache=none")
    expected = f"-v -t nfs -o {options} -- 10.0.0.9:/vol {tmp_path}/a/b\n"
    assert calls.read_text() == expected
    assert os.path.isdir(volume["path"])
    assert daemon.init(lifecycleID="one", volumeMounts=[volume]).status == 204
    assert calls.read_text() == expected
    assert daemon.init(lifecycleID="two", volumeMounts=[volume]).status == 204
    assert calls.read_text() == expected * 2


def test_failing_mount(daemon, stand_in, tmp_path):
    stand_in("mount", "echo access denied by server >&2\nexit 32\n")
    answer = daemon.init(volumeMounts=[{"nfs_target": "h:/e", "path": str(tmp_path / "m")}])
    assert answer.status == 400
    assert b"exit status 32: access denied by server" in answer.body


def test_secure_first_setup_needs_the_hash(sandbox):
    sandbox.mmds.hash_of("right")
    assert sandbox.init(accessToken="wrong").status == 401
    assert sandbox.init().status == 401
    assert sandbox.init(accessToken="right").status == 204
    assert sandbox.request("GET", "/envs", token="right").status == 200


def test_reset_by_the_hash_of_nothing(sandbox):
    sandbox.init(accessToken="one")
    assert sandbox.init().status == 401
    sandbox.mmds.hash_of("")
    assert sandbox.init().status == 204
    assert sandbox.request("GET", "/envs").status == 200


def test_hash_allows_another_token(sandbox):
    sandbox.init(accessToken="one")
    sandbox.mmds.hash_of("two")
    assert sandbox.init(accessToken="two").status == 204
    assert sandbox.request("GET", "/envs", token="one").status == 401


def test_held_token_needs_no_metadata_service(sandbox):
    sandbox.init(accessToken="one")
    sandbox.mmds.stop()
    assert sandbox.init(accessToken="one").status == 204


def test_route_repair(sandbox, stand_in, tmp_path):
    """No answer: the rule is put first in both chains, once, and the service asked again."""
    calls = tmp_path / "calls"
    stand_in("iptables", f'echo "$@" >>{calls}\n')
    wait_until(lambda: sandbox.envs().get("E2B_SANDBOX_ID"), "the first poll")
    sandbox.mmds.stop()
    assert sandbox.init(accessToken="first").status == 204
    rule = "-d 169.254.169.254 -p tcp --dport 80 -j RETURN"
    assert calls.read_text().splitlines() == [
        f"-w 5 -t nat -D PREROUTING {rule}", f"-w 5 -t nat -I PREROUTING 1 {rule}",
        f"-w 5 -t nat -D OUTPUT {rule}", f"-w 5 -t nat -I OUTPUT 1 {rule}"]


def begin_init(**fields):
    """A connection that has sent an /init and waits for the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    connection.request("POST", "/init", json.dumps(fields))
    return connection


@pytest.fixture
def busy(sandbox):
    """A sandbox whose metadata service holds up an /init, until `busy.go_on()`."""
    wait_until(lambda: sandbox.envs().get("E2B_SANDBOX_ID"), "the first poll")
    sandbox.mmds.gate.clear()
    before = len(sandbox.mmds.requests)
    sandbox.first = begin_init(envVars={"WHO": "first"})
    wait_until(lambda: len(sandbox.mmds.requests) > before, "the first one's question")

    def go_on():
        sandbox.mmds.gate.set()
        response = sandbox.first.getresponse()
        response.read()
        sandbox.first.close()
        return response

    sandbox.go_on = go_on
    return sandbox


def test_calls_wait_for_each_other(busy):
    second = begin_init(envVars={"WHO": "second"})
    assert busy.go_on().status == 204
    assert second.getresponse().status == 204
    second.close()
    assert busy.envs()["WHO"] == "second"


def test_a_lost_call_is_dropped(busy):
    """An old /init of an orchestrator that had given up was still applied. A client that closes its
    connection sends only a FIN, which the daemon took for a half-close. The earlier test passed because
    it checked before the lost call had its turn. Now a third call, which is queued after the lost one,
    shows that the lost one was dropped."""
    lost = begin_init(envVars={"WHO": "lost", "LOST": "yes"})
    third = begin_init(defaultWorkdir="/usr")
    lost.close()
    # The end has come when the daemon has closed its own side as well.
    wait_until(lambda: established() == 2, "the end of the lost connection")
    assert busy.go_on().status == 204
    assert third.getresponse().status == 204
    third.close()
    assert busy.envs()["WHO"] == "first"
    assert "LOST" not in busy.envs()


def established():
    """How many connections to the daemon are open on its side."""
    listed = subprocess.run(["ss", "-Htn", "state", "established", f"( sport = :{PORT} )"],
                            capture_output=True, text=True, check=True).stdout
    half = subprocess.run(["ss", "-Htn", "state", "close-wait", f"( sport = :{PORT} )"],
                          capture_output=True, text=True, check=True).stdout
    return len(listed.splitlines()) + len(half.splitlines())


def test_the_clock_is_corrected_by_the_time_that_a_call_waited(busy):
    """A call that waited in the queue set the clock back by the time that it had waited."""
    waiting = begin_init(timestamp=now())
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 0.02, "some time")
    busy.go_on()
    waited_ms = (time.monotonic() - begun) * 1000
    response = waiting.getresponse()
    assert response.status == 204
    assert 20 <= int(response.headers["X-Envd-Init-Clock-Correction"]) <= waited_ms + 1000
    waiting.close()
    assert busy.init().headers["X-Envd-Init-Clock-Correction"] is None


def test_thaws_that_no_client_heard_of_are_counted(busy):
    """After a resume whose /init timed out, no client knew that the workload was running. The next
    /init reports it."""
    busy.first.sock.shutdown(socket.SHUT_WR)
    wait_until(lambda: close_waits() == 1, "the end of the client's side")
    assert busy.go_on().headers["X-Envd-Init-Unobserved"] is None
    assert busy.init().headers["X-Envd-Init-Unobserved"] == "1"
    assert busy.init().headers["X-Envd-Init-Unobserved"] == "0"


def close_waits():
    return len(subprocess.run(["ss", "-Htn", "state", "close-wait", f"( sport = :{PORT} )"],
                              capture_output=True, text=True, check=True).stdout.splitlines())


def test_headers_of_every_answer(daemon):
    report = '{"request":0,"low":0,"floor":0,"partial":'
    for answer in (daemon.init(accessToken="one"), daemon.init(accessToken="two"),
                   daemon.request("POST", "/init", b"[]")):
        assert answer.headers["X-Envd-Memory"].startswith(report), answer.status


def test_defaults_are_reported(daemon):
    """The answer reports the default user, and whether /init has set it."""
    def defaults(**fields):
        return daemon.init(**fields).headers["X-Envd-Defaults"]

    assert defaults() == '{"user":"root","fallback":true}'
    assert defaults(defaultUser="") == '{"user":"root","fallback":true}'
    assert defaults(defaultUser="root") == '{"user":"root","fallback":false}'
    assert defaults(defaultUser="nobody", defaultWorkdir="/tmp") == \
        '{"user":"nobody","workdir":"/tmp","fallback":false}'
    refused = daemon.request("POST", "/init", b"[]")
    assert refused.headers["X-Envd-Defaults"] is None


@pytest.mark.parametrize("value,header", [("skip", "skip"), ("later", None), ("", None),
                                          (None, None)])
def test_thaw_is_named_where_it_is_skipped(daemon, value, header):
    answer = daemon.init(thaw=value)
    assert (answer.status, answer.headers["X-Envd-Thaw"]) == (204, header)


@pytest.mark.parametrize("fields", [{"thaw": 1}, {"cpuCount": 1.5}, {"cpuCount": "2"}])
def test_malformed_new_members(daemon, fields):
    assert daemon.init(**fields).status == 400


def test_the_number_of_cpus_means_nothing_outside_firecracker(daemon):
    for count in (-1, 0, 1, 100000):
        answer = daemon.init(cpuCount=count)
        assert answer.status == 204
        assert answer.headers["X-Envd-Cpus"] == '{"online":0,"possible":0,"target":0}'


def test_volumes_are_mounted_at_once(daemon, stand_in, tmp_path):
    """Volumes were mounted one after the other, so one server that did not answer delayed all others.
    Each of these two mounts waits until the other one has begun."""
    a, b = tmp_path / "a", tmp_path / "b"
    stand_in("mount", f"for at; do :; done; touch $at.begun\n"
                      f"until [ -e {a}.begun ] && [ -e {b}.begun ]; do sleep 0.01; done\n")
    answer = daemon.init(volumeMounts=[{"nfs_target": "h:/1", "path": str(a)},
                                       {"nfs_target": "h:/2", "path": str(b)}])
    assert answer.status == 204, answer.body


def test_a_mount_that_hangs_stops_no_later_call(daemon, tmp_path):
    """mkdir(2) on a file system that does not answer blocked the only worker of /init. Later /init
    calls did not end, and none thawed the workload. The FUSE server in this test accepts the mount and
    then answers nothing."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    hung = tmp_path / "hung"
    hung.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    assert libc.mount(b"hung", os.fsencode(hung), b"fuse.hung", 0, options) == 0, \
        os.strerror(ctypes.get_errno())
    try:
        answer = daemon.init(volumeMounts=[{"nfs_target": "h:/e", "path": str(hung / "below")}],
                             lifecycleID="one", envVars={"A": "1"})
        assert answer.status == 400
        assert b"timed out after" in answer.body
        # It still hangs, and so its path is refused at once; everything else works.
        answer = daemon.init(volumeMounts=[{"nfs_target": "h:/e", "path": str(hung / "below")}],
                             lifecycleID="one", envVars={"A": "2"})
        assert answer.status == 400
        assert b"has not ended" in answer.body
        assert daemon.envs()["A"] == "2"
        assert daemon.init(envVars={"A": "3"}).status == 204
    finally:
        os.close(fuse)
        libc.umount2(os.fsencode(hung), 2)


def test_old_tokens_are_wiped(sandbox):
    """The current token is at one place of the daemon's memory, and one that was replaced is nowhere:
    neither where it was kept nor where the bodies of /init were read, whole or in pieces."""
    tokens = [secrets.token_hex(24) for _ in range(4)]
    for i, token in enumerate(tokens):
        sandbox.mmds.hash_of(token)
        body = json.dumps({"accessToken": token, "envVars": {"A": "x" * 3000}}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        # In the middle of the token, if in two pieces.
        pieces = [body] if i % 2 else [body[:30], body[30:]]
        connection.request("POST", "/init", iter(pieces), {"Content-Length": str(len(body))})
        assert connection.getresponse().status == 204
        connection.close()
    found = [sandbox.memory_has(token.encode()) for token in tokens]
    assert found == [0, 0, 0, 1]
    sandbox.mmds.hash_of("")
    assert sandbox.init().status == 204
    assert sandbox.memory_has(tokens[-1].encode()) == 0


def test_tokens_of_requests_are_wiped(sandbox):
    """The heads of requests stayed in freed memory, with their tokens: in the buffer of reads, in the
    connection's input, and in the request's own memory. Each token here is of one request alone."""
    right = secrets.token_hex(24)
    sandbox.mmds.hash_of(right)
    assert sandbox.init(accessToken=right).status == 204
    pad = "X-Pad: " + "x" * 6000
    tokens = []

    def head(*fields, path="/envs"):
        tokens.append(secrets.token_hex(24))
        return request("GET", path, f"X-Access-Token: {tokens[-1]}", *fields)

    def wiped():
        wait_until(lambda: not any(sandbox.memory_has(token.encode()) for token in tokens),
                   "the wiping of " + str([sandbox.memory_has(token.encode()) for token in tokens]))

    def answered(*pieces, statuses=(401,)):
        with Wire(sandbox.address) as wire:
            for piece in pieces:
                wire.send(piece)
                time.sleep(0.01)  # the pieces should come apart; the test is right if they do not
            for status in statuses:
                assert wire.answer().status == status
            wiped()  # also while the connection stays open

    answered(head())
    answered(head(pad))
    whole = head()
    answered(whole[:70], whole[70:])
    answered(*(bytes([byte]) for byte in head()))
    answered(head() + head(pad) + head(), statuses=(401, 401, 401))
    first, second = head(), head(pad)
    answered(first + second[:900], second[900:3000], second[3000:], statuses=(401, 401))
    answered(head(path="/%zz"), statuses=(400,))
    answered(head("no colon"), statuses=(400,))
    answered(head(*(f"X-{i}: y" for i in range(1001))), statuses=(431,))
    with Wire(sandbox.address) as wire:
        wire.send(head()[:-2])
    assert sandbox.request("GET", "/envs", token=right).status == 200
    wiped()
    assert sandbox.memory_has(right.encode()) == 1


def test_bodies_without_a_token_have_a_bound(daemon):
    """150 connections that each sent 4 MiB of an unfinished /init held 602 MiB, without a token. Now
    clients without a token share a bounded class of the memory, and a small /init always fits."""
    head = (b"POST /init HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
    held = []
    piece = b" " * 2_000_000
    for _ in range(40):
        s = socket.create_connection(("127.0.0.1", PORT), timeout=20)
        try:
            s.sendall(head + piece)
        except OSError:
            pass  # refused in the midst of it
        held.append(s)
    with open(f"/proc/{daemon.process.pid}/status") as status:
        rss_kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert rss_kib < 64 * 1024
    assert daemon.init(envVars={"A": "1"}).status == 204
    for s in held:
        s.close()
