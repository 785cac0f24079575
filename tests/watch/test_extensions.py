# SPDX-License-Identifier: Apache-2.0
"""The filters of the header X-Envd-Watch: names to ignore, and paths to which the events are limited. A
client without the header gets all events."""

import os

import pytest

from client import Failed
from conftest import sh, wait_for


def asking(items):
    return {"headers": {"X-Envd-Watch": items}}


def cases(table):
    return pytest.mark.parametrize("items, before, act, told", [c[1:] for c in table],
                                   ids=[c[0].replace(" ", "-") for c in table])


# (case, items of the header, commands before the watch begins, commands while it runs, expected events)
IGNORE = [
    ("a file", "ignore=*.tmp", ":>a.tmp", "echo x >>a.tmp; :>b.tmp; :>b; rm a.tmp", ["CREATE b"]),
    ("one of several", "ignore=a, ignore=b", "", ":>a; :>b; :>c", ["CREATE c"]),
    ("a directory", "ignore=out", "mkdir -p out d/out", ":>out/a; :>d/out/a; rm -r out; :>d/a",
     ["CREATE d/a"]),
    ("a directory that is new", "ignore=out", "", "mkdir out; :>out/a; rm -r out", []),
    ("a move to it", "ignore=*~", ":>a", "mv a a~", ["RENAME a"]),
    ("a move from it", "ignore=*~", ":>a~", "mv a~ a", ["CREATE a"]),
    ("itself is no name", "ignore=*.*, ignore=.", "", "chmod 700 .", ["CHMOD ."]),
]

# test_only adds a pattern for the files of sync().
ONLY = [
    ("last elements", "only=*.c", "mkdir d", ":>a.c; :>a.h; :>d/b.c; :>d/c", ["CREATE a.c",
                                                                             "CREATE d/b.c"]),
    ("paths", "only=d/*.c", "mkdir -p d/e", ":>a.c; :>d/a.c; :>d/e/a.c", ["CREATE d/a.c"]),
    ("any depth", "only=d/**", "mkdir -p d/e f", ":>d/a; :>d/e/a; :>f/a",
     ["CREATE d/a", "CREATE d/e/a"]),
    ("one of several", "only=a, only=b", "", ":>a; :>b; :>c", ["CREATE a", "CREATE b"]),
    ("half a move", "only=*.c", ":>a", "mv a a.c; mv a.c b", ["CREATE a.c", "RENAME a.c"]),
    ("and itself", "only=*.c", "", "chmod 700 .; :>a", ["CHMOD ."]),
    ("less what is ignored", "only=*.c, ignore=b*", "", ":>a.c; :>b.c", ["CREATE a.c"]),
]

@cases(IGNORE)
def test_what_is_told(open_watch, directory, items, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True, **asking(items))
    sh(directory, act)
    assert watch.texts() == told


@cases(ONLY)
def test_only(open_watch, directory, items, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True, **asking(f"{items},only=sync-*"))
    sh(directory, act)
    assert watch.texts() == told


def test_what_is_ignored_is_not_watched(envd, daemon, directory):
    sh(directory, "mkdir -p a/b node_modules/x/y")
    envd.watch(directory, True, **asking("ignore=node_modules"))
    wait_for(lambda: daemon.instances() == [3])


# ---- invalid headers, and other watches of the directory ----

@pytest.mark.parametrize("items", [
    "colour=red", "Ignore=a", "only=a x, y", "ignore", "ignore=", "ignore=a/b", "only", "only=",
    "only=" + "a" * 257, "pairs", "debounce=50", ", ".join(["ignore=a"] * 65),
    ", ".join(["only=a"] * 65), ", ".join(["only=" + "a" * 250] * 5),
], ids=lambda items: items[:20])
def test_refused(open_watch, daemon, directory, items):
    with pytest.raises(Failed) as failed:
        open_watch(directory, True, **asking(items))
    assert failed.value.code == "invalid_argument" and "X-Envd-Watch" in failed.value.message
    wait_for(lambda: not daemon.instances())


@pytest.mark.parametrize("items", [
    "", " , ,", "ignore=" + "a" * 256, ", ".join(["ignore=x"] * 64 + ["only=*"] * 64),
], ids=lambda items: items[:20])
def test_accepted_and_nothing_else(open_watch, directory, items):
    sh(directory, "mkdir d; :>d/a")
    watch = open_watch(directory, True, **asking(items))
    sh(directory, "mv d/a b; :>c")
    assert watch.texts() == ["RENAME d/a", "CREATE b", "CREATE c"]


def test_others_are_told_as_ever(open_watch, envd, directory):
    """A watch without the header gets all events, although other watches of the directory filter theirs."""
    sh(directory, "mkdir d; :>d/a")
    more = [envd.watch(directory, True, **asking(items))
            for items in ("ignore=d", "only=x")]
    watch = open_watch(directory, True)
    sh(directory, "mv d/a b; mv d e; echo x >b; rm b")
    assert watch.texts() == [
        "RENAME d/a", "CREATE b", "RENAME d", "CREATE e", "WRITE b", "REMOVE b"]
    assert more[0].texts(directory=directory)[:2] == ["CREATE b", "CREATE e"]
