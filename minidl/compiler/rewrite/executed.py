"""Texts of programs that no file holds: what ``exec`` and ``compile`` were given.

A function of such a program can be instrumented only if its source is known. Python announces
each text that it compiles by an audit event; the latest ones are kept, if no file has their name.
Those of ``python -c`` are in ``sys.orig_argv``.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from typing import Any

_MOST_TEXTS = 256
_MOST_BYTES = 1 << 20  # of one text

_texts: OrderedDict[tuple[str, str | bytes], None] = OrderedDict()


def executed_texts(name: str) -> list[str]:
    """The texts that were compiled under a file name, the latest first."""
    found = [text for known, text in reversed(_texts) if known == name]
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in found]
    if name == "<string>" and "-c" in sys.orig_argv[:-1]:
        texts.append(sys.orig_argv[sys.orig_argv.index("-c") + 1])
    return texts


def _note(event: str, args: tuple[Any, ...]) -> None:
    if event != "compile":
        return
    text, name = args
    if not isinstance(text, str | bytes) or not isinstance(name, str) or len(text) > _MOST_BYTES:
        return
    if (name, text) in _texts or os.path.exists(name) or name.startswith("<frozen"):
        return
    if name.startswith(("<guards", "<a plan")):
        return
    _texts[name, text] = None
    if len(_texts) > _MOST_TEXTS:
        _texts.popitem(last=False)


sys.addaudithook(_note)
