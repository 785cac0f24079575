# SPDX-License-Identifier: Apache-2.0
"""The Python examples of the documents, run as printed. Each checks its own result."""

import glob
import os
import re

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def examples():
    for path in sorted(glob.glob(f"{TOP}/docs/**/*.md", recursive=True)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
            line = text.count("\n", 0, block.start()) + 1
            yield pytest.param(path, line, block[1], id=f"{os.path.basename(path)}:{line}")


@pytest.mark.parametrize("path, line, code", list(examples()))
def test_example(sandbox, path, line, code):
    exec(compile("\n" * line + code, path, "exec"), {"__name__": "__main__"})


def test_there_are_examples():
    assert list(examples())
