# SPDX-License-Identifier: Apache-2.0
"""The state of a handover as the daemon finds it: broken, of another version, or not its own."""

import json
import os
import subprocess

import pytest
from client import Failed
from conftest import BLOB, NONE, Daemon


@pytest.mark.parametrize("blob", [b"\x08\x04", b"\xff\xff\xff", b"\x1a\x05\x08"],
                         ids=["newer schema", "no protobuf", "cut short"])
def test_a_bad_blob(blob):
    os.makedirs(os.path.dirname(BLOB), exist_ok=True)
    with open(BLOB, "wb") as file:
        file.write(blob)
    daemon = Daemon("-resume-handover")
    answer = daemon.init()
    assert json.loads(answer.headers["X-Envd-Handover"]) == {**NONE, "failed": True}
    assert not os.path.exists(BLOB)
    daemon.stop()


def test_a_state_that_names_a_stranger():
    """The state of a handover is a file: a process that is no child of the daemon is not adopted, nor
    is the daemon itself, and the listening socket is no process' output."""
    stranger = subprocess.Popen(["sleep", "1000"])
    os.makedirs(os.path.dirname(BLOB), exist_ok=True)

    def number(field, value):
        out, value = bytes([field << 3]), value & (1 << 64) - 1
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    process = number(1, stranger.pid) + b"".join(number(f, -1) for f in (6, 7, 8, 9))
    with open(BLOB, "wb") as file:
        file.write(b"\x08\x01\x1a" + bytes([len(process)]) + process)
    daemon = Daemon("-resume-handover")
    report = json.loads(daemon.init().headers["X-Envd-Handover"])
    assert report == {**NONE, "procs": 1, "procs_failed": 1}
    assert not daemon.client.call("List", {}).get("processes")
    daemon.stop()
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_fifo_for_the_state():
    """A FIFO in the place of the state held the daemon up before it served."""
    os.makedirs(os.path.dirname(BLOB), exist_ok=True)
    os.mkfifo(BLOB)
    daemon = Daemon("-resume-handover")
    assert json.loads(daemon.init().headers["X-Envd-Handover"])["failed"] is True
    daemon.stop()


def test_unknown_process_is_refused_and_others_live(daemon):
    with pytest.raises(Failed):
        daemon.client.call("SendSignal", {"process": {"pid": 1}, "signal": "SIGNAL_SIGTERM"})
