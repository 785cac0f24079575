# SPDX-License-Identifier: Apache-2.0
"""What there is in secure mode alone: tokens, signed URLs, a sandbox's life.

In this mode every other test runs too, through the edge and with the access token.
"""

import os
import urllib.error
import urllib.request

import pytest
from e2b import Sandbox
from e2b.exceptions import NotFoundException

pytestmark = pytest.mark.secure


def test_nothing_without_the_token(daemon):
    for path in ("/envs", "/metrics"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{daemon.url}{path}", timeout=20)
        assert refused.value.code == 401


def test_environment_of_the_sandbox():
    sandbox = Sandbox.create(envs={"FROM_CREATE": "yes"})
    assert sandbox.commands.run("echo $FROM_CREATE").stdout == "yes\n"
    sandbox.kill()


def test_connect_by_id(sandbox):
    sandbox.files.write("seen.txt", "by both")
    again = Sandbox.connect(sandbox.sandbox_id)
    assert again.files.read("seen.txt") == "by both"


def test_killed_sandbox_is_gone():
    sandbox = Sandbox.create()
    assert sandbox.is_running()
    assert sandbox.kill()
    assert not sandbox.is_running()
    with pytest.raises(NotFoundException):
        Sandbox.connect(sandbox.sandbox_id)


def test_metrics_and_info(sandbox):
    metrics = sandbox.get_metrics()
    assert metrics[0].cpu_count == os.cpu_count()
    assert 0 < metrics[0].mem_used < metrics[0].mem_total
    assert sandbox.get_info().sandbox_id == sandbox.sandbox_id
    sandbox.set_timeout(60)


@pytest.mark.parametrize("user", [None, "user"])
@pytest.mark.parametrize("expiration", [None, 1000])
def test_signed_urls(sandbox, user, expiration):
    path = "signed file.txt"
    sandbox.files.write(path, "by the SDK", user=user)
    url = sandbox.download_url(path, user=user, use_signature_expiration=expiration)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b"by the SDK"

    boundary = "b" * 20
    form = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
            f"by a browser\r\n--{boundary}--\r\n").encode()
    url = sandbox.upload_url(path, user=user, use_signature_expiration=expiration)
    request = urllib.request.Request(
        url, form, {"Content-Type": f"multipart/form-data; boundary={boundary}"}, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    assert sandbox.files.read(path, user=user) == "by a browser"


@pytest.mark.parametrize("change", [
    ("signature=v1_", "signature=v1_A"), ("signed", "other"), ("signature=", "no_signature="),
    ("signature_expiration=", "signature_expiration=1")])
def test_changed_url_is_refused(sandbox, change):
    sandbox.files.write("signed.txt", "secret")
    sandbox.files.write("other.txt", "secret")
    url = sandbox.download_url("signed.txt", use_signature_expiration=1000)
    assert change[0] in url
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace(*change), timeout=20)
    assert refused.value.code == 401


def test_expired_url_is_refused(sandbox):
    sandbox.files.write("signed.txt", "secret")
    url = sandbox.download_url("signed.txt", use_signature_expiration=-5)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=20)
    assert refused.value.code == 401
    assert b"expired" in refused.value.read()


def test_upload_url_does_not_download(sandbox):
    sandbox.files.write("signed.txt", "secret")
    url = sandbox.upload_url("signed.txt")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=20)
    assert refused.value.code == 401
