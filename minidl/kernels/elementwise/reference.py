"""Chains of elementwise operations, the definition: one after the other."""

from __future__ import annotations

import numpy as np

from minidl.kernels.activation.reference import relu, relu_grad
from minidl.kernels.elementwise.steps import MOST_INPUTS, OPERATIONS, Step, operands

FUNCTIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "square": np.square,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "relu": relu,
    "relu_grad": relu_grad,
}


def elementwise(inputs: list[np.ndarray], steps: tuple[Step, ...]) -> np.ndarray:
    """The result of the last of ``steps``.

    Parameters
    ----------
    inputs : list of arrays
        Of one floating-point dtype; their shapes are one shape, or () for single numbers. At
        most `MOST_INPUTS`, the first of them of the full shape.
    steps : tuple of Step
        At most `MOST_STEPS`.
    """
    values: list = [*inputs, *[None] * (MOST_INPUTS - len(inputs))]
    for step in steps:
        function = FUNCTIONS[OPERATIONS[step.opcode]]
        values.append(function(*(values[k] for k in operands(step))))
    return values[-1]
