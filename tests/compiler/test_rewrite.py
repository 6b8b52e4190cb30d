"""Instrumented copies: they do what the originals do, and tell of all that they read."""

# the functions that are copied here use Python's syntax in all ways, also in odd ones
# ruff: noqa: B007, B008, C400, C416, E712, F821, F823, F841, PIE804, RET503
# ruff: noqa: RUF012, RUF018, RUF059, SIM222, UP008, UP031

import builtins
import contextlib
import dataclasses
import doctest
import functools
import gc
import importlib
import inspect
import linecache
import operator
import pkgutil
import textwrap
import traceback
import weakref
from types import CodeType, FunctionType, MethodType

import pytest

import minidl.nn
import minidl.optim
import minidl.vision
from minidl.compiler.rewrite.hooks import Hooks
from minidl.compiler.rewrite.instrument import instrument, is_instrumented
from minidl.compiler.rewrite.scopes import mangled
from minidl.compiler.rewrite.source import SourceError, find_source

WORD, NUMBERS, TABLE = "word", [3, 1, 2], {"a": 1}


def copy_of(function, hooks=None):
    return instrument(function).bind(function, hooks or Hooks())


class Loud:
    """Notes every operation on it, and on what it gives."""

    def __init__(self, log, name, truth=True, length=2):
        self.__dict__.update(log=log, name=name, truth=truth, length=length)

    def note(self, *what):
        self.log.append((self.name, *map(str, what)))
        return Loud(self.log, f"{self.name}.{what[0]}", self.truth)

    def __bool__(self):
        self.log.append((self.name, "bool"))
        return self.truth

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.note("get", name)
        return Loud(self.log, f"{self.name}.{name}", self.truth)

    def __setattr__(self, name, value):
        self.note("set", name, value)

    def __delattr__(self, name):
        self.note("del", name)

    def __iter__(self):
        self.log.append((self.name, "iter"))
        for i in range(self.length):
            yield Loud(self.log, f"{self.name}{i}", self.truth)

    def __contains__(self, value):
        self.note("contains", value)
        return self.truth

    def __format__(self, spec):
        return self.note("format", spec).name

    def __call__(self, /, *args, **kwargs):
        return self.note("call", *args, *kwargs.items())

    def __enter__(self):
        return self.note("enter")

    def __exit__(self, kind, error, trace):
        self.note("exit", kind)
        return kind is KeyError

    def __str__(self):
        return self.name

    def __repr__(self):
        return f"Loud({self.name})"

    __hash__ = object.__hash__


def _noting(name):
    return lambda self, *args: self.note(name, *args)


_SPECIAL = (
    "add sub mul truediv floordiv mod pow matmul lshift rshift and or xor neg pos invert radd "
    "iadd isub imul itruediv ifloordiv imod ipow imatmul ilshift irshift iand ior ixor "
    "eq ne lt le gt ge getitem setitem delitem"
)
for _name in _SPECIAL.split():
    setattr(Loud, f"__{_name}__", _noting(_name))


class World:
    """Makes loud objects that share a log."""

    def __init__(self):
        self.log = []

    def __call__(self, name, **options):
        self.log.append(("made", name))
        return Loud(self.log, name, **options)


CASES = []


def case(function):
    CASES.append(function)
    return function


# --------------------------------------------------------------------------- expressions


@case
def operators(w):
    a, b = w("a"), w("b")
    return repr(
        [a + b, a - b, a * b, a / b, a // b, a % b, a**b, a @ b, a << b, a >> b, a & b, a | b]
        + [a ^ b, -a, +a, ~a, not a, 1 + a, -1, ~3, "x" * 3, "%s" % 4]
    )


@case
def comparisons(w):
    a, b = w("a"), w("b", truth=False)
    return [
        str(x) for x in (a == b, a != b, a < b, a <= b, a > b, a >= b, 1 in a, 1 not in b, a is b)
    ] + [a is not b, a is a, None is None]


@case
def chained_comparisons(w):
    yes, no = (
        [str(w("a") < w("b") <= w("c") != w("d"))],
        [str(w("e", truth=False) < w("f") < w("g"))],
    )
    if w("h") < w("i") < w("j") is not None:
        yes.append("if")
    return yes, no, [x for x in range(9) if 2 < x <= 5], 1 < 2 < 3, 0 == False != True


@case
def chained_comparisons_in_odd_places(w):
    class Body:
        low = 1
        high = 5
        inside = low < w("m") < high
        listed = [x for x in range(7) if 1 < x < 5]
        first = [x for x in ([9] if low < 3 < high else [8])]
        nested = [[y for y in range(5) if 0 < y is not None] for _ in range(2) if 0 < 1 < 2]

    names = [y for x in range(3) for y in (range(x) if 0 < x < 2 else [x])]
    found = [x for x in filter(lambda y: 0 < y < 3, range(5))]
    late = [x for z in [1] for x in filter(lambda y: 0 < y < 3, range(5))]
    return {k: str(v) for k, v in vars(Body).items() if k[0] != "_"}, names, found, late


@case
def boolean_operators(w):
    t, f = w("t"), w("f", truth=False)
    return [
        str(x)
        for x in (t and f, f and t, t or f, f or t, t and f and t, f or f or t, not (t and f))
    ] + [1 if t and not f else 2, 1 if f or f else 2, t and True, [] or "x"]


@case
def conditions(w):
    found = []
    if w("a", truth=False):
        found.append(1)
    elif w("b") and (w("c", truth=False) or w("d")):
        found.append(2)
    while w("e"):
        found.append(3)
        break
    else:
        found.append(4)
    return found, "x" if w("g", truth=False) else "y", [x for x in (0, 1, 2) if x if x > 1]


@case
def order_of_assignments(w):
    w("a").x = w("b")
    w("c")[w("d")] = w("e")
    w("f").x = w("g")[w("h")] = z = w("i")
    w("j").x, (w("k").y, *w("l").z), q = w("m"), w("n"), w("o")
    [w("p").x, r] = w("q")
    w("s").x: int = w("t")
    w("u").x: int
    w("u")[w("v")]: int
    a, (b, *c), d = 1, [2, 3, 4], 5
    return str(z), str(q), str(r), a, b, c, d


@case
def order_of_augmented_assignments(w):
    w("a").x += w("b")
    w("c")[w("d")] -= w("e")
    w("f")[w("g") : w("h")] *= w("i")
    v = w("v")
    v /= w("w")
    values = [1, 2]
    same = values
    values += [3]
    values[0] **= 2
    values[-1] //= 2
    u = w("u")
    u **= 2
    u @= 3
    u <<= 1
    u >>= 1
    u &= 1
    u |= 1
    u ^= 1
    u %= 1
    return str(v), values, same is values, str(u)


@case
def deletions(w):
    a, b, c = w("a"), w("b"), [1, 2, 3, 4]
    x = y = 1
    del a.x, b[w("k")], (x, [y]), c[1:3]
    try:
        return x
    except UnboundLocalError as error:
        return c, str(error)


@case
def slices(w):
    a, numbers = w("a"), list(range(9))
    picked = str(a[1:2, ..., ::3, None]), numbers[1:], numbers[:2], numbers[::2], numbers[5:1:-2]
    slice = "hidden"
    numbers[1:8] = [0]
    a[w("k") :, 3] = 4
    return picked, numbers, slice, WORD[1:][0], list[int]


@case
def calls(w):
    f = w("f")
    f(1, *[2, 3], *w("more"), x=4, **{"y": 5}, **TABLE)
    f(f=1, self=2, function=3)
    f.method(w("g"))(w("h"))
    return (lambda *a, b=2, **c: (a, b, c))(1, *"ab", **{"d": 3}), max(*NUMBERS, 2), dict(**TABLE)


@case
def displays(w):
    xs = w("xs")
    made = [1, *xs, 2], (0, *xs), {**TABLE, "b": 2, w("k"): w("v")}, {*NUMBERS, 7}
    return repr(made[:2]), len(made[2]), sorted(made[3]), {}, [], ()


@case
def comprehensions(w):
    pairs = [(1, 2), (3, 4)]
    return (
        [str(x) for x in w("xs")],
        {str(x): str(y) for x in w("a") for y in w("b")},
        {a + b for a, b in pairs},
        [(a, b, c) for a, (b, *c) in [(1, (2, 3, 4))]],
        list(x for x in pairs for x in x),
        sum(x * NUMBERS[0] for x in NUMBERS if x in NUMBERS[1:]),
        [[y for y in range(x)] for x in range(3)],
        [0 for w("t").x in (1, 2)],
        [i for i, w("u")[0] in enumerate("ab") if i],
    )


@case
def walrus(w):
    values = [y := 1, y**2]
    if (n := len(values)) > 1:
        values.append(n)
    kept = [last := x for x in range(4)]
    any((hit := x) > 1 for x in kept)
    return values, last, hit, (lambda: (z := 3) + z)(), [t for x in range(5) if (t := x * 2) > 4]


@case
def formatted(w):
    x, width = 3.14159, 8
    return f"{w('a')!r} {w('b')} {w('c'):>{width}} {x:{width}.{2}f}|{x=}|{'é'!a}|{x!s:>9}{{}}"


# --------------------------------------------------------------------------- statements


@case
def loops(w):
    found = []
    for x in w("xs"):
        found.append(str(x))
    else:
        found.append("else")
    for a, (b, *c) in [(1, "bcd"), (2, "e")]:
        found.append((a, b, c))
        if a == 2:
            break
        continue
    else:
        found.append("never")
    for w("t").x in (1, 2):
        pass
    for w("u")[w("k")], q in ((1, 2),):
        found.append(q)
    return found, a, x.name


@case
def managers(w):
    with w("a") as a, w("b") as w("c").x, w("d") as (d, e):
        w("body")
    with w("f"):
        raise KeyError("swallowed")
    with contextlib.suppress(ValueError), w("g") as (one, two, three):
        w("never")
    return str(a), str(d), str(e)


@case
def handlers(w):
    found = []
    for kind in (ValueError, KeyError, TypeError, None):
        try:
            found.append("try")
            if kind:
                raise kind("x") from OSError("y")
        except (ValueError, KeyError) as error:
            found.append((type(error).__name__, str(error.__cause__)))
        except TypeError:
            found.append("type")
            continue
        else:
            found.append("else")
        finally:
            found.append("finally")
    try:
        return error
    except UnboundLocalError:
        return found


@case
def returns_from_finally(w):
    for i in range(3):
        try:
            if i == 1:
                return ("returned", w("a").name)
        finally:
            w("b")


@case
def matching(w):
    found = []
    subjects = [1, "two", (3, 4, 5), {"k": 6, "l": 7}, Point(8, 9), [], None, {"z": 1}]
    for subject in subjects:
        match subject:
            case 1 | 2 as number:
                found.append(("number", number))
            case str() if subject > "z":
                found.append("late")
            case str(text) if len(text) < 9:
                found.append(("text", text))
            case (first, *rest):
                found.append((first, rest))
            case {"k": value, **others}:
                found.append((value, others))
            case Point(x=x, y=9):
                found.append(x)
            case None:
                found.append(None)
            case _:
                found.append("rest")
    return found


@dataclasses.dataclass
class Point:
    x: int
    y: int


@case
def imports(w):
    import collections.abc
    import os.path as path
    from functools import partial as part
    from functools import reduce

    return collections.abc.Sized, path.join("a", "b"), part(max, 1)(2), reduce(max, NUMBERS)


@case
def asserts(w):
    kept = []
    exec("assert kept == []", {}, {"kept": kept})
    return eval("kept + [1]"), sorted(locals()), sorted(vars()), dir(), "NUMBERS" in globals()


@case
def unbound_and_unknown(w):
    found = []
    for name in ("local", "global"):
        try:
            if name == "local":
                found.append(later)
            found.append(unknown)
        except NameError as error:
            found.append((type(error).__name__, str(error)))
    later = 1
    return found, later


# --------------------------------------------------------------------------- scopes


@case
def nested_functions(w):
    total = 0

    def add(x, *, times=w("default").length):
        nonlocal total
        total += x * times
        return total

    def recursive(n):
        """A docstring."""
        return 1 if n == 0 else n * recursive(n - 1)

    def annotated(x: int, y: "str" = "") -> None: ...

    add(2), add(3, times=5)
    names = add.__qualname__, recursive.__doc__, recursive.__qualname__, add.__kwdefaults__
    return total, recursive(5), names, annotated.__annotations__, (lambda: total)()


@case
def decorators(w):
    def loud(name):
        w("made " + name)
        return lambda f: w(name)(f.__name__) and f

    @loud("outer")
    @loud("inner")
    def decorated(x=w("default").length):
        return x

    @loud("class")
    class Decorated:
        @property
        def p(self):
            return 1

        @p.setter
        def p(self, value):
            self.q = value

        @staticmethod
        @functools.lru_cache
        def s():
            return "s"

        @classmethod
        def c(cls):
            return cls.__qualname__

    d = Decorated()
    d.p = 5
    return decorated(), d.p, d.q, d.s(), d.c(), Decorated.p.fget.__qualname__


@case
def nested_classes(w):
    outside = "outside"

    class Base:
        def __init_subclass__(cls, /, **options):
            cls.options = options

        def name(self):
            return "base"

        @classmethod
        def make(cls):
            return cls()

    class Derived(Base, **{"option": 1}):
        """A docstring."""

        number: int = 3
        unset: "str"
        again = number + 1
        seen = sorted(k for k in locals() if not k.startswith("_"))
        number += 1
        first, (second, *rest) = 1, "abc"
        for loop in [(1, 2)]:
            left, right = loop
        holder = Loud([], "h")
        holder.x, holder.y = 1, 2
        holder.z += 3
        comprehended = [outside for _ in range(2)]

        class Inner:
            one, (two, *three) = 1, "abc"
            reads = outside

        def name(self):
            outside = super().name()
            return outside + Base.__name__ + __class__.__name__

        @classmethod
        def make(cls):
            return super().make().name(), [super(Derived, cls).make().name() for _ in "a"]

    kept = {k: v for k, v in vars(Derived).items() if not callable(v)}
    for changing in ("__weakref__", "__dict__", "make", "holder", "__static_attributes__"):
        kept.pop(changing, None)
    kept.pop("__firstlineno__", None)
    return repr(kept), Derived().name(), Derived.make(), Derived.Inner.three, Derived.options


COUNT = 0


@case
def global_names(w):
    global COUNT, GONE, MODULE, HELPER, CAUGHT, LEFT, RIGHT, ENTERED, EACH, Defined
    import string as MODULE

    COUNT += 1
    GONE = LEFT, RIGHT = COUNT, 2
    del GONE
    with w("m") as ENTERED:
        pass
    for EACH in range(3):
        pass

    def HELPER():
        return COUNT

    class Defined:
        pass

    try:
        raise KeyError(1)
    except KeyError as CAUGHT:
        caught = repr(CAUGHT)
    left = "GONE" in globals(), "CAUGHT" in globals(), HELPER.__qualname__, Defined.__qualname__
    COUNT = 0
    return left, caught, LEFT, RIGHT, EACH, MODULE.digits, str(ENTERED), HELPER()


class Private:
    """Has private names."""

    __secret = 1

    def __hidden(self, __argument=2):
        __local = __argument + self.__secret
        return [__local + x for x in (self.__secret,)]

    def run(self):
        self.__made = self.__hidden(_Private__argument=5)
        self.__made += [3]

        class __Inner:
            __secret = 7

            def get(self):
                return self.__secret

        del self.__secret_two
        return self.__made, __Inner().get(), sorted(vars(self))

    def __init__(self):
        self.__secret_two = 2


@case
def private_names(w):
    return copy_of(Private.run)(Private()), Private().run()


class Animal:
    def __init__(self, name="animal"):
        self.name = name

    def speak(self):
        return f"{self.name} says"


class Dog(Animal):
    def speak(this, *words):
        return super().speak(), (lambda: __class__)(), super(Dog, this).speak(), words

    def other(self):
        self, kept = Dog("other"), self
        return super().speak(), kept.name

    def outside():
        return super()


@case
def superclasses(w):
    found = [copy_of(Dog.speak)(Dog(), 1), copy_of(Dog.other)(Dog())]
    with pytest.raises(RuntimeError, match="no arguments"):
        copy_of(Dog.outside)()
    return found


def _countdown(n):
    while n:
        try:
            sent = yield n
            if sent:
                n = sent
        except ValueError as error:
            yield str(error)
        n -= 1
    return "done"


def _delegating(n):
    result = yield from _countdown(n)
    yield result
    a, b = yield [x for x in (yield "inner")]
    yield b, a


@case
def generators(w):
    found = []
    for function in (_delegating, copy_of(_delegating)):
        g = function(3)
        found.append([next(g), g.send(5), g.throw(ValueError("thrown")), list(zip(g, range(3)))])
        g.close()
        g = function(0)
        found.append([next(g), next(g), g.send((7, 8)), g.send("ab")])
    return found, found[:2] == found[2:], list(copy_of(_countdown)(2))


def outcome(function):
    """The result or the error, the log, and the lines of this file in the traceback."""
    world, here = World(), __file__
    try:
        result, lines = repr(function(world)), []
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        result = repr(error)
        lines = [f.lineno for f in frames if f.filename == here and f.name != "outcome"]
    return result, world.log, lines


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
def test_a_copy_does_what_the_original_does(function):
    wanted = outcome(function)
    assert wanted[2] == []
    assert outcome(copy_of(function)) == wanted
    assert outcome(copy_of(function)) == wanted  # nothing is left over in the first


# --------------------------------------------------------------------------- errors

ERRORS = []


def error(function):
    ERRORS.append(function)
    return function


@error
def fails_in_a_call_over_several_lines(w):
    return str(
        w("a"),
        int(
            "x",
        ),
    )


@error
def fails_in_a_method_chain(w):
    return (
        WORD
        .upper()
        .index("q")
        .real
    )  # fmt: skip


@error
def fails_in_an_attribute_over_several_lines(w):
    return (
        WORD
        .missing
        .more
    )  # fmt: skip


@error
def fails_in_an_operator_over_several_lines(w):
    return (
        1
        + 2
        + "x"
        + w("never")
    )  # fmt: skip


@error
def fails_in_a_subscript(w):
    return [
        TABLE["a"],
        TABLE[
            "b"
        ],
    ]  # fmt: skip


@error
def fails_in_a_store(w):
    (
        WORD
    ).x = w(
        "value"
    )  # fmt: skip


@error
def fails_to_unpack(w):
    for a, b in [(1, 2), (1, 2, 3)]:
        w("body")
    return a, b


@error
def fails_to_unpack_too_few(w):
    w("a").x, (b, *c, d) = 1, [2]


@error
def fails_in_a_comprehension(w):
    return [
        x + y
        for x in "ab"
        for y in (1, 2)
    ]  # fmt: skip


@error
def fails_in_a_finally(w):
    try:
        w("a")
    finally:
        with w("b"):
            int("x")


@error
def fails_in_a_nested_function(w):
    @functools.wraps(len)
    def inner():
        raise LookupError(w("a").name)

    return inner()


@error
def fails_to_delete(w):
    del TABLE["missing"]


@error
def fails_as_a_type(w):
    return -WORD


@error
def fails_in_an_augmented_assignment(w):
    values = (1, [2])
    values[1] += [3]


@error
def fails_in_a_format(w):
    return f"""
    {w("a")}
    {WORD:d}
    """


@error
def fails_in_an_assertion(w):
    exec("")
    raise AssertionError(w("a") and "message")


@error
def fails_as_a_global(w):
    return missing


@error
def fails_as_a_truth_value(w):
    import numpy

    return 1 if numpy.zeros(2) else 2


@pytest.mark.parametrize("function", ERRORS, ids=lambda function: function.__name__)
def test_an_error_is_the_same_in_the_same_line(function):
    wanted = outcome(function)
    assert wanted[2]
    assert outcome(copy_of(function)) == wanted


# --------------------------------------------------------------------------- function objects


def outer(value, *, unused=0):
    def inner(a, /, b=WORD, *args, c=NUMBERS, **kwargs) -> int:
        """A docstring."""
        nonlocal value
        value += a
        return value, b, args, c, kwargs, inner

    return inner, lambda: value


def test_a_copy_has_what_the_original_has():
    inner, read = outer(1)
    inner.attribute = "kept"
    copy = copy_of(inner)
    assert copy(2)[:5] == (3, WORD, (), NUMBERS, {})
    assert read() == 3  # the cell is shared
    assert copy(0)[5] is inner  # the variable holds the original
    for name in ("__globals__", "__defaults__", "__kwdefaults__", "__dict__", "__annotations__"):
        assert getattr(copy, name) is getattr(inner, name)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        assert getattr(copy, name) == getattr(inner, name)
    assert copy.__code__.co_filename == __file__
    assert copy.__code__.co_firstlineno == inner.__code__.co_firstlineno
    assert inspect.signature(copy) == inspect.signature(inner)


def test_the_decorator_counts_for_the_first_line():
    original = contextlib.contextmanager(Animal.speak).__wrapped__
    assert copy_of(original).__code__.co_firstlineno == original.__code__.co_firstlineno
    decorated = with_a_decorator.__wrapped__
    assert instrument(decorated).code.co_firstlineno == decorated.__code__.co_firstlineno
    assert copy_of(decorated)(1) == 2


@functools.lru_cache(
    maxsize=3,
)
def with_a_decorator(x, y=(lambda: 1)()):
    return x + y


def test_code_is_made_once_and_known():
    first, second = outer(1)[0], outer(2)[0]
    made = instrument(first)
    assert instrument(second) is made
    assert made.bind(second, Hooks())(1)[0] == 3
    assert made.bind(first, Hooks())(1)[0] == 2
    made = instrument(nested_classes)
    names = {code.co_name for code in made.codes}
    assert {"nested_classes", "Base", "name", "make", "Derived", "Inner"} <= names
    assert all(map(is_instrumented, made.codes))
    assert not is_instrumented(nested_classes.__code__)


def test_functions_that_have_run_often_are_recognized():
    def warm(x):
        return [x + i for i in range(3)]

    for i in range(200):
        warm(i)
    assert copy_of(warm)(1) == [1, 2, 3]


def test_no_variable_keeps_a_value_alive():
    class Kept:
        pass

    def function(values):
        first = [None, None]
        first[0], (first[1], last) = values.pop(), (1, 2)
        first[0].x += [1] if hasattr(first[0], "y") else 0
        first[0] = None
        for first[0], last in [(values.pop(), 3)]:
            last = 4
        first.clear()
        return references[0]() is None, references[1]() is None, last

    Kept.x = 1
    values = [Kept(), Kept()]
    references = list(map(weakref.ref, values))
    with gc_disabled():
        assert copy_of(function)(values) == (True, True, 4)


@contextlib.contextmanager
def gc_disabled():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("name", "class_name", "wanted"),
    [
        ("__a", "C", "_C__a"),
        ("__a", "__C", "_C__a"),
        ("__a", "__", "__a"),
        ("__a__", "C", "__a__"),
        ("_a", "C", "_a"),
        ("__a", None, "__a"),
    ],
)
def test_private_names_are_mangled(name, class_name, wanted):
    assert mangled(name, class_name) == wanted


# --------------------------------------------------------------------------- what hooks see


class Seen(Hooks):
    """Notes all calls of hooks."""

    def __init__(self):
        self.seen = []


def _seeing(name):
    original = getattr(Hooks, name)

    def method(self, /, *args, **kwargs):
        stored = [kwargs[key] for key in ("owner", "name", "key", "value") if key in kwargs]
        self.seen.append((name, *args, *(stored if name.startswith("set_") else ())))
        return original(self, *args, **kwargs)

    return method


HOOK_NAMES = [
    name
    for name, value in vars(Hooks).items()
    if isinstance(value, FunctionType) and name not in ("decorator", "super_call", "_compared")
]
for _name in HOOK_NAMES:
    setattr(Seen, _name, _seeing(_name))


def seen_by(function, *args):
    hooks = Seen()
    copy_of(function, hooks)(*args)
    return hooks.seen


def reads_names(x):
    def inner(y):
        return [y + z + len(NUMBERS) + free for z in (x,)]

    return inner(1), WORD


free = 10


def test_names_from_outside_are_seen_wherever_they_are_read():
    names = [event[:2] for event in seen_by(reads_names, 1) if event[0].startswith("read")]
    assert names == [("read_global", n) for n in ("len", "NUMBERS", "free", "WORD")]


def closes_over(free, held):
    def function():
        nonlocal held
        shadow = free + held
        held = 5
        held += 1
        del held
        held = 7
        return [shadow for free in (1,) if free], (lambda held: held)(2)

    return function


def test_variables_of_enclosing_functions_are_seen():
    seen = seen_by(closes_over(1, 2))
    assert [event for event in seen if "free" in event[0]] == [
        ("read_free", "free", 1),
        ("read_free", "held", 2),
        ("wrote_free", "held", 5),
        ("read_free", "held", 5),
        ("wrote_free", "held", 6),
        ("deleted_free", "held"),
        ("wrote_free", "held", 7),
    ]


def test_globals_that_are_bound_are_seen():
    seen = seen_by(global_names, World())
    wrote = [event[1] for event in seen if event[0] == "wrote_global"]
    wanted = "MODULE COUNT GONE LEFT RIGHT ENTERED EACH EACH EACH HELPER Defined CAUGHT COUNT"
    assert " ".join(wrote) == wanted
    assert [e[1] for e in seen if e[0] == "deleted_global"] == ["GONE", "CAUGHT"]


def captures_globals(subject):
    global CAPTURED, TAIL, NAMED
    match subject:
        case [CAPTURED, *TAIL] if (NAMED := len(TAIL)) > 1:
            return "guarded"
        case [CAPTURED, *TAIL]:
            return [(NAMED := x) for x in TAIL]


def test_captures_and_assignment_expressions_are_seen():
    for subject, times in (([1, 2, 3], 1), ([1, 2], 2)):
        wrote = [e[1:] for e in seen_by(captures_globals, subject) if e[0] == "wrote_global"]
        assert wrote.count(("CAPTURED", 1)) == wrote.count(("TAIL", subject[1:])) == times
        assert ("NAMED", len(subject) - 1) in wrote


def reads_all(a):
    import os.path
    from os import path as p

    a.b.c = a.d[1:2]
    a[0] = a[1, ::2]
    del a.e, a[3]
    a.f += 1
    for x, y in a.g:
        x = -x if x < y else x @ y
    with a.h as k:
        assert a and (a or k) is not None
        f"{k!r:>{3}}"
    match a.m:
        case 1:
            pass
    try:
        a.t.u()
    finally:
        pass
    f, (g, *h) = a.n, a.o
    return [*a.p], {**TABLE}, a.q(*a.r, z=1), {1}, [i for i in a.s if i], (os, p)


WANTED = """
attribute a b ; set_attribute a.b c ; attribute a d ; item a.d slice(1, 2, None)
item a (1, slice(None, None, 2)) ; set_item a 0 ; delete_attribute a e ; delete_item a 3
attribute a f ; inplace + a.f 1 ; set_attribute a f ; attribute a g ; iterate a.g ; unpack a.g0
compare < ; truth a.g00.lt ; unary - ; attribute a h ; context a.h ; truth a ; operand a
identical a None ; attribute a m ; read_all a.m ; attribute a n ; attribute a o ; unpack a.o
attribute a p ; iterate a.p ; made ; iterate_mapping {'a': 1} ; attribute a q ; attribute a r
iterate a.r ; call a.q ; made {1} ; attribute a s ; iterate a.s ; truth a.s0 ; imported os.path None
imported os path ; format a.h.enter r >3 ; handling ; attribute a t
"""


def test_every_kind_of_operation_is_seen():
    seen = [" ".join(map(str, event)) for event in seen_by(reads_all, Loud([], "a"))]
    for wanted in WANTED.strip().replace("\n", ";").split(";"):
        assert any(event.startswith(wanted.strip()) for event in seen), wanted


def test_every_hook_is_called_by_some_case():
    called = {event[0] for function in CASES for event in seen_by(function, World())}
    called |= {"wrote_free", "deleted_free", "read_free"}  # there are tests of these
    assert set(HOOK_NAMES) <= called


def decorates(w):
    @w.first
    @w.second
    def function(): ...

    class Derived(dict):
        def __init__(self):
            super().__init__(a=1)

    return Derived()


def test_decorators_and_super_are_calls():
    calls = [e[1:] for e in seen_by(decorates, Loud([], "w")) if e[0] == "call"]
    assert [str(call[0]) for call in calls[:2]] == ["w.second", "w.first"]
    assert calls[3][0] is super


# --------------------------------------------------------------------------- much code


def functions_of(module):
    """All functions that a module defines, methods included."""
    for value in vars(module).values():
        for member in [value, *(vars(value).values() if isinstance(value, type) else ())]:
            inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
            inner = getattr(inner, "__wrapped__", inner)
            if isinstance(inner, FunctionType) and inner.__code__.co_filename == module.__file__:
                yield inner


_STANDARD = (
    "argparse ast bisect collections configparser contextlib copy csv dataclasses difflib enum "
    "fractions functools heapq inspect json.decoder json.encoder random statistics string "
    "textwrap tokenize typing"
)
OWN = [
    info.name
    for package in (minidl.nn, minidl.optim, minidl.vision)
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    if "datasets" not in info.name
]


@pytest.mark.parametrize("name", _STANDARD.split() + OWN)
def test_everything_in_a_module_can_be_copied(name):
    for function in functions_of(importlib.import_module(name)):
        try:
            copy = copy_of(function)
        except SourceError as error:
            assert "is a coroutine" in error.reason
            continue
        assert copy.__code__.co_firstlineno == function.__code__.co_firstlineno
        names = {name for code in instrument(function).codes for name in strings_of(code)}
        assert not any("@factory" in name for name in names)


def strings_of(code: CodeType):
    yield getattr(code, "co_qualname", code.co_name)
    yield from (constant for constant in code.co_consts if isinstance(constant, str))


class Following(Hooks):
    """Runs copies of all functions that a copy calls."""

    def __init__(self):
        self.followed = set()

    def call(self, function, /, *args, **kwargs):
        if isinstance(function, MethodType):
            return self.call(function.__func__, function.__self__, *args, **kwargs)
        if isinstance(function, FunctionType) and not is_instrumented(function.__code__):
            with contextlib.suppress(SourceError):
                function = instrument(function).bind(function, self)
                self.followed.add(function.__qualname__)
        return function(*args, **kwargs)


TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 5


def wraps_text():
    wrapper = textwrap.TextWrapper(width=30, initial_indent="* ", max_lines=5)
    return textwrap.fill(TEXT, 33), textwrap.dedent("  a\n    b"), wrapper.wrap(TEXT)


def compares_texts():
    lines = [sorted(TEXT.split())[i::2] for i in (0, 1)]
    close = difflib().get_close_matches("appel", ["ape", "apple", "peach"])
    return list(difflib().ndiff(*lines)), list(difflib().unified_diff(*lines)), close


def difflib():
    return importlib.import_module("difflib")


def computes_statistics():
    statistics = importlib.import_module("statistics")
    data = [1, 2.5, 3, 3, 4.75, 8]
    functions = "mean median mode stdev pvariance harmonic_mean quantiles multimode geometric_mean"
    return [getattr(statistics, name)(data) for name in functions.split()]


def writes_json():
    encoder = importlib.import_module("json.encoder")
    decoder = importlib.import_module("json.decoder")
    scanner = importlib.import_module("json.scanner")
    data = {"a": [1, 2.5, None, True, {"b": "é\n"}], "c": {}, "d": []}
    options = {"skipkeys": False, "ensure_ascii": True, "check_circular": True}
    coder = encoder.JSONEncoder(**options, sort_keys=True, indent=2)
    text = "".join(coder.iterencode(data))
    reader = decoder.JSONDecoder()
    reader.parse_object, reader.parse_string = decoder.JSONObject, decoder.py_scanstring
    reader.scan_once = scanner.py_make_scanner(reader)
    return text, reader.decode(text)


def adds_fractions():
    Fraction = importlib.import_module("fractions").Fraction
    a, b = Fraction(3, 7), Fraction("2.5")
    a._add(b), Fraction.__add__(a, b), Fraction._mul(a, b)
    return [a.limit_denominator(5), Fraction.__pow__(a, 3), Fraction.__round__(b), hash(b)]


def sorts_heaps():
    heapq = importlib.import_module("heapq")
    values = [(i * 37) % 101 for i in range(50)]
    heap = list(values)
    for i in range(25):
        heapq._siftup(heap, 24 - i)
    merged = list(heapq.merge([1, 4], [2, 3], key=operator.neg, reverse=True))
    return heap, merged, heapq.nsmallest(3, values, key=lambda x: -x), heapq.nlargest(2, values)


def parses_arguments():
    argparse = importlib.import_module("argparse")
    parser = argparse.ArgumentParser(prog="p", description=TEXT)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--number", type=int, choices=[1, 2], default=1, help="a %(default)s")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-x", action="store_true")
    group.add_argument("-y", action="append")
    parsed = parser.parse_args(["a", "b", "--number=2", "-y", "1", "-y2"])
    return vars(parsed), parser.format_help()


@pytest.mark.parametrize(
    ("function", "least"),
    [
        (wraps_text, "TextWrapper._wrap_chunks"),
        (compares_texts, "Differ.compare"),
        (computes_statistics, "_ss"),
        (writes_json, "JSONObject"),
        (adds_fractions, "Fraction.limit_denominator"),
        (sorts_heaps, "_siftdown"),
        (parses_arguments, "ArgumentParser._parse_known_args"),
    ],
)
def test_copies_all_the_way_down_compute_the_same(function, least):
    hooks = Following()
    assert copy_of(function, hooks)() == function()
    assert least in hooks.followed


# --------------------------------------------------------------------------- sources


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes modules of text, in files that can be edited."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    path = tmp_path / "edited_module.py"

    def imported(text):
        path.write_text(textwrap.dedent(text))
        monkeypatch.delitem(importlib.sys.modules, path.stem, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(path.stem)

    imported.path = path
    return imported


def test_a_file_that_was_edited_after_import_is_refused(module):
    made = module("def f(x):\n    return x + 1\n\n\ndef g(x):\n    return x\n")
    find_source(made.f)
    module.path.write_text("def f(x):\n    return x + 22\n\n\ndef g(x):\n    return x\n")
    with pytest.raises(SourceError, match="the file has changed"):
        instrument(made.f)
    assert copy_of(made.g)(3) == 3  # is what it was
    module.path.write_text("def f(x:\n")
    with pytest.raises(SourceError, match="has no source that compiles"):
        find_source(made.g)


def test_lambdas_in_one_line():
    made = [lambda x: x + 1, lambda x: x + 2, lambda x: x + 1, lambda x: x * free, lambda: 1]
    assert [copy_of(f)(5) for f in made[:3]] == [6, 7, 6]
    assert [seen_by(f, *([1] if i < 3 else []))[0][1:3] for i, f in enumerate(made[:3])] == [
        ("+", 1)
    ] * 3
    assert copy_of(made[4])() == 1


def test_lambdas_that_decorate(module):
    made = module(
        """
        @lambda f: [f, 1]
        def f(): return 5
        x = (lambda f: f, lambda f: [f])
        """
    )
    assert copy_of(made.f[0])() == 5
    assert copy_of(made.x[1])(1) == [1]


def test_code_that_occurs_twice(module):
    made = module(
        """
        def make(fail):
            try:
                if fail:
                    raise ValueError
            except ValueError:
                pass
            finally:
                def f(): return fail
                return f
        def make_global():
            global made
            def made(): return (lambda: 1), made
            return made
        """
    )
    assert [copy_of(made.make(x))() for x in (True, False)] == [True, False]
    inner, itself = copy_of(made.make_global())()
    assert inner.__qualname__.endswith("made.<locals>.<lambda>")
    assert itself is made.made


def test_annotations_that_are_not_evaluated(module):
    made = module(
        """
        from __future__ import annotations
        def f():
            class Local:
                x: missing
                def g(self, y: missing): pass
            z: missing = 1
            return Local.__annotations__, Local.g.__annotations__, z
        """
    )
    assert copy_of(made.f)() == ({"x": "missing"}, {"y": "missing"}, 1)


def asserting(x):
    y = x + 1
    assert (z := y) > x, f"{x} is {y}"
    return [z for _ in (y,)], lambda: x


def test_asserts_that_pytest_has_rewritten():
    assert "@pytest_ar" in asserting.__globals__
    assert copy_of(asserting)(2)[0] == [3]
    assert seen_by(asserting, 2)[0] == ("binary", "+", 2, 1)

    class Failing:
        def __gt__(self, other):
            return False

        def __add__(self, other):
            return self

    with pytest.raises(AssertionError):
        copy_of(asserting)(Failing())


def test_asserts_that_nobody_has_rewritten(module):
    made = module("def f(x):\n    assert x, x + 1\n    return x\n")
    with pytest.raises(AssertionError, match=r"^1$"):
        copy_of(made.f)(0)
    module.path.write_text("def f(x):\n    assert x, x + 2\n    return x\n")
    with pytest.raises(SourceError, match="the file has changed"):
        find_source(made.f)


def test_functions_of_a_text_that_was_executed():
    names = {"WORD": "word"}
    exec("def f(): return WORD", names)
    assert copy_of(names["f"])() == "word"
    edited = names["f"].__code__.replace(co_names=("OTHER",))  # what no text says
    with pytest.raises(SourceError, match="its source is not known"):
        instrument(type(names["f"])(edited, names))


def test_text_that_linecache_knows(monkeypatch):
    text, names = "def f(x):\n    return x + 1\n", {}
    lines = text.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, "<known>", (len(text), None, lines, "<known>"))
    exec(compile(text, "<known>", "exec"), names)
    assert copy_of(names["f"])(1) == 2
    monkeypatch.setattr("minidl.compiler.rewrite.source.executed_texts", lambda name: [])
    exec(compile(text.replace("1", "2"), "<known>", "exec"), names)
    with pytest.raises(SourceError, match="its source is not known"):
        instrument(names["f"])


def documented():
    """Has an example.

    >>> def f(x):
    ...     return WORD + x
    >>> copy_of(f)("s")
    'words'
    """


def test_functions_of_a_doctest():
    [test] = doctest.DocTestFinder().find(documented, globs=globals())
    runner = doctest.DocTestRunner()
    assert runner.run(test).failed == 0


async def coroutine():
    await coroutine()


async def stream():
    yield 1


def around():
    async def inner(): ...

    return inner


def loops_later(values):
    return (x async for x in values)


@pytest.mark.parametrize("function", [coroutine, stream, around, loops_later])
def test_coroutines_are_refused(function):
    for _ in range(2):
        with pytest.raises(SourceError, match="is a coroutine"):
            instrument(function)


# --------------------------------------------------------------------------- hooks by themselves


def test_chains_stop_early_and_take_what_is_identical():
    hooks, asked = Hooks(), []

    def operand(value):
        return lambda: asked.append(value) or value

    assert hooks.chain(("<", "<="), 1, operand(2), operand(2)) is True
    assert hooks.chain(("<", "<"), 3, operand(2), operand(9)) is False
    assert hooks.chain(("is", "is not"), None, operand(None), operand(1)) is True
    assert asked == [2, 2, 2, None, 1]


def test_super_may_be_a_function_of_the_users():
    assert Hooks().super_call(lambda: "own", Dog, Dog()) == "own"
    assert Hooks().super_call(builtins.super, Dog, Dog()).speak() == "animal says"
