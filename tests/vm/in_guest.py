#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""in_guest.py UDS FOLDER PROGRAM: takes the place of a program of the host. It runs the program FOLDER/NAME
of the guest, and has the same output and exit code."""

import base64
import os
import socket
import sys

import client

PORT = 49983


def connect(uds):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(uds)
    client.ask_for_port(stream, PORT)
    return stream


def main():
    uds, folder, program = sys.argv[1:]
    envd = client.Client(lambda: connect(uds))
    for event in envd.start(os.path.join(folder, os.path.basename(program))):
        data = event.get("data", {})
        for stream in ("stdout", "stderr"):
            sys.stdout.buffer.write(base64.b64decode(data.get(stream, "")))
        if "end" in event:
            print(event["end"]["status"])
            return event["end"].get("exitCode", 0)
    return 1


if __name__ == "__main__":
    sys.exit(main())
