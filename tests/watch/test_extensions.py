"""What a client asks for beyond the protocol, in X-Envd-Watch: names that are left out, paths that
alone are told, events that are gathered, moves as one event. Who does not ask is told as ever."""

import os

import pytest

from client import Failed
from conftest import sh, wait_for


def asking(items):
    return {"headers": {"X-Envd-Watch": items}}


def cases(table):
    return pytest.mark.parametrize("items, before, act, told", [c[1:] for c in table],
                                   ids=[c[0].replace(" ", "-") for c in table])


# (what is tested, what is asked for, what is there before, what is done, what is told)
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

# What is told of sync's files has to be asked for.
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

PAIRS = [
    ("a file", "pairs", ":>a", "mv a b", ["RENAME a to b"]),
    ("between directories", "pairs", "mkdir d e; :>d/a", "mv d/a e/b", ["RENAME d/a to e/b"]),
    ("over another", "pairs", ":>a; :>b", "mv a b", ["RENAME a to b"]),
    ("a directory", "pairs", "mkdir d; :>d/a", "mv d e; rm e/a", ["RENAME d to e", "REMOVE e/a"]),
    ("out", "pairs", ":>a", "mv a ../beside", ["RENAME a"]),
    ("in", "pairs", ":>../beside/a", "mv ../beside/a .", ["CREATE a"]),
    ("in its order", "pairs", ":>a", "echo x >>a; mv a b; mv b c; rm c",
     ["WRITE a", "RENAME a to b", "RENAME b to c", "REMOVE c"]),
    ("one name asked for", "pairs, only=*.c", ":>a; :>b.c", "mv a a.c; mv b.c b; mv b d",
     ["RENAME a to a.c", "RENAME b.c to b"]),
    ("one name ignored", "pairs, ignore=*~", ":>a; :>b~", "mv a a~; mv b~ b",
     ["RENAME a", "CREATE b"]),
]


@cases(IGNORE + PAIRS[:-2] + PAIRS[-1:])
def test_what_is_told(open_watch, directory, items, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True, **asking(items))
    sh(directory, act)
    assert watch.texts() == told


@cases(ONLY + PAIRS[-2:-1])
def test_only(open_watch, directory, items, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True, **asking(f"{items},only=sync-*"))
    sh(directory, act)
    assert watch.texts() == told


def test_what_is_ignored_is_not_watched(envd, daemon, directory):
    sh(directory, "mkdir -p a/b node_modules/x/y")
    envd.watch(directory, True, **asking("ignore=node_modules"))
    wait_for(lambda: daemon.instances() == [3])


def test_an_entry_of_a_pair_is_of_the_new_name(open_watch, directory):
    sh(directory, "echo hello >a")
    watch = open_watch(directory, False, True, **asking("pairs"))
    sh(directory, "mv a b")
    event, = watch.sync()
    assert (str(event), event.entry["path"]) == ("RENAME a to b", f"{directory}/b")


# ---- gathering ----

def test_gathered_events_wait(envd, directory):
    gathered = envd.watch(directory, **asking("debounce=60000"))
    at_once = envd.watch(directory)
    sh(directory, ":>a")
    assert at_once.texts() == ["CREATE a"]
    gathered.more(0)
    assert gathered.take() == []


def test_repeats_are_gathered(envd, directory):
    gathered = envd.watch(directory, **asking("debounce=2000"))
    at_once = envd.watch(directory)
    with open(f"{directory}/a", "wb", 0) as a, open(f"{directory}/b", "wb", 0) as b:
        for _ in range(50):
            a.write(b"x")
            b.write(b"x")
    assert len(at_once.sync()) > 20
    assert gathered.texts() == ["CREATE a", "CREATE b", "WRITE a", "WRITE b"]


def test_what_never_ends_is_told_all_the_same(envd, directory):
    gathered = envd.watch(directory, **asking("debounce=100"))
    for i in range(100000):
        sh(directory, f":>{i}")
        gathered.more(0)
        if gathered.lag:
            break
    assert str(gathered.take()[0]) == "CREATE 0"


def test_a_poller_gathers_by_itself(envd, directory):
    poller = envd.poll(directory, **asking("debounce=60000"))
    sh(directory, ":>a")
    assert poller.texts() == ["CREATE a"]


# ---- what is not understood, and who does not ask ----

@pytest.mark.parametrize("items", [
    "colour=red", "Pairs", "pairs=1", "pairs ignore=a", "ignore", "ignore=", "ignore=a/b", "only",
    "only=", "only=" + "a" * 257, "debounce", "debounce=", "debounce=soon", "debounce=-1",
    "debounce=1.5", "debounce=60001", "debounce=99999999999999999999", "pairs, x",
    ", ".join(["ignore=a"] * 65), ", ".join(["only=a"] * 65),
], ids=lambda items: items[:20])
def test_refused(open_watch, daemon, directory, items):
    with pytest.raises(Failed) as failed:
        open_watch(directory, True, **asking(items))
    assert failed.value.code == "invalid_argument" and "X-Envd-Watch" in failed.value.message
    wait_for(lambda: not daemon.instances())


@pytest.mark.parametrize("items", [
    "", " , ,", "debounce=0", "ignore=" + "a" * 256, ", ".join(["ignore=x"] * 64 + ["only=*"] * 64),
], ids=lambda items: items[:20])
def test_accepted_and_nothing_else(open_watch, directory, items):
    sh(directory, "mkdir d; :>d/a")
    watch = open_watch(directory, True, **asking(items))
    sh(directory, "mv d/a b; :>c")
    assert watch.texts() == ["RENAME d/a", "CREATE b", "CREATE c"]


def test_others_are_told_as_ever(open_watch, envd, directory):
    """Of the same directory, beside watches that ask for everything there is."""
    sh(directory, "mkdir d; :>d/a")
    more = [envd.watch(directory, True, **asking(items))
            for items in ("pairs", "ignore=d", "only=x", "debounce=60000")]
    watch = open_watch(directory, True)
    sh(directory, "mv d/a b; mv d e; echo x >b; rm b")
    assert watch.texts() == [
        "RENAME d/a", "CREATE b", "RENAME d", "CREATE e", "WRITE b", "REMOVE b"]
    assert more[0].texts(directory=directory)[:2] == ["RENAME d/a to b", "RENAME d to e"]
