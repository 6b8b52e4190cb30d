"""What an example is, the register of all of them, and what two runs are compared by."""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import minidl
from minidl import nn

EXAMPLES: dict[str, Callable] = {}


@dataclass
class Example:
    """A step that was made for one run, the calls of it, and all that it may change.

    Attributes
    ----------
    step : callable
        What is called; that, or what it calls, went through the ``compile`` that made it.
    args : callable
        The arguments of call ``i``, a tuple: the same values in every run.
    state : callable
        All that must be the same in two runs: modules, optimizers, tensors, numbers, lists.
    kwargs : callable
        The named arguments of call ``i``.
    between : callable
        What the program does after call ``i``.
    calls : int
        How many calls there are.
    captures : callable, optional
        How many plans there are, where ``compile`` was not called on what is asked.
    """

    step: Callable
    args: Callable[[int], tuple]
    state: Callable[[], Any]
    kwargs: Callable[[int], dict] = lambda i: {}
    between: Callable[[int], Any] = lambda i: None
    calls: int = 10
    captures: Callable[[], int] | None = None


def example(make: Callable[[Callable], Example]) -> Callable:
    """Register ``make(compile)`` by its name, with hyphens."""
    name = make.__name__.strip("_").replace("_", "-")
    assert name not in EXAMPLES, name
    EXAMPLES[name] = make
    return make


def load(name: str) -> ModuleType:
    """The script ``scripts/<name>.py`` run anew, as a module with globals of its own."""
    path = Path(__file__).parent / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------------------- one run


class Compiling:
    """`minidl.compile`, and the steps that it has made for one example."""

    def __init__(self):
        self.steps = []
        self.example: Example | None = None

    def __call__(self, function: Callable) -> Callable:
        self.steps.append(minidl.compile(function))
        return self.steps[-1]

    def captures(self) -> int:
        if self.example.captures is not None:
            return self.example.captures()
        return sum(step.captures for step in self.steps)


def run(name: str, compile: Callable) -> Iterator[tuple[str, list]]:
    """Play an example: after each call the facts of its arguments, result and state.

    ``compile`` may be `Compiling` or any function of a step. The generator of random numbers
    is at the same place before each call.
    """
    minidl.manual_seed(0)
    example = EXAMPLES[name](compile)
    if isinstance(compile, Compiling):
        compile.example = example
    results = []
    for i in range(example.calls):
        args, kwargs = example.args(i), example.kwargs(i)
        minidl.manual_seed(i)
        results.append(example.step(*args, **kwargs))
        yield f"call {i}: result", list(facts(results[-1]))
        yield f"call {i}: arguments", list(facts([args, kwargs]))
        yield f"call {i}: random numbers", list(facts(minidl.get_rng_state()))
        yield f"call {i}: state", list(facts(example.state()))
        example.between(i)
        yield f"after call {i}: state", list(facts(example.state()))
    yield "results of all calls, at the end", list(facts(results))


# --------------------------------------------------------------------------- facts

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.dtype, np.generic, slice)


def facts(thing: Any, path: str = "", seen: dict | None = None) -> Iterator[tuple[str, Any]]:
    """All that can be compared in ``thing``: pairs of a path, and an array or a text.

    Tensors are arrays (parameters with gradients), containers have a type and a length, objects
    all attributes without a leading underscore. A result may be outside the graph or within it.
    """
    seen = {} if seen is None else seen
    if isinstance(thing, _PLAIN):
        yield path, f"{type(thing).__name__} {thing!r}"
    elif isinstance(thing, np.ndarray):
        yield path, thing.copy()
    elif isinstance(thing, minidl.Tensor):
        yield from _tensor_facts(thing, path)
    elif id(thing) in seen:
        yield path, f"the same as {seen[id(thing)]}"
    else:
        if not isinstance(thing, tuple):  # equal constants may be one object
            seen[id(thing)] = path
        yield from _parts(thing, path, seen)


def _tensor_facts(tensor: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, tensor.array.copy()
    if tensor.is_leaf and tensor.requires_grad:
        yield f"{path}.requires_grad", "True"
    if tensor.grad is not None:
        yield f"{path}.grad", tensor.grad.array.copy()


def _parts(thing: Any, path: str, seen: dict) -> Iterator[tuple[str, Any]]:
    kind = type(thing).__qualname__
    if isinstance(thing, dict):
        keys = [
            k if isinstance(k, _PLAIN) else f"{type(k).__name__} {i}" for i, k in enumerate(thing)
        ]
        yield path, f"{kind} {keys}"
        for key, value in zip(keys, thing.values()):
            yield from facts(value, f"{path}[{key!r}]", seen)
    elif isinstance(thing, list | tuple | deque):
        yield path, f"{kind} of {len(thing)}"
        for i, part in enumerate(thing):
            yield from facts(part, f"{path}[{i}]", seen)
    elif isinstance(thing, set | frozenset):
        yield path, f"{kind} {sorted(map(repr, thing))}"
    elif callable(thing) and not isinstance(thing, nn.Module):
        yield path, "callable"
    else:
        yield path, kind
        for name in _attributes(thing):
            if hasattr(thing, name):
                yield from facts(getattr(thing, name), f"{path}.{name}", seen)


def _key(i: int, key: Any) -> Any:
    """A key of a dictionary, or for one that is a tensor (as optimizers have) its place."""
    return key if isinstance(key, _PLAIN) else f"{type(key).__name__} {i}"


def _attributes(thing: Any) -> list[str]:
    names = list(getattr(thing, "__dict__", ()))
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [name for name in names if not name.startswith("_")]


def difference(found: list, expected: list) -> str | None:
    """Where and how the facts of two runs differ first; None if they do not."""
    for (path, one), (wanted_path, other) in zip(found, expected):
        if path != wanted_path:
            return f"{path} in the place of {wanted_path}"
        if not _equal(one, other):
            return f"{path or 'it'}: {one!r}, right: {other!r}"
    if len(found) != len(expected):
        longer = max(found, expected, key=len)
        path = longer[min(len(found), len(expected))][0]
        return f"{path} is {'too much' if longer is found else 'missing'}"
    return None


def _equal(one: Any, other: Any) -> bool:
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return type(one) is type(other) and one == other
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
