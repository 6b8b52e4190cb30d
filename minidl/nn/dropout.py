"""Dropout."""

from __future__ import annotations

from minidl import ops
from minidl.nn.module import Module
from minidl.tensor import Tensor


class Dropout(Module):
    """In training mode: each element 0 with probability ``p``, else ``x / (1 - p)``.

    In evaluation mode it returns its input. ``inplace`` is accepted and shown, as PyTorch
    has it, but the result is always a new tensor. ValueError if ``p`` is not in [0, 1].

    Source: N. Srivastava et al., "Dropout", JMLR 15, 2014
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout: the probability p lies in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
