"""Functions of C in a compiled step: what they read is guarded, what they change is replayed."""

import bisect
import dataclasses
import functools
import heapq
import operator
import types
import warnings

import numpy as np
import pytest

import minidl
from minidl.compiler import CaptureError

X = minidl.tensor([1.0, 2.0])


class Box:
    """An object with special methods that C's code may or may not call."""

    def __init__(self, value):
        self.value = value

    def __iter__(self):
        return iter([self.value, 1.0])

    def __add__(self, other):
        return Box(self.value + other)

    def __getitem__(self, key):
        return self.value

    def __hash__(self):
        return hash(self.value)


class Base:
    item = 2.0

    def method(self):
        return self.item


class State:
    """What the steps read and change, and how it changes from outside."""

    def __init__(self):
        self.object = types.SimpleNamespace(k=2)
        self.mapping = {"k": 2.0}
        self.numbers = [3.0, 5.0]
        self.box = Box(2.0)
        self.base = type("Base", (Base,), {})

    def change(self):
        self.object.k = 5
        self.mapping["k"] = 7.0
        self.numbers[0] = 1.0
        self.box.value = 4.0
        self.base.item = 9.0

    def seen(self):
        return self.object.k, dict(self.mapping), list(self.numbers), self.box.value


def formatted(state, x):
    text = "{o.k} {[k]:{width}.2f} {!s:>4} {{}}"
    first, second, third, _ = text.format(
        state.mapping, state.numbers[0], o=state.object, width=9
    ).split()
    return x * float(first) * float(second) * float(third)


def formatted_by_mapping(state, x):
    return x * float("{k}".format_map(state.mapping))


def pushed(state, x):
    heapq.heappush(state.numbers, 4.0 + len(state.numbers))
    return x * state.numbers[0]


def popped(state, x):
    state.numbers.extend([6.0, 8.0])
    return x * heapq.heappop(state.numbers)


def inserted(state, x):
    bisect.insort(state.numbers, 4.0)
    return x * state.numbers[1]


def set_by_operator(state, x):
    operator.setitem(state.mapping, "n", 3.0)
    operator.iadd(state.numbers, [2.0])
    return x * operator.getitem(state.mapping, "k")


def computed_by_operator(state, x):
    return x * operator.getitem(state.box, 0) * operator.add(state.box, 1.0).value


def kept_in_containers(state, x):
    """An iterable object that becomes an element is not iterated over."""
    held = []
    held.append(state.box)
    held.insert(0, state.box)
    return x * held[0].value * {}.setdefault("a", held[1]).value


def hashed(state, x):
    return x * (hash(state.box) % 7) * (1.0 if callable(state.box) else 2.0)


def inherited(state, x):
    """A class made in the step reads what a class from outside has."""
    return x * type("Made", (state.base,), {}).item


def inherited_by_an_instance(state, x):
    class Made(state.base):
        def method(self):
            return super().method() + self.item

    return x * Made().method()


STEPS = [
    formatted, formatted_by_mapping, pushed, popped, inserted, set_by_operator,
    computed_by_operator, kept_in_containers, hashed, inherited, inherited_by_an_instance,
]  # fmt: skip


def outcomes(function, compiled):
    state = State()

    def step(x):
        return function(state, x)

    step = minidl.compile(step, audit=0) if compiled else step
    found = []
    for i in range(8):
        if i == 5:
            state.change()
        found.append((step(X).tolist(), state.seen()))
    return found, step


@pytest.mark.parametrize("function", STEPS, ids=lambda function: function.__name__)
def test_a_step(function):
    found, step = outcomes(function, compiled=True)
    assert found == outcomes(function, compiled=False)[0]
    settled = function not in (pushed, popped, inserted, set_by_operator)  # what changes each time
    assert bool(step.captures) is settled


def test_attributes_that_a_module_makes():
    module = types.ModuleType("made")
    calls = []

    def make(name):
        if name != "item":
            raise AttributeError(name)
        calls.append(name)
        return module.factor

    module.factor, module.__getattr__ = 2.0, make
    step = minidl.compile(lambda x: x * module.item)
    for i in range(9):
        if i == 4:
            module.factor = 3.0
        if i == 7:
            module.__getattr__ = lambda name: 11.0
        assert step(X)[0].item() == (2.0, 3.0, 11.0)[(i >= 4) + (i >= 7)]
        assert len(calls) == min(i + 1, 7)


def test_elements_compared_by_code_that_is_not_watched_are_refused():
    class Equal:
        def __eq__(self, other):
            return True

    values = [1, Equal()]
    with pytest.raises(CaptureError, match=r"__eq__.* is called by code that is not Python's own"):
        minidl.compile(lambda x: x * values.index(2))(X)


@pytest.mark.parametrize("passed", [True, False])
def test_elements_of_a_frozen_set_have_a_type_and_an_order(passed):
    sets = [frozenset({1}), frozenset({1.0}), frozenset({0, 8}), frozenset({8, 0})]
    assert list(sets[2]) != list(sets[3])
    box = {}

    def step(x, given):
        first = next(iter(box["set"] if given is None else given))
        return x * {int: 2.0, float: 3.0}[type(first)] + first

    compiled = minidl.compile(step)
    for values in sets:
        for _ in range(4):
            box["set"], given = values, values if passed else None
            assert compiled(X, given).tolist() == step(X, given).tolist()
    assert compiled.captures == 4


def test_the_class_of_a_tensor_decides_on_the_plan():
    def step(x, value):
        return x * (2.0 if isinstance(value, minidl.nn.Parameter) else 3.0)

    compiled, parameter = minidl.compile(step), minidl.nn.Parameter(minidl.ones(2), False)
    for value in 4 * [minidl.ones(2)] + 4 * [parameter] + [minidl.ones(2)]:
        assert compiled(X, value).tolist() == step(X, value).tolist()


@dataclasses.dataclass
class Options:
    scale: float
    inner: object = None


class Missing(dict):
    def __missing__(self, key):
        return self["item"]


@pytest.mark.parametrize(
    ("function", "make"),
    [
        (lambda x, o: x * o.scale * o.inner.scale, lambda i: Options(i, Options(i + 0.5))),
        (lambda x, o: x * o[0].scale, lambda i: [Options(i + 0.5)]),
        (lambda x, o: x * o["other"], lambda i: Missing(item=i + 0.5)),
    ],
    ids=["dataclass", "list of dataclasses", "dict with __missing__"],
)
def test_numbers_in_arguments_that_differ_in_each_call(function, make):
    step = minidl.compile(function)
    for i in range(9):
        assert step(X, make(float(i))).tolist() == function(X, make(float(i))).tolist()
    assert step.captures == 1


@pytest.mark.parametrize("owner", [types.SimpleNamespace(), type("Space", (), {})])
def test_a_function_of_c_that_is_an_attribute(owner):
    step = minidl.compile(lambda x: owner.function(x))
    functions = [operator.neg, abs, minidl.exp, operator.pos, operator.neg]
    for function in functions:
        for _ in range(3):
            owner.function = function
            assert step(X).tolist() == function(X).tolist()


def test_a_function_that_keeps_its_results():
    calls, box = [], {"factor": 2.0}

    @functools.lru_cache
    def factor(n):
        calls.append(n)
        return box["factor"] * n

    step = minidl.compile(lambda x: x * factor(3))
    for i in range(8):
        if i == 5:
            box["factor"] = 4.0  # which its cache does not notice
        assert step(X)[0].item() == 6.0
    factor.cache_clear()
    assert step(X)[0].item() == step(X)[0].item() == 12.0
    assert calls == [3, 3]
    with pytest.raises(CaptureError, match="factor"):
        minidl.compile(lambda x: factor(x))(X)


def test_a_function_that_dispatches_by_class():
    @functools.singledispatch
    def scale(value):
        return 1.0

    scale.register(int, lambda value: 2.0)
    box = {"value": 1}
    step = minidl.compile(lambda x: x * scale(box["value"]))
    for value, expected in ((1, 2.0), ("a", 1.0), (1, 2.0)):
        box["value"] = value
        for _ in range(4):
            assert step(X)[0].item() == expected
    scale.register(int, lambda value: 5.0)
    assert step(X)[0].item() == 5.0


def test_warnings_are_given_in_each_replay():
    def step(x):
        warnings.warn("something is odd", stacklevel=1)
        return x * 2

    compiled = minidl.compile(step)
    for filters, expected in (("always", 6), ("default", 1), ("ignore", 0)):
        for function in (step, compiled):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter(filters)
                for _ in range(6):
                    function(X)
            assert len(caught) == expected
            assert all(found.filename == __file__ for found in caught)
    assert compiled.captures == 1


def test_an_attribute_of_a_method_is_that_of_its_function():
    class Model:
        def method(self):
            return 1.0

        method.scale = 2.0

    model = Model()
    step = minidl.compile(lambda x: x * model.method.scale, audit=0)
    for value in (2.0, 3.0):
        Model.method.scale = value
        for _ in range(4):
            assert step(X)[0].item() == value


SELECTIONS = {
    "max": lambda s: max(s.objects, key=lambda o: 0),
    "min of arguments": lambda s: min(*s.objects, key=lambda o: 0),
    "tuple.__getitem__": lambda s: s.pair.__getitem__(0),
    "dict.get": lambda s: s.mapping.get("a"),
    "dict.setdefault": lambda s: s.mapping.setdefault("a", 1),
    "dict.__getitem__": lambda s: dict.__getitem__(s.mapping, "a"),
    "next of iter": lambda s: next(iter(s.objects)),
    "sorted": lambda s: sorted(s.objects, key=lambda o: 0)[0],
    "reversed": lambda s: list(reversed(s.objects))[-1],
    "list.copy": lambda s: s.objects.copy()[0],
    "zip": lambda s: next(zip(s.objects, s.pair))[0],
    "dict.values": lambda s: next(iter(s.mapping.values())),
    "list + list": lambda s: (s.objects + [1])[0],
    "dict | dict": lambda s: (s.mapping | {})["a"],
    "itemgetter": lambda s: operator.itemgetter(0)(s.objects),
    "filter": lambda s: next(filter(None, s.objects)),
    "pop of a copy": lambda s: list(s.objects).pop(-2),
    "object.__getattribute__": lambda s: object.__getattribute__(s, "objects")[0],
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_an_object_that_is_selected_is_not_taken_for_a_new_one(name):
    chosen = types.SimpleNamespace(value=2.0)
    others = [chosen, types.SimpleNamespace(value=3.0)]
    state = types.SimpleNamespace(objects=others, pair=tuple(others), mapping={"a": chosen})
    step = minidl.compile(lambda x: x * SELECTIONS[name](state).value, audit=0)
    for value in (2.0, 5.0):
        chosen.value = value
        for _ in range(4):
            assert step(X)[0].item() == value


def test_a_slot_that_is_read_by_super():
    class Base:
        __slots__ = ("value",)

    class Child(Base):
        __slots__ = ()

        @property
        def value(self):
            return super().value * 2

    child = Child()
    step = minidl.compile(lambda x: x * child.value, audit=0)
    for value in (2.0, 5.0):
        Base.value.__set__(child, value)
        for _ in range(4):
            assert step(X)[0].item() == 2 * value


def test_bases_that_are_assigned():
    first, second = type("First", (), {}), type("Second", (), {})
    kind = type("Child", (first,), {})
    child = kind()
    step = minidl.compile(
        lambda x: x * (2.0 if isinstance(child, first) else 3.0) * (5.0 + issubclass(kind, second)),
        audit=0,
    )
    for base, expected in ((first, 10.0), (second, 18.0)):
        kind.__bases__ = (base,)
        for _ in range(4):
            assert step(X)[0].item() == expected


READS_BY_C = {
    "membership of a dict": lambda s: float(5.0 in s.mapping) - 3.0 * (2.0 not in s.mapping),
    "membership of a set": lambda s: float(5.0 in s.set) - 3.0 * (2.0 not in s.set),
    "the number of an array": lambda s: float(s.array) + int(s.array),
    "object.__getattribute__": lambda s: object.__getattribute__(s, "number"),
    "the text of a namespace": lambda s: len(str(types.SimpleNamespace(a=s.values))),
    "namespaces that are compared": lambda s: (
        types.SimpleNamespace(a=s.values) == types.SimpleNamespace(a=[1, 2])
    ),
}


@pytest.mark.parametrize("name", READS_BY_C)
def test_what_c_code_reads_of_an_object(name):
    state = types.SimpleNamespace(number=2.0, values=[1, 2], array=np.array(2.0))
    state.mapping, state.set = {}, set()
    step = minidl.compile(lambda x: x * (1.0 + READS_BY_C[name](state)), audit=0)
    for number in (2.0, 5.0):
        state.number, state.values[0], state.array[...] = number, int(number) * 1000, number
        state.mapping[number] = 1
        state.set.add(number)
        for _ in range(4):
            assert step(X)[0].item() == 1.0 + READS_BY_C[name](state)


def test_a_method_of_a_base_that_is_replaced():
    class Base:
        def scale(self):
            return 2.0

    class Child(Base):
        def scale(self):
            return super().scale() + 1.0

    child = Child()
    step = minidl.compile(lambda x: x * child.scale(), audit=0)
    for value in (2.0, 5.0):
        Base.scale = lambda self, value=value: value
        for _ in range(4):
            assert step(X)[0].item() == value + 1.0
