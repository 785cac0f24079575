# SPDX-License-Identifier: Apache-2.0
"""The programs that people use: curl, wget, aria2, Python's requests and httpx. Each as root and as
an unprivileged user of the guest."""

import hashlib
import os
import subprocess

import httpx
import pytest

DATA = os.urandom(1 << 20) * 8
TEXT = b"a line of text that compresses\n" * 200_000
HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["plain", "with space", "quo'te\"", "new\nline", "ünï 世界 🦊", b"bad \xff\xfe".decode(errors="surrogateescape")]


@pytest.fixture(params=["root", "user"])
def client(request, files):
    """Files as a user; what is made belongs to that user."""
    return files.as_user(request.param)


@pytest.fixture
def url(client, daemon):
    def url(path):
        return f"http://127.0.0.1:{daemon.address[1]}{client.target(path)}"

    return url


def run(*command, code=0):
    """Runs a program; what it printed."""
    done = subprocess.run([os.fspath(word) for word in command], capture_output=True, check=False,
                          timeout=60)
    assert done.returncode == code, (command, done.returncode, done.stderr)
    return done.stdout


def curl(*arguments, code=0):
    return run("curl", "-sS", "-f", *arguments, code=code)


def check_owner(client, path):
    assert os.stat(path).st_uid == (1000 if client.user == "user" else 0)


class TestCurl:
    @pytest.mark.parametrize("name", NAMES)
    def test_names(self, client, url, tmp_path, name):
        path = f"{tmp_path}/d/{name}"
        (tmp_path / "source").write_bytes(b"content")
        curl("-H", "Content-Type: application/octet-stream", "--data-binary",
             f"@{tmp_path}/source", url(path))
        check_owner(client, path)
        assert curl(url(path)) == b"content"
        (tmp_path / "saved").mkdir()
        run("curl", "-sSf", "--output-dir", tmp_path / "saved", "-OJ", url(path))
        (saved,) = (tmp_path / "saved").iterdir()
        assert saved.read_bytes() == b"content"

    def test_upload_by_T(self, client, url, tmp_path):
        (tmp_path / "source").write_bytes(DATA)
        curl("-X", "POST", "-H", "Content-Type: application/octet-stream", "-T",
             tmp_path / "source", url(tmp_path / "f"))
        assert (tmp_path / "f").read_bytes() == DATA
        check_owner(client, tmp_path / "f")

    def test_upload_of_a_pipe(self, url, tmp_path):
        command = ["curl", "-sSf", "-X", "POST", "-H", "Content-Type: application/octet-stream",
                   "-T", "-", url(tmp_path / "f")]
        subprocess.run(command, input=DATA, check=True, capture_output=True, timeout=60)
        assert (tmp_path / "f").read_bytes() == DATA

    def test_form(self, client, url, tmp_path):
        (tmp_path / "source").write_bytes(DATA)
        curl("-F", f"file=@{tmp_path}/source", url(tmp_path / "f"))
        assert (tmp_path / "f").read_bytes() == DATA
        check_owner(client, tmp_path / "f")

    def test_form_with_many(self, client, url, tmp_path):
        (tmp_path / "source").write_bytes(b"content")
        words = []
        for i in range(30):
            words += ["-F", f"file=@{tmp_path}/source;filename={tmp_path}/d/{i}"]
        curl("-F", "comment=skipped", *words, url(None))
        assert len(os.listdir(tmp_path / "d")) == 30
        check_owner(client, tmp_path / "d" / "29")

    def test_continue(self, url, tmp_path):
        (tmp_path / "f").write_bytes(DATA)
        for there in 1, 1_000_000, len(DATA) - 1:
            (tmp_path / "copy").write_bytes(DATA[:there])
            curl("-C", "-", "-o", tmp_path / "copy", url(tmp_path / "f"))
            assert (tmp_path / "copy").read_bytes() == DATA

    def test_continue_upload(self, url, tmp_path):
        (tmp_path / "source").write_bytes(DATA)
        (tmp_path / "f").write_bytes(DATA[:3_000_000])
        curl("-X", "POST", "-H", "Content-Type: application/octet-stream", "-C", "3000000", "-T",
             tmp_path / "source", url(tmp_path / "f"))
        assert (tmp_path / "f").read_bytes() == DATA

    def test_compressed(self, url, tmp_path):
        (tmp_path / "f.txt").write_bytes(TEXT)
        assert curl("--compressed", url(tmp_path / "f.txt")) == TEXT
        sizes = [int(curl(*how, "-o", "/dev/null", "-w", "%{size_download}", url(tmp_path / "f.txt")))
                 for how in ([], ["--compressed"])]
        assert sizes[1] < sizes[0] / 20

    def test_ranges(self, url, tmp_path):
        (tmp_path / "f").write_bytes(DATA)
        assert curl("-r", "5-99", url(tmp_path / "f")) == DATA[5:100]
        assert curl("-r", "-7", url(tmp_path / "f")) == DATA[-7:]
        several = curl("-r", "0-9,20-29", url(tmp_path / "f"))
        assert DATA[:10] in several and DATA[20:30] in several
        curl("-r", f"{len(DATA)}-", url(tmp_path / "f"), code=22)

    def test_time_condition_and_head(self, url, tmp_path):
        (tmp_path / "f").write_bytes(DATA)
        assert b"Content-Length: 8388608" in curl("-I", url(tmp_path / "f"))
        curl("-R", "-o", tmp_path / "copy", url(tmp_path / "f"))
        assert int((tmp_path / "copy").stat().st_mtime) == int((tmp_path / "f").stat().st_mtime)
        assert curl("-z", tmp_path / "copy", url(tmp_path / "f")) == b""

    def test_etag(self, url, tmp_path):
        (tmp_path / "f").write_text("one")
        words = ["--etag-save", tmp_path / "etag", "--etag-compare", tmp_path / "etag"]
        assert curl(*words, url(tmp_path / "f")) == b"one"
        assert curl(*words, url(tmp_path / "f")) == b""
        (tmp_path / "f").write_text("three")
        assert curl(*words, url(tmp_path / "f")) == b"three"

    def test_parallel(self, url, tmp_path):
        words = []
        for i in range(40):
            (tmp_path / str(i)).write_bytes(DATA[i:i + 200_000])
            words += ["-o", tmp_path / f"copy-{i}", url(tmp_path / str(i))]
        run("curl", "-sSf", "-Z", *words)
        for i in range(40):
            assert (tmp_path / f"copy-{i}").read_bytes() == DATA[i:i + 200_000]

    def test_slow(self, url, tmp_path):
        """A client that takes its time holds up nobody and gets all."""
        (tmp_path / "f").write_bytes(DATA)
        slow = subprocess.Popen(["curl", "-sSf", "--limit-rate", "8M", "-o", tmp_path / "copy",
                                 url(tmp_path / "f")])
        for _ in range(10):
            assert curl("-r", "0-9", url(tmp_path / "f")) == DATA[:10]
        assert slow.wait(60) == 0
        assert (tmp_path / "copy").read_bytes() == DATA


def test_wget(client, url, tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    run("wget", "-q", "-O", tmp_path / "copy", url(tmp_path / "f"))
    assert (tmp_path / "copy").read_bytes() == DATA
    os.truncate(tmp_path / "copy", 1_234_567)
    run("wget", "-q", "-c", "-O", tmp_path / "copy", url(tmp_path / "f"))
    assert (tmp_path / "copy").read_bytes() == DATA
    # All of it is there: there is nothing to continue.
    run("wget", "-q", "-c", "-O", tmp_path / "copy", url(tmp_path / "f"))
    assert (tmp_path / "copy").read_bytes() == DATA
    run("wget", "-q", "--header", "Content-Type: application/octet-stream",
        f"--post-file={tmp_path}/f", "-O", "/dev/null", url(tmp_path / "up"))
    assert (tmp_path / "up").read_bytes() == DATA
    check_owner(client, tmp_path / "up")
    run("wget", "-q", "-O", "/dev/null", url(tmp_path / "absent"), code=8)


def test_aria2(url, tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    (tmp_path / "saved").mkdir()
    run("aria2c", "-q", "--no-conf", "-x", "8", "-s", "8", "-k", "1M", "-d", tmp_path / "saved",
        "-o", "f", url(tmp_path / "f"))
    assert (tmp_path / "saved" / "f").read_bytes() == DATA
    os.truncate(tmp_path / "saved" / "f", 2_000_000)
    run("aria2c", "-q", "--no-conf", "-c", "-d", tmp_path / "saved", "-o", "f", url(tmp_path / "f"))
    assert (tmp_path / "saved" / "f").read_bytes() == DATA


def test_requests(client, daemon, tmp_path):
    run("/usr/bin/python3", f"{HERE}/requests_client.py", f"http://127.0.0.1:{daemon.address[1]}",
        tmp_path / "d", client.user)
    check_owner(client, tmp_path / "d" / "streamed")


@pytest.mark.parametrize("name", NAMES[:-1])
def test_httpx(client, daemon, tmp_path, name):
    with httpx.Client(base_url=f"http://127.0.0.1:{daemon.address[1]}", timeout=60) as http:
        params = {"path": f"{tmp_path}/{name}", "username": client.user}
        assert http.post("/files", params=params, files={"file": DATA}).status_code == 200
        check_owner(client, params["path"])
        with http.stream("GET", "/files", params=params) as answer:
            digest = hashlib.sha256()
            for piece in answer.iter_bytes():
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(DATA).digest()
        headers = {"Content-Type": "application/octet-stream"}
        pieces = (TEXT[at:at + 99_999] for at in range(0, len(TEXT), 99_999))
        http.post("/files", params=params, headers=headers, content=pieces).raise_for_status()
        answer = http.get("/files", params=params)
        assert (answer.headers["Content-Encoding"], answer.content) == ("gzip", TEXT)
