"""Numbers that are other ones in each call: compared with twins that run as they are."""

import contextlib
import functools
import inspect
import math
import operator

import numpy as np
import pytest

import minidl
from minidl.autograd import no_grad
from minidl.compiler import CaptureError
from minidl.compiler.watch.watch import Watch

X = minidl.tensor([0.0, 1.0, 2.0])
WHOLE = minidl.tensor([0, 1, 2])
ARRAY = np.array([1.0, 2.0], dtype=np.float32)
MILESTONES = [1, 3, 5, 8]


class Three:
    """Compares and adds as the program has it."""

    def __radd__(self, other):
        return other + 3

    def __eq__(self, other):
        return other == 3


THREE = Three()


def inplace(x, n):
    n &= 6
    n |= 1
    n <<= 2
    n ^= 5
    n >>= 1
    return x * n


def handled(compute, x):
    try:
        return x * compute()
    except (ArithmeticError, ValueError):
        return x - 1


def suppressed(x, n):
    factor = 7
    with contextlib.suppress(ZeroDivisionError):
        factor = 6 / (n % 3)
    return x * factor


CAPTURED = {
    "==": lambda x, n: x == n,
    "!=": lambda x, n: x != n,
    "reflected ==": lambda x, n: n == x,
    "reflected !=": lambda x, n: n != x,
    "== of half": lambda x, n: x == n / 2,
    "== of integers": lambda x, n: (WHOLE.eq(n)) | (n == WHOLE),
    "operator.eq": lambda x, n: operator.eq(x, n),
    "a mask that is used": lambda x, n: (x * (x != n)).sum() + (n == x).sum(),
    "None": lambda x, n: x * (2 if n == None else 3),  # noqa: E711
    "&": lambda x, n: x * (n & 3) + (5 & n),
    "|": lambda x, n: x * (n | 3) + (5 | n),
    "^": lambda x, n: x * (n ^ 3) + (5 ^ n),
    "<<": lambda x, n: x * (n << 1) + (1 << n),
    ">>": lambda x, n: x * (n >> 1) + (64 >> n),
    "~": lambda x, n: x * ~n,
    "in place": inplace,
    "two numbers": lambda x, n: x * ((n + 1) & (n * 2)),
    "a bit of a tensor": lambda x, n: WHOLE & n,
    "a bit decides": lambda x, n: x * 2 if n & 1 else x * 3,
    "divmod": lambda x, n: x * divmod(n, 3)[0] + divmod(n, 3)[1],
    "divmod by it": lambda x, n: x * divmod(30, n + 1)[0] + divmod(7.5, n + 1)[1],
    "reduced divmod": lambda x, n: x * functools.reduce(divmod, [n, 3])[1],
    "in a tuple": lambda x, n: x * (2 if n in (1, 3, 5) else 3),
    "in a list": lambda x, n: x * (2 if n not in [1, 3, 5] else 3),
    "in a set": lambda x, n: x * (2 if n in {1, 3, 5} else 3),
    "in a frozenset": lambda x, n: x * (2 if n in frozenset((1, 3, 5)) else 3),
    "in a range": lambda x, n: x * (2 if n in range(2, 5) else 3),
    "in a list from outside": lambda x, n: x * (2 if n in MILESTONES else 3),
    "in what is mixed": lambda x, n: x * (2 if n in (3, None, "a") else 3),
    "operator.contains": lambda x, n: x * (2 if operator.contains((1, 3), n) else 3),
    "a condition": lambda x, n: x if n % 2 else x * 2,
    "round": lambda x, n: x * round(n / 3) + round(n / 3, 1),
    "int": lambda x, n: x * int(n / 2),
    "float": lambda x, n: x * float(n),
    "bool": lambda x, n: x * (3 if bool(n) else 2),
    "isfinite": lambda x, n: x * (3 if math.isfinite(n) else 2),
    "a division that fails": lambda x, n: handled(lambda: 6 / (n % 4), x),
    "a root that fails": lambda x, n: handled(lambda: math.sqrt(3 - n), x),
    "an overflow": lambda x, n: handled(lambda: math.exp(n * 200) * 1e-300, x),
    "a shift that fails": lambda x, n: handled(lambda: 1 << (5 - n), x),
    "a division that is suppressed": suppressed,
}
GUARDED_BY_VALUE = {
    "a hash": lambda x, n: (x * hash(n), str(hash((n, 1)))),
    "text": lambda x, n: (x, str(n), f"{n:03}", f"{n!r}", f"{n:d}"),
    "an array": lambda x, n: (x, str(ARRAY + n), str(n * ARRAY), str(n == ARRAY)),
    "a number of NumPy's": lambda x, n: (x, str(type(np.float32(2) * n))),
    "complex": lambda x, n: (x, str(n * 1j), n == 2j),
    "a class of the program's": lambda x, n: x * (n + THREE) + (1 if n == THREE else 2),
    "repeated": lambda x, n: x * len(MILESTONES * n) * len("ab" * n),
}


def shown(result):
    if isinstance(result, minidl.Tensor):
        return str(result.dtype), result.tolist()
    return [shown(part) for part in result] if isinstance(result, tuple) else result


def outcomes(function, numbers, from_attribute, compiled, **options):
    """What each call gives, and how often it was captured."""

    class State:
        n = 0

    def by_argument(x, n):
        return function(x, n)

    def by_attribute(x):
        return function(x, State.n)

    step = by_attribute if from_attribute else by_argument
    step = minidl.compile(step, **options) if compiled else step
    results = []
    for State.n in numbers:
        results.append(shown(step(X) if from_attribute else step(X, State.n)))
    return results, step


NUMBERS = [0, 1, 2, 3, 5, 6, 4, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("from_attribute", [False, True], ids=["argument", "attribute"])
@pytest.mark.parametrize("options", [{}, {"audit": 0}], ids=["default", "audit=0"])
@pytest.mark.parametrize("name", CAPTURED)
def test_what_is_computed_with_a_number_is_replayed(name, options, from_attribute):
    given = (CAPTURED[name], NUMBERS, from_attribute)
    found, step = outcomes(*given, compiled=True, **options)
    assert found == outcomes(*given, compiled=False)[0]
    assert 1 <= step.captures <= 6


@pytest.mark.parametrize("options", [{}, {"audit": 0}], ids=["default", "audit=0"])
@pytest.mark.parametrize("name", GUARDED_BY_VALUE)
def test_what_needs_the_number_itself_is_guarded_by_its_value(name, options):
    numbers = [0, 1, 2, 3, 5, 6, 6, 6, 5, 6, 3]
    given = (GUARDED_BY_VALUE[name], numbers, True)
    assert outcomes(*given, compiled=True, **options)[0] == outcomes(*given, compiled=False)[0]


def test_a_comparison_by_a_function_of_c_never_compares_identities():
    with pytest.raises(CaptureError):
        outcomes(lambda x, n: x * [n, n].count(x[1]), NUMBERS, True, compiled=True)


def test_a_bit_of_a_float_is_an_error_as_ever():
    with pytest.raises(TypeError, match="'float' and 'int'"):
        outcomes(lambda x, n: x * (n & 1), [0.5, 1.5, 2.5, 3.5], True, compiled=True)


def test_a_decision_on_what_is_computed_in_too_many_steps_is_refused():
    def adds(x, n):
        return x if sum([n] * 300) > 3 else -x

    with pytest.raises(CaptureError, match="in too many steps"):
        outcomes(adds, NUMBERS, True, compiled=True)


# --------------------------------------------------------------------- handlers


def test_a_refusal_that_the_step_catches_is_a_refusal():
    @minidl.compile
    def step(x):
        try:
            return x * x.sum().item()
        except RuntimeError:
            return -x

    with pytest.raises(CaptureError, match=r"item\(\) looks at a value"):
        step(X)


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


def tries(x):
    y = x + 1
    try:
        return y * 2
    finally:
        y = None


def suppresses(x):
    with contextlib.suppress(ValueError):
        return x * 2


def enters(x):
    with no_grad(), Manager() as manager:
        return (x, manager)[0] * 2


@contextlib.contextmanager
def cleaned():
    try:
        yield
    finally:
        pass


def generates(x):
    with no_grad(), cleaned():
        return x * 2


def has_none(x):
    with no_grad(), contextlib.nullcontext():
        return minidl.ops.softmax(x, 0) + sum(map(float, (1, 2)))


@pytest.mark.parametrize(
    ("function", "line"), [(tries, 2), (suppresses, 1), (enters, 1), (generates, 1)]
)
def test_the_first_handler_of_the_program_is_noted(function, line):
    watch = Watch([X], [], frozenset())
    watch.run(function, (X,), {})
    assert watch.handlers == f"{__file__}:{inspect.getsourcelines(function)[1] + line}"


def test_handlers_of_the_engine_and_of_libraries_do_not_count():
    watch = Watch([X], [], frozenset())
    watch.run(has_none, (X,), {})
    assert watch.handlers == ""
