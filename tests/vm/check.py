# SPDX-License-Identifier: Apache-2.0
"""Counts the checks, and prints each result at once."""

import sys
import time
import traceback


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self._started = time.monotonic()

    def section(self, text):
        print(f"\n== {text}", flush=True)

    def _say(self, verdict, name):
        print(f"{time.monotonic() - self._started:7.1f} s  {verdict}  {name}", flush=True)

    def ok(self, name, condition, shown=""):
        """Records one check. `shown` is printed if the check fails."""
        if condition:
            self.passed += 1
            self._say("ok    ", name)
        else:
            self.failed += 1
            self._say("FAILED", f"{name}  {shown}")
        return bool(condition)

    def equal(self, name, got, expected):
        return self.ok(name, got == expected, f"got {got!r}, expected {expected!r}")

    def run(self, name, function, *args):
        """Runs a function as a check, which passes if the function returns. Returns its value."""
        try:
            value = function(*args)
        except Exception:
            self.ok(name, False, "\n" + traceback.format_exc(limit=-4))
            return None
        self.ok(name, True)
        return value

    def figure(self, name, text):
        """Prints a measured number, which is not checked."""
        self._say("      ", f"{name}: {text}")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.passed and not self.failed else 1)
