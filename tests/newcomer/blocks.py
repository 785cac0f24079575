# SPDX-License-Identifier: Apache-2.0
"""The command blocks of a document, as one shell script whose line numbers are the document's.

A block is a fence with the info string `sh`. Words behind it say what it needs:
    ```sh                 run as printed, in the document's one shell
    ```sh needs=guest     left out, and reported, where there is no such thing
    ```sh server          run in the background until the document ends; the next block comes once it
                          listens
Fences of other languages are not run.
"""

import os
import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*(.*)$")


@dataclass
class Block:
    line: int  # of the opening fence, from 1
    words: list
    lines: list = field(default_factory=list)

    @property
    def server(self):
        return "server" in self.words

    @property
    def needs(self):
        return [n for w in self.words if w.startswith("needs=") for n in w[6:].split(",")]


def parse(text):
    """The blocks of a document, in order."""
    blocks, block, mark = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if mark is None and fence:
            mark, info = fence[2], fence[3].split()
            block = Block(number, info[1:]) if info[:1] == ["sh"] else None
            if block:
                blocks.append(block)
        elif mark and fence and fence[2].startswith(mark) and not fence[3]:
            mark = None
        elif mark and block:
            block.lines.append(line)
    for block in blocks:
        unknown = [w for w in block.words if w != "server" and not w.startswith("needs=")]
        if unknown:
            raise ValueError(f"line {block.line}: a block knows server and needs=, not {unknown}")
    return blocks


def script(text, have):
    """(the script, [(block, what it lacks)] of those left out) for a place that has those things."""
    lines = [""] * (len(text.splitlines()) + 1)
    lines[0] = 'source "$BLOCKS_PRELUDE"'
    left_out = []
    for block in parse(text):
        missing = [n for n in block.needs if n not in have]
        if missing:
            left_out.append((block, missing))
            continue
        start = block.line - 1
        end = start + len(block.lines) + 1
        lines[start] = f"block_begin {block.line}"
        if block.server:
            lines[start] += f" && serve {block.line}"
        else:
            lines[start + 1:end] = block.lines
        lines[end] = "block_end"
    lines[-1] = "document_end"
    return "\n".join(lines) + "\n", left_out


def write(path, folder, have):
    """Writes what `bash` needs to run a document into a folder. Returns (the number of blocks, those
    left out as script() does)."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    body, left_out = script(text, have)
    with open(os.path.join(folder, "document"), "w", encoding="utf-8") as f:
        f.write(text)
    with open(os.path.join(folder, "script"), "w", encoding="utf-8") as f:
        f.write(body)
    blocks = parse(text)
    for block in blocks:
        if block.server:
            with open(os.path.join(folder, f"serve-{block.line}"), "w", encoding="utf-8") as f:
                f.write("\n".join(block.lines) + "\n")
    return len(blocks) - len(left_out), left_out
