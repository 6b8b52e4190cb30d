"""Arguments of another structure (C1), and results of other types (C14)."""

import collections
from dataclasses import dataclass
from typing import Any

import minidl
from steps.faults.case import one, silent


@silent
def c01_dictionary_keys_in_another_order(compile):
    step = compile(lambda d: d["a"] * 2 + d["b"])
    for _ in range(3):
        yield step({"a": one(), "b": one(0)})
    yield step({"b": one(), "a": one(0)})


@silent
def c01_another_dictionary_key(compile):
    step = compile(lambda d: d["a"] * 2 if "a" in d else d["c"] * 30)
    for _ in range(3):
        yield step({"a": one()})
    yield step({"c": one()})


@silent
def c01_which_argument_is_a_list(compile):
    def step(a, b):
        return (a[0] * 2 + b * 5) if isinstance(a, list) else (a * 3 + b[0] * 7)

    step = compile(step)
    for _ in range(3):
        yield step([one(1)], one(2))
    yield step(one(1), [one(2)])


@silent
def c01_empty_lists(compile):
    step = compile(lambda x, parts: x * (1 + len(parts)))
    for _ in range(3):
        yield step(one(), [])
    yield step(one(), [[], []])
    yield step(one(), ())


@silent
def c01_numbers_as_keys(compile):
    step = compile(lambda d: sum(k * v for k, v in d.items()))
    for _ in range(3):
        yield step({1: one()})
    yield step({2: one()})


@silent
def c01_list_or_tuple(compile):
    step = compile(lambda x: x[0] * 2 if isinstance(x, list) else x[0] * 3)
    for _ in range(3):
        yield step([one()])
    yield step((one(),))


@silent
def c01_keys_of_nested_dictionaries(compile):
    step = compile(lambda x, d: x * d["o"].get("a", 5.0))
    for _ in range(3):
        yield step(one(), {"o": {"a": 2.0}})
    yield step(one(), {"o": {"b": 2.0}})


@dataclass(frozen=True)
class Out:
    """A result of the user's."""

    loss: Any


class Same:
    """Equal to all of its kind."""

    def __init__(self, loss):
        self.loss = loss

    def __eq__(self, other):
        return isinstance(other, Same)

    __hash__ = None


@silent
def c14_a_frozen_dataclass(compile):
    step = compile(lambda x: Out((x * 2).sum()))
    for value in (1, 1, 5, 6):
        yield step(minidl.tensor([float(value)] * 2))


@silent
def c14_a_class_with_its_own_equality(compile):
    step = compile(lambda x: Same((x * 2).sum()))
    for value in (1, 2, 5, 6):
        yield step(one(value))


@silent
def c14_a_holder_that_is_filled(compile):
    holder = Same(None)

    def step(x):
        setattr(holder, "loss", x * 2)  # noqa: B010
        return holder

    step = compile(step)
    for value in (1, 2, 5, 6):
        yield step(one(value))


@silent
def c14_a_set_of_names(compile):
    step = compile(lambda x: (x * 2, {"a", "b"}))
    for value in (1, 2, 5, 6):
        yield step(one(value))


@silent
def c14_an_ordered_dictionary(compile):
    step = compile(lambda x: collections.OrderedDict(loss=x * 2, logits=x * 3))
    for value in (1, 2, 5, 6):
        yield step(one(value))


@silent
def c14_a_dictionary_of_the_users(compile):
    class ModelOutput(dict):
        pass

    step = compile(lambda x: ModelOutput(loss=x * 2))
    for value in (1, 2, 5, 6):
        yield step(one(value))


@dataclass
class Pair:
    """A result of two tensors of one element."""

    one: Any
    other: Any


@silent
def c14_a_dataclass_of_small_tensors(compile):
    step = compile(lambda x: Pair(x * 2, x * 3))
    for value in (1, 2, 5, 6):
        yield step(one(value))
