"""What a step reaches through classes, modules and containers (C4)."""

import collections
import contextvars
import functools
import itertools
import os
import sys
import threading
from typing import ClassVar

import numpy as np

import minidl
from minidl.nn import functional as F
from steps.faults.case import after_change, linear, on_rows, one, script, silent


def reached(name, make):
    """A case: ``make()`` gives the function of a number, and what changes 4 to 40."""

    def case(compile):
        yield from after_change(compile, *make())

    case.__name__ = f"c04_{name}"
    silent(case)


def _class():
    class Config:
        factor = 4.0

    return lambda x: x * Config.factor, lambda: setattr(Config, "factor", 40.0)


def _class_in_a_class():
    class Config:
        class Inner:
            factor = 4.0

    return lambda x: x * Config.Inner.factor, lambda: setattr(Config.Inner, "factor", 40.0)


def _base_class():
    class Base:
        factor = 4.0

    class Config(Base):
        pass

    return lambda x: x * Config.factor, lambda: setattr(Base, "factor", 40.0)


def _classmethod():
    class Config:
        k = 4.0

        @classmethod
        def scaled(cls, x):
            return x * cls.k

    return lambda x: Config.scaled(x), lambda: setattr(Config, "k", 40.0)


def _static_method():
    class Config:
        k = 4.0

        @staticmethod
        def scaled(x):
            return x * Config.k

    return Config.scaled, lambda: setattr(Config, "k", 40.0)


def _class_in_an_attribute():
    class Config:
        k = 4.0

    class Trainer:
        def __init__(self):
            self.cfg = Config

        def step(self, x):
            return x * self.cfg.k

    return Trainer().step, lambda: setattr(Config, "k", 40.0)


def _module():
    settings = script("factor = 4.0")
    return lambda x: x * settings.factor, lambda: setattr(settings, "factor", 40.0)


def _nested_module():
    package = script("", settings=script("factor = 4.0"))
    return (
        lambda x: x * package.settings.factor,
        lambda: setattr(package.settings, "factor", 40.0),
    )


def _dictionary_of_a_module():
    settings = script("CFG = {'k': 4.0}")
    return lambda x: x * settings.CFG["k"], lambda: settings.CFG.update(k=40.0)


def _function_of_a_module():
    settings = script("def scaled(x):\n    return x * 4.0\n")
    return lambda x: settings.scaled(x), lambda: setattr(settings, "scaled", lambda x: x * 40.0)


def _tensor_of_a_module():
    settings = script("", w=minidl.tensor([4.0]))
    return lambda x: x * settings.w, lambda: setattr(settings, "w", minidl.tensor([40.0]))


def _nested_dictionary():
    d = {"a": {"k": 4.0}}
    return lambda x: x * d["a"]["k"], lambda: d["a"].update(k=40.0)


def _nested_list():
    rows = [[4.0]]
    return lambda x: x * rows[0][0], lambda: rows[0].__setitem__(0, 40.0)


def _list_in_a_tuple():
    pair = ([4.0], 1)
    return lambda x: x * pair[0][0], lambda: pair[0].__setitem__(0, 40.0)


def _model_in_nested_dictionaries():
    d = {"models": {"a": linear(4)}}
    return on_rows(lambda x: d["models"]["a"](x)), lambda: d["models"].update(a=linear(40))


def _slots():
    class Slotted:
        __slots__ = ("k",)

    slotted = Slotted()
    slotted.k = 4.0
    return lambda x: x * slotted.k, lambda: setattr(slotted, "k", 40.0)


def _property():
    class Holder:
        def __init__(self):
            self.hidden = [4.0]

        @property
        def k(self):
            return self.hidden[0]

    holder = Holder()
    return lambda x: x * holder.k, lambda: holder.hidden.__setitem__(0, 40.0)


def _mutable_default():
    def step(x, options={"k": 4.0}):  # noqa: B006
        return x * options["k"]

    return step, lambda: step.__defaults__[0].update(k=40.0)


def _attribute_of_a_function():
    def step(x):
        return x * step.k

    step.k = 4.0
    return step, lambda: setattr(step, "k", 40.0)


def _partial_keyword():
    options = {"k": 4.0}
    step = functools.partial(lambda x, options: x * options["k"], options=options)
    return step, lambda: options.update(k=40.0)


def _getattr():
    class Lazy:
        values: ClassVar = {"k": 4.0}

        def __getattr__(self, name):
            return self.values[name]

    lazy = Lazy()
    return lambda x: x * lazy.k, lambda: lazy.values.update(k=40.0)


# what the documentation called the limits of guards


def _array_element():
    array = np.array([4.0])
    return lambda x: x * float(array[0]), lambda: array.__setitem__(0, 40.0)


def _deque():
    queue = collections.deque([4.0])
    return lambda x: x * queue[0], lambda: queue.__setitem__(0, 40.0)


def _user_dict():
    d = collections.UserDict(k=4.0)
    return lambda x: x * d["k"], lambda: d.update(k=40.0)


def _context_variable():
    variable = contextvars.ContextVar("k", default=4.0)
    return lambda x: x * variable.get(), lambda: variable.set(40.0)


def _thread_local():
    local = threading.local()
    local.k = 4.0
    return lambda x: x * local.k, lambda: setattr(local, "k", 40.0)


for _make in (
    _class,
    _class_in_a_class,
    _base_class,
    _classmethod,
    _static_method,
    _class_in_an_attribute,
    _module,
    _nested_module,
    _dictionary_of_a_module,
    _function_of_a_module,
    _tensor_of_a_module,
    _nested_dictionary,
    _nested_list,
    _list_in_a_tuple,
    _model_in_nested_dictionaries,
    _slots,
    _property,
    _mutable_default,
    _attribute_of_a_function,
    _partial_keyword,
    _getattr,
    _array_element,
    _deque,
    _user_dict,
    _context_variable,
    _thread_local,
):
    reached(_make.__name__.strip("_"), _make)


@silent
def c04_a_function_of_minidl_is_patched(compile):
    relu = F.relu
    try:
        yield from after_change(
            compile, lambda x: F.relu(x), lambda: setattr(F, "relu", lambda x: x * 40)
        )
    finally:
        F.relu = relu


@silent
def c04_an_environment_variable(compile):
    name = "MINIDL_TEST_FACTOR"
    os.environ[name] = "4"
    try:
        yield from after_change(
            compile, lambda x: x * float(os.environ[name]), lambda: os.environ.update({name: "40"})
        )
    finally:
        del os.environ[name]


@silent
def c04_a_cycle(compile):
    factors = itertools.cycle([2.0, 2.0, 2.0, 3.0])
    step = compile(lambda x: x * next(factors))
    for i in range(8):
        yield step(one(i))


@silent
def c04_a_queue_is_emptied(compile):
    queue = collections.deque([2.0, 2.0, 2.0, 3.0, 4.0, 5.0])
    step = compile(lambda x: x * queue.popleft())
    for i in range(6):
        yield step(one(i)), len(queue)


@silent
def c04_an_import_within(compile):
    sys.modules["a_helper_of_tests"] = helper = script("k = 4.0")

    def step(x):
        import a_helper_of_tests

        return x * a_helper_of_tests.k

    try:
        yield from after_change(compile, step, lambda: setattr(helper, "k", 40.0))
    finally:
        del sys.modules["a_helper_of_tests"]
