# SPDX-License-Identifier: Apache-2.0
"""What an /init with another lifecycleID does besides: the random generator, /run/e2b/generation, and
the operator's hooks. /dev/urandom is a file here (world.py)."""

import json
import os
import subprocess
import sys
import threading

import pytest

from conftest import Daemon, wait_until
from connect import envelope

GENERATION = "/run/e2b/generation"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def generation():
    with open(GENERATION, encoding="ascii") as f:
        return f.read()


@pytest.fixture(autouse=True)
def no_generation():
    """No test finds the generation of another one, of this file or of the suite."""
    for stage in "before", "after":
        if os.path.exists(GENERATION):
            os.unlink(GENERATION)
        if stage == "before":
            yield


@pytest.fixture
def hooks(tmp_path):
    """Puts a hook into the directory; returns the path of the file that the scripts call $OUT."""
    out = tmp_path / "out"
    out.touch()

    def put(name, script, mode=0o755):
        path = tmp_path / "hooks" / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_text(f"#!/bin/sh\nOUT={out}\n{script}\n")
        path.chmod(mode)

    put.out = out
    put.dir = str(tmp_path / "hooks")
    return put


@pytest.fixture
def start(hooks):
    made = []

    def begin(*flags):
        made.append(Daemon("-isnotfc", "-hooks-dir", hooks.dir, *flags))
        return made[-1]

    yield begin
    for d in made:
        if d.process.poll() is None:
            d.stop(idle_workers=False)


def test_each_lifecycle_reseeds_once(daemon):
    """Two guests that are restored from one snapshot drew the same random numbers until the kernel
    reseeded its generator by itself."""
    seeds = [read("/dev/urandom")]
    for name, number in ("one", 1), ("two", 2), ("one", 3):
        for _ in range(3):
            assert daemon.init(lifecycleID=name).status == 204
            seeds.append(read("/dev/urandom"))
            assert generation() == f"{number} {name}\n"
        assert len(seeds[-1]) == 64
        assert seeds[-1] == seeds[-2] == seeds[-3] != seeds[-4]


def test_generation_is_replaced_at_once(daemon):
    """A reader that has the old file open still has the old content."""
    daemon.init(lifecycleID="one")
    with open(GENERATION, encoding="ascii") as old:
        daemon.init(lifecycleID="two")
        assert (old.read(), generation()) == ("1 one\n", "2 two\n")


def test_without_a_lifecycle_nothing_begins(daemon):
    before = read("/dev/urandom")
    assert daemon.init().status == 204
    assert daemon.init(lifecycleID="").status == 204
    assert read("/dev/urandom") == before and not os.path.exists(GENERATION)


def test_refused_init_begins_nothing(daemon):
    daemon.init(lifecycleID="one", accessToken="correct-horse")
    before = read("/dev/urandom")
    assert daemon.init(lifecycleID="two").status == 401
    assert (read("/dev/urandom"), generation()) == (before, "1 one\n")


def test_id_is_one_word(daemon):
    daemon.init(lifecycleID="a b\nc\u00e4" + "x" * 1000)
    number, name = generation().rstrip("\n").split(" ")
    assert (number, name) == ("1", "a_b_c__" + "x" * 248)


def test_restarted_daemon_knows_the_generation(start):
    """The same lifecycle does not begin again; another one is counted on."""
    first = start()
    first.init(lifecycleID="one")
    first.init(lifecycleID="two")
    first.stop(idle_workers=False)
    before = read("/dev/urandom")
    second = start()
    second.init(lifecycleID="two")
    assert (read("/dev/urandom"), generation()) == (before, "2 two\n")
    second.init(lifecycleID="three")
    assert read("/dev/urandom") != before and generation() == "3 three\n"


@pytest.fixture
def slow_generator(tmp_path):
    """Every open of /dev/urandom for writing blocks until the test opens it for reading; the path."""
    os.mkfifo(tmp_path / "urandom")
    subprocess.run(["mount", "--bind", tmp_path / "urandom", "/dev/urandom"], check=True)
    yield str(tmp_path / "urandom")
    subprocess.run(["umount", "/dev/urandom"], check=True)


def test_lifecycle_that_comes_while_one_begins(slow_generator, hooks, start):
    """An /init with a new id, while the worker was still blocked by the generation before it, was
    answered and forgotten: the same random generator served two clones. Now the newest id waits for the
    worker, and a repeated id neither begins again nor is reported."""
    hooks("post-thaw/10-a", 'echo "$*" >>$OUT')
    d = start()
    for name in "one", "one", "two", "three", "three":
        assert d.init(lifecycleID=name).status == 204
    assert not os.path.exists(GENERATION)
    reader = os.open(slow_generator, os.O_RDONLY | os.O_NONBLOCK)
    try:
        wait_until(hooks.out.read_text, "the hook")
        assert generation() == "2 three\n"
        assert len(os.read(reader, 1000)) == 2 * 64
    finally:
        os.close(reader)
    assert hooks.out.read_text() == "post-thaw 2 three\n"
    assert "generation one: waits" not in d.log() and d.log().count("generation three: waits") == 1


def test_what_goes_on(start, tmp_path):
    """The ids of polled watchers with their events, retained exits with their output, and start keys."""
    def call(method, message, kind="application/json", body=None, **headers):
        answer = d.request("POST", f"/{method}", body or json.dumps(message).encode(),
                           headers={"Content-Type": kind, **headers})
        assert answer.status == 200, answer.body
        return answer.body

    def start_with_key(script):
        message = {"process": {"cmd": "/bin/sh", "args": ["-c", script]}}
        return call("process.Process/Start", None, "application/connect+json", envelope(message), **{
            "X-Envd-Start-Key": "key", "X-Envd-Keep-Output": "1000", "X-Envd-Keep-For": "600"})

    d = start()
    d.init(lifecycleID="one")
    (tmp_path / "watched").mkdir()
    watcher = json.loads(call("filesystem.Filesystem/CreateWatcher", {"path": str(tmp_path / "watched")}))
    (tmp_path / "watched" / "file").touch()
    first = start_with_key(f"echo x >>{tmp_path}/started; cat {tmp_path}/started")
    assert b'"pid"' in first and b"eAo=" in first
    assert d.init(lifecycleID="two").status == 204
    assert generation() == "2 two\n"
    assert start_with_key(f"echo x >>{tmp_path}/started; cat {tmp_path}/started") == first
    wait_until(lambda: b'"file"' in call("filesystem.Filesystem/GetWatcherEvents", watcher),
               "the event of the watcher")
    call("filesystem.Filesystem/RemoveWatcher", watcher)
    assert not d.terminate()  # the exit is kept for longer than the test takes


def test_hooks_after_the_thaw(hooks, start):
    """In the order of their names, with kind, number and id; their output goes to the log. A hook that
    fails, or is too slow, keeps neither the next one nor the answer waiting."""
    hooks("post-thaw/30-last", 'echo "last $*" >>$OUT; echo said-by-last')
    hooks("post-thaw/10-first", 'echo "first $*" >>$OUT; exit 3')
    hooks("post-thaw/20-slow", "sleep 1000")
    hooks("post-thaw/.hidden", "echo hidden >>$OUT")
    hooks("post-thaw/40-backup~", "echo backup >>$OUT")
    hooks("post-thaw/50-no-program", "echo no >>$OUT", mode=0o644)
    hooks("pre-freeze/10-other", "echo other >>$OUT")
    d = start()
    for number, name in (1, "one"), (2, "two"):
        assert d.init(lifecycleID=name).status == 204
        assert d.init(lifecycleID=name).status == 204
        wait_until(lambda n=number: hooks.out.read_text().count("last") == n, "the last hook")
    assert hooks.out.read_text() == ("first post-thaw 1 one\nlast post-thaw 1 one\n"
                                     "first post-thaw 2 two\nlast post-thaw 2 two\n")
    wait_until(lambda: d.log().count("hook post-thaw/30-last: said-by-last") == 2, "the output")
    assert "hook post-thaw/10-first ended with status 3" in d.log()
    assert "hook post-thaw/20-slow was killed after 1000 ms" in d.log()


def test_answer_does_not_wait_for_hooks(hooks, start, tmp_path):
    os.mkfifo(tmp_path / "gate")
    hooks("post-thaw/10-waits", f"echo begun >>$OUT; read line <{tmp_path}/gate; echo $line >>$OUT")
    d = start("-hook-timeout", "60")
    assert d.init(lifecycleID="one").status == 204
    assert d.request("GET", "/health").status == 204
    wait_until(lambda: "begun" in hooks.out.read_text(), "the hook")
    assert d.init(lifecycleID="two").status == 204
    for n in 1, 2:  # the hook of each generation
        wait_until(lambda n=n: hooks.out.read_text().count("begun") == n, "the hook")
        (tmp_path / "gate").write_text("opened\n")
        wait_until(lambda n=n: hooks.out.read_text().count("opened") == n, "the hook's end")


def test_thaw_that_is_skipped_runs_no_hook_yet(hooks, start):
    hooks("post-thaw/10-a", 'echo "$*" >>$OUT')
    d = start()
    assert d.init(lifecycleID="one", thaw="skip").status == 204
    assert generation() == "1 one\n"
    assert d.request("POST", "/unfreeze").status == 204
    wait_until(hooks.out.read_text, "the hook")
    assert hooks.out.read_text() == "post-thaw 1 one\n"


def test_hooks_before_the_freeze(hooks, start):
    """The answer of /freeze comes after them; a failure changes nothing."""
    hooks("pre-freeze/10-fails", 'echo "$*" >>$OUT; exit 1')
    hooks("pre-freeze/20-b", "echo b >>$OUT")
    d = start()
    assert d.request("POST", "/freeze").status == 204
    assert hooks.out.read_text() == "pre-freeze 0 \nb\n"
    d.init(lifecycleID="one")
    assert d.request("POST", "/freeze?maxWaitMs=1000").status == 200
    assert hooks.out.read_text() == "pre-freeze 0 \nb\npre-freeze 1 one\nb\n"
    assert d.request("POST", "/unfreeze").status == 204


def test_thaw_does_not_wait_for_hooks_before_a_freeze(hooks, start, tmp_path):
    """An /init that comes while they run is not held up, and the workload runs afterwards: freeze and
    thaw take effect in the order in which they were requested."""
    os.mkfifo(tmp_path / "gate")
    hooks("pre-freeze/10-waits", f"echo begun >>$OUT; read line <{tmp_path}/gate")
    d = start("-hook-timeout", "60")
    answers = []
    freeze = threading.Thread(target=lambda: answers.append(d.request("POST", "/freeze").status))
    freeze.start()
    wait_until(lambda: "begun" in hooks.out.read_text(), "the hook")
    assert not answers
    assert d.init(lifecycleID="one").status == 204
    freeze.join()
    assert answers == [204]
    assert d.run("echo runs") == "runs\n"
    (tmp_path / "gate").write_text("\n")


def test_freeze_does_not_wait_for_hooks_after_a_thaw(hooks, start, tmp_path):
    """Hooks of both kinds shared one thread. A freeze soon after a resume waited for the post-thaw hooks,
    for its whole time; then it went on, and the pre-freeze hooks ran when everything was frozen."""
    os.mkfifo(tmp_path / "gate")
    hooks("post-thaw/10-waits", f"echo thawed >>$OUT; read line <{tmp_path}/gate; echo over >>$OUT")
    hooks("pre-freeze/10-a", "echo before >>$OUT")
    d = start("-hook-timeout", "60")
    assert d.init(lifecycleID="one").status == 204
    wait_until(lambda: "thawed" in hooks.out.read_text(), "the hook after the thaw")
    freeze = threading.Thread(target=d.request, args=("POST", "/freeze"), daemon=True)
    freeze.start()
    wait_until(lambda: "before" in hooks.out.read_text(), "the hook before the freeze")
    (tmp_path / "gate").write_text("\n")
    freeze.join()
    wait_until(lambda: "over" in hooks.out.read_text(), "the end of the first hook")
    assert hooks.out.read_text() == "thawed\nbefore\nover\n"


def test_hooks_that_others_may_change_are_not_run(hooks, start):
    """A hook runs as root."""
    hooks("post-thaw/10-bad", "echo bad >>$OUT", mode=0o775)
    hooks("post-thaw/20-owned", "echo owned >>$OUT")
    os.chown(f"{hooks.dir}/post-thaw/20-owned", 65534, 65534)
    hooks("post-thaw/30-good", "echo good >>$OUT")
    hooks("pre-freeze/10-a", "echo a >>$OUT")
    os.chmod(f"{hooks.dir}/pre-freeze", 0o777)
    d = start()
    d.init(lifecycleID="one")
    assert d.request("POST", "/freeze").status == 204
    d.request("POST", "/unfreeze")
    wait_until(lambda: hooks.out.exists() and hooks.out.read_text(), "the good hook")
    assert hooks.out.read_text() == "good\n"
    for name in "10-bad", "20-owned":
        assert f"hook post-thaw/{name} is not run" in d.log()
    assert "hook pre-freeze/* is not run" in d.log()


@pytest.mark.parametrize("change", ["the directory", "a directory above", "behind a link"])
def test_hooks_below_a_directory_that_others_may_change(hooks, start, tmp_path, change):
    """Only the kind's directory and the file were looked at. Whoever may write to hooks.d, or to a directory
    above it, puts another directory of that name in its place: root's own, from a place where it lies ready."""
    hooks("post-thaw/10-a", "echo a >>$OUT")
    hooks("pre-freeze/10-b", "echo b >>$OUT")
    if change == "the directory":
        os.chmod(hooks.dir, 0o1777)
    elif change == "a directory above":
        os.chmod(tmp_path, 0o777)
    else:
        (tmp_path / "elsewhere").mkdir()
        os.rename(f"{hooks.dir}/pre-freeze/10-b", tmp_path / "elsewhere" / "10-b")
        os.symlink(tmp_path / "elsewhere" / "10-b", f"{hooks.dir}/pre-freeze/10-b")
        os.chmod(tmp_path / "elsewhere", 0o777)
        os.unlink(f"{hooks.dir}/post-thaw/10-a")
    d = start()
    d.init(lifecycleID="one")
    assert d.request("POST", "/freeze").status == 204
    d.request("POST", "/unfreeze")
    name = "10-b" if change == "behind a link" else "*"
    wait_until(lambda: f"hook pre-freeze/{name} is not run: others" in d.log(), "the refusal")
    assert hooks.out.read_text() == ""


def test_hooks_below_a_sticky_directory_and_behind_a_link(hooks, start, tmp_path):
    """In a sticky directory, as /tmp is, nobody else can replace what is root's."""
    os.chmod(tmp_path, 0o1777)
    hooks("elsewhere", "echo $0 >>$OUT")
    hooks("pre-freeze/10-a", "echo a >>$OUT")
    os.symlink(f"{hooks.dir}/elsewhere", f"{hooks.dir}/pre-freeze/20-b")
    d = start()
    d.init(lifecycleID="one")
    assert d.request("POST", "/freeze").status == 204
    assert hooks.out.read_text() == f"a\n{hooks.dir}/pre-freeze/20-b\n"
    d.request("POST", "/unfreeze")


def test_a_hook_with_a_long_path(hooks, start):
    """A path of more than 255 bytes was cut before it was executed, and the hook did not run."""
    deep = "/".join(["d" * 200] * 3)
    hooks(f"{deep}/pre-freeze/10-a", "echo a >>$OUT")
    hooks.dir += "/" + deep
    d = start()
    d.init(lifecycleID="one")
    assert d.request("POST", "/freeze").status == 204
    assert hooks.out.read_text() == "a\n"
    d.request("POST", "/unfreeze")


# Seizes process N and lets its end be held (PTRACE_SEIZE), until the tracer is killed.
TRACER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
assert libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0
print(flush=True)
signal.pause()
"""


def test_a_hook_that_can_not_be_reaped(hooks, start):
    """A tracer, or an uninterruptible sleep, holds a hook that was killed. The daemon waited for it without a
    bound: the thread of the hooks was lost for good, and no later freeze had its hooks. The hook is left behind
    now, and reaped when the tracer lets go."""
    hooks("pre-freeze/10-a", "echo $$ >>$OUT; [ $2 != 1 ] || exec sleep 1000")
    d = start("-hook-timeout", "60")
    d.init(lifecycleID="one")
    freeze = threading.Thread(target=d.request, args=("POST", "/freeze"), daemon=True)
    freeze.start()
    wait_until(lambda: hooks.out.read_text().endswith("\n"), "the hook")
    pid = hooks.out.read_text().strip()
    tracer = subprocess.Popen([sys.executable, "-c", TRACER, pid], stdout=subprocess.PIPE)
    try:
        assert tracer.stdout.readline() == b"\n"
        os.kill(int(pid), 9)
        freeze.join(60)
        assert "hook pre-freeze/10-a is given up" in d.log()
        assert d.request("POST", "/unfreeze").status == 204
        d.init(lifecycleID="two")
        assert os.path.exists(f"/proc/{pid}")
        d.request("POST", "/freeze")
        assert len(hooks.out.read_text().split()) == 2
        d.request("POST", "/unfreeze")
    finally:
        tracer.kill()
        tracer.wait()
        tracer.stdout.close()
    d.request("POST", "/freeze")
    assert not os.path.exists(f"/proc/{pid}")
    d.request("POST", "/unfreeze")
