"""What drawn programs define and import: each piece goes into a program that mentions it."""

from drawn.text import words

IMPORTS = {
    "array": "import array",
    "ast": "import ast",
    "abc": "import abc",
    "builtins": "import builtins",
    "collections": "import collections",
    "concurrent": "import concurrent.futures",
    "contextlib": "import contextlib",
    "contextvars": "import contextvars",
    "copy": "import copy",
    "dataclasses": "import dataclasses",
    "decimal": "import decimal",
    "enum": "import enum",
    "functools": "import functools",
    "gc": "import gc",
    "importlib": "import importlib",
    "itertools": "import itertools",
    "json": "import json",
    "logging": "import logging",
    "math": "import math",
    "operator": "import operator",
    "os": "import os",
    "pickle": "import pickle",
    "random": "import random",
    "re": "import re",
    "sys": "import sys",
    "threading": "import threading",
    "types": "import types",
    "warnings": "import warnings",
    "weakref": "import weakref",
    "np": "import numpy as np",
    "F": "from minidl.nn import functional as F",
    "nn": "from minidl import nn",
}

DEFINITIONS = {
    "NAME": "NAME = 'item'",
    "ONE": "ONE = 1",
    "KEPT": "KEPT = []",
    "MORE": "MORE = []",
    "STORE": "STORE = {}",
    "OPS": "OPS = {'exp': minidl.exp, 'tanh': minidl.tanh, 'sigmoid': minidl.sigmoid}",
    "kept": """
def kept(value):
    KEPT.append(value)
    return value
""",
    "identity": """
def identity(item):
    return item
""",
    "attributed": """
def attributed(owner, item):
    owner.item = item
    return owner
""",
    "scaled": """
def scaled(x, by=1.0):
    return x * by
""",
    "double": """
def double(x):
    return x * 2.0
""",
    "halved": """
def halved(x):
    return x * 0.5
""",
    "scaler": """
def scaler(by):
    def scale(t, times=by, *, more=0.0):
        return t * times + more + by * 2.0

    return scale
""",
    "other_scaler": """
def other_scaler(by):
    def scale(t, times=by, *, more=0.0):
        return t + times * more - by * 3.0

    return scale
""",
    "linear": """
def linear(by):
    layer = nn.Linear(3, 3)
    layer.weight.data = minidl.full((3, 3), by) + minidl.eye(3)
    layer.bias.data = minidl.full((3,), by / 2)
    return layer
""",
    "function_of": """
def function_of(target):
    target = getattr(target, "__func__", getattr(target, "func", target))
    if not isinstance(target, types.FunctionType):
        target = vars(type(target)).get("forward") or vars(type(target))["__call__"]
    return target
""",
    "with_grad": """
def with_grad(tensor):
    tensor.grad = minidl.ones(3)
    return tensor
""",
    "WEIGHT": "WEIGHT = [nn.Parameter(minidl.ones(3))]",
    "LAYERS": "LAYERS = [nn.Tanh(), linear(0.5)]",
    "Mode": """
class Mode(enum.Enum):
    a = 1.5
    b = 2.5
""",
    "object_array": """
def object_array(*items):
    filled = np.empty(len(items), object)
    for i, item in enumerate(items):
        filled[i] = item
    return filled
""",
    "Plain": """
class Plain:
    def __init__(self, item):
        self.item = item

    def get(self):
        return self.item
""",
    "Data": """
@dataclasses.dataclass
class Data:
    item: object
""",
    "Frozen": """
@dataclasses.dataclass(frozen=True)
class Frozen:
    item: object
""",
    "Pair": "Pair = collections.namedtuple('Pair', 'first item')",
    "Slotted": """
class Slotted:
    __slots__ = ("item", "extra")

    def __init__(self, item):
        self.item = item
""",
    "Guarded": """
class Guarded:
    def __init__(self, item):
        self._item = item

    @property
    def item(self):
        return self._item

    @item.setter
    def item(self, item):
        self._item = item
""",
    "Lazy": """
class Lazy:
    def __init__(self, **store):
        self.store = store

    def __getattr__(self, name):
        try:
            return self.__dict__["store"][name]
        except KeyError:
            raise AttributeError(name) from None
""",
    "Eager": """
class Eager:
    def __init__(self, item):
        STORE["item"] = item

    def __getattribute__(self, name):
        return STORE["item"] if name == "item" else object.__getattribute__(self, name)
""",
    "Cached": """
class Cached:
    def __init__(self, source):
        self.source = source

    @functools.cached_property
    def item(self):
        return self.source
""",
    "Described": """
class Stored:
    def __init__(self):
        self.store = {}

    def __get__(self, instance, owner):
        return self if instance is None else self.store[id(instance)]

    def __set__(self, instance, new):
        self.store[id(instance)] = new


class Described:
    item = Stored()

    def __init__(self, item):
        self.item = item
""",
    "Missing": """
class Missing(dict):
    fallback = None

    def __missing__(self, key):
        return self["item"] if self.fallback is None else self.fallback
""",
    "Row": """
class Row(list):
    def last(self):
        return self[-1]
""",
    "Holder": """
class Holder(nn.Module):
    def __init__(self, item):
        super().__init__()
        self.item = item

    def forward(self, x):
        return x
""",
    "Scale": """
class Scale(nn.Module):
    by = 2.0

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return x * self.by
""",
    "Equal": """
class Equal:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1

    def get(self):
        return self.value
""",
    "Tagged": """
class Tagged(float):
    def __new__(cls, value, tag):
        made = super().__new__(cls, value)
        made.tag = tag
        return made
""",
    "Mixin": """
class Mixin:
    factor = 9.0

    def method(self):
        return 8.0
""",
    "Root": """
class Root:
    factor = 1.25

    class Inner:
        depth = 1.75

    def method(self):
        return self.value * self.factor

    @property
    def half(self):
        return self.value / 2

    @staticmethod
    def static():
        return 1.5

    @classmethod
    def kind(cls):
        return cls.factor
""",
    "Box": """
class Box(Root):
    def __init__(self, value):
        self.value = value

    def method(self):
        return super().method() + 1.0

    def __call__(self, x):
        return x * self.value

    def __getitem__(self, key):
        return self.value

    def __len__(self):
        return int(self.value * 2)

    def __bool__(self):
        return self.value > 2.5

    def __eq__(self, other):
        return isinstance(other, Box) and self.value == other.value

    def __hash__(self):
        return hash(self.value)

    def __add__(self, other):
        return other + self.value

    def __matmul__(self, other):
        return other * self.value + 1.0

    def __neg__(self):
        return -self.value

    def __iter__(self):
        return iter([self.value, 1.0])

    def __contains__(self, item):
        return self.value > item * 2.5

    def __enter__(self):
        return self.value

    def __exit__(self, *exception):
        return None

    def __lt__(self, other):
        return self.value < other.value

    def __float__(self):
        return float(self.value)

    def __index__(self):
        return int(self.value * 2)

    def __str__(self):
        return f"Box({self.value})"

    def __format__(self, spec):
        return format(self.value, spec)
""",
    "SubBox": """
class SubBox(Box):
    factor = 2.25

    def __call__(self, x):
        return super().__call__(x) + 1.0
""",
}


_WORDS = {name: words(definition) for name, definition in DEFINITIONS.items()}


def preamble(*texts: str) -> str:
    """The imports and definitions that the texts of a program need."""
    named = words("\n".join(texts))
    unread = [name for name in DEFINITIONS if name in named]
    needed: set[str] = set()
    while unread:
        name = unread.pop()
        if name not in needed:
            needed.add(name)
            named |= _WORDS[name]
            unread += _WORDS[name] & DEFINITIONS.keys()
    imported = [line for name, line in IMPORTS.items() if name in named]
    defined = [definition.strip("\n") for name, definition in DEFINITIONS.items() if name in needed]
    return "\n".join([*imported, "import minidl", *("\n\n" + text for text in defined)])
