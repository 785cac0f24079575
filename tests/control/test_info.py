# SPDX-License-Identifier: Apache-2.0
"""GET /info: which envd this is, what it can do, and its defaults."""

import os
import re
import subprocess

from conftest import ENVD, Daemon

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build():
    return subprocess.run([ENVD, "-build"], capture_output=True, text=True, check=True).stdout.strip()


def test_facts(sandbox):
    info = sandbox.request("GET", "/info").json()
    assert info["build"] == build() and info["version"] in build() and info["commit"] in build()
    assert (info["initialized"], info["firecracker"]) == (False, True)
    assert info["daemonSeconds"] <= info["upSeconds"]
    assert "defaultWorkdir" not in info
    sandbox.init(defaultUser="nobody", defaultWorkdir="/tmp")
    info = sandbox.request("GET", "/info").json()
    assert (info["defaultUser"], info["defaultWorkdir"], info["initialized"]) == ("nobody", "/tmp", True)


def test_it_needs_the_token():
    d = Daemon("-isnotfc", "-no-cgroups")
    try:
        assert d.request("GET", "/info").json()["cgroups"] is False
        d.init(accessToken="correct-horse")
        assert d.request("GET", "/info").status == 401
    finally:
        d.end()


def test_every_extension_is_named(sandbox):
    """The list is that of the request headers that the code asks for by name; their names are in lower case."""
    asked = set()
    for folder, _, names in os.walk(TOP):
        if os.path.relpath(folder, TOP).split(os.sep)[0] in ("build", "tests", ".git"):
            continue
        for name in names:
            if name.endswith((".c", ".h")):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    asked |= set(re.findall(r'"x-envd-([a-z-]+)"', f.read()))
    # This one is E2B's.
    asked.remove("upgrade-bin")
    told = sandbox.request("GET", "/info").json()["extensions"]
    assert {name.lower().removeprefix("x-envd-") for name in told} == asked
    assert told == sorted(told)
