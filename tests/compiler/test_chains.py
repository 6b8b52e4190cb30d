"""Chains of elementwise calls in compiled steps: what is fused, what is not, and the bits."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.compiler.chains import _LEAST

SHAPE = (3, _LEAST)


def numbers(seed, shape=SHAPE, dtype=np.float32):
    return minidl.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def repeated(function, *arguments, calls=4):
    """The compiled function, whose results were those of the plain one in each call."""
    step = minidl.compile(function)
    for i in range(calls):
        args = [make(i) for make in arguments]
        with minidl.no_grad():
            found, expected = step(*args), function(*args)
        for a, b in zip(found, expected, strict=True):
            assert a.array.tobytes() == b.array.tobytes()
    assert step.captures == 1
    return step


def chain_launches(step):
    """How many launches of chains its program has."""
    return step.code().count("elementwise")


def test_a_chain_is_one_launch():
    step = repeated(lambda x, y: (((x * 2.0 + y).relu() - 0.5).abs(),), numbers, numbers)
    assert chain_launches(step) == 1
    assert "mul_add_relu_sub_abs" in step.code()


def test_a_tree_is_one_launch():
    def tree(x, y):
        return ((x + y) * (x - y) / (x.square() + 1),)

    step = repeated(tree, numbers, lambda i: numbers(i + 9))
    assert chain_launches(step) == 1


def test_what_somebody_else_uses_is_made_once():
    def step(x):
        y = x * 3.0
        return y + 1, y - 1

    compiled = repeated(step, numbers)
    assert "mul_add" not in compiled.code() and "mul_sub" not in compiled.code()


def test_a_result_is_not_swallowed():
    compiled = repeated(lambda x: (lambda y: (y, y.neg()))(x.square()), numbers)
    assert "square_neg" not in compiled.code()


def test_nothing_is_carried_over_a_change_in_place():
    buffer = numbers(5)

    def step(x):
        y = x + buffer
        buffer.mul_(0.5)
        return (y.neg(),)

    twin = numbers(5)

    def expected(x):
        y = x + twin
        twin.mul_(0.5)
        return y.neg()

    compiled = minidl.compile(step)
    with minidl.no_grad():
        for i in range(5):
            x = numbers(i)
            assert compiled(x)[0].array.tobytes() == expected(x).array.tobytes()
    assert "add_neg" not in compiled.code()


def test_zero_and_minus_zero_are_two_constants():
    def step(x):
        return ((x * 0.0 + -0.0) * (x.square() + 0.0),)

    repeated(step, lambda i: minidl.zeros(*SHAPE) if i % 2 else -minidl.zeros(*SHAPE))


def test_nan_is_a_constant_like_any_other():
    repeated(lambda x: (x * float("nan") + float("nan"),), numbers)


def test_single_numbers_in_tensors_may_change():
    step = repeated(lambda x, w: ((x * w + w).neg(),), numbers, lambda i: minidl.tensor(0.3 * i))
    assert chain_launches(step) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda i: numbers(i, (SHAPE[1],)),  # broadcast
        lambda i: numbers(i, dtype=np.float64),  # promoted
        lambda i: numbers(i, SHAPE[::-1]).T,  # in another order
    ],
)
def test_operands_that_are_not_alike_stay_outside(other):
    step = repeated(lambda x, y: ((x + y).neg() * 2.0,), numbers, other)
    assert "add_neg" not in step.code()


def test_small_arrays_are_left_to_numpy():
    step = repeated(lambda x: ((x + 1).neg(),), lambda i: numbers(i, (_LEAST - 1,)))
    assert chain_launches(step) == 0


def test_more_steps_and_inputs_than_a_chain_takes():
    def step(x, *others):
        for other in others:
            x = (x + other).abs() * 1.5
        return (x,)

    step = repeated(step, *[lambda i, k=k: numbers(10 * i + k) for k in range(9)])
    assert chain_launches(step) > 1


def test_a_number_alone_is_no_array():
    repeated(lambda x: ((1 - x.sum()).neg() * x,), numbers)


def test_gradients_at_a_junction_and_relu_are_one_launch():
    weight = minidl.nn.Parameter(numbers(1))

    def step(x):
        weight.grad = None
        y = (weight * x).relu()
        z = y.tanh() + y.exp()
        z.sum().backward()
        return (weight.grad.detach(),)

    compiled = minidl.compile(step)
    for i in range(4):
        x = numbers(i)
        found, expected = compiled(x)[0].array.copy(), step(x)[0].array
        assert found.tobytes() == expected.tobytes()
    assert re.search(r"add_relu_grad", compiled.code())


UNARY = [
    lambda x: x.neg(),
    lambda x: x.square(),
    lambda x: x.abs().sqrt(),
    lambda x: x.relu(),
    lambda x: x**2,
    lambda x: x * 0.7,
    lambda x: 1 - x,
    lambda x: 2 / x,
]
BINARY = [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y]


@given(st.data())
def test_drawn_expressions_come_to_the_same_bits(data):
    program = data.draw(
        st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9), st.integers(0, 9)), max_size=10)
    )
    results = data.draw(st.integers(1, 3))

    def step(x, y, w):
        known = [x, y, w]
        for choice, i, j in program:
            first, second = known[i % len(known)], known[j % len(known)]
            known.append(UNARY[choice](first) if choice < 8 else BINARY[choice - 8](first, second))
        return tuple(known[-results:])

    repeated(step, numbers, lambda i: numbers(i + 50), lambda i: minidl.tensor(i - 0.5), calls=3)
