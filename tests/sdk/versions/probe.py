# SPDX-License-Identifier: Apache-2.0
"""Which features work with the Python SDK that this interpreter finds.

Prints a JSON object: the name of each feature, and "yes", "-" (this version of the SDK does not have
it), "refused" (the SDK says that envd is too old), or what went wrong. probe.mjs is its twin."""

import inspect
import io
import json
import os
import tempfile
import threading
import time
import urllib.request

from e2b import Sandbox
from e2b.sandbox.commands.command_handle import PtySize

SECONDS = 20


class Lacks(Exception):
    """The SDK does not have the feature."""


def needs(thing, *names):
    """The attribute at the end of a path of names."""
    for name in names:
        thing = getattr(thing, name, None)
        if thing is None:
            raise Lacks
    return thing


def is_true(condition, text):
    if not condition:
        raise AssertionError(text)


def until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        is_true(time.monotonic() < deadline, f"no {what}")
        time.sleep(0.02)


def run(sandbox, _):
    result = sandbox.commands.run("echo out; echo err >&2")
    is_true((result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0), result)


def exit_code(sandbox, _):
    try:
        sandbox.commands.run("exit 3")
    except Exception as e:
        is_true(getattr(e, "exit_code", None) == 3, repr(e))
        return
    raise AssertionError("no error")


def surroundings(sandbox, directory):
    result = sandbox.commands.run("echo $A; pwd; id -un", envs={"A": "1"}, cwd=directory, user="root")
    is_true(result.stdout == f"1\n{directory}\nroot\n", result)


def other_user(sandbox, _):
    is_true(sandbox.commands.run("id -un", user="user").stdout == "user\n", "another user")


def deadline(sandbox, _):
    try:
        # Old SDKs send a fraction as "300.0", which connect-go refuses as envd does.
        sandbox.commands.run("sleep 60", timeout=1)
    except Exception as e:
        is_true(type(e).__name__ == "TimeoutException", repr(e))
        return
    raise AssertionError("no error")


def background(sandbox, _):
    handle = sandbox.commands.run("exec sleep 61", background=True)
    listed = [p for p in sandbox.commands.list() if p.pid == handle.pid]
    is_true(listed and "sleep 61" in " ".join(listed[0].args), listed)
    is_true(handle.kill(), "kill")
    until(lambda: handle.pid not in [p.pid for p in sandbox.commands.list()], "end")


def connect(sandbox, _):
    handle = sandbox.commands.run("read x; echo got $x", background=True, **stdin(sandbox))
    other = sandbox.commands.connect(handle.pid)
    sandbox.commands.send_stdin(handle.pid, "a\n")
    is_true(other.wait().stdout == "got a\n", "output")


def stdin(sandbox):
    """What asks for an open standard input: before 2.0 it was always open."""
    names = inspect.signature(type(sandbox.commands)._start).parameters
    return {"stdin": True} if "stdin" in names else {}


def close_stdin(sandbox, _):
    needs(sandbox, "commands", "close_stdin")
    handle = sandbox.commands.run("cat", background=True, **stdin(sandbox))
    sandbox.commands.send_stdin(handle.pid, "text")
    sandbox.commands.close_stdin(handle.pid)
    is_true(handle.wait().stdout == "text", "output")


def stream_input(sandbox, _):
    needs(sandbox, "commands", "stream_input")
    handle = sandbox.commands.run("head -c 6", background=True, **stdin(sandbox))
    sandbox.commands.stream_input(handle.pid, iter([b"abc", b"def"]))
    is_true(handle.wait().stdout == "abcdef", "output")


def terminal(sandbox, _):
    seen = []
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    reader = threading.Thread(target=lambda: handle.wait(on_pty=seen.append))
    reader.start()
    sandbox.pty.resize(handle.pid, PtySize(rows=30, cols=100))
    sandbox.pty.send_stdin(handle.pid, b"stty size; exit\n")
    reader.join(SECONDS)
    is_true(b"30 100" in b"".join(bytes(s) for s in seen), seen)


def write_and_read(sandbox, directory):
    for data in ("text 世界", b"\x00\xff" * 1000):
        sandbox.files.write(f"{directory}/f", data)
        kind = "text" if isinstance(data, str) else "bytes"
        is_true(sandbox.files.read(f"{directory}/f", format=kind) == data, "content")


def write_many(sandbox, directory):
    method = needs(sandbox, "files", "write_files")
    method([{"path": f"{directory}/m{i}", "data": str(i)} for i in range(3)])
    is_true(sandbox.files.read(f"{directory}/m2") == "2", "content")


def read_stream(sandbox, directory):
    sandbox.files.write(f"{directory}/s", b"x" * 200000)
    got = b"".join(bytes(c) for c in sandbox.files.read(f"{directory}/s", format="stream"))
    is_true(got == b"x" * 200000, len(got))


def octet_stream(sandbox, directory):
    if "use_octet_stream" not in inspect.signature(sandbox.files.write).parameters:
        raise Lacks
    sandbox.files.write(f"{directory}/o", io.BytesIO(b"x" * 100000), use_octet_stream=True)
    is_true(os.stat(f"{directory}/o").st_size == 100000, "size")


def metadata(sandbox, directory):
    if "metadata" not in inspect.signature(sandbox.files.write).parameters:
        raise Lacks
    sandbox.files.write(f"{directory}/meta", "x", metadata={"author": "me"})
    is_true(sandbox.files.get_info(f"{directory}/meta").metadata == {"author": "me"}, "metadata")


def directories(sandbox, directory):
    files = sandbox.files
    is_true(files.make_dir(f"{directory}/d/e"), "make_dir")
    files.write(f"{directory}/d/f", "x")
    is_true({e.name for e in files.list(f"{directory}/d")} == {"e", "f"}, "list")
    files.rename(f"{directory}/d/f", f"{directory}/d/g")
    is_true(files.exists(f"{directory}/d/g") and not files.exists(f"{directory}/d/f"), "rename")
    files.remove(f"{directory}/d")
    is_true(not files.exists(f"{directory}/d"), "remove")


def list_depth(sandbox, directory):
    if "depth" not in inspect.signature(sandbox.files.list).parameters:
        raise Lacks
    os.makedirs(f"{directory}/deep/e/f")
    is_true(len(sandbox.files.list(f"{directory}/deep", depth=2)) == 2, "entries")


def info(sandbox, directory):
    method = needs(sandbox, "files", "get_info")
    sandbox.files.write(f"{directory}/i", "four")
    os.symlink("i", f"{directory}/link")
    entry = method(f"{directory}/i")
    is_true(entry.size == 4 and entry.owner in ("root", "user"), entry)
    is_true(method(f"{directory}/link").symlink_target == f"{directory}/i", "symlink")


def watched(sandbox, directory, change, name, **options):
    watch = sandbox.files.watch_dir(directory, **options)
    events = []
    change()

    def arrived():
        events.extend(watch.get_new_events())
        return any(e.name == name for e in events)
    until(arrived, "event")
    watch.stop()
    return [e for e in events if e.name == name]


def watch(sandbox, directory):
    sandbox.files.make_dir(f"{directory}/w")
    watched(sandbox, f"{directory}/w", lambda: sandbox.files.write(f"{directory}/w/f", "x"), "f")


def option(sandbox, name):
    if name not in inspect.signature(sandbox.files.watch_dir).parameters:
        raise Lacks


def watch_recursive(sandbox, directory):
    option(sandbox, "recursive")
    sandbox.files.make_dir(f"{directory}/r/sub")
    watched(sandbox, f"{directory}/r", lambda: sandbox.files.write(f"{directory}/r/sub/f", "x"),
            "sub/f", recursive=True)


def watch_entry(sandbox, directory):
    option(sandbox, "include_entry")
    os.mkdir(f"{directory}/we")
    events = watched(sandbox, f"{directory}/we",
                     lambda: sandbox.files.write(f"{directory}/we/f", "x"), "f", include_entry=True)
    is_true(any(e.entry and e.entry.name == "f" for e in events), events)


def watch_network(sandbox, directory):
    option(sandbox, "allow_network_mounts")
    os.mkdir(f"{directory}/wn")
    watched(sandbox, f"{directory}/wn", lambda: sandbox.files.write(f"{directory}/wn/f", "x"), "f",
            allow_network_mounts=True)


def git(sandbox, directory):
    needs(sandbox, "git").init(f"{directory}/repository")
    is_true(os.path.isdir(f"{directory}/repository/.git"), "repository")


def url(sandbox, directory):
    method = getattr(sandbox, "download_url", None) or needs(sandbox, "file_url")
    sandbox.files.write(f"{directory}/u", "x")
    with urllib.request.urlopen(method(f"{directory}/u"), timeout=SECONDS) as answer:
        is_true(answer.read() == b"x", "content")


def is_running(sandbox, _):
    is_true(sandbox.is_running(), "is_running")


FEATURES = {
    "command: output of both pipes": run,
    "command: exit code": exit_code,
    "command: variables, directory, user": surroundings,
    "command: as another user": other_user,
    "command: deadline": deadline,
    "command: in the background, list, kill": background,
    "command: input, second reader": connect,
    "command: end of input": close_stdin,
    "command: streamed input": stream_input,
    "terminal: create, resize, input": terminal,
    "files: write, read, text and bytes": write_and_read,
    "files: write several": write_many,
    "files: read as a stream": read_stream,
    "files: upload as octet stream": octet_stream,
    "files: metadata": metadata,
    "files: directories, rename, remove": directories,
    "files: list to a depth": list_depth,
    "files: info, symbolic link": info,
    "files: URL": url,
    "watch: a directory": watch,
    "watch: a tree": watch_recursive,
    "watch: with entries": watch_entry,
    "watch: network mounts": watch_network,
    "git": git,
    "sandbox: is it running": is_running,
}


def main():
    # 2.0.0 looks at the argument alone, not at E2B_DEBUG.
    options = {"debug": True} if os.environ.get("E2B_DEBUG") else {}
    sandbox = Sandbox.create(**options) if hasattr(Sandbox, "create") else Sandbox()
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)  # old SDKs work as the user `user`
        for name, feature in FEATURES.items():
            try:
                feature(sandbox, directory)
                results[name] = "yes"
            except Lacks:
                results[name] = "-"
            except Exception as e:
                too_old = type(e).__name__ in ("TemplateException", "NotSupportedException") or \
                    "rebuild" in str(e)
                results[name] = "refused" if too_old else f"{type(e).__name__}: {e}"
    print(json.dumps(results))


main()
