"""How a fault is told as a program, and the register of all of them.

A case is a generator that takes ``compile`` and gives out what is to be compared. Those of
`silent` were wrong without a word: they must do what an eager run does, or be refused. Those of
`refused` were refused without need: they must do what an eager run does.
"""

import contextlib
from types import ModuleType

import minidl
from minidl import nn
from steps.example import difference, facts

SILENT, REFUSED = {}, {}


def silent(case):
    """Register a case that may be refused."""
    SILENT[case.__name__] = case
    return case


def refused(case):
    """Register a case that may not be refused."""
    REFUSED[case.__name__] = case
    return case


def eager(function):
    """What takes the place of `minidl.compile` in an eager run."""
    return function


def shown(case, compile):
    """What a case gives out, as facts."""
    minidl.manual_seed(0)
    with contextlib.closing(case(compile)) as given:
        for thing in given:
            yield list(facts(thing))


def check(case, compile=minidl.compile):
    """AssertionError with the first thing in which a compiled run differs from an eager one."""
    expected = list(shown(case, eager))
    for i, (found, wanted) in enumerate(zip(shown(case, compile), expected, strict=True)):
        change = difference(found, wanted)
        assert change is None, f"thing {i}: {change}"


# --------------------------------------------------------------------------- what cases share


def one(value=1.0):
    """A tensor of one number."""
    return minidl.tensor([float(value)])


def after_change(compile, function, change, calls=3):
    """Calls of a step of one number, a change, and calls again."""
    step = compile(function)
    for i in range(calls):
        yield step(one(i + 1))
    change()
    for i in range(calls):
        yield step(one(i + 1))


def linear(value):
    """A layer with one weight."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(one(value).reshape(1, 1))
    return layer


def on_rows(function):
    """A function of one number, of a function of a matrix."""
    return lambda x: function(x.reshape(1, 1)).detach()


def script(text, **names):
    """A module with the given source and names."""
    module = ModuleType("script")
    vars(module).update(names)
    exec(compile(text, "script.py", "exec"), vars(module))
    return module
