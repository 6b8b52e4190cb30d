"""Helpers for all parameters or gradients at once."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minidl import ops
from minidl.autograd import no_grad
from minidl.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Shrink all gradients by one factor, so that their norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
        The limit of the norm of all gradients, seen as one vector.
    norm_type : float
        The p of the p-norm; may be ``math.inf``.
    error_if_nonfinite : bool
        Raise RuntimeError if the norm is NaN or infinite, instead of scaling by it.

    Returns
    -------
    Tensor
        The norm before clipping, a 0-d tensor.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return ops.tensor(0.0)
    with no_grad():
        norms = ops.stack([ops.norm(gradient, p=norm_type) for gradient in gradients])
        total = ops.norm(norms, p=norm_type)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {total.item()}")
        factor = ops.clamp(max_norm / (total + 1e-6), max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value], in place."""
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in one vector, as an operator: it can be differentiated."""
    return ops.cat([ops.reshape(p, (-1,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into parameters, as `parameters_to_vector` laid them out.

    ValueError, and nothing is changed, if the vector has too few or too many elements.
    """
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.shape != (total,):
        raise ValueError(
            f"vector_to_parameters: wants {total} elements in a vector, got shape {vec.shape}"
        )
    start = 0
    with no_grad():
        for p in parameters:
            p.copy_(ops.reshape(vec[start : start + p.numel()], p.shape))
            start += p.numel()
