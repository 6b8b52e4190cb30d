"""Names that a function's code uses: what it may find missing, and then catch the error."""

from __future__ import annotations

import dis
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType

_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@lru_cache(maxsize=4096)
def global_names(code: CodeType) -> tuple[str, ...]:
    """The globals and builtins that ``code``, or code defined in it, loads."""
    found = {
        instruction.argval
        for part in _nested(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname in _LOADS
    }
    return tuple(sorted(found))


@lru_cache(maxsize=4096)
def imported_names(code: CodeType) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The modules that ``code``, or code defined in it, imports, and what it takes from them.

    Relative ones begin with dots.
    """
    found: dict[str, list[str]] = {}
    for part in _nested(code):
        module, loaded = "", [0, 0]  # the constants before an import: its level, then its names
        for instruction in dis.get_instructions(part):
            if instruction.opname == "IMPORT_NAME":
                module = "." * loaded[0] + instruction.argval
                found.setdefault(module, [])
            elif instruction.opname == "IMPORT_FROM":
                found[module].append(instruction.argval)
            elif instruction.opname.startswith("LOAD_"):
                loaded = [loaded[1], instruction.argval]
    return tuple((module, tuple(names)) for module, names in found.items())


def absolute(module: str, space: dict) -> str:
    """The full name of a module that may be relative to the package of the globals ``space``."""
    if not module.startswith("."):
        return module
    return importlib.util.resolve_name(module, space.get("__package__") or "")


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
