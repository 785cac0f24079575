# SPDX-License-Identifier: Apache-2.0
"""Processes that change a tree at random."""

import ctypes
import os
import random
import shutil
import sys
import time
import traceback

RENAME_EXCHANGE = 2
AT_FDCWD = -100
LIBC = ctypes.CDLL(None)


class Changer:
    """Makes random changes below `top`. Moves into and out of the tree use `outside`. With `few_names`
    all entries share five names; otherwise each new entry gets a unique name, as Carrier in picture.py
    requires."""

    def __init__(self, top, outside, seed, few_names):
        self.top, self.outside = top, outside
        self.random = random.Random(seed)
        self.few_names = few_names
        self.prefix = f"{seed:x}".replace("-", "m")
        self.count = 0
        self.open_files = []
        self.ways = [getattr(self, name[3:]) for name, weight in self.WEIGHTS.items()
                     for _ in range(weight) if few_names or name not in self.FOR_FEW]

    WEIGHTS = {"do_make_file": 8, "do_make_directory": 8, "do_make_deep": 2, "do_append": 6,
               "do_truncate": 2, "do_mode": 4, "do_times": 2, "do_unlink": 5, "do_rmdir": 4,
               "do_rename": 12, "do_exchange": 3, "do_move_out": 3, "do_move_in": 4,
               "do_remove_tree": 1, "do_copy_tree": 1, "do_link": 2, "do_save": 3, "do_hold": 2,
               "do_write_held": 3, "do_change_outside": 2, "do_mode_of_top": 1}
    FOR_FEW = ("do_exchange", "do_copy_tree")  # they give an entry a name that another entry had

    def run(self, changes, pause_seconds):
        for _ in range(changes):
            try:
                self.random.choice(self.ways)()
            except OSError:
                pass  # another process was faster, or the kernel refuses the change
            if pause_seconds and self.random.random() < 0.1:
                time.sleep(self.random.random() * pause_seconds)

    # ---- choices ----

    def directory(self, top=None):
        """Returns a random directory below `top`."""
        at = top or self.top
        while self.random.random() < 0.7:
            with os.scandir(at) as entries:
                below = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
            if not below or at.count("/") - self.top.count("/") > 8:
                break
            at = self.random.choice(sorted(below))
        return at

    def existing(self, kind, top=None):
        with os.scandir(self.directory(top)) as entries:
            found = sorted(e.path for e in entries
                           if kind == "any" or e.is_dir(follow_symlinks=False) == (kind == "dir"))
        if not found:
            raise FileNotFoundError
        return self.random.choice(found)

    def file(self):
        path = self.existing("file")
        if os.path.islink(path):
            raise FileNotFoundError
        return path

    def name(self, letter):
        if self.few_names:
            return self.random.choice("abcde")
        self.count += 1
        return f"{letter}{self.prefix}.{self.count}"

    def new(self, letter, top=None):
        return os.path.join(self.directory(top), self.name(letter))

    def another_name(self, path):
        """Returns the new name for a rename. It begins with the entry's first name."""
        if self.few_names:
            return self.name("")
        self.count += 1
        return f"{os.path.basename(path).partition('~')[0]}~{self.prefix}.{self.count}"

    def data(self):
        return b"%d" % self.random.randrange(10 ** self.random.randrange(1, 12))

    # ---- changes ----

    def make_file(self):
        with open(self.new("f"), "xb", buffering=0) as f:
            if self.random.random() < 0.7:
                f.write(self.data())

    def make_directory(self):
        os.mkdir(self.new("d"))

    def make_deep(self):
        """Creates nested directories with files, as `tar x` does."""
        at = self.new("d")
        for _ in range(self.random.randrange(1, 5)):
            os.mkdir(at)
            for _ in range(self.random.randrange(3)):
                with open(os.path.join(at, self.name("f")), "wb") as f:
                    f.write(self.data())
            at = os.path.join(at, self.name("d"))

    def append(self):
        with open(self.file(), "ab", buffering=0) as f:
            f.write(self.data())

    def truncate(self):
        os.truncate(self.file(), self.random.randrange(3))

    def mode(self):
        path = self.existing("any")
        if not os.path.islink(path):
            os.chmod(path, self.random.choice((0o700, 0o755, 0o711, 0o600)))

    def mode_of_top(self):
        os.chmod(self.top, self.random.choice((0o700, 0o755, 0o711)))

    def times(self):
        os.utime(self.file(), (1, self.random.randrange(1, 10 ** 9)))

    def unlink(self):
        os.unlink(self.existing("file"))

    def rmdir(self):
        os.rmdir(self.existing("dir"))

    def rename(self):
        path = self.existing("any")
        os.rename(path, os.path.join(self.directory(), self.another_name(path)))

    def exchange(self):
        a, b = self.existing("any").encode(), self.existing("any").encode()
        LIBC.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE)

    def move_out(self):
        path = self.existing("any")
        os.rename(path, os.path.join(self.outside, self.another_name(path)))

    def move_in(self):
        names = sorted(os.listdir(self.outside))
        if names:
            path = os.path.join(self.outside, self.random.choice(names))
            os.rename(path, self.new("d"))

    def change_outside(self):
        """Creates a directory in an entry that was moved out and is not watched. do_move_in may move it
        back."""
        path = self.directory(self.outside)
        if path != self.outside:
            os.mkdir(os.path.join(path, self.name("d")))

    def remove_tree(self):
        shutil.rmtree(self.existing("dir"), ignore_errors=True)

    def copy_tree(self):
        path, copy = self.existing("dir"), self.new("d")
        if not copy.startswith(path + "/"):
            shutil.copytree(path, copy, symlinks=True)

    def link(self):
        os.symlink(self.random.choice((".", "..", "nowhere", "a")), self.new("l"))

    def save(self):
        """Replaces a file by a new one of the same name, as editors do."""
        path = self.file()
        temporary = os.path.join(os.path.dirname(path), self.name("t"))
        with open(temporary, "xb") as f:
            f.write(self.data())
        os.rename(temporary, path)

    def hold(self):
        self.open_files.append(open(self.file(), "ab", buffering=0))
        if len(self.open_files) > 5:
            self.open_files.pop(0).close()

    def write_held(self):
        """Writes to an open file, which may have been renamed or removed."""
        if self.open_files:
            self.random.choice(self.open_files).write(self.data())


def start(top, outside, seed, few_names, changes, pause_seconds):
    """Starts a process that makes `changes` changes, and returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        Changer(top, outside, seed, few_names).run(changes, pause_seconds)
        os._exit(0)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        os._exit(1)
