# SPDX-License-Identifier: Apache-2.0
"""What a client believes a directory to hold, from the events that it was told.

A picture says of each name what it is: the kind and the mode, of a file its time and its data, of a
symlink where it leads. The rules by which events change it are those that a client has to follow:

    CREATE, CHMOD   look at the name
    WRITE           the same; of a directory it means "look again": list it and all below it
    REMOVE, RENAME  the name is gone, and all below it

A name that can't be found when it is looked at stays in the picture: what became of it is yet to be
told. What is below a directory that was renamed is not told again under its new name; there are two
kinds of clients:

    Lister    lists each directory that was created, and relies on what it saw there: it was watched
              before it was told.
    Carrier   takes over what was below the old name, and never lists. It knows that two names are
              one directory because the tests name them so (d7, d7~1). What it learns of a directory
              that was made or moved into the tree it learns by events alone.
"""

import collections
import contextlib
import os
import stat

GONE = "gone"  # instead of what a name is
UNSURE = "unsure"  # instead of what a name is that was carried on and is not there


def look_in(directory, name):
    """What a name in an open directory is, or GONE."""
    try:
        info = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = stat.S_IFMT(info.st_mode)
        if kind == stat.S_IFREG:
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory), "rb") as f:
                return "file", stat.S_IMODE(info.st_mode), info.st_mtime_ns, f.read()
        if kind == stat.S_IFLNK:
            return "link", os.readlink(name, dir_fd=directory)
        return ("directory" if kind == stat.S_IFDIR else "other"), stat.S_IMODE(info.st_mode)
    except OSError:
        return GONE


@contextlib.contextmanager
def opened(top, path):
    """A directory below `top`, open; or FileNotFoundError. No link is followed on the way: there
    was none when its name was told."""
    at = os.open(top, os.O_RDONLY)
    try:
        for name in path.split("/"):
            at, last = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at), at
            os.close(last)
        yield at
    except OSError as e:
        raise FileNotFoundError(path) from e
    finally:
        os.close(at)


def look(top, path):
    """What a path below `top` is, or GONE."""
    try:
        with opened(top, os.path.dirname(path) or ".") as directory:
            return look_in(directory, os.path.basename(path))
    except FileNotFoundError:
        return GONE


def listing(top, below=".", recursive=True):
    """{name: what it is} of all there is below a directory of `top`. What goes meanwhile is left
    out."""
    found = {}
    waiting = [below]
    while waiting:
        path = waiting.pop()
        with contextlib.suppress(FileNotFoundError), opened(top, path) as directory:
            for name in os.listdir(directory):
                what = look_in(directory, name)
                if what == GONE:
                    continue
                full = os.path.normpath(f"{path}/{name}")
                found[full] = what
                if what[0] == "directory" and recursive:
                    waiting.append(full)
    return found


class Names(dict):
    """What each name is; `below` counts the names below each directory."""

    def __init__(self, names=()):
        super().__init__()
        self.below = collections.Counter()
        self.update(names)

    def _count(self, name, n):
        while name := os.path.dirname(name):
            self.below[name] += n

    def __setitem__(self, name, what):
        if name not in self:
            self._count(name, 1)
        super().__setitem__(name, what)

    def update(self, names):
        for name in names:
            self[name] = names[name]

    def pop(self, name, *default):
        if name in self:
            self._count(name, -1)
        return super().pop(name, *default)


class Lister:
    def __init__(self, top, recursive):
        self.top = top
        self.recursive = recursive
        self.names = Names()
        self.itself = None
        self.look_again(".")

    def __eq__(self, other):
        """Whether it says the same as the truth."""
        return self.names == other.names and self.itself == other.itself

    def look_again(self, path):
        if path == ".":
            self.names = Names(listing(self.top, recursive=self.recursive))
            self.itself = look(self.top, ".")
            return
        self.forget_below(path)
        self.names[path] = look(self.top, path)
        if self.recursive and self.names[path][0] == "directory":
            self.names.update(listing(self.top, path))

    def forget_below(self, path):
        """Gives what was there, by names relative to the path."""
        prefix = path + "/"
        below = [name for name in self.names if name.startswith(prefix)] \
            if self.names.below[path] else []
        return {name[len(prefix):]: self.names.pop(name) for name in below}

    def appear(self, path):
        self.forget_below(path)
        self.names[path] = look(self.top, path)
        if self.recursive and self.names[path][0] == "directory":
            self.names.update(listing(self.top, path))

    def vanish(self, path, renamed):
        self.forget_below(path)
        self.names.pop(path, None)

    def apply(self, event):
        path = event.name
        if event.kind == "CREATE":
            self.appear(path)
        elif event.kind in ("REMOVE", "RENAME"):
            self.vanish(path, event.kind == "RENAME")
        elif path == ".":
            if event.kind == "WRITE":
                self.look_again(".")
            self.itself = look(self.top, ".")
        elif event.kind == "WRITE" and self.names.get(path, GONE)[0] == "directory":
            self.look_again(path)
        else:
            self.names[path] = look(self.top, path)


class Carrier(Lister):
    def __init__(self, top, recursive):
        self.carried = {}
        super().__init__(top, recursive)

    @staticmethod
    def identity(path):
        return os.path.basename(path).partition("~")[0]

    def vanish(self, path, renamed):
        below = self.forget_below(path)
        if self.names.pop(path, None) and renamed:
            self.carried[self.identity(path)] = below

    def appear(self, path):
        self.names[path] = look(self.top, path)
        for name in self.carried.pop(self.identity(path), {}):
            what = look(self.top, f"{path}/{name}")
            # Moved on already, or gone on its way from one name to the other.
            self.names[f"{path}/{name}"] = UNSURE if what == GONE else what

    def __eq__(self, other):
        sure = {name: what for name, what in self.names.items() if what != UNSURE}
        return sure == other.names and self.itself == other.itself


def difference(picture, truth):
    """For people, and empty where there is none."""
    lines = [f"not known: {name}" for name in truth.names.keys() - picture.names.keys()]
    lines += [f"not there: {name}, {picture.names[name]}"
              for name in picture.names.keys() - truth.names.keys()]
    lines += [f"{name}: {picture.names[name]}, is {truth.names[name]}"
              for name in picture.names.keys() & truth.names.keys()
              if picture.names[name] != truth.names[name]]
    if picture.itself != truth.itself:
        lines.append(f".: {picture.itself}, is {truth.itself}")
    return "\n".join(sorted(lines))
