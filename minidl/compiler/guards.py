"""Guards: what a step depends on besides its arguments.

While a run is recorded, Python reports each function that it enters. The names in a function's
code tell what it can see of the world: globals, variables of enclosing functions, and
attributes of what it reaches through those and through its arguments. All of it is
remembered, for the user's functions and for the methods of modules. Before a step is
repeated, each must still be what it was.

Attributes of modules (``training``, the ``p`` of a dropout) are expected to change: the step
is then captured anew. A changed global or variable is more likely a value that the step
should have been given: an error, which names the line.
"""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter, is_
from types import CellType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import is_own, is_users
from minidl.compiler.structure import mapped
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler

_MOST = 64
"""Of how many calls of one function, and elements of one container, guards are looked for."""

_PLAIN = type(None), bool, int, float, complex, str, bytes
_CONTAINERS = list, dict, set
# a repetition asks optimizers and schedules anew; the others say nothing by attributes
_OPAQUE = (Optimizer, LRScheduler, ModuleType, FunctionType, type, TensorBase)
_HOOKS = {"_hooks", "_pre_hooks"}
_content = attrgetter("cell_contents")


class Witness:
    """Sees which functions a run enters, and with what arguments."""

    def __init__(self) -> None:
        self.frames: dict[CodeType, list[tuple[dict, dict, dict]]] = {}

    def __enter__(self) -> Witness:
        self.previous, self.collects = sys.getprofile(), gc.isenabled()
        gc.disable()  # what it calls at any time has nothing to do with the run
        sys.setprofile(self._entered)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(self.previous)
        if self.collects:
            gc.enable()

    def _entered(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and (is_users(code, frame.f_globals) or _of_module(frame)):
            seen = self.frames.setdefault(code, [])
            if len(seen) < _MOST:
                f_locals = dict(frame.f_locals)
                kept = mapped(_without_tensor, f_locals)
                seen.append((frame.f_globals, kept, _variables(code, f_locals)))


def _without_tensor(leaf: Any) -> Any:
    """Nothing for a tensor, which says nothing, and whose memory would live on."""
    return None if isinstance(leaf, TensorBase) else leaf


def _of_module(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_argcount > 0 and isinstance(frame.f_locals.get(code.co_varnames[0]), Module)


class Guard:
    """One thing that must stay what it was: ``get(key)``.

    Attributes
    ----------
    value : object
        What it was.
    what, place : str
        What it is, in words, and ``file:line`` of the code that names it.
    soft : bool
        Whether a change is a reason to capture anew rather than an error.
    """

    def __init__(self, get: Callable, key: Any, what: str, place: str, soft: bool):
        self.get, self.key = get, key
        self.what, self.place, self.soft = what, place, soft
        self.value = get(key)
        self.contents = _contents(self.value)

    def holds(self) -> bool:
        """Whether it is what it was, or an equal number or text."""
        now = self.get(self.key)
        if now is not self.value and not _equal(now, self.value):
            return False
        return self.contents is None or _alike(_contents(now), self.contents)

    def change(self) -> str:
        """The change in words: where, what, from what to what."""
        was, now = _text(self.value), _text(self.get(self.key))
        how = "was changed inside" if was == now else f"changed from {was} to {now}"
        return f"{self.place}: {self.what} {how}"


class Guards:
    """All guards of a recorded run."""

    def __init__(self, guards: Iterable[Guard]):
        self.all = list(guards)
        self._fast = [(g.get, g.key, g.value, g) for g in self.all]
        self._empty = [g for g in self.all if g.contents == []]  # most are lists of hooks
        self._filled = [g for g in self.all if g.contents]

    def changed(self) -> Guard | None:
        """The first guard that does not hold, if any; asked before every repetition."""
        for get, key, value, guard in self._fast:
            if get(key) is not value and not guard.holds():
                return guard
        for guard in self._empty:
            if guard.value:
                return guard
        for guard in self._filled:
            if not guard.holds():
                return guard
        return None


def _contents(value: Any) -> list | None:
    """What a container holds."""
    if not isinstance(value, _CONTAINERS):
        return None
    return list(value.items()) if isinstance(value, dict) else list(value)


def _alike(now: list | None, before: list) -> bool:
    try:
        return now == before  # of one and the same object it asks no further
    except (TypeError, ValueError, RuntimeError):  # tensors and arrays have no plain equality
        return False


def _equal(now: Any, before: Any) -> bool:
    return type(now) is type(before) and _is_plain(now) and now == before


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _text(value: Any) -> str:
    text = repr(value) if _is_plain(value) or isinstance(value, _CONTAINERS) else ""
    return text if 0 < len(text) <= 60 else f"one {type(value).__name__}"


# --------------------------------------------------------------------------- finding them


def guards_of(witness: Witness) -> Guards:
    """A guard for each thing that the functions seen by ``witness`` can have looked at."""
    search = _Search(witness)
    for code, frames in witness.frames.items():
        for seen in frames:
            search.look(code, *seen)
    return Guards(search.found.values())


class _Search:
    """Follows the names in functions' codes to what they stand for."""

    def __init__(self, witness: Witness):
        self.found: dict[tuple[int, str], Guard] = {}
        self.inner = {c for code in witness.frames for c in code.co_consts if _is_code(c)}

    def look(self, code: CodeType, f_globals: dict, f_locals: dict, cells: dict) -> None:
        """Guard what a call of ``code`` saw."""
        names = _names(code)
        if is_own(code):  # a method of a module
            self.attributes([f_locals[code.co_varnames[0]]], names | _HOOKS, code)
            return
        reached = [f_locals[name] for name in code.co_varnames if name in f_locals]
        for name in names & f_globals.keys():
            self.add(f_globals.get, name, id(f_globals), name, f"global {name!r}", code)
            reached.append(f_globals[name])
        if code not in self.inner:  # functions that the run defines have variables of the run
            for name, cell in cells.items():
                self.add(_content, cell, id(cell), name, f"variable {name!r}", code)
                reached.append(cell.cell_contents)
        self.attributes(reached, names, code)

    def add(
        self, get: Callable, key: Any, owner: int, name: str, what: str, code: CodeType, soft=False
    ) -> None:
        """Guard ``get(key)``, unless ``name`` of ``owner`` is guarded already."""
        if (owner, name) not in self.found:
            place = f"{code.co_filename}:{_line_of(code, name)}"
            self.found[owner, name] = Guard(get, key, what, place, soft)

    def attributes(self, reached: list, names: set[str], code: CodeType) -> None:
        """Guard the attributes called by one of ``names`` of all that is reached by them."""
        seen: set[int] = set()
        while reached:
            value = reached.pop()
            if id(value) in seen or _is_plain(value) or _says_nothing(value):
                continue
            seen.add(id(value))
            if isinstance(value, tuple | list):
                reached += value[:_MOST]
            elif isinstance(value, dict):
                reached += list(value.values())[:_MOST]
            reached += self.attributes_of(value, names, code)

    def attributes_of(self, value: Any, names: set[str], code: CodeType) -> Iterator[Any]:
        """Guard the attributes of one object, and of its class, called by one of ``names``."""
        own = getattr(value, "__dict__", {})
        for space in (own, *_class_spaces(value)):
            for name in names & space.keys():
                what = f"{type(value).__name__}.{name}"
                soft = isinstance(value, Module)
                for place in (own, space):  # one of its own would hide that of its class
                    self.add(place.get, name, id(place), name, what, code, soft)
                yield space[name]


def _says_nothing(value: Any) -> bool:
    return is_array(value) or isinstance(value, _OPAQUE)


def _variables(code: CodeType, f_locals: dict) -> dict[str, CellType]:
    """The cells of the variables that a call sees of the functions around its own."""
    if not code.co_freevars:
        return {}
    seen = [f_locals.get(name) for name in code.co_freevars]
    for function in gc.get_referrers(code):
        cells = getattr(function, "__closure__", None) or ()
        if any(cell == CellType() for cell in cells):  # an empty one
            continue
        # several functions may be made of one code; the one that runs sees these values
        if list(map(is_, map(_content, cells), seen)) == [True] * len(seen):
            return dict(zip(code.co_freevars, cells))
    return {}


def _is_code(value: Any) -> bool:
    return isinstance(value, CodeType)


def _names(code: CodeType) -> set[str]:
    """The globals and attributes that ``code``, or code defined in it, names."""
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if _is_code(c)))


def _line_of(code: CodeType, name: str) -> int:
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.starts_line or line
        if instruction.argval == name:
            return line
    return code.co_firstlineno


def _class_spaces(value: Any) -> Iterator[Any]:
    """The attributes of the user's classes that ``value`` is of."""
    for cls in type(value).__mro__:
        methods = (m for m in vars(cls).values() if isinstance(m, FunctionType))
        if any(is_users(method.__code__, method.__globals__) for method in methods):
            yield vars(cls)
