"""Functions of C's: what each reads and writes, for no instrumented copy can show it.

A function that is not listed here is refused. Listed are those whose results depend on their
arguments alone (*pure*: the arguments' contents are guarded), those that read or change a
container, and those that a replay has to call again.
"""

from __future__ import annotations

import bisect
import builtins
import functools
import heapq
import itertools
import math
import operator
import random
import re
import sys
import time
import weakref
from _collections import _count_elements
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

PURE_MODULES = frozenset(
    {"math", "cmath", "_operator", "operator", "_struct", "_json", "binascii", "zlib",
     "unicodedata",
     "_bisect", "_statistics", "_heapq", "_string", "_sre", "_abc", "_typing", "itertools"}
)  # fmt: skip
"""Modules of C's all of whose functions are pure."""

PURE_TYPES = (
    str, bytes, int, float, complex, bool, tuple, range, slice, frozenset, re.Pattern, re.Match,
    type(None), type(NotImplemented), type(...), np.dtype, timedelta,
)  # fmt: skip
"""Types whose methods are pure: their instances never change."""

PURE_BUILTINS = frozenset(
    {abs, ascii, bin, bool, bytes, callable, chr, complex, divmod, enumerate, float, format,
     frozenset, hash, hex, id, int, list, dict, set, tuple, str, max, min, oct, ord, pow, range,
     repr, reversed, round, slice, sorted, sum, zip, map, filter, any, all, object, bytearray,
     type, memoryview, deque, OrderedDict, defaultdict, Counter, MappingProxyType, weakref.ref,
     timedelta}
)  # fmt: skip
"""Builtin functions and types that are pure, given the contents of their arguments."""

PURE_FUNCTIONS = frozenset({sys.intern})
"""Pure functions of modules that have others, too."""

NUMPY_SCALARS = (np.number, np.bool_, np.character, np.datetime64)
"""Numbers and texts of NumPy's, which never change."""

_WRITES_FILES = frozenset({"dump", "tofile"})

PURE_CALLS = (
    operator.attrgetter, operator.itemgetter, operator.methodcaller,
)  # fmt: skip

READERS = {
    list: {"index", "count", "copy", "__len__", "__iter__", "__contains__", "__eq__", "__add__"},
    dict: {"keys", "values", "items", "copy", "__len__", "__iter__", "__eq__"},
    set: {
        "copy", "difference", "intersection", "isdisjoint", "issubset", "issuperset",
        "symmetric_difference", "union", "__len__", "__iter__", "__contains__", "__eq__",
    },
    deque: {"index", "count", "copy", "__copy__", "__len__", "__iter__"},
    MappingProxyType: {"keys", "values", "items", "copy"},
}  # fmt: skip
"""Methods that read a container and leave it as it is."""

MUTATORS = {
    list: {"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "__iadd__"},
    dict: {"update", "setdefault", "pop", "popitem", "clear", "move_to_end", "__setitem__"},
    set: {
        "add", "discard", "remove", "pop", "clear", "update", "difference_update",
        "intersection_update", "symmetric_difference_update",
    },
    deque: {"append", "appendleft", "extend", "extendleft", "pop", "popleft", "clear", "insert",
            "remove", "rotate", "reverse"},
}  # fmt: skip
"""Methods that change a container."""

MUTATING_FUNCTIONS = frozenset(
    {heapq.heappush, heapq.heappop, heapq.heapify, heapq.heapreplace, heapq.heappushpop,
     bisect.insort, bisect.insort_left, bisect.insort_right, _count_elements}
)  # fmt: skip
"""Functions that change the container that is their first argument."""

ITERATING = frozenset(
    {sum, max, min, sorted, zip, map, filter, any, all, list, set, tuple, frozenset, dict,
     enumerate, bytes, bytearray, deque, OrderedDict, defaultdict, Counter, math.prod, math.fsum,
     math.dist, _count_elements}
)  # fmt: skip
"""Functions that iterate over their arguments; others look at them as objects."""

_ITERATING_METHODS = frozenset(
    {"join", "fromkeys", "extend", "extendleft", "update", "__iadd__", "difference", "union",
     "intersection", "isdisjoint", "issubset", "issuperset", "symmetric_difference",
     "difference_update", "intersection_update", "symmetric_difference_update"}
)  # fmt: skip

CALLS_BACK = frozenset(
    {map, filter, sorted, min, max, functools.cmp_to_key, itertools.accumulate, itertools.groupby,
     itertools.starmap, itertools.takewhile, itertools.dropwhile, itertools.filterfalse}
)  # fmt: skip
"""Functions that call their arguments."""

LIVE = frozenset({print})
"""Functions that each replay calls again, with the same arguments."""

ADVICE = {
    "random": "draw with minidl (minidl.rand, minidl.randint ...), or pass the number as an "
    "argument",
    "time": "read the clock outside the step, or pass the time as an argument",
    "io": "read files outside the step",
}
_CLOCKS = frozenset(getattr(time, name) for name in dir(time) if callable(getattr(time, name)))


def advice_for(function: Any) -> str:
    """Say what to do instead of calling ``function`` in a step."""
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", None) or type(owner).__module__
    if isinstance(owner, random.Random) or "random" in str(module) or "urandom" in name:
        return ADVICE["random"]
    if function in _CLOCKS or "datetime" in str(module) or "now" in name:
        return ADVICE["time"]
    if module in ("io", "_io", "posix", "nt", "builtins") and name in ("open", "input", "stat"):
        return ADVICE["io"]
    return "call it outside the step and pass what it returns as an argument"


def iterates(function: Any) -> bool:
    """Whether a function of C's iterates over its arguments."""
    if isinstance(function, type):
        return function in ITERATING or function.__module__ == "itertools"
    function = function.func if type(function) is functools.partial else function
    if getattr(function, "__name__", "") in _ITERATING_METHODS:
        return True
    return getattr(function, "__module__", "") == "itertools" or function in ITERATING


def is_pure(function: Any, owner: Any) -> bool:
    """Whether a function of C's depends on its arguments' contents alone."""
    if isinstance(function, type):
        return function in PURE_BUILTINS or function.__module__ == "itertools"
    if isinstance(function, (np.ufunc, *PURE_CALLS)):
        return True
    module = owner.__name__ if type(owner) is type(math) else getattr(function, "__module__", None)
    if module in PURE_MODULES:
        return True
    if function in PURE_FUNCTIONS or (module == "builtins" and function in PURE_BUILTINS):
        return True
    return isinstance(owner, PURE_TYPES) or (
        isinstance(owner, type) and issubclass(owner, PURE_TYPES) and owner is not object
    )


def kind_in(table: dict[type, set[str]], owner: Any, name: str) -> type | None:
    """The listed type of ``owner`` that has a method called ``name`` there."""
    for kind, names in table.items():
        if isinstance(owner, kind) and name in names:
            return kind
    return None


def is_numpy(function: Any) -> bool:
    """Whether a function is NumPy's and pure: not a generator of random numbers, not a file's."""
    name = getattr(function, "__name__", "")
    if isinstance(getattr(function, "__self__", None), NUMPY_SCALARS):
        return name not in _WRITES_FILES
    module = getattr(function, "__module__", None) or type(function).__module__
    if not str(module).startswith("numpy"):
        return False
    return "random" not in str(module) and name not in _NUMPY_STATEFUL


_NUMPY_STATEFUL = frozenset(
    {"load", "save", "savez", "savez_compressed", "loadtxt", "savetxt", "genfromtxt", "fromfile",
     "memmap", "copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis", "seterr",
     "set_printoptions", "get_printoptions", "printoptions", "geterr", "errstate", "geterrcall",
     "seterrcall", "getbufsize", "setbufsize", "array2string", "array_repr", "array_str", "info",
     "show_config", "vectorize", "frompyfunc", "nditer", "shares_memory", "may_share_memory",
     "fromiter", "require", "testing"}
)  # fmt: skip

BUILTINS = vars(builtins)
