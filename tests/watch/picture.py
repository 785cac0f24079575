# SPDX-License-Identifier: Apache-2.0
"""A client's picture of a directory, which the events of a watch build.

A picture stores the state of each name: kind and mode; for a file also its time and data, for a
symbolic link its target. Events change the picture by the rules that every client must follow:

    CREATE, CHMOD   examine the name
    WRITE           the same; for a directory it means "look again": list it and everything below
    REMOVE, RENAME  forget the name and everything below

If a name can't be found when it is examined, it stays in the picture, because a later event will
report what happened to it. After the rename of a directory, no events report its contents under the
new name. Clients handle this in two ways:

    Lister    lists every directory that a CREATE names, and relies on the listing: the directory is
              watched before its CREATE is sent.
    Carrier   moves the contents of the old name to the new name, and never lists. It recognises the
              directory by its name, because the tests name it so (d7, d7~1). It learns the contents
              of a directory that was created or moved in from events only.
"""

import collections
import contextlib
import os
import stat

GONE = "gone"  # the state of a name that does not exist
UNSURE = "unsure"  # of a name that Carrier moved, and that was not found there


def look_in(directory, name):
    """Returns the state of a name in an open directory, or GONE."""
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
    """Opens a directory below `top`, or raises FileNotFoundError. Follows no symbolic link, because the path
    had none when its event was sent."""
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
    """Returns the state of a path below `top`, or GONE."""
    try:
        with opened(top, os.path.dirname(path) or ".") as directory:
            return look_in(directory, os.path.basename(path))
    except FileNotFoundError:
        return GONE


def listing(top, below=".", recursive=True):
    """Returns {name: state} of everything below a directory in `top`. Names that vanish during the listing
    are left out."""
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
    """The state of each name. `below` counts the names below each directory."""

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
        """Returns true if the picture shows the same as the true one."""
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
        """Removes the names below the path. Returns {relative name: state} of them."""
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
            # It was moved again, or removed during the move.
            self.names[f"{path}/{name}"] = UNSURE if what == GONE else what

    def __eq__(self, other):
        sure = {name: what for name, what in self.names.items() if what != UNSURE}
        return sure == other.names and self.itself == other.itself


def difference(picture, truth):
    """Returns the differences as text for the report; "" if there are none."""
    lines = [f"missing: {name}" for name in truth.names.keys() - picture.names.keys()]
    lines += [f"does not exist: {name}, {picture.names[name]}"
              for name in picture.names.keys() - truth.names.keys()]
    lines += [f"{name}: {picture.names[name]}, is {truth.names[name]}"
              for name in picture.names.keys() & truth.names.keys()
              if picture.names[name] != truth.names[name]]
    if picture.itself != truth.itself:
        lines.append(f".: {picture.itself}, is {truth.itself}")
    return "\n".join(sorted(lines))
