# SPDX-License-Identifier: Apache-2.0
"""requests_client.py BASE DIRECTORY USER: files through Python's requests, as its users use it.

Debian's Python runs it, which has the module.
"""

import hashlib
import os
import sys

import requests


def main(base, directory, user):
    session = requests.Session()
    url = f"{base}/files"
    data = os.urandom(5_000_000)
    for name in "plain", "sp ace & 世界", 'quo"te':
        params = {"path": f"{directory}/{name}", "username": user}
        answer = session.post(url, params=params, files={"file": ("ignored", data)}, timeout=60)
        answer.raise_for_status()
        assert answer.json()[0]["name"] == name
        answer = session.get(url, params=params, timeout=60)
        answer.raise_for_status()
        assert answer.content == data
    params["path"] = f"{directory}/streamed"
    headers = {"Content-Type": "application/octet-stream"}

    def pieces():
        for at in range(0, len(data), 77_777):
            yield data[at:at + 77_777]

    for body in pieces(), data:
        session.post(url, params=params, headers=headers, data=body, timeout=60).raise_for_status()
        with session.get(url, params=params, stream=True, timeout=60) as answer:
            digest = hashlib.sha256()
            for piece in answer.iter_content(100_000):
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(data).digest()
    answer = session.get(url, params=params, headers={"Range": "bytes=10-19"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, data[10:20])
    answer = session.head(url, params=params, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert answer.headers["Content-Length"] == str(len(data))
    text = b"a line that compresses\n" * 100_000
    session.post(url, params=params, headers=headers, data=text, timeout=60).raise_for_status()
    answer = session.get(url, params=params, timeout=60)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == text
    many = [("file", (f"{directory}/many/{i}", str(i))) for i in range(50)]
    answer = session.post(url, params={"username": user}, files=many, timeout=60)
    assert len(answer.json()) == 50
    assert session.get(url, params={"path": "/absent"}, timeout=60).status_code == 404


main(*sys.argv[1:])
