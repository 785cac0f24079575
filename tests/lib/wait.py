# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions. A test never waits for a span of time."""

import time

# The maximum time that a test waits for a condition, also on a busy machine.
SECONDS = 60


def wait_for(condition, what="the condition", seconds=SECONDS, pause_seconds=0.005):
    """Waits until the condition is true, and returns its value. `what` describes the condition in the
    error; it may be a function that is called at the timeout."""
    if isinstance(what, (int, float)):
        what, seconds = "the condition", what
    end = time.monotonic() + max(seconds, SECONDS)
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what() if callable(what) else what}")
        time.sleep(pause_seconds)
    return value


def is_dead(pid):
    """True if the process does not exist or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
