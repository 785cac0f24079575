# SPDX-License-Identifier: Apache-2.0
"""Counts what was checked, and shows it as it happens."""

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
        """One check. `shown` is printed where it fails."""
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
        """A check that is a function: it passes where it returns. Gives what it returned."""
        try:
            value = function(*args)
        except Exception:
            self.ok(name, False, "\n" + traceback.format_exc(limit=-4))
            return None
        self.ok(name, True)
        return value

    def figure(self, name, text):
        """A number that was measured, not judged."""
        self._say("      ", f"{name}: {text}")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.passed and not self.failed else 1)
