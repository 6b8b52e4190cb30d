"""Samples of arithmetic, comparisons and functions of each element."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.backend import CPU, EMULATOR
from minidl.ops import comparison, elementwise
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import (
    arrays,
    arrays_together,
    boolean_arrays,
    broadcastable_shapes,
    integer_arrays,
    shapes,
)

NUMBERS = st.sampled_from([-1.5, 2, 0.5, 3])


def _pair(draw, **options):
    return draw(arrays_together(draw(broadcastable_shapes()), **options))


def _pair_or_number(draw, **options):
    """Two tensors, or a tensor and a number in either order."""
    if draw(st.booleans()):
        return _pair(draw, **options)
    operands = [draw(arrays(shapes(), **options)), abs(draw(NUMBERS))]
    return operands if draw(st.booleans()) else operands[::-1]


# --------------------------------------------------------------------------- arithmetic


@samples(minidl.add, torch=lambda input, other: input + other)
@samples(minidl.sub, torch=lambda input, other: input - other)
@samples(minidl.mul, torch=lambda input, other: input * other)
@samples(minidl.div, torch=lambda input, other: input / other)
def _(draw):
    return Sample(*_pair_or_number(draw))


@samples(minidl.add)
@samples(minidl.sub)
def _(draw):
    return Sample(*_pair(draw), alpha=draw(NUMBERS))


def _division(draw):
    """Operands whose quotient is not whole: at whole ones, a remainder jumps."""
    shape = draw(shapes())
    divisor = draw(arrays(shape, margin=0.5))
    fraction = draw(arrays(shape, min_value=0.1, max_value=0.9))
    return np.asarray((draw(integer_arrays(shape, -3, 3)) + fraction) * divisor), divisor


@samples(minidl.remainder, torch=lambda a, b: a - b * a.div(b, rounding_mode="floor"))
@samples(minidl.floor_divide, order=1, torch=lambda a, b: a.div(b, rounding_mode="floor"))
def _(draw):
    return Sample(*_division(draw))


@samples(minidl.div, order=1)
def _(draw):
    mode = draw(st.sampled_from(["floor", "trunc"]))
    return Sample(*_division(draw), rounding_mode=mode)


@samples(minidl.pow)
def _(draw):
    return Sample(*_pair_or_number(draw, min_value=0.2, max_value=2.0))


@samples(minidl.pow)
def _(draw):
    """Whole exponents, of negative numbers too."""
    return Sample(draw(arrays(shapes(), margin=0.3)), draw(st.sampled_from([-2, -1, 1, 2, 3])))


@samples(minidl.pow, order=1)
def _(draw):
    return Sample(draw(arrays(shapes())), 0)


@samples(minidl.pow)
def _(draw):
    """0 to some power, where the gradient is 0."""
    shape = draw(shapes())
    base = draw(integer_arrays(shape, 0, 1)) * draw(arrays(shape))
    return Sample(np.asarray(base), draw(st.sampled_from([2, 3])))


# --------------------------------------------------------------------------- functions


@samples(minidl.abs)
@samples(minidl.neg)
@samples(minidl.exp)
@samples(minidl.expm1)
@samples(minidl.erf)
@samples(minidl.sin)
@samples(minidl.cos)
@samples(minidl.tanh)
@samples(minidl.square)
@samples(minidl.clone)
def _(draw):
    return Sample(draw(arrays(shapes())))


@samples(minidl.log)
@samples(minidl.sqrt)
@samples(minidl.rsqrt)
def _(draw):
    return Sample(draw(arrays(shapes(), min_value=0.2)))


@samples(minidl.log1p)
def _(draw):
    return Sample(draw(arrays(shapes(), min_value=-0.7)))


@samples(minidl.reciprocal)
def _(draw):
    return Sample(draw(arrays(shapes(), margin=0.3)))


@samples(minidl.sign, order=1)
@samples(minidl.floor, order=1)
@samples(minidl.ceil, order=1)
@samples(minidl.round, order=1)
def _(draw):
    """Away from the steps, which lie at whole and at half numbers."""
    return Sample(draw(arrays(shapes(), away_from=np.arange(-3, 3.5, 0.5))))


@samples(minidl.sqrt, differentiable=False)
@samples(minidl.square, differentiable=False)
@samples(minidl.floor, differentiable=False)
@samples(minidl.sign, differentiable=False)
def _(draw):
    """Of integers some functions are integers, others of the default dtype."""
    return Sample(np.square(draw(integer_arrays(shapes(min_dims=1), 0, 3))))


@samples(elementwise.to, torch="Tensor.to")
def _(draw):
    return Sample(draw(arrays(shapes())), minidl.float64)


@samples(elementwise.to, torch="Tensor.to", differentiable=False)
def _(draw):
    dtypes = [minidl.float32, minidl.float16, minidl.int64, minidl.uint8, minidl.bool_]
    return Sample(draw(integer_arrays(shapes())), draw(st.sampled_from(dtypes)))


@samples(elementwise.replaced, torch=None)
def _(draw):
    shape, part = draw(broadcastable_shapes())
    whole = np.broadcast_shapes(shape, part)
    return Sample(*draw(arrays_together([whole, part])))


# --------------------------------------------------------------------------- comparisons


@samples(minidl.eq, differentiable=False)
@samples(minidl.ne, differentiable=False)
@samples(minidl.lt, differentiable=False)
@samples(minidl.le, differentiable=False)
@samples(minidl.gt, differentiable=False)
@samples(minidl.ge, differentiable=False)
@samples(minidl.logical_and, differentiable=False)
@samples(minidl.logical_or, differentiable=False)
@samples(comparison.bitwise_and, differentiable=False)
@samples(comparison.bitwise_or, differentiable=False)
@samples(comparison.bitwise_xor, differentiable=False)
def _(draw):
    return Sample(*(draw(integer_arrays(shape, 0, 2)) for shape in draw(broadcastable_shapes())))


@samples(minidl.logical_not, differentiable=False)
@samples(comparison.bitwise_not, differentiable=False)
def _(draw):
    return Sample(draw(integer_arrays(shapes(), 0, 2)))


@samples(minidl.isnan, differentiable=False)
@samples(minidl.isfinite, differentiable=False)
@samples(minidl.isinf, differentiable=False)
def _(draw):
    special = np.array([0.0, np.nan, np.inf, -np.inf])
    return Sample(np.asarray(special[draw(integer_arrays(shapes(), 0, 3))]))


# --------------------------------------------------------------------------- choosing


@samples(minidl.where)
def _(draw):
    condition, *others = draw(broadcastable_shapes(3))
    values = draw(arrays_together(others))
    if draw(st.booleans()):
        values[draw(st.integers(0, 1))] = draw(NUMBERS)
    return Sample(draw(boolean_arrays(condition)), *values)


@samples(minidl.maximum)
@samples(minidl.minimum)
def _(draw):
    return Sample(*_pair(draw))


@samples(minidl.clamp)
def _(draw):
    """Numbers as limits."""
    low, high = draw(st.sampled_from([(-1, 1.5), (None, 0.5), (-0.5, None), (1, -1)]))
    return Sample(draw(arrays(shapes(), away_from=(-1, -0.5, 0.5, 1, 1.5))), low, high)


@samples(minidl.clamp)
def _(draw):
    """Tensors as limits; PyTorch's gradient fails where they are larger than the input."""
    low, high = draw(broadcastable_shapes())
    input, low, high = draw(arrays_together([np.broadcast_shapes(low, high), low, high]))
    kept = draw(st.sampled_from([(low, high), (low, None), (None, high)]))
    return Sample(input, *kept)


def _there_and_back(input):
    """Twice the input, computed on another device."""
    here = input.device
    there = CPU if here == EMULATOR else EMULATOR
    return (input.to(there) * 2).to(here)


@samples(_there_and_back, torch=lambda input: input * 2)
def _(draw):
    return Sample(draw(arrays(shapes())))
