"""The page about the emulator runs, and prints what it says."""

import re
from pathlib import Path

import pytest

from minidl import emulator

pytestmark = pytest.mark.skipif(
    not emulator.is_available(), reason="the emulator needs g++ or clang++"
)

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_page_prints_what_it_says(capsys):
    text = PAGE.read_text()
    blocks, names = BLOCK.findall(text), {}
    assert len(blocks) == text.count("```python") == 3
    for code, printed in blocks:
        exec(code, names)
        assert capsys.readouterr().out == printed


def test_the_page_knows_every_exception():
    errors = vars(emulator).values()
    names = [e.__name__ for e in errors if isinstance(e, type) and issubclass(e, Exception)]
    assert len(names) == 13
    assert not [name for name in names if f"`{name}`" not in PAGE.read_text()]
