# SPDX-License-Identifier: Apache-2.0
"""e2b-desktop and @e2b/desktop. The X server and its tools are stand-ins, shell scripts in place of the
template's programs: the packages reach them through envd's commands and files, which is what is tested."""

import json
import os
import shutil

import pytest
from e2b_desktop import Sandbox

BIN = "/usr/local/bin"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300

# What each program does besides adding a line to the log.
PROGRAMS = {
    "Xvfb": "exec sleep 1000",
    "xdpyinfo": "",
    "startxfce4": "for name in xfce4-session xfwm4 xfdesktop; do $WORLD/$name 1000 & done; wait",
    "xdotool": 'case $1 in getmouselocation) echo "x:12 y:34 screen:0 window:5";;'
               ' getwindowfocus) echo 77;; search) printf "11\\n12\\n";; getwindowname) echo "A title";; esac',
    "xrandr": 'echo "  1024x768  60.00*"',
    "scrot": 'cp $WORLD/picture "$2"',
    "xdg-open": "exec sleep 1000",
    "x11vnc": "exec sleep 1000",
}

JS = """
import { Sandbox } from '@e2b/desktop'
const desktop = await Sandbox.create({ resolution: [800, 600] })
const picture = await desktop.screenshot()
await desktop.moveMouse(3, 4)
await desktop.press(['ctrl', 'c'])
await desktop.write('from js')
console.log(JSON.stringify({
  picture: picture.length, cursor: await desktop.getCursorPosition(),
  size: await desktop.getScreenSize(), title: await desktop.getWindowTitle('77'),
}))
await desktop.kill()
process.exit(0)
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Installs the programs; returns a function that reads and empties the log of their calls.

    A mount covers the programs' directory: the mount namespace is the tests' own, the files are not."""
    world = tmp_path_factory.mktemp("desktop")
    (world / "picture").write_bytes(PICTURE)
    for name in ("xfce4-session", "xfwm4", "xfdesktop"):
        shutil.copy("/bin/sleep", world / name)
    (world / "bin").mkdir()
    for name, text in PROGRAMS.items():
        path = world / "bin" / name
        path.write_text(f'#!/bin/bash\nWORLD={world}\necho "{name} $*" >>{world}/log\n{text}\n')
        path.chmod(0o755)
    (world / "log").touch(0o666)
    assert os.system(f"mount --bind {world}/bin {BIN}") == 0

    def read():
        text = (world / "log").read_text()
        os.truncate(world / "log", 0)
        return text.splitlines()

    yield read
    assert os.system(f"umount {BIN}") == 0


@pytest.fixture(scope="module")
def desktop(calls):
    desktop = Sandbox.create(resolution=(800, 600))
    begun = calls()
    assert "Xvfb :0 -ac -screen 0 800x600x24 -retro -dpi 96 -nolisten tcp -nolisten unix" in begun
    assert any(line.startswith("startxfce4") for line in begun)
    yield desktop
    for process in desktop.commands.list():
        desktop.commands.kill(process.pid)


def test_display_is_in_the_environment(desktop):
    assert desktop.commands.run("echo $DISPLAY").stdout == ":0\n"


def test_screenshot(desktop):
    assert bytes(desktop.screenshot()) == PICTURE
    assert b"".join(bytes(c) for c in desktop.screenshot("stream")) == PICTURE
    assert desktop.commands.run("ls /tmp | grep -c ^screenshot- || true").stdout == "0\n"


def test_mouse_and_keyboard(desktop, calls):
    calls()
    desktop.left_click(5, 6)
    desktop.scroll("up", 2)
    desktop.press(["ctrl", "c"])
    desktop.write("it's a text that is longer than a chunk")
    assert calls() == [
        "xdotool mousemove --sync 5 6", "xdotool click 1", "xdotool click --repeat 2 4",
        "xdotool key Control_L+c", "xdotool type --delay 75 -- it's a text that is longe",
        "xdotool type --delay 75 -- r than a chunk",
    ]


def test_what_the_screen_shows(desktop):
    assert desktop.get_cursor_position() == (12, 34)
    assert desktop.get_screen_size() == (1024, 768)
    assert desktop.get_current_window_id() == "77"
    assert desktop.get_application_windows("xterm") == ["11", "12"]
    assert desktop.get_window_title("77") == "A title"


def test_open_goes_on_in_the_background(desktop, calls):
    calls()
    desktop.open("https://example.org")
    desktop.wait(10)
    assert calls() == ["xdg-open https://example.org"]
    assert [p for p in desktop.commands.list() if "xdg-open https://example.org" in p.args]


def test_js(node, calls):
    calls()
    assert json.loads(node(JS)) == {
        "picture": len(PICTURE), "cursor": {"x": 12, "y": 34},
        "size": {"width": 1024, "height": 768}, "title": "A title",
    }
    made = calls()
    assert [line for line in made if line.startswith("xdotool")][:3] == [
        "xdotool mousemove --sync 3 4", "xdotool key Control_L+c",
        "xdotool type --delay 75 -- from js",
    ]
