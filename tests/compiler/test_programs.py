"""Steps as programs are written: what Python's standard library and C's code do in them.

Each step runs in two copies, as it is and compiled, and what it reads changes in the middle.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
import re
import types
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol, runtime_checkable

import numpy as np
import pytest

import minidl
from minidl.compiler import CaptureError

X = minidl.tensor([1.0, 2.0])
CALLS, CHANGE = 8, 5


def outcomes(function, make, compiled):
    """What a step gives in each call, or the error, with the state that it leaves behind."""
    state = make()

    def step(x):
        return function(state, x)

    step = minidl.compile(step, audit=0) if compiled else step
    found = []
    for i in range(CALLS):
        if i == CHANGE:
            state.change()
        try:
            result = step(X).tolist()
        except LOOKED_FOR as error:
            result = type(error), error.args
        found.append((result, state.seen()))
    return found, step


def check(function, make):
    """A compiled step does what the step does, and is captured twice at most."""
    found, step = outcomes(function, make, compiled=True)
    assert found == outcomes(function, make, compiled=False)[0]
    assert found[CHANGE - 1] != found[CHANGE]
    return step


LOOKED_FOR = (ValueError, KeyError, AttributeError, OSError, UnicodeDecodeError)


class State:
    """What the steps read and change."""

    def __init__(self):
        self.key, self.number, self.kind = "a", 2.0, ValueError
        self.words, self.mapping = ["a b", "c d"], {"a": 1.0, "b": 2.0}

    def change(self):
        self.key, self.number, self.kind = "b", 3.0, KeyError
        self.words[0], self.mapping["a"] = "a x", 5.0

    def seen(self):
        return self.key, self.number, list(self.words), dict(self.mapping)


def each(*steps):
    return pytest.mark.parametrize("function", steps, ids=lambda function: function.__name__)


# ----------------------------------------------------------------- errors


class Refusal(ValueError):
    pass


class Detailed(KeyError):
    def __init__(self, key, more):
        super().__init__(key)
        self.more = more


def an_error_is_caught(state, x):
    try:
        raise ValueError("bad" * int(state.number))
    except ValueError as error:
        return x * len(str(error))


def errors_with_details_are_caught(state, x):
    try:
        raise Refusal(state.key, state.number)
    except ValueError as error:
        x = x * error.args[1]
    try:
        raise Detailed(state.key, state.number)
    except KeyError as error:
        return x * error.more


def an_error_leaves_the_step(state, x):
    if state.number == 3.0:
        raise KeyError(state.key)
    return x * state.number


def each_call_raises(state, x):
    raise AttributeError(f"{state.key}")


def a_chosen_error(state, x):
    try:
        raise state.kind("what")
    except (LookupError, ArithmeticError):
        return x * 2
    except ValueError as error:
        return x * len(error.args[0])


def an_error_of_another(state, x):
    try:
        try:
            raise OSError(2, state.key)
        except OSError as error:
            raise RuntimeError("again") from error
    except RuntimeError as error:
        return x * error.__cause__.errno * (7 if error.__cause__.strerror == "a" else 9)


@each(
    an_error_is_caught, errors_with_details_are_caught, an_error_leaves_the_step,
    each_call_raises, a_chosen_error, an_error_of_another,
)  # fmt: skip
def test_errors(function):
    check(function, State)


@pytest.mark.parametrize(
    "kind", [k for k in vars(__import__("builtins")).values() if isinstance(k, type)]
)
def test_all_classes_of_errors_are_made(kind):
    if not issubclass(kind, BaseException):
        return
    given = {UnicodeDecodeError: ("u", b"", 0, 1, ""), UnicodeEncodeError: ("u", "", 0, 1, "")}
    given[UnicodeTranslateError] = ("", 0, 1, "")
    if kind.__name__.endswith("ExceptionGroup"):
        given[kind] = ("some", [ValueError("one")])
    step = minidl.compile(lambda x: x * len(kind(*given.get(kind, ("text",))).args), audit=0)
    for _ in range(4):
        assert step(X).tolist() == [v * len(given.get(kind, "1")) for v in (1.0, 2.0)]


# ----------------------------------------------------------------- regular expressions

WORD = re.compile(r"(?P<first>\w) (\w)")


def matched(state, x):
    found = re.match(r"(\w) (\w)", state.words[0])
    return x * ord(found.group(2)) * found.end()


def searched_by_a_pattern(state, x):
    found = WORD.search(state.words[0])
    return x * ord(found[2]) * ord(found["first"]) * len(found.groupdict())


def replaced(state, x):
    return x * len(re.sub("x", lambda m: m.group() * 4, state.words[0]))


def split_and_found(state, x):
    second = re.split(r"\s+", state.words[0])[1]
    x = x * ord(second) * len(re.findall("x", state.words[0]) + ["y"])
    return x if re.fullmatch("a x", state.words[0]) else -x


def compiled_in_the_step(state, x):
    pattern = re.compile(state.key)
    return x * sum(bool(pattern.search(word)) for word in state.words) + len(pattern.pattern)


def compiled_of_what_changes(state, x):
    return x * len(re.findall(f"[{state.key}x]", "".join(state.words)))


def replaced_by_templates(state, x):
    text = re.sub(r"(\w) (\w)", r"\2\g<1>", state.words[0], flags=re.I)
    found = WORD.match(state.words[0])
    return x * ord(text[0]) * len(found.expand(r"\1\1")) + len(re.escape(state.words[0]))


def iterated_matches(state, x):
    for found in re.finditer("[ax]", state.words[0]):
        x = x * (found.start() + 2)
    return x


@each(
    matched, searched_by_a_pattern, replaced, split_and_found, compiled_in_the_step,
    compiled_of_what_changes, replaced_by_templates, iterated_matches,
)  # fmt: skip
def test_regular_expressions(function):
    check(function, State)


@pytest.mark.parametrize("read", [lambda found: found.group(), lambda found: found[0]])
def test_a_match_in_bytes_that_may_change_is_refused(read):
    found = re.match(rb"\w", bytearray(b"ab"))
    for function in (lambda x: x * ord(read(found)), lambda x: x if WORD.match(found) else -x):
        with pytest.raises(CaptureError):
            minidl.compile(function, audit=0)(X)


# ----------------------------------------------------------------- iterators


class Countdown:
    """An iterator that starts again at each loop, and counts its loops."""

    def __init__(self, count):
        self.count, self.loops, self.left = count, 0, 0

    def __iter__(self):
        self.loops += 1
        self.left = self.count
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left + 1


class Counted:
    """What has an iterator of another class."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return Countdown(self.count).__iter__()


class Iterated:
    def __init__(self):
        self.countdown, self.counted = Countdown(3), Counted(2)

    def change(self):
        self.countdown.count, self.counted.count = 5, 4

    def seen(self):
        return self.countdown.left, self.countdown.count


def looped(state, x):
    for value in state.countdown:
        if value == 1:
            break
        x = x * value
    return x


def looped_inside(state, x):
    count = state.countdown.count
    return x * sum(value for value in Countdown(count)) + sum(Countdown(count))


def summed(state, x):
    return x * sum(state.countdown) * max(state.counted) + len(list(state.counted))


def taken_one_by_one(state, x):
    steps = iter(state.countdown)
    x = x * next(steps) * steps.count
    first, *rest = state.counted
    return x * next(steps) * next(iter(state.counted)) * first * len(rest)


def zipped(state, x):
    for one, other in zip(state.countdown, state.counted):
        x = x * one - other
    return x * (3 in state.counted)


@each(looped, looped_inside, summed, taken_one_by_one, zipped)
def test_iterators(function):
    check(function, Iterated)


def test_an_iterator_counts_its_loops():
    counts = []
    for compiled in (False, True):
        counted = Countdown(2)
        step = lambda x: x * sum(counted) + sum(counted)  # noqa: B023, E731
        step = minidl.compile(step, audit=0) if compiled else step
        counts.append([(step(X).tolist(), counted.loops) for _ in range(CALLS)])
    assert counts[0] == counts[1]


# ----------------------------------------------------------------- mappings and containers


class Settings(Mapping):
    """A mapping of Python's."""

    def __init__(self, held):
        self.held = held

    def __getitem__(self, key):
        return self.held[key]

    def __iter__(self):
        return iter(self.held)

    def __len__(self):
        return len(self.held)


class Held:
    """An iterable object that is not to be iterated over."""

    def __init__(self, value):
        self.value = value

    def __iter__(self):
        raise RuntimeError


class Contained:
    def __init__(self):
        self.first, self.other = {"a": 1.0}, {"b": 2.0}
        self.chain = collections.ChainMap(self.first, self.other)
        self.settings, self.held = Settings(self.other), Held(3.0)
        self.log, self.losses, self.names = {}, [], {"a"}
        self.queue = collections.deque(maxlen=3)

    def change(self):
        self.first["a"], self.other["b"], self.held.value = 4.0, 7.0, 5.0
        self.other["c"] = 1.0

    def seen(self):
        log = {key: str(value) for key, value in self.log.items()}
        return log, str(self.losses), sorted(self.names), list(map(str, self.queue))


def a_dict_of_a_chain(state, x):
    made = dict(state.chain, e=3.0)
    return x * made["a"] * made["b"] * made["e"] * len(made)


def a_dict_of_a_mapping(state, x):
    made = dict(state.settings)
    made.update(state.chain)
    return x * made["a"] * made["b"] * len(made)


def a_dict_of_pairs(state, x):
    made = dict([("a", state.first["a"])], b=2.0)
    made = dict(zip(made, (state.other["b"], made["a"])), held=state.held)
    return x * made["a"] * made["b"] * made["held"].value * len(dict(dict(made), a=1))


def logged(state, x):
    loss = (x * state.first["a"]).sum()
    state.log.update(loss=loss, rate=state.other["b"])
    state.log.update({"twice": loss * 2}, more=loss * 3)
    state.log.update([("pair", loss * 4)])
    state.log.update(state.chain)
    state.log.update()
    return x * loss


def extended_by_a_generator(state, x):
    state.losses.extend(x.sum() * value for value in state.first.values())
    state.losses.extend(range(2))
    state.queue.extend(v * 2 for v in state.other.values())
    state.names.update(key * 2 for key in state.chain)
    state.names.update(state.other.keys(), map(str.upper, state.first))
    return x * state.first["a"] * state.held.value


@each(a_dict_of_a_chain, a_dict_of_a_mapping, a_dict_of_pairs, logged, extended_by_a_generator)
def test_containers(function):
    check(function, Contained)


# ----------------------------------------------------------------- Python's own modules

NAME, OTHER = "MINIDL_TEST_RATE", "MINIDL_TEST_OTHER"


@runtime_checkable
class Scaled(Protocol):
    def scale(self): ...


class Scale:
    def scale(self):
        return 2.0


class Environment:
    def __init__(self):
        os.environ[NAME] = "2.0"
        os.environ.pop(OTHER, None)
        self.data, self.name = collections.UserDict(a=3.0), "file"
        self.settings, self.scaled = Settings({"a": 1.0}), Scale()

    def change(self):
        os.environ[NAME], os.environ[OTHER] = "7.0", "0.5"
        self.data["a"], self.name, self.scaled = 4.0, "other", object()
        self.settings.held = {"a": 2.0}

    def seen(self):
        return os.environ[NAME], dict(self.data)


def environment(state, x):
    x = x * float(os.environ[NAME]) * float(os.environ.get(OTHER, 3.0))
    return x * float(os.getenv(NAME, "1")) * (2 if OTHER in os.environ else 5)


def paths(state, x):
    path = os.path.join("folder", state.name + ".txt")
    root, suffix = os.path.splitext(os.path.basename(path))
    return x * len(path) * len(root) * len(suffix) * len(os.path.dirname(path))


def protocols(state, x):
    return x * 2 if isinstance(state.scaled, Scaled) else x * 3


def users_dicts(state, x):
    state.data["n"] = state.data.get("n", 0.0) + 1.0
    return x * state.data["a"] * len(state.data) * state.data.get("none", 2.0)


def mappings(state, x):
    x = x * state.settings.get("a") * state.settings.get("b", 3.0) * ("a" in state.settings)
    return x * sum(value for _, value in state.settings.items()) * len([*state.settings.values()])


@each(environment, paths, protocols, users_dicts, mappings)
def test_modules_of_pythons(function):
    check(function, Environment)


# ----------------------------------------------------------------- attributes past the hooks


class Doubling:
    """An object that stores and deletes attributes by ``super()``."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value * 2)

    def __delattr__(self, name):
        super().__delattr__(name)


class Stored:
    def __init__(self):
        self.doubling, self.number = Doubling(), 3.0
        self.doubling.a = 1.0

    def change(self):
        self.doubling.a, self.number = 3.0, 4.0

    def seen(self):
        return dict(vars(self.doubling))


def stored_by_super(state, x):
    state.doubling.b = state.number
    x = x * state.doubling.a * state.doubling.b
    state.doubling.last = state.number
    del state.doubling.b
    return x


def stored_inside(state, x):
    made = Doubling()
    made.a = state.number
    made.b = 1.0
    del made.b
    return x * made.a * (2 if hasattr(made, "b") else 3) * state.doubling.__getattribute__("a")


@each(stored_by_super, stored_inside)
def test_attributes_stored_by_super(function):
    check(function, Stored)


def test_an_attribute_that_object_does_not_find_is_guarded():
    held = types.SimpleNamespace()

    def step(x):
        try:
            return x * object.__getattribute__(held, "a")
        except AttributeError:
            return x * 5.0

    step = minidl.compile(step, audit=0)
    assert [step(X)[0].item() for _ in range(4)] == [5.0] * 4
    held.a = 2.0
    assert [step(X)[0].item() for _ in range(4)] == [2.0] * 4


def test_a_method_that_object_finds_is_guarded():
    held = Held(1.0)
    step = minidl.compile(lambda x: x * object.__getattribute__(held, "factor")(), audit=0)
    Held.factor = lambda self: self.value
    try:
        assert [step(X)[0].item() for _ in range(4)] == [1.0] * 4
        held.factor = types.MethodType(lambda self: 3.0, held)
        assert [step(X)[0].item() for _ in range(4)] == [3.0] * 4
    finally:
        del Held.factor


# ----------------------------------------------------------------- the standard library


def record():
    """A dataclass's instance; the texts of the latest classes are known."""

    @dataclasses.dataclass
    class Record:
        number: int = 3
        name: str = "k"

    return Record()


class Library:
    def __init__(self):
        self.number, self.words, self.record = 3.0, "aab", record()
        self.counter = collections.Counter("ab")
        self.single, self.whole = np.float32(2), np.int64(4)
        self.duration, self.path = timedelta(seconds=3), pathlib.PurePath("a/b.txt")

    def change(self):
        self.number, self.words, self.record.number = 4.0, "aaab", 33
        self.counter["a"] = 9
        self.single, self.whole = np.float32(5), np.int64(6)
        self.duration, self.path = timedelta(seconds=5), pathlib.PurePath("a/bbb.text")

    def seen(self):
        return dict(self.counter), self.number


def namespaces(state, x):
    made = types.SimpleNamespace(a=state.number, held=state.record)
    made.b = 2
    return x * made.a * made.b * made.held.number * len(repr(made.a))


def scalars_of_numpy(state, x):
    x = x * state.single.item() * np.float32(state.number).item() * float(state.whole.sum())
    return x * float(state.single.astype(np.float64)) * float(state.single * 2 + state.whole)


def counters(state, x):
    made = collections.Counter(state.words)
    made.update(state.counter)
    made.update(c for c in state.words)
    return x * made["a"] * sum(made.values()) * made.most_common(1)[0][1]


def counters_from_outside(state, x):
    state.counter.update("aa")
    state.counter.update({"b": 1})
    return x * state.counter["a"]


def texts_of_dataclasses(state, x):
    return x * len(repr(state.record)) * len(f"{state.record}") * len(str(state.record))


def stacks_of_contexts(state, x):
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.nullcontext())
        stack.enter_context(contextlib.suppress(ValueError))
        x = x * state.number
        raise ValueError("left")
    return x * 2


def grouped(state, x):
    for key, group in itertools.groupby(state.words):
        x = x * (ord(key) + len(list(group)))
    for key, group in itertools.groupby(state.counter.values(), key=lambda value: value > 3):
        x = x * (sum(group) + key)
    return x


def durations(state, x):
    return x * (state.duration * 2 + timedelta(seconds=1)).total_seconds() * state.duration.seconds


def pure_paths(state, x):
    path = state.path / "c"
    return x * len(str(path)) * len(state.path.stem) * len(state.path.with_suffix(".y").parts)


@each(
    namespaces, scalars_of_numpy, counters, counters_from_outside, texts_of_dataclasses,
    stacks_of_contexts, grouped, durations, pure_paths,
)  # fmt: skip
def test_the_standard_library(function):
    check(function, Library)


def test_a_protocol_of_what_the_step_makes():
    step = minidl.compile(lambda x: x * 2 if isinstance(Scale(), (int, Scaled)) else x, audit=0)
    assert [step(X)[0].item() for _ in range(4)] == [2.0] * 4
    with pytest.raises(CaptureError, match="isinstance"):
        minidl.compile(lambda x: x if isinstance(Held(1.0), Scaled) else -x)(X)


def test_a_function_of_numpy_that_writes_into_an_argument_is_refused():
    target = np.zeros(2)
    with pytest.raises(CaptureError, match="add"):
        minidl.compile(lambda x: x * float(np.add(1.0, target, target)[0]))(X)


def test_the_text_of_a_namespace_depends_on_what_is_in_it():
    values = [1]
    step = minidl.compile(lambda x: x * len(str(types.SimpleNamespace(a=values))), audit=0)
    assert [step(X)[0].item() for _ in range(4)] == [len("namespace(a=[1])")] * 4
    values.append(2)
    assert [step(X)[0].item() for _ in range(4)] == [len("namespace(a=[1, 2])")] * 4


@pytest.mark.parametrize("make", [lambda held: ValueError(held), lambda held: KeyError("k", held)])
def test_the_text_of_an_error_depends_on_what_is_in_it(make):
    values = [1]
    step = minidl.compile(lambda x: x * len(str(make(values))), audit=0)
    before = [step(X)[0].item() for _ in range(4)]
    values.append(2)
    assert [step(X)[0].item() for _ in range(4)] == [value + 3 for value in before]
