# SPDX-License-Identifier: Apache-2.0
"""A system that has booted in namespaces of this machine (tests/vm/container.py), for the checks of packages
and archives under its init system."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))

import guest  # noqa: E402

SECONDS = 60


class Machine:
    """`shell`: the program of that system that runs the scripts."""

    def __init__(self, container, expect, shell="bash"):
        self._container = container
        self.expect = expect
        self._shell = shell

    def _run(self, script, arguments):
        return self._container.run(self._shell, "-euc", script, self._shell, *arguments)

    def sh(self, script, *arguments):
        """The output of a script that must succeed."""
        code, said = self._run(script, arguments)
        self.expect(code == 0, f"{script}\n{code}\n{said}")
        return said

    def wait(self, what, script, *arguments):
        """Repeats a script until it succeeds."""
        last = None

        def succeeds():
            nonlocal last
            last = self._run(script, arguments)
            return last[0] == 0

        try:
            guest.wait_for(what, succeeds, SECONDS, 0.1)
        except guest.GuestError as reason:
            self.expect(False, f"{reason}; the last try of {script!r}: {last}")
