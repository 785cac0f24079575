# SPDX-License-Identifier: Apache-2.0
"""Changes by real programs: git, tar, npm, make, editors. At the end, a client's picture must equal the
directory. For programs that change files in a known way, the events are compared, too."""

import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time

import pytest

from client import SECONDS
from conftest import TOP, new_directory, sh
from picture import Lister, difference

NPM = os.path.join(TOP, "build", "tools", "npm")


class Client(threading.Thread):
    """A client that updates its picture while programs run."""

    def __init__(self, watch, directory):
        super().__init__(daemon=True)
        self.watch = watch
        self.picture = Lister(directory, True)
        self.events = []
        self.ended = False
        self.lock = threading.Lock()
        self.start()

    def run(self):
        while not self.ended:
            self.watch.more(0.05)
            with self.lock:
                for event in self.watch.take():
                    self.events.append(str(event))
                    self.picture.apply(event)

    def check(self):
        """Waits until the picture is right."""
        end = time.monotonic() + SECONDS
        truth = Lister(self.picture.top, True)
        while time.monotonic() < end:
            with self.lock:
                if self.picture == truth:
                    break
            time.sleep(0.01)
        self.ended = True
        self.join()
        assert not difference(self.picture, truth)


@pytest.fixture(params=["watch", "poll"])
def follow(request, envd):
    """A function that begins to watch a directory and returns its client."""
    started = []

    def begin(directory):
        started.append(Client(getattr(envd, request.param)(directory, True), directory))
        return started[-1]

    yield begin
    for client in started:
        client.ended = True
        client.join()


def make_tree(directory, version, directories=40, files=12):
    """Creates a tree whose directories, files and contents depend on the version."""
    for i in range(directories):
        path = os.path.join(directory, f"d{i % 7}", f"e{(i * version) % 11}", f"f{i}")
        os.makedirs(path, exist_ok=True)
        for j in range(files):
            if (i + j) % 5 != version:
                with open(os.path.join(path, f"{j}.txt"), "w", encoding="utf-8") as f:
                    f.write(f"{version if j % 3 else 0} {i} {j}\n")


@pytest.fixture(scope="module")
def tree():
    directory = new_directory()
    make_tree(directory, 1)
    yield directory
    shutil.rmtree(directory)


def git(directory, *arguments):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c",
                    "init.defaultBranch=main", "-c", "advice.detachedHead=false", *arguments],
                   cwd=directory, check=True, capture_output=True)


def test_git_checkout(follow):
    directory = new_directory()
    git(directory, "init")
    for version in (1, 2):
        git(directory, "rm", "-rq", "--ignore-unmatch", ".")
        make_tree(directory, version)
        git(directory, "add", ".")
        git(directory, "commit", "-qm", f"{version}")
    client = follow(directory)
    for commit in ("HEAD~1", "main", "HEAD~1"):
        git(directory, "checkout", "-q", commit)
    git(directory, "gc", "-q", "--prune=now")
    client.check()


def test_tar(follow, tree):
    directory = new_directory()
    archive = os.path.join(os.path.dirname(directory), "tree.tar")
    sh(tree, f"tar cf {archive} .")
    client = follow(directory)
    sh(directory, f"tar xf {archive}")
    client.check()


def test_copy_move_and_remove(follow, tree):
    directory, beside = new_directory(), new_directory()
    sh(beside, f"cp -r {tree} tree")
    client = follow(directory)
    sh(directory, f"cp -r {tree} a; cp -a {tree} b; mv a c; mv c/d1 b/moved; mv {beside}/tree d; "
                  f"mv b {beside}/b; rm -rf c; cp -r {tree} b; mv d/d2 b/d1/inside; rm -rf d")
    client.check()


def npm_archives(directory):
    """Packs the packages of the tests' JS tools as an npm registry does, because the tests have no network.
    Returns a lock file that names the archives."""
    with open(os.path.join(NPM, "package-lock.json"), encoding="utf-8") as f:
        lock = json.load(f)
    for path, package in list(lock["packages"].items()):
        if not path:
            continue
        if not os.path.isdir(os.path.join(NPM, path)):
            del lock["packages"][path]  # a package for another platform
            continue
        name = path.replace("/", "_") + ".tgz"
        with tarfile.open(os.path.join(directory, name), "w:gz", compresslevel=1) as archive:
            archive.add(os.path.join(NPM, path), "package",
                        filter=lambda m: None if m.name.startswith("package/node_modules") else m)
        package["resolved"] = name
        package.pop("integrity", None)
    return lock


@pytest.mark.parametrize("follow", ["watch"], indirect=True)
def test_npm_ci(follow):
    archives, directory = new_directory(), new_directory()
    lock = npm_archives(archives)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=archives)

        def log_message(self, *_):  # pylint: disable=arguments-differ
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    for path, package in lock["packages"].items():
        if path:
            package["resolved"] = f"{address}/{package['resolved']}"
    shutil.copy(os.path.join(NPM, "package.json"), directory)
    with open(os.path.join(directory, "package-lock.json"), "w", encoding="utf-8") as f:
        json.dump(lock, f)
    client = follow(directory)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--registry", address,
                    "--cache", new_directory()], cwd=directory, check=True, capture_output=True)
    assert os.path.isdir(os.path.join(directory, "node_modules", "e2b"))
    client.check()
    server.shutdown()
    server.server_close()


def run_vim(directory, *commands):
    program = shutil.which("vim.basic") or shutil.which("vim.tiny") or "vim"
    subprocess.run([program, "-u", "NONE", "-es", *commands, "text"], cwd=directory, check=True,
                   stdin=subprocess.DEVNULL, capture_output=True)


# How editors save a file: (command, expected events of the file).
EDITORS = {
    "sed": (lambda d: sh(d, "sed -i s/two/2/ text"), ["CREATE text"]),
    "ed": (lambda d: sh(d, "printf 's/two/2/\\nw\\nq\\n' | ed -s text"), ["WRITE text"]),
    "vim-by-rename": (lambda d: run_vim(d, "-c", "set backup backupcopy=no backupdir=. backupskip=",
                                        "-c", "%s/two/2/", "-c", "wq"),
                      ["RENAME text", "CREATE text~", "CREATE text", "WRITE text"]),
    "vim-by-copy": (lambda d: run_vim(d, "-c", "set backup backupcopy=yes backupdir=. backupskip=",
                                      "-c", "%s/two/2/", "-c", "wq"), ["WRITE text"]),
    "install": (lambda d: sh(d, "echo 2 >../new; install -m 600 ../new text"),
                ["REMOVE text", "CREATE text", "WRITE text", "CHMOD text"]),
}


@pytest.mark.parametrize("editor", EDITORS)
def test_editors(open_watch, directory, editor):
    sh(directory, "echo two >text")
    watch = open_watch(directory, True)
    run, told = EDITORS[editor]
    run(directory)
    with open(os.path.join(directory, "text"), encoding="utf-8") as f:
        assert f.read() == "2\n"
    events = [e for e in watch.texts() if e.endswith((" text", " text~"))]
    assert [e for e in events if e in told] == told


def test_a_build(follow):
    """A tree in which make builds and cleans several times."""
    directory = new_directory()
    with open(os.path.join(directory, "Makefile"), "w", encoding="utf-8") as f:
        f.write("OUT := $(foreach i,1 2 3 4 5 6 7 8 9,out/$(i)/a out/$(i)/b)\nall: $(OUT)\n"
                "out/%:\n\t@mkdir -p $(@D); echo $@ >$@.tmp; mv $@.tmp $@\n"
                "clean:\n\t@rm -rf out\n")
    client = follow(directory)
    for _ in range(8):
        sh(directory, "make -s -j4 all && make -s clean")
    sh(directory, "make -s -j4 all")
    client.check()
    assert {e for e in client.events if e.endswith("out/9/b")} >= {"CREATE out/9/b"}
