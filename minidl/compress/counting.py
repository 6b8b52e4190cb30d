"""How much a model computes, and what it weighs."""

from __future__ import annotations

import math

from minidl import nn
from minidl.compress.trace import trace
from minidl.tensor import Tensor


def multiply_adds(model: nn.Module, example: Tensor) -> int:
    """The multiply-adds of convolutions and linear layers for one sample.

    ``example`` is an input, of a batch of any size.
    """
    total = 0
    for node in trace(model, example).nodes:
        if isinstance(node.module, nn.Conv1d | nn.Conv2d | nn.Linear):
            (made,) = node.outputs
            taps = math.prod(node.module.weight.shape[1:])
            total += taps * math.prod(made.shape[1:])
    return total


def parameters(model: nn.Module) -> int:
    """The number of numbers that a model has: learnt ones and weights of integers, zeros too."""
    integers = sum(t.numel() for t in model.buffers() if t.dtype.kind == "i" and t.ndim > 1)
    return sum(p.numel() for p in model.parameters()) + integers
