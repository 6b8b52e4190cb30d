"""What every operator is held to, checked on one sample.

`check_operator` runs all the checks; ``tests/test_ops.py`` calls it for every operator of
minidl, and a test of your own can do the same for yours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import backend
from minidl.autograd import TensorBase, grad, no_grad
from minidl.backend import CPU, Device, device_of, to_device, to_host, xp
from minidl.kernels import use_kernels
from minidl.kernels.registry import SETS
from minidl.ops import as_tensor
from minidl.testing.against_torch import check_against_torch
from minidl.testing.check_grads import check_grads
from minidl.testing.close import assert_all_close
from minidl.testing.function import (
    Run,
    SampleFunction,
    flattened,
    nodes_behind,
    recorded,
    requiring_grad,
    run,
    weight_for,
)
from minidl.testing.samples import Case, Sample
from minidl.testing.strategies import LAYOUTS

EXACT = 1e-9
"""How far float64 results may differ, relative to the largest element (or 1)."""

KERNEL_SETS = {**SETS, "cuda": ("cuda", "cupy")}
"""Those that are compared; "numba-cuda" compiles anew for every dtype and dimension."""

SINGLE = 1e-4
"""How far float32 results may be from those in float64."""

UNORDERED = 1e-9
"""How far two calls of the same may differ on a GPU, which adds up in no fixed order."""


def check_operator(case: Case, sample: Sample, device: Device | str = "cpu") -> None:
    """Check an operator on one sample, on a device.

    - neither inputs nor incoming gradients are changed, a second pass through the same
      graph finds the same gradients, and these share memory with nothing;
    - a result that shares memory with an input shares its version counter;
    - first and second derivatives agree with central differences (`check_grads`);
    - every kernel set gives what the CPU gives, in float64 and in float32; float32 stays so;
    - every memory layout of the inputs gives the same;
    - fused operators agree with their reference in values and gradients;
    - values, dtypes and gradients are PyTorch's, where it is installed.

    Raises
    ------
    AssertionError
        That says what does not hold.
    """
    place = backend.device(device)
    function = SampleFunction(case, sample, place=place)
    check_memory(function)
    if case.differentiable and function.inputs:
        unordered = UNORDERED if place.type == "cuda" else 0.0
        check_grads(function, function.inputs, order=case.order, device=place, nondet_tol=unordered)
    check_kernel_sets(case, sample, place)
    expected = run(function, function.arrays())
    check_layouts(case, sample, expected, place)
    check_recorded_gradients(function, expected)
    check_fused(function)
    if place == CPU:
        check_against_torch(case, sample, expected)


def check_memory(function: SampleFunction) -> None:
    """Nothing is changed that was passed in, and gradients lie in memory of their own."""
    arrays = function.arrays()
    outcome = run(function, arrays, retain_graph=True)
    for i, (array, before) in enumerate(zip(arrays, function.inputs)):
        assert np.array_equal(to_host(array), before, equal_nan=True), f"input {i} was changed"
    _check_gradient_memory(outcome)
    for result in outcome.results:
        for i, leaf in enumerate(outcome.leaves):
            aliased = isinstance(result, TensorBase) and shares_memory(result.array, leaf.array)
            assert not aliased or result.version is leaf.version, (
                f"a result shares memory with input {i}, but not its version counter: "
                "declare the operator with view=True, or copy"
            )
    _check_second_pass(outcome)


def shares_memory(a: Any, b: Any) -> bool:
    """Whether two arrays of one device have an element in common."""
    if device_of(a).type == "cuda":  # CuPy's answer for 0-d arrays is about copies of them
        return np.shares_memory(np.asarray(_Place(a)), np.asarray(_Place(b)))
    return xp(a).shares_memory(a, b)


class _Place:
    """Where an array of a GPU lies, for NumPy, which must not read there."""

    def __init__(self, array: Any):
        known = ("shape", "typestr", "data", "strides", "version")
        interface = array.__cuda_array_interface__
        self.__array_interface__ = {key: interface[key] for key in known}


def _check_gradient_memory(outcome: Run) -> None:
    gradients = [g for g in outcome.gradients if g is not None]
    others = [leaf.array for leaf in outcome.leaves] + outcome.values + outcome.weights
    for i, gradient in enumerate(gradients):
        for other in others + gradients[:i]:
            assert not shares_memory(gradient, other), (
                f"the gradient of input {i} shares memory with an input, a result or a gradient"
            )


def _check_second_pass(outcome: Run) -> None:
    """Walk the retained graph again: whoever changed what it had saved now gives another result."""
    roots = requiring_grad(outcome.results)
    if not roots:
        return
    for i, (weight, root) in enumerate(zip(outcome.weights, roots)):
        assert np.array_equal(to_host(weight), weight_for(i, root.array)), (
            f"the incoming gradient of result {i} was changed"
        )
    once = [g for g in outcome.gradients if g is not None]
    leaves = [leaf for leaf, g in zip(outcome.leaves, outcome.gradients) if g is not None]
    again = grad(roots, leaves, list(map(as_tensor, outcome.weights)))
    assert_all_close([g.array for g in again], once, EXACT, "second pass: gradient")


def check_kernel_sets(case: Case, sample: Sample, place: Device) -> None:
    """Every kernel set gives the results and gradients of the CPU, in float64 and in float32."""
    for dtype, tolerance in ((np.float64, EXACT), (np.float32, SINGLE)):

        def cast(array: Any, dtype: type = dtype) -> Any:
            return array.astype(dtype) if array.dtype == np.float64 else array.copy()

        # float32 is compared with float64 at the same, rounded, numbers
        function = SampleFunction(case, sample, lambda array: cast(array).astype(array.dtype))
        inputs = [cast(array) for array in function.inputs]
        expected = run(function, [array.astype(np.float64) for array in inputs])
        for name in KERNEL_SETS[place.type]:
            arrays = [to_device(array.copy(), place) for array in inputs]
            with use_kernels(name, place.type):
                found = run(SampleFunction(case, sample, cast, place), arrays)
            title = f"{np.dtype(dtype)}, kernels {name}"
            _check_dtypes(found, expected, np.dtype(dtype), sample, title)
            # a GPU's functions of float32, where the operator returns it, round in their own way
            single = any(value.dtype == np.float32 for value in found.values)
            coarse = place.type == "cuda" and single
            _assert_same_run(found, expected, SINGLE if coarse else tolerance, title)


def _check_dtypes(found: Run, expected: Run, dtype: np.dtype, sample: Sample, title: str) -> None:
    """Results and gradients of inputs of ``dtype`` have it, unless the sample names another."""
    if not found.leaves or _names_dtype(sample):
        return
    for i, (value, other) in enumerate(zip(found.values, expected.values)):
        wanted = dtype if other.dtype == np.float64 else other.dtype
        assert value.dtype == wanted, f"{title}: result {i} is {value.dtype}, not {wanted}"
    for i, gradient in enumerate(found.gradients):
        assert gradient is None or gradient.dtype == dtype, (
            f"{title}: the gradient of input {i} is {gradient.dtype}"
        )


def _names_dtype(sample: Sample) -> bool:
    given = flattened([*sample.args, *sample.kwargs.values()])
    return any(isinstance(part, np.dtype) for part in given)


def check_layouts(case: Case, sample: Sample, expected: Run, place: Device) -> None:
    """Arrays give the results and gradients ``expected`` however they lie in memory."""
    for name, arrange in LAYOUTS.items():

        def arranged(array: Any, arrange: Callable = arrange) -> Any:
            return arrange(array) if array.ndim else array.copy()

        repeats = name == "broadcast"  # other values: not for indices, and another result
        function = SampleFunction(case, sample, np.copy if repeats else arranged, place)
        inputs = [arranged(array) for array in function.arrays()]
        wanted = run(function, [array.copy() for array in inputs]) if repeats else expected
        _assert_same_run(run(function, inputs), wanted, EXACT, f"layout {name}")


def check_recorded_gradients(function: SampleFunction, expected: Run) -> None:
    """Gradients computed to be differentiated again equal the ones computed to be used."""
    leaves, results = recorded(function)
    roots = requiring_grad(results)
    if not roots:
        return
    weights = list(map(as_tensor, expected.weights))
    found = grad(roots, leaves, weights, create_graph=True, allow_unused=True)
    arrays = [None if gradient is None else gradient.array for gradient in found]
    _assert_same_gradients(arrays, expected, EXACT, "create_graph=True")


def check_fused(function: SampleFunction) -> None:
    """Every fused operator that the function calls gives the values of its reference."""
    _, results = recorded(function)
    for node in nodes_behind(results):
        reference = getattr(node.op, "reference", None)
        if reference is None:
            continue
        with no_grad():
            fused = flattened(node.op.apply(tuple(node.args), {}))
            plain = flattened(reference(*node.args))
        arrays = [[result.array for result in each] for each in (fused, plain)]
        assert_all_close(*arrays, EXACT, f"{node.op.name} and its reference: result")


def _assert_same_run(found: Run, expected: Run, tolerance: float, title: str) -> None:
    assert_all_close(found.values, expected.values, tolerance, f"{title}: result")
    _assert_same_gradients(found.gradients, expected, tolerance, title)


def _assert_same_gradients(found: list, expected: Run, tolerance: float, title: str) -> None:
    pairs = [
        [
            np.zeros(leaf.shape) if gradient is None else gradient
            for gradient, leaf in zip(gradients, expected.leaves)
        ]
        for gradients in (found, expected.gradients)
    ]
    assert_all_close(*pairs, tolerance, f"{title}: gradient of input")
