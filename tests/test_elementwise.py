"""Chains of elementwise operations: every kernel computes the reference's very bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import kernels
from minidl.kernels.elementwise import Step, cpu, reference
from minidl.kernels.elementwise.steps import MOST_INPUTS, MOST_STEPS, OPERATIONS
from minidl.kernels.jit import THREAD_WORK, single_threaded

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 3e38, -1.0]


@st.composite
def chains(draw):
    """Some inputs, arrays and single numbers, and steps that all go into the last one."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = draw(st.sampled_from([(2,), (3, 7), (4095,), (5, 4097), (40_000,)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs = [random.normal(size=shape).astype(dtype)]
    for _ in range(draw(st.integers(0, MOST_INPUTS - 1))):
        single = draw(st.booleans())
        inputs.append(np.asarray(random.normal(size=() if single else shape), dtype))
    for x in inputs:
        x.reshape(-1)[: len(SPECIAL)] = random.permutation(SPECIAL)[: x.size]
    known = list(range(len(inputs)))
    steps = []
    for i in range(draw(st.integers(1, MOST_STEPS))):
        opcode = draw(st.integers(0, len(OPERATIONS) - 1))
        first = known[0] if i == 0 else MOST_INPUTS + i - 1  # a chain: each step goes on
        steps.append(Step(opcode, first, draw(st.sampled_from(known))))
        known.append(MOST_INPUTS + i)
    return inputs, tuple(steps)


@given(chains())
def test_the_bits_are_the_references(case):
    inputs, steps = case
    with np.errstate(all="ignore"):
        expected = reference.elementwise(inputs, steps)
        found = kernels.elementwise(inputs, steps)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    # an operation on two NaN may yield either of them
    np.testing.assert_array_equal(found, expected)
    signs = np.signbit(found) == np.signbit(expected)
    assert signs[~np.isnan(expected)].all()


@pytest.mark.parametrize("opcode", range(len(OPERATIONS)), ids=OPERATIONS)
def test_every_operation_alone_and_with_threads(opcode):
    size = 2 * THREAD_WORK if THREAD_WORK < 10**7 else 300_000
    x, y = np.random.default_rng(opcode).normal(size=(2, size)).astype(np.float32)
    x[:8] = y[-8:] = SPECIAL
    steps = Step(opcode, 0, 1), Step(OPERATIONS.index("neg"), MOST_INPUTS)
    with np.errstate(all="ignore"):
        expected = reference.elementwise([x, y], steps)
        for run in (steps, steps[:1]):
            wanted = expected if len(run) == 2 else -expected
            np.testing.assert_array_equal(kernels.elementwise([x, y], run), wanted)
        with single_threaded():
            np.testing.assert_array_equal(kernels.elementwise([x, y], steps), expected)


def test_inputs_in_any_memory_order():
    x = np.random.default_rng(0).normal(size=(60, 50)).astype(np.float32)
    steps = Step(OPERATIONS.index("add"), 0, 1), Step(OPERATIONS.index("neg"), MOST_INPUTS)
    np.testing.assert_array_equal(kernels.elementwise([x, x.T.copy().T], steps), -(x + x))


def test_other_dtypes_are_the_references():
    x = np.arange(10, dtype=np.float16)
    steps = (Step(OPERATIONS.index("square"), 0),)
    assert cpu.elementwise([x], steps).dtype == np.float16
