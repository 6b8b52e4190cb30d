"""Losses: how far predictions are from their targets.

``reduction`` is ``"none"`` for the loss of each element, ``"sum"``, or ``"mean"``; the mean
of no elements is NaN.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from minidl.autograd import describe, op, quiet
from minidl.backend import xp
from minidl.ops.activation import softplus
from minidl.ops.comparison import clamp, where
from minidl.ops.elementwise import abs, exp, log, log1p
from minidl.ops.reduce import mean, sum


def check_reduction(reduction: str) -> None:
    """ValueError unless ``reduction`` is one of the three."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is 'none', 'mean' or 'sum', got {reduction!r}")


def reduced(loss: Any, reduction: str) -> Any:
    """``loss`` summed, averaged or as it is; ValueError for another ``reduction``."""
    check_reduction(reduction)
    if reduction == "none":
        return loss
    return sum(loss) if reduction == "sum" else mean(loss)


def _check_float(name: str, *tensors: Any) -> None:
    if any(tensor.dtype.kind != "f" for tensor in tensors):
        raise TypeError(f"{name}({describe(tensors)}): both must be floating point")


def _check_same_shape(name: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        raise ValueError(f"{name}({describe([input, target])}): the shapes must be the same")


def _warn_of_broadcast(name: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"{name}({describe([input, target])}): the shapes differ and will be broadcast, "
            "which is seldom what is meant",
            stacklevel=3,
        )


# --------------------------------------------------------------------------- regression


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input - target)^2."""
    _warn_of_broadcast("mse_loss", input, target)
    difference = input - target
    return reduced(difference * difference, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """abs(input - target); the gradient where they are equal is 0."""
    _warn_of_broadcast("l1_loss", input, target)
    return reduced(abs(input - target), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """With d = abs(input - target): d^2 / (2 beta) where d < beta, d - beta / 2 elsewhere.

    ``beta=0`` is `l1_loss`; ValueError if it is negative.
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    _warn_of_broadcast("smooth_l1_loss", input, target)
    distance = abs(input - target)
    loss = where(distance < beta, distance * distance * (0.5 / beta), distance - 0.5 * beta)
    return reduced(loss, reduction)


# --------------------------------------------------------------------------- two classes


@op
@quiet
def _binary_cross_entropy(input, target):
    """-(t log x + (1 - t) log(1 - x)), the logarithms not below -100."""
    module, one = xp(input), input.dtype.type(1)
    if not ((input >= 0) & (input <= 1)).all():
        raise ValueError(
            "input must lie in [0, 1]: pass probabilities, or logits to "
            "binary_cross_entropy_with_logits"
        )
    log_yes = module.maximum(module.log(input), input.dtype.type(-100))
    log_no = module.maximum(module.log1p(-input), input.dtype.type(-100))
    return (target - one) * log_no - target * log_yes


_binary_cross_entropy.vjp(
    lambda g, _y, x, target: g * (x - target) / clamp(x * (1 - x), 1e-12),
    lambda g, _y, x, _target: g * (clamp(log1p(-x), -100) - clamp(log(x), -100)),
)


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """-(t log x + (1 - t) log(1 - x)) of probabilities x and targets t, times ``weight``.

    The logarithms are not taken below -100, so that the loss stays finite. ValueError if the
    shapes differ or a probability lies outside [0, 1].
    """
    _check_same_shape("binary_cross_entropy", input, target)
    _check_float("binary_cross_entropy", input, target)
    loss = _binary_cross_entropy(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """`binary_cross_entropy` of sigmoid(input), without overflow.

    ``(1 - t) x + (1 + (pos_weight - 1) t) log(1 + exp(-x))`` for logits x and targets t, times
    ``weight``; ``pos_weight`` multiplies the loss of positive targets.
    """
    _check_same_shape("binary_cross_entropy_with_logits", input, target)
    _check_float("binary_cross_entropy_with_logits", input, target)
    loss = softplus(-input, 1.0, math.inf)
    if pos_weight is not None:
        loss = loss * (1 + (pos_weight - 1) * target)
    loss = loss + (1 - target) * input
    return reduced(loss if weight is None else loss * weight, reduction)


# --------------------------------------------------------------------------- distributions


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """The Kullback-Leibler divergence t (log t - x) of log-probabilities x and targets t.

    ``log_target=True`` takes log t in the place of t. ``"mean"`` divides by the number of
    elements; ``"batchmean"``, by the first size, is the divergence of a sample.
    """
    _warn_of_broadcast("kl_div", input, target)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = target * (log(where(target == 0, 1.0, target)) - input)
    if reduction == "batchmean":
        return sum(loss) / (input.shape[0] if input.ndim else 1)
    return reduced(loss, reduction)
