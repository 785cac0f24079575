"""POST /init: http.md and details 16 to 23."""

import datetime
import http.client
import json
import os
import threading

import pytest

from conftest import PORT, wait_until

HOSTS = "/etc/hosts"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
KEPT = "/usr/local/share/ca-certificates/e2b-ca.crt"


def now(offset_seconds=0.0):
    """The machine's own time, give or take: it must never be moved."""
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


def test_calls_wait_for_each_other_and_a_lost_one_is_dropped(sandbox):
    wait_until(lambda: sandbox.envs().get("E2B_SANDBOX_ID"), "the first poll")
    sandbox.mmds.gate.clear()
    results = []
    first = threading.Thread(
        target=lambda: results.append(sandbox.init(envVars={"WHO": "first"}).status))
    before = len(sandbox.mmds.requests)
    first.start()
    wait_until(lambda: len(sandbox.mmds.requests) > before, "the first one's question")
    lost = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    lost.request("POST", "/init", json.dumps({"envVars": {"WHO": "lost"}}))
    lost.close()
    assert sandbox.request("GET", "/health").status == 204
    sandbox.mmds.gate.set()
    first.join(20)
    assert results == [204]
    assert sandbox.envs()["WHO"] in ("first",)
    assert sandbox.init(envVars={"WHO": "third"}).status == 204
    assert sandbox.envs()["WHO"] == "third"
