"""Gradients against numerical ones, along random directions.

For a function f of x, a random weight v for its result and a random direction u, the number
<v, J u> is measured by a central difference,

    <v, f(x + h u) - f(x - h u)> / (2 h),

and is also <J^T v, u>, where J^T v is what reverse mode computes. That costs two calls of f
per argument, however many elements it has. The second derivative is the same check of the
function (x, v) -> J^T v, and so on.

Source: the check in HIPS autograd, https://github.com/HIPS/autograd (``test_util.py``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import backend
from minidl.autograd import TensorBase, enable_grad, grad
from minidl.backend import Device, to_host
from minidl.ops import tensor

_LOST = (
    "no result requires a gradient, so f loses its inputs",
    "the gradient does not depend on the gradient that came in, so a rule loses it",
)

# Up to this many elements are measured one by one to find where a gradient is wrong.
FEW = 256


def check_grads(
    f: Callable,
    inputs: Any,
    order: int = 2,
    *,
    eps: float = 1e-5,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    seed: int = 0,
    device: Device | str = "cpu",
    nondet_tol: float = 0.0,
) -> None:
    """Check the derivatives of ``f`` up to ``order`` against central differences.

    Parameters
    ----------
    f : callable
        Takes as many tensors as there are inputs, returns a tensor or a tuple or list of
        them. Of several results, those that require no gradient are left out.
    inputs : sequence of Tensor or ndarray
        Where to check. Floating-point inputs must be float64, and no closer than a few
        ``eps`` (times their mean size) to points where ``f`` has no derivative. Others,
        integers for instance, are passed on as constants.
    order : int
        1 checks the gradient, 2 also the gradient of the gradient, and so on.
    eps : float
        The step of the difference, in units of an input's mean absolute value.
    atol, rtol : float
        How far the two numbers may differ: ``atol + rtol * size``, where the size of
        <g, u> is the Euclidean norm of its terms.
    seed : int
        Of the random directions.
    device : Device or str
        Where ``f`` gets its tensors. The numbers are compared on the CPU.
    nondet_tol : float
        How far two calls with the same inputs may differ, absolutely. On a GPU, what adds to
        places that an index names several times adds in no fixed order.

    Raises
    ------
    AssertionError
        If they disagree; the message names the input, the index where they disagree most,
        and both numbers. Also if no result requires a gradient, or ``f`` returns values for
        the same inputs that differ by more than ``nondet_tol``.
    TypeError
        If no input is floating-point, or one is but not float64.

    Examples
    --------
    >>> import minidl
    >>> from minidl.testing import check_grads
    >>> x = minidl.tensor([[0.5, -1.0], [2.0, 3.0]], dtype=minidl.float64)
    >>> check_grads(lambda x: minidl.tanh(x) * x, [x])
    """
    if order < 1:
        raise ValueError(f"check_grads: order counts from 1, got {order}")
    if isinstance(inputs, TensorBase | np.ndarray):
        inputs = [inputs]
    arrays = [to_host(x.array) if isinstance(x, TensorBase) else np.asarray(x) for x in inputs]
    names = _names(f, len(arrays))
    _require_float64(arrays, names)
    comparison = _Comparison(eps, atol, rtol, nondet_tol, np.random.default_rng(seed))
    with enable_grad(), backend.device(device):
        _check_order(f, arrays, names, 1, order, comparison)


def _names(f: Callable, count: int) -> list[str]:
    """What to call the inputs: their position, and the parameter's name where it is known."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except ValueError:  # some builtin functions have no signature
        parameters = []
    names = [f"input {i}" for i in range(count)]
    for i, parameter in enumerate(parameters[:count]):
        if parameter.kind is parameter.VAR_POSITIONAL:
            break
        names[i] += f" ({parameter.name})"
    return names


def _require_float64(arrays: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if not any(array.dtype.kind == "f" for array in arrays):
        raise TypeError("check_grads: no input is floating-point, so there is nothing to check")
    for array, name in zip(arrays, names):
        if array.dtype.kind == "f" and array.dtype != np.float64:
            raise TypeError(
                f"check_grads: {name} is {array.dtype}, too coarse for differences; use float64"
            )


@dataclass
class _Comparison:
    """How to measure, and what counts as equal."""

    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    generator: np.random.Generator

    def direction(self, shape: tuple[int, ...]) -> np.ndarray:
        """Random signs and sizes from 1/2 to 1: no element is left out, none steps far."""
        sign = self.generator.integers(0, 2, shape) * 2 - 1
        return sign * self.generator.uniform(0.5, 1.0, shape)

    def weight(self, shape: tuple[int, ...]) -> np.ndarray:
        """Of a result: a direction; 1 for a scalar, so that messages show its plain gradient."""
        return self.direction(shape) if shape else np.ones(())

    def agree(self, numerical: float, expected: float, size: float) -> bool:
        return bool(abs(numerical - expected) <= self.atol + self.rtol * size)


def _check_order(
    f: Callable,
    arrays: list[np.ndarray],
    names: list[str],
    order: int,
    last: int,
    comparison: _Comparison,
) -> None:
    """Check the gradient of ``f``, which is itself a derivative of order ``order - 1``."""
    leaves = _leaves(arrays)
    returned = f(*leaves)
    results = _differentiable(returned)
    if not results:
        if order > 1 and not any(to_host(gradient.array).any() for gradient in returned):
            return  # the gradient of a step function: zero, and so are its derivatives
        raise AssertionError(f"check_grads: {_LOST[order > 1]}")
    _require_repeatable(f, arrays, results, comparison.nondet_tol)
    weights = [comparison.weight(result.shape) for result in results]
    wanted = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]
    inputs = [leaves[i] for i in wanted]
    found = grad(results, inputs, list(map(tensor, weights)), allow_unused=True)
    for i, gradient in zip(wanted, found):
        computed = np.zeros_like(arrays[i]) if gradient is None else to_host(gradient.array)
        measure = _measurement(f, arrays, i, weights, comparison.eps)
        _compare(measure, computed, f"{names[i]}, derivative of order {order}", comparison)
    if order < last:
        more_names = [f"the gradient of result {k}" for k in range(len(weights))]
        gradients = _gradient_function(f, len(arrays))
        _check_order(
            gradients, [*arrays, *weights], [*names, *more_names], order + 1, last, comparison
        )


def _leaves(arrays: Sequence[np.ndarray]) -> list:
    return [tensor(array, requires_grad=array.dtype.kind == "f") for array in arrays]


def _differentiable(results: Any) -> list:
    """Of what a function returned, the tensors that require a gradient."""
    results = results if isinstance(results, tuple | list) else (results,)
    return [r for r in results if isinstance(r, TensorBase) and r.requires_grad]


def _require_repeatable(
    f: Callable, arrays: list[np.ndarray], results: list, nondet_tol: float
) -> None:
    again = _differentiable(f(*_leaves(arrays)))
    same = len(again) == len(results) and all(
        _same(to_host(a.array), to_host(b.array), nondet_tol) for a, b in zip(results, again)
    )
    if not same:
        raise AssertionError(
            "check_grads: f returned different values for the same inputs; if it is random, "
            "seed the generator inside it"
        )


def _same(a: np.ndarray, b: np.ndarray, nondet_tol: float) -> bool:
    same_shape = a.shape == b.shape
    return same_shape and np.allclose(a, b, rtol=0.0, atol=nondet_tol, equal_nan=True)


def _gradient_function(f: Callable, count: int) -> Callable:
    """(inputs, weights of the results) -> gradients in the inputs, themselves recorded."""

    def gradients(*args: Any) -> tuple:
        inputs, weights = args[:count], args[count:]
        wanted = [x for x in inputs if x.requires_grad]
        results = _differentiable(f(*inputs))
        found = grad(results, wanted, weights, create_graph=True, allow_unused=True)
        return tuple(gradient for gradient in found if gradient is not None)

    return gradients


def _measurement(
    f: Callable, arrays: list[np.ndarray], i: int, weights: list[np.ndarray], eps: float
) -> Callable[[np.ndarray], float]:
    """The function u -> <weights, J u> for directions u of input ``i``, by a central difference."""
    scale = np.abs(arrays[i]).mean() if arrays[i].size else 1.0
    step = eps * (scale if np.isfinite(scale) and scale > 0 else 1.0)

    def moved(change: np.ndarray) -> list[np.ndarray]:
        at = [*arrays[:i], arrays[i] + change, *arrays[i + 1 :]]
        return [to_host(result.array) for result in _differentiable(f(*_leaves(at)))]

    def measure(direction: np.ndarray) -> float:
        ahead, behind = moved(step * direction), moved(-step * direction)
        rise = sum(float(np.vdot(w, a - b)) for w, a, b in zip(weights, ahead, behind))
        return rise / (2 * step)

    return measure


def _compare(
    measure: Callable[[np.ndarray], float], computed: np.ndarray, what: str, comparison: _Comparison
) -> None:
    """AssertionError if the computed gradient is not the one that ``measure`` finds."""
    direction = comparison.direction(computed.shape)
    numerical = measure(direction)
    terms = computed * direction
    if comparison.agree(numerical, float(terms.sum()), float(np.linalg.norm(terms))):
        return
    index, numerical_there = _worst(measure, computed, direction)
    raise AssertionError(
        f"check_grads: {what}, disagrees most at index {index}: "
        f"computed {computed[index]:.10g}, numerical {numerical_there:.10g}"
    )


def _worst(
    measure: Callable[[np.ndarray], float], computed: np.ndarray, direction: np.ndarray
) -> tuple[tuple[int, ...], float]:
    """The index where computed and measured gradient differ most, and what was measured.

    Many elements are first halved, keeping the half that disagrees more, down to a `FEW`.
    """
    flat, chosen = computed.ravel(), np.arange(computed.size)

    def error(part: np.ndarray) -> float:
        along = np.zeros_like(flat)
        along[part] = direction.ravel()[part]
        gap = abs(measure(along.reshape(computed.shape)) - float(flat @ along))
        return np.inf if np.isnan(gap) else gap

    while chosen.size > FEW:
        chosen = max(np.array_split(chosen, 2), key=error)

    def slope(k: int) -> float:
        along = np.zeros_like(flat)
        along[k] = 1.0
        return measure(along.reshape(computed.shape))

    slopes = np.array([slope(k) for k in chosen])
    gaps = np.nan_to_num(np.abs(slopes - flat[chosen]), nan=np.inf)
    worst = int(gaps.argmax())
    index = np.unravel_index(chosen[worst], computed.shape)
    return tuple(int(i) for i in index), float(slopes[worst])
