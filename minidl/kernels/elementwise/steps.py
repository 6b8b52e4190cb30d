"""What a chain of elementwise operations consists of."""

from __future__ import annotations

from typing import NamedTuple

# Compiled kernels hold these numbers, and their cache does not look into this file: clear it after
# a change here.
OPERATIONS = ("add", "sub", "mul", "div", "neg", "square", "sqrt", "abs", "relu", "relu_grad")
"""Their names; all are one correctly rounded operation or a choice, the same everywhere."""

ADD, SUB, MUL, DIV, NEG, SQUARE, SQRT, ABS, RELU, RELU_GRAD = range(len(OPERATIONS))

MOST_INPUTS = 6
MOST_STEPS = 12


class Step(NamedTuple):
    """One operation: ``OPERATIONS[opcode]`` of one or two operands.

    Operand k is input k for k < `MOST_INPUTS`, from there on the result of step
    k - `MOST_INPUTS`. Operations of one operand take no notice of ``second``.
    """

    opcode: int
    first: int
    second: int = 0


_BINARY = {ADD, SUB, MUL, DIV, RELU_GRAD}


def operands(step: Step) -> tuple[int, ...]:
    """The operands that the operation takes notice of."""
    return step[1:] if step.opcode in _BINARY else step[1:2]
