# SPDX-License-Identifier: Apache-2.0
"""A terminal of tmux: what a person would see, without the escape sequences."""

import os
import re
import subprocess

from wait import wait_for


class Tmux:
    """A window of 30 lines with 100 columns, in which a command runs."""

    def __init__(self, directory, *command, environment):
        self.socket = f"{directory}/tmux"
        with open(f"{directory}/tmux.conf", "w", encoding="ascii") as f:
            f.write("set -g status off\nset -g default-terminal screen-256color\n")
        self.environment = environment | {"TERM": "xterm", "LC_ALL": "C.UTF-8"}
        self.run("-f", f"{directory}/tmux.conf", "new-session", "-d", "-x", "100", "-y", "30", *command)

    def run(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, *args], env=self.environment, check=True,
                              stdout=subprocess.PIPE).stdout.decode()

    def keys(self, *keys):
        """Presses keys: "Enter", "C-c", or a text."""
        self.run("send-keys", *keys)

    def line(self, text):
        self.run("send-keys", "-l", text)
        self.keys("Enter")

    def paste(self, path):
        self.run("load-buffer", str(path))
        self.run("paste-buffer", "-r")

    def resize(self, columns, lines):
        self.run("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self):
        return self.run("capture-pane", "-p", "-J")

    def alternate(self):
        return self.run("display-message", "-p", "#{alternate_on}") == "1\n"

    def expect(self, pattern):
        try:
            wait_for(lambda: re.search(pattern, self.screen(), re.M), f"{pattern} on the screen")
        except AssertionError as fault:
            raise AssertionError(f"{fault}:\n{self.screen()}") from None

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, stderr=subprocess.DEVNULL)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
