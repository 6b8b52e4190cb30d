"""The same call in PyTorch, if it is installed: values, dtypes and first gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.testing.close import assert_all_close
from minidl.testing.function import Run, flattened, is_input, mapped
from minidl.testing.samples import SAME_NAME, Case, Sample

try:
    import torch
except ImportError:
    torch = None

TOLERANCE = 1e-8
"""How far float64 values may be from PyTorch's, relative to the largest (or 1)."""


def check_against_torch(case: Case, sample: Sample, expected: Run) -> None:
    """AssertionError unless PyTorch finds the results and gradients of ``expected``.

    Does nothing without PyTorch, or where ``case.torch`` is None.
    """
    if torch is None or case.torch is None:
        return
    inputs: list = []

    def convert(part: Any) -> Any:
        converted = _converted(part)
        if is_input(part):
            inputs.append(converted.requires_grad_(case.differentiable))
        return converted

    args = mapped(sample.args, convert)
    kwargs = {name: mapped(value, _converted) for name, value in sample.kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PyTorch warns of is not what is tested
        results = [torch.as_tensor(r) for r in flattened(counterpart(case)(*args, **kwargs))]
    arrays = [result.detach().numpy() for result in results]
    assert_all_close(expected.values, arrays, TOLERANCE, "against torch: result")
    for i, (value, array) in enumerate(zip(expected.values, arrays)):
        assert value.dtype == array.dtype, f"result {i} is {value.dtype}, torch has {array.dtype}"
    if case.differentiable and inputs:
        _check_gradients(results, inputs, expected)


def _check_gradients(results: list, inputs: list, expected: Run) -> None:
    roots = [result for result in results if result.requires_grad]
    count = len(expected.weights)
    assert len(roots) == count, f"{count} results require a gradient, {len(roots)} in torch"
    weights = [torch.from_numpy(weight.copy()) for weight in expected.weights]
    found = torch.autograd.grad(roots, inputs, weights, allow_unused=True)
    for i, (gradient, own) in enumerate(zip(found, expected.gradients)):
        pair = [
            np.zeros_like(expected.leaves[i].array) if g is None else np.asarray(g)
            for g in (own, gradient)
        ]
        assert_all_close(pair[:1], pair[1:], TOLERANCE, f"against torch: gradient of input {i}:")


def counterpart(case: Case) -> Callable:
    """PyTorch's function for a case; AttributeError if there is none of that name."""
    if callable(case.torch):
        return case.torch
    if case.torch != SAME_NAME:
        found: Any = torch
        for name in case.torch.split("."):
            found = getattr(found, name)
        return found
    for place in (torch.nn.functional, torch, torch.Tensor):
        if hasattr(place, case.name):
            return getattr(place, case.name)
    raise AttributeError(
        f"PyTorch has no {case.name!r}: name its counterpart with torch=..., or pass torch=None"
    )


def _converted(part: Any) -> Any:
    """Arrays as torch tensors and dtypes as torch's; everything else as it is."""
    if isinstance(part, np.ndarray):
        return torch.from_numpy(part.copy())
    if isinstance(part, np.dtype):
        return getattr(torch, part.name)
    return part
